"""Which conversation a request belongs to, and the credential that it last succeeded on.

Providers keep prompt caches per account, so a conversation that stays on one credential is cheaper and
faster. A binding is looked up by each name that the request gives its conversation, the first that is
known deciding, and written under all of them once an attempt has succeeded.

Where a client names no conversation, the system prompt and the first user message stand for it. As many
requests begin alike, that name is only looked up when the request continues a conversation; the first
turn of each is free to rotate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson
from cachetools import TTLCache

from router_core.exchange import Headers

MAX_BINDINGS: Final = 65_536

_USER_ID_SESSION: Final = re.compile(r"_session_([0-9A-Za-z-]{8,64})$")
_MAX_NAME: Final = 1024


@dataclass(frozen=True, slots=True)
class SessionName:
    """One name of a conversation."""

    kind: str
    value: str
    derived: bool = False
    """Made from the content, because the client named nothing."""

    @property
    def key(self) -> str:
        """Short, of fixed length, and telling nothing about the client."""
        return blake2b(
            f"{self.kind}\0{self.value}".encode("utf-8", "surrogatepass"), digest_size=16
        ).hexdigest()


@dataclass(frozen=True, slots=True)
class Binding:
    credential_id: str
    provider: str
    model: str | None
    """The upstream's model name."""


def session_names(headers: Headers, document: Any, client: str | None = None) -> list[SessionName]:
    """The names of the request's conversation, the most specific first. `client` tells clients apart."""
    known: dict[str, str] = {}
    for name, value in headers:
        known.setdefault(name.lower(), value)
    body = document if isinstance(document, dict) else {}
    found = [SessionName(kind, value[:_MAX_NAME]) for kind, value in _stated(known, body) if value]
    if not found:
        opening = _opening(body)
        if opening is not None:
            digest = blake2b(f"{client or ''}\0".encode() + opening, digest_size=16).hexdigest()
            found.append(SessionName("opening", digest, derived=True))
    return list(dict.fromkeys(found))


def _stated(headers: dict[str, str], body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "session", headers.get("x-claude-code-session-id", "")
    yield "session", _user_id_session(body)
    yield "session", headers.get("session-id", "") or headers.get("session_id", "")
    yield "session", headers.get("x-session-id", "")
    yield "thread", headers.get("x-amp-thread-id", "")
    yield "response", _text(body.get("previous_response_id"))
    yield "turn", headers.get("x-codex-turn-state", "")
    yield "cache", _text(body.get("prompt_cache_key"))
    conversation = body.get("conversation")
    yield "conversation", _text(conversation.get("id") if isinstance(conversation, dict) else conversation)


def answer_names(headers: Headers, response_id: str | None) -> list[SessionName]:
    """The names that an answer gives: its response id, and ChatGPT's sticky routing token."""
    names = [
        SessionName("turn", v[:_MAX_NAME]) for n, v in headers if n.lower() == "x-codex-turn-state" and v
    ]
    if response_id:
        names.append(SessionName("response", response_id[:_MAX_NAME]))
    return names


def _user_id_session(body: dict[str, Any]) -> str:
    """Claude Code writes ``user_..._session_UUID`` or a JSON text with ``session_id`` into metadata.user_id."""
    metadata = body.get("metadata")
    user = _text(metadata.get("user_id")) if isinstance(metadata, dict) else ""
    if user.startswith("{"):
        try:
            parsed = orjson.loads(user)
        except orjson.JSONDecodeError:
            return ""
        return _text(parsed.get("session_id")) if isinstance(parsed, dict) else ""
    match = _USER_ID_SESSION.search(user)
    return match[1] if match else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


_HISTORY: Final = ("messages", "input", "contents")


def continues(document: Any) -> bool:
    """Whether the request holds an answer of the model already."""
    body = document if isinstance(document, dict) else {}
    for key in _HISTORY:
        turns = body.get(key)
        if isinstance(turns, list):
            return any(
                isinstance(t, dict)
                and (
                    t.get("role") in ("assistant", "model")
                    or t.get("type") in ("reasoning", "function_call", "function_call_output")
                )
                for t in turns
            )
    return False


def _opening(body: dict[str, Any]) -> bytes | None:
    """The text of the system prompt and of the first user message; None without any."""
    parts: list[str] = []
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        parts += _texts(body.get(key))
    for key in _HISTORY:
        turns = body.get(key)
        if isinstance(turns, str):
            parts += ["", turns]
        for turn in turns if isinstance(turns, list) else ():
            if not isinstance(turn, dict):
                continue
            content = _texts(turn.get("content", turn.get("parts")))
            if turn.get("role") in ("system", "developer"):
                parts += content
            elif turn.get("role") == "user" or "role" not in turn:
                # The separator keeps a text from passing for the other side's.
                parts += ["", *content]
                break
    return "\0".join(parts).encode("utf-8", "surrogatepass") if any(parts) else None


def _texts(value: Any) -> list[str]:
    """The texts below `value`, without markers such as cache_control that move from turn to turn."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [t for item in value for t in (_texts(item) if not isinstance(item, list) else [])]
    if isinstance(value, dict):
        text = value.get("text")
        return [text] if isinstance(text, str) else _texts(value.get("parts")) if "parts" in value else []
    return []


class Affinity:
    """Bindings with a sliding life time."""

    def __init__(
        self,
        ttl: float,
        clock: Callable[[], float],
        changed: Callable[[str, Binding], None] = lambda *_: None,
        size: int = MAX_BINDINGS,
    ):
        self.ttl = ttl
        self._clock, self._changed = clock, changed
        self._bindings: TTLCache[str, tuple[Binding, float]] = TTLCache(size, max(ttl, 1e-9), timer=clock)

    def find(self, names: list[SessionName], model: str | None, *, first_turn: bool) -> Binding | None:
        """The binding of a conversation that asks for `model`. What the client named holds from its first turn."""
        if self.ttl <= 0:
            return None
        for name in names:
            if name.derived and first_turn:
                continue
            found = self._bindings.get(_key(name, model))
            if found is not None:
                return found[0]
        return None

    def bind(self, names: list[SessionName], model: str | None, binding: Binding) -> None:
        """`binding` succeeded: it holds for another `ttl`."""
        if self.ttl <= 0:
            return
        now = self._clock()
        for name in names:
            key = _key(name, model)
            old = self._bindings.get(key)
            self._bindings[key] = (binding, now)
            # Others need not hear of every turn, only that the binding lives.
            if old is None or old[0] != binding or now - old[1] > self.ttl / 8:
                self._changed(key, binding)

    def adopt(self, key: str, binding: Binding) -> None:
        """A binding that another process, or this one before a restart, made."""
        if self.ttl > 0:
            self._bindings[key] = (binding, self._clock())

    def keep(self, credentials: set[str]) -> None:
        """Forgets the bindings to all other credentials."""
        for key in [k for k, (b, _) in self._bindings.items() if b.credential_id not in credentials]:
            self._bindings.pop(key, None)

    def items(self) -> Iterator[tuple[str, Binding]]:
        yield from ((k, b) for k, (b, _) in list(self._bindings.items()))

    def __len__(self) -> int:
        return len(self._bindings)


def _key(name: SessionName, model: str | None) -> str:
    # A response belongs to an account whatever model the next request asks for.
    return name.key if name.kind in ("response", "turn") else f"{name.key}:{model or ''}"
