"""Entries as they go from the proxy to the ledger's writer: plain values in `marshal` form.

Both ends are one interpreter, and a proxy that is busy has hundreds of them to hand over in each second. As
objects they would take it several times as long.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from dataclasses import astuple, fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from router_core.exchange import Usage
from router_core.usage.columns import TOKENS
from router_core.usage.entry import Entry, Failure, Unpriced

_NAMES: Final = tuple(field.name for field in fields(Entry) if field.name != "failures")
_VALUES: Final = attrgetter(*_NAMES)
_USAGE: Final = slice(_NAMES.index(TOKENS[0]), _NAMES.index("server_tools") + 1)
"""What an entry and the beginning of a `Usage` have in common."""

type Counts = tuple[Any, ...]
"""Token counts, server tools, tier, cost in digits, and the counts of other models by name."""


def pack(batch: Iterable[Unpriced]) -> bytes:
    return marshal.dumps([_values(unpriced) for unpriced in batch])


def unpack(data: bytes) -> list[Unpriced]:
    """What `pack` was given."""
    return [_unpriced(*values) for values in marshal.loads(data)]


def _values(unpriced: Unpriced) -> tuple[Any, ...]:
    entry, usage = unpriced.entry, unpriced.usage
    failures = tuple(map(astuple, entry.failures)) if entry.failures else ()
    # Most often all that there is to know of the usage is in the entry too.
    more = usage.cost is not None or usage.tier or usage.others
    return _VALUES(entry), failures, _counts(usage) if more else None, unpriced.base_url


def _unpriced(
    values: tuple[Any, ...],
    failures: tuple[tuple[Any, ...], ...],
    counts: Counts | None,
    base_url: str | None,
) -> Unpriced:
    entry = Entry(*(*values, tuple(Failure(*failure) for failure in failures)))
    usage = _usage(*counts) if counts else Usage(*values[_USAGE])
    return Unpriced(entry, usage, base_url)


def _counts(usage: Usage) -> Counts:
    tokens = tuple(getattr(usage, name) for name in TOKENS)
    others = {model: _counts(other) for model, other in usage.others.items()}
    cost = None if usage.cost is None else str(usage.cost)
    return tokens, usage.server_tools, usage.tier, cost, others


def _usage(
    tokens: tuple[Any, ...],
    server_tools: dict[str, int],
    tier: str | None,
    cost: str | None,
    others: dict[str, Counts],
) -> Usage:
    by_model = {model: _usage(*other) for model, other in others.items()}
    return Usage(*(*tokens, server_tools, by_model, tier, None if cost is None else Decimal(cost)))
