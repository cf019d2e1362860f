"""One request to a fake provider, read far enough to answer it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from detour.fakes.steps import Reply


@dataclass(frozen=True, slots=True)
class Call:
    wire: Wire
    operation: str
    """``generate``, ``count_tokens``, ``list_models`` or ``embeddings``."""
    model: str | None
    document: Any
    """The JSON body; None where there is none or it is not JSON."""
    stream: bool
    headers: dict[str, str]
    """Names in lower case; the last of equal names."""
    query: dict[str, str]
    text: str
    """What the fake provider answers."""

    def words(self) -> list[str]:
        """`text` in pieces that join to it again."""
        return [w + " " for w in self.text.split(" ")[:-1]] + [self.text.split(" ")[-1]]

    def prompt_tokens(self) -> int:
        """A count that grows with the request, as a real one does."""
        return len(json.dumps(self.document)) // 4


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire format as a table of functions."""

    name: str
    check: Callable[[Call], Reply | None]
    """The error that the provider answers to a request it does not accept."""
    answer: Callable[[Call], Reply]
    error: Callable[[Call, int, str | None], Reply]
    """An error answer of a status, with the provider's usual message when it is None."""
    stream_error: Callable[[Call, str], bytes]
    """What stands in a 200 stream when the provider fails in mid-stream. The str names the variety."""
    keys: Callable[[Call], list[str]]
    """The credentials that the request carries, the deciding one first."""


def json_reply(status: int, document: Any, *headers: tuple[str, str], indent: int | None = None) -> Reply:
    body = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    return Reply(status, (("Content-Type", "application/json"), *headers), (body,), content=1)


def bearer(call: Call) -> list[str]:
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    return [key] if scheme.lower() == "bearer" and key else []


def compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
