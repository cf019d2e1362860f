"""Finds the edited places of a JSON text and joins it again around them.

Containers that changed are taken apart into members and items, whose spans are found by comparing with what
orjson would write and, where the text is spelled otherwise, with the standard library's scanner. Time is one
pass over the bytes in front of the last edit.
"""

from __future__ import annotations

from collections.abc import Callable
from json.scanner import c_make_scanner  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Final

import orjson

from router_core.json_container import KEY, Container, skip_space
from router_core.json_text import Json, parse, serialise

_PAIRING_WINDOW: Final = 16


class Splicer:
    """Writes one edited tree: first finds where the edited containers and their parts stand, then joins them.

    `_origins` maps the id of a node of the tree before to the span of its bytes.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._scanner = _Scanner(body)
        self._origins: dict[int, tuple[int, int]] = {}
        self._gone: list[tuple[Json, int]] = []

    def write(self, old: Json, new: Json, start: int, end: int) -> bytes:
        if not _same_container(old, new):
            self._forget(old, start, end)
            return self._fresh(new)
        self._origins[id(old)] = (start, end)
        return self._emit(self._locate(old, new, start, end))

    def _locate(self, old: Json, new: Json, start: int, end: int | None) -> Container:
        """Finds the parts of an edited container. Its `end`, where it is known, saves scanning its tail."""
        if isinstance(old, list):
            return self._locate_items(old, new, start, end)
        gone = len(self._gone)
        try:
            return self._locate_members(old, new, start, end)
        except DuplicateKey:
            del self._gone[gone:]
            return self._locate_duplicates(old, new, start)

    def _locate_members(
        self, old: dict[str, Json], new: dict[str, Json], start: int, end: int | None
    ) -> Container:
        body = self._body
        names = list(old)
        count = len(names) if end is None else _changing_head(names, old, new)
        found = Container(old, new, start, names[:count])
        position = start + 1
        for name in names[:count]:
            match = KEY.match(body, position)
            if match is None or _key(match[1]) != name:
                raise DuplicateKey
            value, fresh = old[name], new.get(name, _GONE)
            value_end = self._part(found, value, fresh, match.end())
            position = found.add(body, position, match.start(1), match.end(1), match.end(), value_end)
        if end is None:
            if not names:
                position = skip_space(body, position) + 1
            if body[position - 1] != 0x7D:
                raise DuplicateKey
            end = position
        elif count < len(names) and any(
            body.find(serialise(name), position, end) >= 0
            for name in names[:count]
            if new.get(name, _GONE) is not old[name]
        ):
            raise DuplicateKey
        return found.close(body, position, end)

    def _locate_duplicates(self, old: dict[str, Json], new: dict[str, Json], start: int) -> Container:
        """As `_locate_members`, for an object in which a key stands twice: the last one is its value."""
        body = self._body
        found = Container(old, new, start, [])
        position = start + 1
        while match := KEY.match(body, position):
            found.names.append(_key(match[1]))
            value_end = self._scanner.skip(match.end())
            position = found.add(body, position, match.start(1), match.end(1), match.end(), value_end)
            if body[position - 1] == 0x7D:
                break
        for name, i in {name: i for i, name in enumerate(found.names)}.items():
            self._part(found, old[name], new.get(name, _GONE), found.spans[i].value_start, i)
        return found.close(body, position, position)

    def _locate_items(self, old: list[Json], new: list[Json], start: int, end: int | None) -> Container:
        """Only what lies between the items that stay at the beginning and those that stay at the end."""
        body = self._body
        least = min(len(old), len(new))
        head = shared = 0
        while head < least and old[head] is new[head]:
            head += 1
        while shared < least - head and old[-1 - shared] is new[-1 - shared]:
            shared += 1
        found = Container(old, new, start, [])
        found.head, found.shared = head, shared
        found.pairs = _pair(old, new, head, shared)
        made = {i: new[j] for j, i in found.pairs.items()}
        position = start + 1
        if head:
            first = skip_space(body, position)
            position = found.begin(body, first, self._scanner.skip_items(first, old[:head]))
            if 1 < head == len(old):
                found.second = skip_space(body, self._scanner.skip(first, old[0])) + 1
        for i in range(head, len(old) - shared):
            value_start = skip_space(body, position)
            value_end = self._part(found, old[i], made.get(i, _GONE), value_start)
            position = found.add(body, position, 0, 0, value_start, value_end)
        if end is None:
            if shared:
                last = self._scanner.skip_items(skip_space(body, position), old[-shared:])
                end = skip_space(body, last) + 1
            else:
                end = position = position if old else skip_space(body, position) + 1
            if body[end - 1] != 0x5D:
                raise IndexError
        return found.close(body, position, end)

    def _part(self, found: Container, old: Json, new: Json, start: int, index: int = -1) -> int:
        """Notes where a member's or item's value stands, and returns its end."""
        if new is not old and _same_container(old, new):
            inner = self._locate(old, new, start, None)
            found.inner[found.head + len(found.spans) if index < 0 else index] = inner
            end = inner.end
        else:
            end = self._scanner.skip(start, old)
            if new is not old:
                self._forget(old, start, end)
        if _trackable(old):
            self._origins[id(old)] = (start, end)
        return end

    def _forget(self, old: Json, start: int, end: int) -> None:
        """`old` stands no longer where it stood; it or its parts may turn up elsewhere."""
        if _trackable(old):
            self._origins[id(old)] = (start, end)
            if isinstance(old, dict | list):
                self._gone.append((old, start))

    def _emit(self, found: Container) -> bytes:
        if isinstance(found.new, list):
            if found.head:
                found.put_head()
            for j in range(found.head, len(found.new) - found.shared):
                i = found.pairs.get(j)
                if i is None:
                    found.put(self._fresh(found.new[j]))
                else:
                    found.put(self._value(found, i, found.new[j]), i)
            if found.shared:
                found.put_rest()
        else:
            self._emit_members(found)
        return found.join()

    def _emit_members(self, found: Container) -> None:
        old, new, names = found.old, found.new, found.names
        last = {name: i for i, name in enumerate(names)}
        if len(last) < len(names):
            for i, name in enumerate(names):
                if name in new and (i == last[name] or new[name] is old[name]):
                    found.put(found.key(i) + self._value(found, i, new[name]), i)
            for name in new:
                if name not in last:
                    found.put(serialise(name) + found.colon + self._fresh(new[name]))
            return
        rest = set(old).difference(last)
        for name in new:
            if name in last:
                found.put(found.key(last[name]) + self._value(found, last[name], new[name]), last[name])
            elif name not in rest:
                found.put(serialise(name) + found.colon + self._fresh(new[name]))
            elif not found.rested:
                found.put_rest()

    def _value(self, found: Container, i: int, new: Json) -> bytes:
        if i in found.inner:
            return self._emit(found.inner[i])
        span = found.span(i)
        old = found.old[i] if isinstance(found.old, list) else found.old[found.names[i]]
        return self._body[span.value_start : span.value_end] if new is old else self._fresh(new)

    def _fresh(self, value: Json) -> bytes:
        """The bytes of a new value; parts that come from the tree before keep theirs."""
        if not _trackable(value):
            return serialise(value)
        if span := self._origin(value):
            return self._body[span[0] : span[1]]
        if isinstance(value, dict):
            return b"{%s}" % b",".join([serialise(k) + b":" + self._fresh(v) for k, v in value.items()])
        if isinstance(value, list):
            return b"[%s]" % b",".join([self._fresh(v) for v in value])
        return serialise(value)

    def _origin(self, value: Json) -> tuple[int, int] | None:
        while (span := self._origins.get(id(value))) is None and self._gone:
            old, start = self._gone.pop()
            # Compared with nothing, each of its parts is gone, and so noted.
            self._locate(old, [] if isinstance(old, list) else {}, start, None)
        return span


class DuplicateKey(Exception):
    """The members of an object are not the keys of its value, one by one."""


_GONE: Final = object()


class _Scanner:
    """Skips values at the speed of C.

    A value's bytes are mostly what orjson would write for it, which is a comparison; where the text is
    spaced or escaped in another way, the standard library's scanner finds the end.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._compact = True
        self._scan: Callable[[str, int], tuple[Json, int]] | None = None
        self._text = ""

    def skip(self, position: int, value: Json = _GONE) -> int:
        """The offset behind the value at `position`, which `value` is likely to be."""
        if self._compact and value is not _GONE:
            try:
                guess = orjson.dumps(value)
            except TypeError:
                guess = b"\0"
            end = position + len(guess)
            if self._body.startswith(guess, position) and self._body[end] in b",]} \t\r\n":
                return end
            # Only a container or a string shows how the text is written: 1.0 and 1e0 are the same number.
            self._compact = not isinstance(value, dict | list | str)
        return self._skip(position)

    def skip_items(self, position: int, values: list[Json]) -> int:
        """The offset behind the last of `values`, items that follow each other from `position` on."""
        body = self._body
        if self._compact:
            try:
                guess = orjson.dumps(values)
            except TypeError:
                guess = b""
            end = position + len(guess) - 2
            if guess and body.startswith(guess[1:-1], position) and body[end] in b",]":
                return end
        for value in values[:-1]:
            position = skip_space(body, self.skip(position, value))
            if body[position] != 0x2C:
                raise IndexError
            position = skip_space(body, position + 1)
        return self.skip(position, values[-1])

    def _skip(self, position: int) -> int:
        if self._scan is None:
            # One character for each byte, so that offsets are the same; the values do not matter.
            self._text = self._body.decode("latin-1")
            self._scan = c_make_scanner(_SCANNING)
        return self._scan(self._text, position)[1]


_SCANNING: Final = SimpleNamespace(
    strict=False,
    object_hook=None,
    object_pairs_hook=None,
    # Never raises, where int() refuses many digits.
    parse_float=len,
    parse_int=len,
    parse_constant=len,
    memo={},
)


def _changing_head(names: list[str], old: dict[str, Json], new: dict[str, Json]) -> int:
    """How many of the first keys must be scanned: down to the last one that changes.

    The keys behind them have to stand in `new` in one unchanged run with only new keys after it; where they
    do not, all must be scanned.
    """
    head = 1 + max((i for i, name in enumerate(names) if new.get(name, _GONE) is not old[name]), default=-1)
    tail, order = names[head:], list(new)
    if not tail:
        return head
    first = order.index(tail[0])
    behind = first + len(tail)
    if order[first:behind] != tail or any(name in old for name in order[behind:]):
        return len(names)
    return head


def _same_container(old: Json, new: Json) -> bool:
    return (isinstance(old, dict) and isinstance(new, dict)) or (
        isinstance(old, list) and isinstance(new, list)
    )


def _pair(old: list[Json], new: list[Json], head: int, shared: int) -> dict[int, int]:
    """Which item of `old` each item of `new` is, or was made from: {index in new: index in old}.

    Only of the items behind the first `head` and before the last `shared`.
    """
    ours, theirs = range(head, len(old) - shared), range(head, len(new) - shared)
    where = {id(old[i]): i for i in ours if _trackable(old[i])}
    pairs = {j: where[id(new[j])] for j in theirs if id(new[j]) in where}
    taken = set(pairs.values())
    loose_old = [i for i in ours if i not in taken]
    loose_new = [j for j in theirs if j not in pairs]
    if len(loose_old) == len(loose_new):
        return pairs | dict(zip(loose_new, loose_old, strict=True))
    for j in loose_new:
        for i in loose_old[:_PAIRING_WINDOW]:
            if _related(old[i], new[j]):
                pairs[j] = i
                loose_old.remove(i)
                break
    return pairs


def _related(old: Json, new: Json) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return not {id(v) for v in old.values() if _trackable(v)}.isdisjoint(map(id, new.values()))
    if isinstance(old, list) and isinstance(new, list):
        return not {id(v) for v in old if _trackable(v)}.isdisjoint(map(id, new))
    return False


def _trackable(value: Json) -> bool:
    """Whether the value's identity says where it came from: not so for what Python keeps only once."""
    match value:
        case dict() | list() | float():
            return True
        case str():
            return len(value) > 1
        case bool() | None:
            return False
        case _:
            return not -5 <= value <= 256


def _key(raw: bytes) -> str:
    return parse(raw) if b"\\" in raw else raw[1:-1].decode()
