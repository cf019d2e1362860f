"""Reasoning that a client's format cannot carry, kept for its session and put back on the next turn.

Upstreams want their signed or encrypted reasoning back together with the tool calls that it led to. Most
clients return it as a carrier; a client that drops unknown fields does not. For those, the store keeps
what was said before each call, under the call's id, for as long as there is room. What signs a turn's last
text (Gemini) is kept under that text's length and hash.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from cachetools import LRUCache

from router_core.formats.ir import Part, Signature, Text, Thinking, ToolCall, Turn

STORE_BYTES: Final = 64 << 20
"""All sessions together; the entries that were not used for longest go first."""
_ENTRY_BYTES: Final = 400
"""What an entry takes beside its texts."""


@dataclass(slots=True)
class Recollection:
    """What one answer held that its client may not return."""

    thinking: list[Thinking] = field(default_factory=list)
    signatures: dict[str, Signature] = field(default_factory=dict)
    """Of calls, by the id that the client knows."""
    ids: dict[str, str] = field(default_factory=dict)
    """The client's id of a call to the upstream's own."""
    ending: Signature | None = None
    """Of the turn's last text."""

    @property
    def size(self) -> int:
        size = _ENTRY_BYTES + (len(self.ending.data) if self.ending else 0)
        for thinking in self.thinking:
            size += 200 + len(thinking.text) + (len(thinking.signature.data) if thinking.signature else 0)
        for id, signature in self.signatures.items():
            size += 200 + len(id) + len(signature.data)
        return size + sum(200 + len(a) + len(b) for a, b in self.ids.items())


type _Key = tuple[str, str | tuple[int, int]]
"""(session, what the turn is known by: the id of its first call, or its last text in short)"""


class _Entries(LRUCache[_Key, Recollection]):
    """The recollections, and how many of them each session has."""

    def __init__(self, limit: int):
        super().__init__(limit, getsizeof=lambda entry: entry.size)
        self.of_session: Counter[str] = Counter()

    def __setitem__(self, key: _Key, entry: Recollection) -> None:
        new = key not in self
        super().__setitem__(key, entry)
        self.of_session[key[0]] += new

    def __delitem__(self, key: _Key) -> None:
        super().__delitem__(key)
        self.of_session[key[0]] -= 1
        if not self.of_session[key[0]]:
            del self.of_session[key[0]]


class SessionStore:
    """Recollections of all sessions of this process, bounded as a whole."""

    def __init__(self, limit: int = STORE_BYTES):
        self._entries = _Entries(limit)

    def session(self, id: str) -> SessionMemory:
        return SessionMemory(self._entries, id)


class SessionMemory:
    """One session's part of a `SessionStore`."""

    __slots__ = ("_entries", "_id")

    def __init__(self, entries: _Entries, id: str):
        self._entries = entries
        self._id = id

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return self._id in self._entries.of_session

    def keep(self, parts: list[Part], ids: dict[str, str] | None = None) -> None:
        """Remembers the reasoning of an answer that consists of `parts`, with the client's ids."""
        thinking = [p for p in parts if type(p) is Thinking and p.signature]
        calls = [p for p in parts if type(p) is ToolCall]
        signatures = {call.id: call.signature for call in calls if call.signature}
        if not calls or not (thinking or signatures or ids):
            return
        entry = Recollection(thinking, signatures, ids or {})
        if entry.size > self._entries.maxsize // 4:
            return
        self._entries[self._id, calls[0].id] = entry

    def keep_ending(self, text: str, signature: Signature) -> None:
        """Remembers what signs a turn that ends with `text`."""
        self._entries[self._id, _short(text)] = Recollection(ending=signature)

    def restore(self, turn: Turn) -> Turn:
        """`turn` with the reasoning that its client left out, or as it is."""
        entry = self._entry(turn)
        if entry is None:
            return self._sign(turn)
        parts: list[Part] = []
        for part in turn.parts:
            if type(part) is ToolCall and part.signature is None and part.id in entry.signatures:
                part = replace(part, signature=entry.signatures[part.id])
            parts.append(part)
        if not any(type(part) is Thinking and part.signature for part in parts):
            parts = [*entry.thinking, *(part for part in parts if type(part) is not Thinking)]
        return Turn(turn.role, parts)

    def _sign(self, turn: Turn) -> Turn:
        content = turn.content
        last = Text(content) if isinstance(content, str) else content[-1] if content else None
        if type(last) is not Text or last.signature is not None or not last.text:
            return turn
        entry = self._entries.get((self._id, _short(last.text)))
        if entry is None:
            return turn
        return Turn(turn.role, [*turn.parts[:-1], replace(last, signature=entry.ending)])

    def upstream_ids(self, turn: Turn) -> dict[str, str]:
        """The client's call ids of `turn` to the ids that the upstream gave."""
        entry = self._entry(turn)
        return entry.ids if entry else {}

    def _entry(self, turn: Turn) -> Recollection | None:
        """By the turn's first call, whose id the client must return."""
        if type(turn.content) is str:
            return None
        first = next((part.id for part in turn.parts if type(part) is ToolCall), None)
        return self._entries.get((self._id, first)) if first else None


def _short(text: str) -> tuple[int, int]:
    """What a text is known by in this process, which is not the text itself: that would need its room."""
    return len(text), hash(text)
