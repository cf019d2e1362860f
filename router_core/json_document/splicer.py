"""Finds the edited places of a JSON text and joins it again around them.

Containers that changed are taken apart into members and items, whose spans are found by comparing with what
orjson would write and, where the text is spelled otherwise, with the standard library's scanner. Time is one
pass over the bytes in front of the last edit.
"""

from __future__ import annotations

from router_core.json_document.container import KEY, Container, skip_space
from router_core.json_document.pairing import changing_head, pair, same_container, trackable
from router_core.json_document.scanner import GONE, Scanner
from router_core.json_document.text import Json, parse, serialise


class Splicer:
    """Writes one edited tree: first finds where the edited containers and their parts stand, then joins them.

    `_origins` maps the id of a node of the tree before to the span of its bytes.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._scanner = Scanner(body)
        self._origins: dict[int, tuple[int, int]] = {}
        self._gone: list[tuple[Json, int]] = []

    def write(self, old: Json, new: Json, start: int, end: int) -> bytes:
        if not same_container(old, new):
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
        count = len(names) if end is None else changing_head(names, old, new)
        found = Container(old, new, start, names[:count])
        position = start + 1
        for name in names[:count]:
            match = KEY.match(body, position)
            if match is None or _key(match[1]) != name:
                raise DuplicateKey
            value, fresh = old[name], new.get(name, GONE)
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
            if new.get(name, GONE) is not old[name]
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
            self._part(found, old[name], new.get(name, GONE), found.spans[i].value_start, i)
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
        found.pairs = pair(old, new, head, shared)
        made = {i: new[j] for j, i in found.pairs.items()}
        position = start + 1
        if head:
            first = skip_space(body, position)
            position = found.begin(body, first, self._scanner.skip_items(first, old[:head]))
            if 1 < head == len(old):
                found.second = skip_space(body, self._scanner.skip(first, old[0])) + 1
        for i in range(head, len(old) - shared):
            value_start = skip_space(body, position)
            value_end = self._part(found, old[i], made.get(i, GONE), value_start)
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
        if new is not old and same_container(old, new):
            inner = self._locate(old, new, start, None)
            found.inner[found.head + len(found.spans) if index < 0 else index] = inner
            end = inner.end
        else:
            end = self._scanner.skip(start, old)
            if new is not old:
                self._forget(old, start, end)
        if trackable(old):
            self._origins[id(old)] = (start, end)
        return end

    def _forget(self, old: Json, start: int, end: int) -> None:
        """`old` stands no longer where it stood; it or its parts may turn up elsewhere."""
        if trackable(old):
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
        if not trackable(value):
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


def _key(raw: bytes) -> str:
    return parse(raw) if b"\\" in raw else raw[1:-1].decode()
