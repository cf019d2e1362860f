"""One exchange on its way into a record: what passes is appended to a queue, and nothing else happens here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, Final

from router_core.capture.pump import Pump
from router_core.capture.queue import Queue
from router_core.capture.record import Opening
from router_core.capture.selection import Selection
from router_core.capture.spellings import bare
from router_core.exchange import Attempt, Exchange, Headers, Request
from router_core.usage.columns import TOKENS

if TYPE_CHECKING:
    from router_core.prepare import Outgoing

logger = logging.getLogger(__name__)

SLOW: Final = "they came faster than the disk took them"


def quiet[**P](
    method: Callable[Concatenate[Recording, P], None],
) -> Callable[Concatenate[Recording, P], None]:
    """An exception ends the recording, not the exchange."""

    @wraps(method)
    def guarded(self: Recording, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.live:
            try:
                method(self, *args, **kwargs)
            except Exception:
                logger.exception("recording %s stopped", self.id)
                self.drop("an error of Detour's own")

    return guarded


class Recording:
    """One exchange being recorded. Every method returns at once and never raises.

    Traffic that passes through has the client's hop only, since upstream gets and gives the same.
    """

    __slots__ = (
        "_body",
        "_lane",
        "_last",
        "_opening",
        "_pump",
        "_queue",
        "_selection",
        "_started",
        "_urls",
        "id",
        "live",
    )

    def __init__(
        self, number: int, opening: Opening, started: float, selection: Selection, queue: Queue, pump: Pump
    ) -> None:
        self.id = opening.id
        self.live = True
        """False when nothing more is recorded."""
        self._opening = opening
        self._started = started
        self._selection = selection
        self._queue = queue
        self._pump = pump
        self._lane = queue.open(number)
        self._urls: dict[int, str] = {0: opening.url}
        self._body: bytes | None = None
        self._last: bytes | None = None

    def begin(self, spooled: bool) -> bool:
        """The first that the writer is told. `spooled`: it may turn out that nothing is kept. False, and nothing
        is recorded, when there is no room."""
        if not self._queue.put(self._lane, ("begin", self._opening.values(), spooled), 0):
            self.drop(SLOW)
        return self.live

    @quiet
    def client_request(self, request: Request) -> None:
        """The client's request, all of it."""
        self._body = request.body
        self._request(0, request.method, self._opening.url, request.headers, request.body, {})

    @quiet
    def passing_request(self, method: str, headers: Headers) -> None:
        """The headers of a request that passes through; `passing_data` brings its body."""
        self._request(0, method, self._opening.url, headers, None, {})

    @quiet
    def passing_data(self, data: bytes) -> None:
        """A piece of the body of a request that passes through."""
        self._put(len(data), "request_data", 0, data)

    @quiet
    def attempt_request(self, attempt: Attempt, outgoing: Outgoing) -> None:
        """What goes upstream."""
        self._pump.know([bare(secret) for _, secret in attempt.auth])
        about = {
            "provider": attempt.provider.name,
            "credential": attempt.credential_id,
            "model": attempt.model,
            "format": str(attempt.endpoint.format),
            "reason": attempt.reason or None,
            "rules": list(outgoing.fired) or None,
            "reasons": dict(outgoing.reasons) or None,
            "notes": [str(note) for note in outgoing.notes] or None,
        }
        number, headers, body = attempt.number, list(outgoing.headers), outgoing.body
        if body and body == self._body:
            self._request(number, outgoing.method, outgoing.url, headers, None, about)
            self._put(0, "same_request", number)
        else:
            self._request(number, outgoing.method, outgoing.url, headers, body, about)

    @quiet
    def attempt_response_headers(self, attempt: Attempt, status: int, headers: Headers) -> None:
        url = self._urls.get(attempt.number, self._opening.url)
        self._put(0, "response", attempt.number, status, headers, url)

    def attempt_data(self, attempt: Attempt, data: bytes) -> None:
        """A piece of an upstream's answer, as it came."""
        # This and `client_data` are called for each event of each stream.
        if self.live:
            self._last = data
            item = (attempt.number, monotonic() - self._started, data)
            if not self._queue.put(self._lane, item, len(data)):
                self._give_up()

    @quiet
    def client_response(self, status: int, headers: Headers) -> None:
        self._put(0, "response", 0, status, headers, self._opening.url)

    def client_data(self, data: bytes) -> None:
        """A piece of what the client gets."""
        if self.live:
            at = monotonic() - self._started
            if data == self._last:
                # Taken with what comes next, or with the piece itself.
                self._lane.items.append(at)
            elif not self._queue.put(self._lane, (0, at, data), len(data)):
                self._give_up()

    @quiet
    def websocket_message(
        self, from_client: bool, opcode: str, data: bytes, attempt: Attempt | None = None
    ) -> None:
        """A message as it passed between client and Detour or, with `attempt`, Detour and upstream."""
        self._put(len(data), "message", attempt.number if attempt else 0, from_client, opcode, data)

    @quiet
    def timing(self, name: str, attempt: Attempt | None = None, at: float | None = None) -> None:
        """Something happened now, or at `at` (wall clock, seconds since the epoch): ``connected``, ``tls`` ..."""
        offset = self._now() if at is None else at - self._opening.created
        self._queue.put(self._lane, ("timing", offset, attempt.number if attempt else 0, name), 0)

    @quiet
    def finish(self, exchange: Exchange) -> None:
        """The exchange is over; nothing is recorded afterwards."""
        for attempt in exchange.attempts:
            if attempt.outcome:
                self._put(0, "outcome", attempt.number, _outcome(attempt))
        if exchange.plan is not None and (plan := exchange.plan.told):
            self._put(0, "plan", plan)
        attempts = exchange.attempts
        failed = any(a.outcome and (a.outcome.error or (a.outcome.status or 0) >= 400) for a in attempts)
        self.end(exchange.status, exchange.error, failed, **_ending(exchange))

    @quiet
    def end(self, status: int | None, error: str | None, failed: bool = False, **values: Any) -> None:
        """The end, also of what is no `Exchange`. `failed`: an attempt did, whatever the client got."""
        self.live = False
        mode = self._selection.mode(self._opening, values.get("provider") or "")
        failed = failed or bool(error) or status is None or status >= 400
        keep = mode == "all" or (mode == "errors" and failed)
        ending = {"status": status, "error": error, **values}
        self._queue.put_last(self._lane, ("finish", self._now(), ending, keep))

    def drop(self, reason: str) -> None:
        """Stops recording; what has been recorded stays, with the reason."""
        if self.live:
            self.live = False
            self._pump.refused += 1
            self._pump.problem = reason
            self._queue.put_last(self._lane, ("cut", self._now(), reason))

    def _request(
        self, number: int, method: str, url: str, headers: Headers, body: bytes | None, about: dict[str, Any]
    ) -> None:
        self._urls[number] = url
        self._put(len(body or b""), "request", number, method, url, headers, body, about)

    def _now(self) -> float:
        return monotonic() - self._started

    def _put(self, size: int, operation: str, *arguments: Any) -> None:
        if not self._queue.put(self._lane, (operation, self._now(), *arguments), size):
            self._give_up()

    def _give_up(self) -> None:
        lost = self._lane.generation != self._queue.generation
        self.drop("the writer's process ended" if lost else SLOW)


def _outcome(attempt: Attempt) -> dict[str, Any]:
    outcome = attempt.outcome
    assert outcome
    return {
        "phase": outcome.phase,
        "status": outcome.status,
        "error": outcome.error,
        "timeout": outcome.timeout or None,
        "cancelled": outcome.cancelled or None,
    }


def _ending(exchange: Exchange) -> dict[str, Any]:
    attempt = exchange.attempt
    why = attempt.rewriting.reasons if attempt and attempt.rewriting else {}
    usage = {name: value for name in TOKENS if (value := getattr(exchange.usage, name)) is not None}
    return {
        "provider": attempt.provider.name if attempt else None,
        "credential": attempt.credential_id if attempt else None,
        "target": attempt.model if attempt else None,
        "attempts": len(exchange.attempts),
        "first_byte": round(exchange.first_byte - exchange.started, 6) if exchange.first_byte else None,
        "usage": usage or None,
        "rules": list(exchange.fired) or None,
        # Those of the answer are known only now.
        "reasons": {rule: why[rule] for rule in exchange.fired if rule in why} or None,
    }
