"""What is different between two messages: headers by name, JSON by path, streams by event."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from router_core.capture.record import Body, Received, Sent
from router_core.capture.timeline import events
from router_core.exchange import Headers

MAX_ALIGNED: Final = 2000
"""Items of a list or events of a stream that are aligned; beyond it they are compared by position."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `before` and `after` are JSON values; None on the side that has nothing."""

    where: str
    """``method``, ``header content-type``, ``$.messages[0].content``, ``event 3 $.delta.text`` ..."""
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


def requests(one: Sent | None, two: Sent | None) -> list[Change]:
    """From request `one` to request `two`."""
    if one is None or two is None:
        return _missing("request", one, two)
    changes = [
        Change(name, "changed", before, after)
        for name, before, after in (("method", one.method, two.method), ("url", one.url, two.url))
        if before != after
    ]
    return [*changes, *headers(one.headers, two.headers), *bodies(one.body, two.body, stream=False)]


def responses(one: Received | None, two: Received | None) -> list[Change]:
    """From answer `one` to answer `two`."""
    if one is None or two is None:
        return _missing("response", one, two)
    changes = [Change("status", "changed", one.status, two.status)] if one.status != two.status else []
    stream = one.is_stream and two.is_stream
    return [*changes, *headers(one.headers, two.headers), *bodies(one.body, two.body, stream)]


def headers(one: Headers, two: Headers) -> list[Change]:
    """By lower-case name; a name that occurs several times is one list."""
    before, after = _by_name(one), _by_name(two)
    changes: list[Change] = []
    for name in dict.fromkeys((*before, *after)):
        changes += _values(f"header {name}", before.get(name), after.get(name))
    return changes


def bodies(one: Body, two: Body, stream: bool) -> list[Change]:
    """JSON by path, streams by event, anything else as a whole."""
    if one.data == two.data:
        return []
    if stream:
        return _streams(one, two)
    before, after = _parsed(one.data), _parsed(two.data)
    if isinstance(before, dict | list) and isinstance(after, dict | list):
        changes = list(documents(before, after))
        return changes or [Change("body", "changed", "the same JSON", "written differently")]
    return [Change("body", "changed", before, after)]


def documents(one: Any, two: Any, path: str = "$") -> Iterable[Change]:
    """From JSON value `one` to `two`, by path."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in dict.fromkeys((*one, *two)):
            where = f"{path}.{key}" if key.isidentifier() else f"{path}[{orjson.dumps(key).decode()}]"
            if key in one and key in two:
                yield from documents(one[key], two[key], where)
            elif key in one:
                yield Change(where, "removed", before=one[key])
            else:
                yield Change(where, "added", after=two[key])
    elif isinstance(one, list) and isinstance(two, list):
        yield from _lists(one, two, path)
    elif one != two or type(one) is not type(two):
        yield Change(path, "changed", one, two)


def _lists(one: list[Any], two: list[Any], path: str) -> Iterable[Change]:
    for i, j in _aligned([_key(v) for v in one], [_key(v) for v in two]):
        if i is None:
            yield Change(f"{path}[{j}]", "added", after=two[j or 0])
        elif j is None:
            yield Change(f"{path}[{i}]", "removed", before=one[i])
        else:
            yield from documents(one[i], two[j], f"{path}[{i}]")


def _streams(one: Body, two: Body) -> list[Change]:
    before = [
        (e.name, _parsed(e.data) if e.data is not None else e.raw.decode("utf-8", "replace"))
        for _, e in events(one)
    ]
    after = [
        (e.name, _parsed(e.data) if e.data is not None else e.raw.decode("utf-8", "replace"))
        for _, e in events(two)
    ]
    changes: list[Change] = []
    for i, j in _aligned([_key(e) for e in before], [_key(e) for e in after]):
        if i is None:
            changes.append(Change(f"event {j}", "added", after=_event(after[j or 0])))
        elif j is None:
            changes.append(Change(f"event {i}", "removed", before=_event(before[i])))
        else:
            if before[i][0] != after[j][0]:
                changes.append(Change(f"event {i} name", "changed", before[i][0], after[j][0]))
            for change in documents(before[i][1], after[j][1]):
                changes.append(Change(f"event {i} {change.where}", change.kind, change.before, change.after))
    return changes or [Change("body", "changed", "the same events", "written differently")]


def _aligned(one: list[bytes], two: list[bytes]) -> Iterable[tuple[int | None, int | None]]:
    """Pairs of positions that correspond; None where one side has nothing. Equal items correspond."""
    if max(len(one), len(two)) > MAX_ALIGNED:
        blocks = [("replace", 0, len(one), 0, len(two))]
    else:
        blocks = [tuple(b) for b in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes()]  # type: ignore[misc]
    for operation, i1, i2, j1, j2 in blocks:
        if operation == "equal":
            continue
        common = min(i2 - i1, j2 - j1)
        yield from ((i1 + k, j1 + k) for k in range(common))
        yield from ((i, None) for i in range(i1 + common, i2))
        yield from ((None, j) for j in range(j1 + common, j2))


def _values(where: str, before: Any, after: Any) -> list[Change]:
    if before == after:
        return []
    if before is None:
        return [Change(where, "added", after=after)]
    if after is None:
        return [Change(where, "removed", before=before)]
    return [Change(where, "changed", before, after)]


def _missing(what: str, one: object, two: object) -> list[Change]:
    if one is None and two is None:
        return []
    return [Change(what, "added" if one is None else "removed")]


def _by_name(pairs: Headers) -> dict[str, str | list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in grouped.items()}


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _event(event: tuple[str | None, Any]) -> Any:
    return event[1] if event[0] is None else {"event": event[0], "data": event[1]}


def _key(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
