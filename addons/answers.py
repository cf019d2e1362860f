"""Detour's own answers, in the client's format."""

from __future__ import annotations

import math

from mitmproxy import http

from addons.call import Answer, Call
from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange, Outcome
from router_core.formats import Format, Operation, counting, failures, upstream_errors
from router_core.formats.errors import WireError, error_body, error_event, plain
from router_core.framing import wants_events
from router_core.json_document import parse, serialise


def refusal_response(format: Format, refusal: Refusal, exchange_id: str | None = None) -> http.Response:
    headers = {"content-type": "application/json", "x-detour-error": refusal.code.value}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after)))
    if exchange_id:
        headers["x-detour-id"] = exchange_id
    return http.Response.make(refusal.status, error_body(format, refusal), headers)


def estimated_count(exchange: Exchange) -> http.Response:
    """An answer to a token count that no upstream of the model can give, marked as what it is."""
    count = counting.write(exchange.surface.format, counting.estimate(exchange.document))
    headers = {"content-type": "application/json", "x-detour-estimated": "true", "x-detour-id": exchange.id}
    return http.Response.make(200, serialise(count), headers)


def cannot_count(exchange: Exchange, answer: Answer) -> bool:
    """Whether the upstream has no token count at all, as many have that speak Anthropic's format. One that has
    and does not know the model says so by its name."""
    return (
        exchange.surface.operation is Operation.COUNT_TOKENS
        and answer.attempt.credential_id is not None
        and answer.response.status_code in (404, 405, 501)
        and (answer.attempt.model or "").encode() not in answer.body
    )


def unreachable(exchange: Exchange) -> Refusal:
    """For when every attempt failed without an answer."""
    tried = ", ".join(
        f"{a.provider.name} ({a.outcome.error or a.outcome.status})" for a in exchange.attempts if a.outcome
    )
    timeout = bool(exchange.attempts) and all(a.outcome and a.outcome.timeout for a in exchange.attempts)
    return Refusal(
        Code.UPSTREAM_UNREACHABLE, f"No upstream answered: {tried}.", status=504 if timeout else 502
    )


def in_stream_error(attempt: Attempt, outcome: Outcome) -> Answer:
    """An error event with which a 200 stream began, as the answer with an error status that it should be."""
    format = attempt.endpoint.format
    status = upstream_errors.read_error(outcome).status or 0
    status = status if status >= 400 else 502
    body = outcome.body
    if format is Format.OPENAI_RESPONSES or not _is_shaped(body):
        # Events of Responses are shaped unlike bodies, and answers that were given up are no errors at all.
        body = error_body(format, failures.wire(format, failures.read_event(body)))
    response = http.Response.make(status, b"", {"content-type": "application/json"})
    kept = ("retry-after", "request-id", "x-request-id", "anthropic-ratelimit-", "x-ratelimit-", "x-codex-")
    for name, value in outcome.headers:
        if name.lower().startswith(kept):
            response.headers[name] = value
    return Answer(attempt, response, body)


def _is_shaped(body: bytes) -> bool:
    """Whether an error is one already, as the other formats' events are."""
    try:
        return upstream_errors.find(parse(body)) is not None
    except ValueError:
        return True


def broken_answer(call: Call, message: str) -> http.Response:
    """For a client that has seen nothing yet of an answer that broke off."""
    exchange_id = call.exchange.id if call.exchange else None
    return refusal_response(
        call.surface.format, Refusal(Code.UPSTREAM_UNREACHABLE, f"{message}."), exchange_id
    )


def broken(message: str) -> WireError:
    """What broke an answer off."""
    return plain(Refusal(Code.UPSTREAM_UNREACHABLE, f"{message}."))


def final_error(call: Call) -> WireError:
    """What the client would get as an answer, had it not begun to read another."""
    final = call.final
    assert final
    failure = failures.read_body(final.status_code, final.raw_content or b"")
    return failures.wire(call.surface.format, failure)


def last_event(call: Call, error: WireError) -> bytes:
    """The event with which a stream ends that the client reads; empty if it reads none."""
    if call.responder is not None:
        return call.responder.broken_off(error)
    # Nothing came but signs of life.
    response = call.flow.response
    streams = response is not None and "event-stream" in response.headers.get("content-type", "")
    return error_event(call.surface.format, error) if streams else b""


def keep_alive(call: Call) -> bytes:
    """What says nothing in an event stream of the client's; empty where it reads none, or has no word for it."""
    match call.surface.format:
        case Format.ANTHROPIC:
            return b'event: ping\ndata: {"type": "ping"}\n\n'
        case Format.OPENAI_CHAT | Format.OPENAI_RESPONSES:
            return b": keep-alive\n\n"
        case Format.GEMINI if call.exchange and wants_events(call.exchange.request.path):
            # Google's libraries stumble over comments, and skip empty lines.
            return b"\r\n"
    return b""
