"""Reasoning that a client's format cannot carry, kept for its session and put back on the next turn.

Upstreams want their signed or encrypted reasoning back together with the tool calls that it led to. Most
clients return it as a carrier; a client that drops unknown fields does not, nor does one that resumes a
conversation from a file that holds none. For those, the store keeps what was said before each call for as
long as there is room. A turn is known again

- in its session by the id of its first call, or by all its calls where the client returns no ids,
- elsewhere, because a resumed conversation may have another name, by the id of its first call *and* all its
  calls, if one conversation of that client's has them. Some hosts count their calls in each conversation
  (``functions.read:0``), so an id alone is none.

What one client was told is never put into another's conversation. What signs a turn's last text (Gemini) is
kept under that text's length and hash.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from cachetools import LRUCache

from router_core.formats import custom_tools
from router_core.formats.ir import Part, Signature, Text, Thinking, ToolCall, Turn
from router_core.formats.shape import arguments_object

STORE_BYTES: Final = 64 << 20
"""All sessions together; the entries that were not used for longest go first."""
_ENTRY_BYTES: Final = 800
"""What an entry takes beside its texts, its names included."""


@dataclass(slots=True)
class Recollection:
    """What one answer held that its client may not return."""

    thinking: list[Thinking] = field(default_factory=list)
    signatures: dict[str, Signature] = field(default_factory=dict)
    """Of calls, by what `_given_id` makes of the id that the client knows."""
    ids: dict[str, str] = field(default_factory=dict)
    """The client's id of a call to the upstream's own."""
    ending: Signature | None = None
    """Of the turn's last text."""
    calls: bytes = b""
    """What `_likeness` makes of the turn's calls."""
    order: list[str] = field(default_factory=list)
    """The calls' ids as the client knows them."""

    @property
    def size(self) -> int:
        size = _ENTRY_BYTES + (len(self.ending.data) if self.ending else 0)
        for thinking in self.thinking:
            size += 200 + len(thinking.text) + (len(thinking.signature.data) if thinking.signature else 0)
        for id, signature in self.signatures.items():
            size += 200 + len(id) + len(signature.data)
        size += sum(100 + len(id) for id in self.order)
        return size + sum(200 + len(a) + len(b) for a, b in self.ids.items())


type _Key = tuple[str, str, str | tuple[int, int]]
"""(client, session, what the turn is known by: the id of its first call, or its last text in short)"""
type _Name = tuple[str, str | bytes]
"""(client, the id of a turn's first call or its calls' likeness)"""


class _Entries(LRUCache[_Key, Recollection]):
    """The recollections, where each name of theirs is found, and how many of them each client has."""

    def __init__(self, limit: int):
        super().__init__(limit, getsizeof=lambda entry: entry.size)
        self.of_client: Counter[str] = Counter()
        self.named: dict[_Name, list[_Key]] = {}

    def __setitem__(self, key: _Key, entry: Recollection) -> None:
        if key in self:
            del self[key]
        super().__setitem__(key, entry)
        self.of_client[key[0]] += 1
        for name in _names(key, entry):
            self.named.setdefault(name, []).append(key)

    def __delitem__(self, key: _Key) -> None:
        for name in _names(key, super().__getitem__(key)):
            self.named[name].remove(key)
            if not self.named[name]:
                del self.named[name]
        super().__delitem__(key)
        self.of_client[key[0]] -= 1
        if not self.of_client[key[0]]:
            del self.of_client[key[0]]


def _names(key: _Key, entry: Recollection) -> list[_Name]:
    client, _, id = key
    return [(client, id), (client, entry.calls)] if type(id) is str else []


class SessionStore:
    """Recollections of all sessions of this process, bounded as a whole."""

    def __init__(self, limit: int = STORE_BYTES):
        self._entries = _Entries(limit)

    def session(self, client: str, id: str) -> SessionMemory:
        """What is kept for the session `id` of `client`, which is a name or an address."""
        return SessionMemory(self._entries, client, id)


class SessionMemory:
    """One session's view of a `SessionStore`."""

    __slots__ = ("_client", "_entries", "_id")

    def __init__(self, entries: _Entries, client: str, id: str):
        self._entries = entries
        self._client = client
        self._id = id

    def __bool__(self) -> bool:
        """Whether anything is kept for the client."""
        return self._client in self._entries.of_client

    def keep(self, parts: list[Part], ids: dict[str, str] | None = None) -> None:
        """Remembers the reasoning of an answer that consists of `parts`, with the client's ids."""
        thinking = [p for p in parts if type(p) is Thinking and p.signature]
        calls = [p for p in parts if type(p) is ToolCall]
        signatures = {_given_id(call): call.signature for call in calls if call.signature}
        if not calls or not (thinking or signatures or ids):
            return
        entry = Recollection(
            thinking, signatures, ids or {}, None, _likeness(calls), [call.id for call in calls]
        )
        if entry.size > self._entries.maxsize // 4:
            return
        self._entries[self._client, self._id, _given_id(calls[0])] = entry

    def keep_ending(self, text: str, signature: Signature) -> None:
        """Remembers what signs a turn that ends with `text`."""
        self._entries[self._client, self._id, _short(text)] = Recollection(ending=signature)

    def restore(self, turn: Turn, ids: dict[str, str] | None = None) -> Turn:
        """`turn` with the reasoning that its client left out, or as it is. Its calls are changed in place.

        The ids that the upstream gave its calls are added to `ids` by those that the client knows.
        """
        entry = self._entry(turn)
        if entry is None:
            return self._sign(turn)
        if ids is not None:
            ids.update(entry.ids)
        parts: list[Part] = []
        order = iter(entry.order)
        for part in turn.parts:
            if type(part) is ToolCall:
                part.id = part.id or next(order, "")
                part.signature = part.signature or entry.signatures.get(_given_id(part))
            parts.append(part)
        # Clients of Chat return the text, whose field names Chat as its origin, and leave out the proof.
        origins = {told.signature.origin for told in entry.thinking if told.signature}
        proofs = [part.signature.origin for part in parts if type(part) is Thinking and part.signature]
        if not (origins.intersection(proofs) if origins else proofs):
            parts = [*entry.thinking, *(part for part in parts if type(part) is not Thinking)]
        return Turn(turn.role, parts)

    def _sign(self, turn: Turn) -> Turn:
        content = turn.content
        last = Text(content) if isinstance(content, str) else content[-1] if content else None
        if type(last) is not Text or last.signature is not None or not last.text:
            return turn
        entry = self._entries.get((self._client, self._id, _short(last.text)))
        if entry is None:
            return turn
        return Turn(turn.role, [*turn.parts[:-1], replace(last, signature=entry.ending)])

    def _entry(self, turn: Turn) -> Recollection | None:
        if type(turn.content) is str:
            return None
        calls = [part for part in turn.parts if type(part) is ToolCall]
        if not calls:
            return None
        id = _given_id(calls[0])
        if not id:
            return self._here(calls)
        return self._entries.get((self._client, self._id, id)) or self._elsewhere(id, calls)

    def _here(self, calls: list[ToolCall]) -> Recollection | None:
        """Of a client that returns no ids: the last turn of the session with the same calls."""
        keys = self._entries.named.get((self._client, _likeness(calls)), ())
        return next((self._entries[key] for key in reversed(keys) if key[1] == self._id), None)

    def _elsewhere(self, id: str, calls: list[ToolCall]) -> Recollection | None:
        """Of the one conversation that the client has with the same id on the same calls."""
        keys = self._entries.named.get((self._client, id), ())
        if len(keys) != 1:
            return None
        entry = self._entries[keys[0]]
        return entry if entry.calls == _likeness(calls) else None


def _given_id(call: ToolCall) -> str:
    """The call's id as the client was given it: Gemini CLI puts the tool's name before it when it summarises."""
    return call.id.removeprefix(f"{call.name}__")


def _likeness(calls: list[ToolCall]) -> bytes:
    """A digest of names and arguments, which clients may have written anew."""
    digest = blake2b(digest_size=16)
    for call in calls:
        try:
            arguments = json.dumps(
                _plain(arguments_object(custom_tools.arguments(call))), sort_keys=True, ensure_ascii=True
            )
        except RecursionError:
            arguments = ""
        digest.update(f"{call.name}\0{arguments}\0".encode("utf-8", "surrogatepass"))
    return digest.digest()


def _plain(value: Any) -> Any:
    """`value` with whole numbers as JavaScript writes them, without a fraction."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(text: str) -> tuple[int, int]:
    """What a text is known by in this process, which is not the text itself: that would need its room."""
    return len(text), hash(text)
