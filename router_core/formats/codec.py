"""What each format can do, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from router_core.formats import ir
from router_core.formats.anthropic.known import unread as unread_anthropic
from router_core.formats.anthropic.read_events import EventReader as AnthropicReader
from router_core.formats.anthropic.read_request import read_request as read_anthropic
from router_core.formats.anthropic.write_events import EventWriter as AnthropicWriter
from router_core.formats.anthropic.write_request import write_request as write_anthropic
from router_core.formats.context import Context, Target
from router_core.formats.gemini.known import unread as unread_gemini
from router_core.formats.gemini.read_events import EventReader as GeminiReader
from router_core.formats.gemini.read_request import read_request as read_gemini
from router_core.formats.gemini.write_events import EventWriter as GeminiWriter
from router_core.formats.gemini.write_request import write_request as write_gemini
from router_core.formats.ir import Format
from router_core.formats.ollama.known import unread as unread_ollama
from router_core.formats.ollama.read_request import read_request as read_ollama
from router_core.formats.ollama.write_events import EventWriter as OllamaWriter
from router_core.formats.openai_chat.known import unread as unread_chat
from router_core.formats.openai_chat.read_events import EventReader as ChatReader
from router_core.formats.openai_chat.read_request import read_request as read_chat
from router_core.formats.openai_chat.write_events import EventWriter as ChatWriter
from router_core.formats.openai_chat.write_request import write_request as write_chat
from router_core.formats.openai_responses.known import unread as unread_responses
from router_core.formats.openai_responses.read_events import EventReader as ResponsesReader
from router_core.formats.openai_responses.read_request import read_request as read_responses
from router_core.formats.openai_responses.write_events import EventWriter as ResponsesWriter
from router_core.formats.openai_responses.write_request import write_request as write_responses

type Document = dict[str, Any]


class Reader(Protocol):
    """Reads an upstream's events."""

    def read(self, event: Document) -> list[ir.Event]: ...

    def done(self) -> list[ir.Event]:
        """The format's own mark of the end, ``[DONE]``."""
        ...

    def close(self) -> list[ir.Event]:
        """The end of the stream, whether or not the upstream had said all."""
        ...


class Writer(Protocol):
    """Writes a client's events; `DONE` stands for ``[DONE]``."""

    def write(self, event: ir.Event) -> list[Document]: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One format. What is None it has not, because it is only ever a client's format."""

    read_request: Callable[[Document], ir.Request]
    unread: Callable[[Document], list[str]]
    """Fields of a request that the intermediate form does not hold, by their places."""
    writer: Callable[[Context], Writer]
    write_request: Callable[[ir.Request, Target], Document] | None = None
    reader: Callable[[Context], Reader] | None = None


CODECS: Final[dict[Format, Codec]] = {
    Format.ANTHROPIC: Codec(
        read_anthropic, unread_anthropic, AnthropicWriter, write_anthropic, AnthropicReader
    ),
    Format.OPENAI_CHAT: Codec(read_chat, unread_chat, ChatWriter, write_chat, ChatReader),
    Format.OPENAI_RESPONSES: Codec(
        read_responses, unread_responses, ResponsesWriter, write_responses, ResponsesReader
    ),
    Format.GEMINI: Codec(read_gemini, unread_gemini, GeminiWriter, write_gemini, GeminiReader),
    Format.OLLAMA: Codec(read_ollama, unread_ollama, OllamaWriter),
}
