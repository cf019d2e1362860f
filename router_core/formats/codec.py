"""What each format can do, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from router_core import sse
from router_core.formats import ir
from router_core.formats.anthropic import fold as anthropic_fold
from router_core.formats.anthropic.read_events import EventReader as AnthropicReader
from router_core.formats.anthropic.read_request import read_request as read_anthropic
from router_core.formats.anthropic.write_events import EventWriter as AnthropicWriter
from router_core.formats.anthropic.write_request import write_request as write_anthropic
from router_core.formats.context import Context, Target
from router_core.formats.ir import Format
from router_core.formats.openai_chat import fold as chat_fold
from router_core.formats.openai_chat.read_events import EventReader as ChatReader
from router_core.formats.openai_chat.read_request import read_request as read_chat
from router_core.formats.openai_chat.write_events import DONE
from router_core.formats.openai_chat.write_events import EventWriter as ChatWriter
from router_core.formats.openai_chat.write_request import write_request as write_chat

type Document = dict[str, Any]


class Reader(Protocol):
    """Reads an upstream's events."""

    def read(self, event: Document) -> list[ir.Event]: ...

    def close(self) -> list[ir.Event]:
        """The end of the stream."""
        ...


class Writer(Protocol):
    """Writes a client's events."""

    def write(self, event: ir.Event) -> list[Document]: ...


class Folder(Protocol):
    """Builds a JSON answer from a stream's events."""

    def feed(self, event: Document) -> None: ...

    @property
    def error(self) -> Document | None: ...

    @property
    def document(self) -> Document: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One format. What is None it has not, because it is only ever a client's format."""

    read_request: Callable[[Document], ir.Request]
    writer: Callable[[Context], Writer]
    folder: Callable[[], Folder]
    unfold: Callable[[Document], list[Document]]
    encode: Callable[[Document], bytes]
    write_request: Callable[[ir.Request, Target], Document] | None = None
    reader: Callable[[Context], Reader] | None = None


CODECS: Final[dict[Format, Codec]] = {
    Format.ANTHROPIC: Codec(
        read_anthropic,
        AnthropicWriter,
        anthropic_fold.Folder,
        anthropic_fold.unfold,
        anthropic_fold.encode,
        write_anthropic,
        AnthropicReader,
    ),
    Format.OPENAI_CHAT: Codec(
        read_chat, ChatWriter, chat_fold.Folder, chat_fold.unfold, chat_fold.encode, write_chat, ChatReader
    ),
}


def payloads(item: sse.Event | bytes | Document) -> list[Document]:
    """The JSON objects of one event: an `sse.Event`, its bytes or its data, or what is parsed already.

    ``[DONE]`` is `DONE`. A comment and what is no JSON give nothing.
    """
    if isinstance(item, dict):
        return [item]
    if isinstance(item, bytes | bytearray):
        data: bytes | None = bytes(item)
        if item.lstrip()[:1] not in (b"{", b"["):
            _, data = sse.read_fields(bytes(item))
    else:
        data = item.data
    if not data:
        return []
    if data[:6] == b"[DONE]":
        return [DONE]
    try:
        value = orjson.loads(data)
    except ValueError:
        return []
    if isinstance(value, dict):
        return [value]
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []
