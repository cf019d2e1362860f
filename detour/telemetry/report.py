"""What telemetry tells of one exchange, as plain values that go from the proxy to the exporter's process."""

from __future__ import annotations

from typing import Any, NamedTuple

from router_core.exchange import Attempt, Exchange
from router_core.formats import Format, Operation
from router_core.usage.entry import Entry


class Tried(NamedTuple):
    """One attempt. Times are nanoseconds since the epoch."""

    number: int
    provider: str
    model: str
    base_url: str
    credential: str
    begin: int
    end: int
    error_type: str
    """Empty for an attempt that did not fail."""
    error: str


class Report(NamedTuple):
    """One exchange. Texts are empty where there is none, figures None where they are unknown."""

    id: str
    operation: str
    """By the conventions' names."""
    provider: str
    asked: str
    model: str
    stream: bool
    session: str
    client: str
    tool: str
    error_type: str
    """Empty for an exchange that did not fail."""
    error: str
    begin: int
    end: int
    first_byte_ms: int | None
    duration_ms: int | None
    prompt: int | None
    output: int | None
    reasoning: int | None
    cache_read: int | None
    cache_write: int | None
    trace: dict[str, str]
    """The client's ``traceparent`` and ``tracestate``."""
    tried: tuple[Tried, ...]


def report_of(entry: Entry, exchange: Exchange) -> tuple[Any, ...]:
    """A `Report` as a tuple of values that `marshal` takes."""
    failed = entry.result in ("error", "refused")
    trace = {}
    for name, value in exchange.request.headers:
        if len(name) <= 11 and name.lower() in ("traceparent", "tracestate"):
            trace[name.lower()] = value
    return (
        entry.id,
        _operation(exchange),
        entry.provider,
        entry.asked,
        entry.model,
        exchange.stream,
        entry.session,
        entry.client,
        entry.tool,
        str(entry.status or "_OTHER") if failed else "",
        entry.error if failed else "",
        int(exchange.created * 1e9),
        _at(exchange, exchange.ended),
        entry.first_byte_ms,
        entry.duration_ms,
        exchange.usage.prompt,
        entry.output,
        entry.reasoning,
        entry.cache_read,
        entry.cache_write,
        trace,
        tuple([_tried(exchange, attempt) for attempt in exchange.attempts]),
    )


def read(values: tuple[Any, ...]) -> Report:
    """What `report_of` gave."""
    *whole, tried = values
    return Report._make((*whole, tuple(map(Tried._make, tried))))


def _operation(exchange: Exchange) -> str:
    surface = exchange.surface
    if surface.operation is Operation.GENERATE:
        return "generate_content" if surface.format is Format.GEMINI else "chat"
    return str(surface.operation)


def _tried(exchange: Exchange, attempt: Attempt) -> tuple[Any, ...]:
    outcome = attempt.outcome
    status = outcome.status if outcome else None
    kind = error = ""
    if outcome and not outcome.cancelled and (outcome.phase != "done" or status is None or status >= 400):
        kind = str(int(status)) if status else "timeout" if outcome.timeout else "_OTHER"
        error = outcome.error or ""
    last = attempt is exchange.attempt
    return (
        attempt.number,
        attempt.provider.name,
        attempt.model or "",
        attempt.endpoint.base_url,
        attempt.credential_id or "",
        int((exchange.created + attempt.started - exchange.started) * 1e9),
        _at(exchange, attempt.ended or (exchange.ended if last else None)),
        kind,
        error,
    )


def _at(exchange: Exchange, moment: float | None) -> int:
    """Nanoseconds since the epoch of a monotonic time; of the exchange's beginning where it is not known."""
    return int((exchange.created + max(0.0, (moment or exchange.started) - exchange.started)) * 1e9)
