"""What the messages of a session say about its account."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from router_core.exchange import Outcome
from router_core.formats import Format
from router_core.routing.failures import classify
from router_core.routing.websocket import handshake_refused, read_message, reconnects
from router_core.sse import Event, of_message
from router_core.verdict import FailureKind
from tests.router_core.routing.build import CODEX, EPOCH, World, attempt, credential

LIMITS = {
    "type": "codex.rate_limits",
    "rate_limits": {
        "primary": {"used_percent": 100.0, "window_minutes": 300, "reset_at": int(EPOCH) + 600},
        "secondary": {"used_percent": 12, "window_minutes": 10080, "resets_in_seconds": 3600},
    },
}


def message(value: Any) -> Event:
    return of_message(orjson.dumps(value))


def test_quota_windows() -> None:
    found = read_message(message(LIMITS), EPOCH)
    assert [(w.name, w.used, w.reset and w.reset - EPOCH) for w in found.windows] == [
        ("primary", 1.0, 600),
        ("secondary", 0.12, 3600),
    ]


@pytest.mark.parametrize(
    ("event", "kind", "closes"),
    [
        ({"type": "error", "status": 429, "error": {"type": "usage_limit_reached", "resets_in_seconds": 60}}, "rate_limit", True),
        ({"type": "error", "status_code": 429, "body": {"error": {"type": "usage_limit_reached"}}}, "rate_limit", True),
        ({"type": "response.failed", "response": {"id": "r", "error": {"code": "rate_limit_exceeded", "message": "x"}}}, "rate_limit", True),
        ({"type": "error", "error": {"code": "invalid_api_key"}, "status": 401}, "auth", True),
        ({"type": "error", "status": 503, "error": {"code": "server_is_overloaded"}}, "capacity", True),
        ({"type": "error", "status": 400, "error": {"code": "websocket_connection_limit_reached"}}, "transient", True),
        ({"type": "error", "status": 400, "error": {"type": "invalid_request_error", "message": "bad"}}, "client_fault", False),
        ({"type": "response.failed", "response": {"error": {"code": "context_length_exceeded"}}}, "client_fault", False),
        ({"type": "error", "status": 404, "error": {"code": "previous_response_not_found"}}, "request_miss", False),
    ],
)  # fmt: skip
def test_errors(event: Any, kind: str, closes: bool) -> None:
    found = read_message(message(event), EPOCH)
    assert found.outcome is not None
    failure = classify(found.outcome, provider="codex", oauth=True, now=EPOCH)
    assert (failure.kind, reconnects(failure.kind)) == (kind, closes)


def test_the_headers_of_an_error_count() -> None:
    event = {"type": "error", "status": 429, "error": {"type": "x"}, "headers": {"Retry-After": 30}}
    outcome = read_message(message(event), EPOCH).outcome
    assert outcome is not None
    reset = classify(outcome, provider="codex", now=EPOCH).reset
    assert reset and reset.until == EPOCH + 30


@pytest.mark.parametrize("kind", ["response.completed", "response.done", "response.incomplete"])
def test_ends(kind: str) -> None:
    found = read_message(message({"type": kind, "response": {"id": "resp_1", "usage": {}}}), EPOCH)
    assert found.response_id == "resp_1"
    assert found.outcome == Outcome("done", 200, response_id="resp_1")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"type": 5}', b'{"type":"ping"}', b'{"error"', b'"response."']
)
def test_what_says_nothing(data: bytes) -> None:
    assert read_message(of_message(data), EPOCH).outcome is None


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.floats(),
        lambda i: (
            st.lists(i)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "error",
                        "response",
                        "rate_limits",
                        "primary",
                        "used_percent",
                        "reset_at",
                        "headers",
                        "id",
                        "codex.rate_limits",
                    ]
                ),
                i | st.sampled_from(["error", "codex.rate_limits", "response.completed"]),
            )
        ),
    ).map(orjson.dumps)
)
def test_any_message_can_be_read(data: bytes) -> None:
    found = read_message(of_message(data), EPOCH)
    assert found.outcome is None or found.outcome.phase in ("body", "done")


async def test_a_session_teaches_the_router() -> None:
    w = World(credential("a", "codex"), credential("b", "codex"), routing={"max_wait": 0})
    more: dict[str, Any] = {"surface": CODEX, "format": Format.OPENAI_RESPONSES}
    plan, taken = await w.take(None, websocket=True, **more)
    taken.model = "gpt-codex"
    plan.learn(
        taken, read_message(message({"type": "response.completed", "response": {"id": "resp_1"}}), EPOCH)
    )
    assert await w.ask("gpt-codex", body={"previous_response_id": "resp_1"}, **more) == ["a"]
    plan.learn(taken, read_message(message(LIMITS), EPOCH))
    assert w.state("a") == "exhausted"
    event = {
        "type": "error",
        "status": 429,
        "error": {"type": "usage_limit_reached", "resets_in_seconds": 900},
    }
    outcome = read_message(message(event), EPOCH).outcome
    assert outcome is not None
    found = await plan.report(taken, outcome)
    assert (found.kind, found.retry, reconnects(found.kind)) == (FailureKind.RATE_LIMIT, False, True)
    assert found.until == EPOCH + 900
    second = w.plan(None, websocket=True, **more)
    assert (await attempt(second)).credential_id == "b"


async def test_a_limit_of_the_sessions_model_cools_that_model() -> None:
    w = World(credential("a", "codex", priority=1), credential("b", "codex"))
    plan, taken = await w.take(None, websocket=True, surface=CODEX, format=Format.OPENAI_RESPONSES)
    taken.model = "gpt-codex"
    event = {"type": "error", "status": 429, "error": {"type": "tokens", "code": "rate_limit_exceeded"}}
    outcome = read_message(message(event), EPOCH).outcome
    assert outcome is not None
    await plan.report(taken, outcome)
    assert (w.state("a"), w.state("a", "gpt-codex")) == ("ready", "cooling")
    # A session that would ask for the same begins elsewhere, or it would end in the same way.
    _, taken = await w.take(None, websocket=True, surface=CODEX, format=Format.OPENAI_RESPONSES)
    assert taken.credential_id == "b"
    w.time.pass_(2)
    _, taken = await w.take(None, websocket=True, surface=CODEX, format=Format.OPENAI_RESPONSES)
    assert taken.credential_id == "a"


async def test_what_a_request_did_wrong_does_not_end_the_account_of_its_session() -> None:
    w = World(credential("a", "codex"))
    plan, taken = await w.take(None, websocket=True, surface=CODEX, format=Format.OPENAI_RESPONSES)
    wrong = {"type": "error", "status": 400, "error": {"type": "invalid_request_error"}}
    limit = {"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}
    outcomes = [read_message(message(event), EPOCH).outcome for event in (wrong, wrong, limit)]
    kinds = [plan.means(taken, outcome) for outcome in outcomes if outcome is not None]
    assert kinds == [FailureKind.CLIENT_FAULT, FailureKind.CLIENT_FAULT, FailureKind.RATE_LIMIT]
    assert outcomes[2] is not None
    assert (await plan.report(taken, outcomes[2])).kind is FailureKind.RATE_LIMIT
    assert plan.means(taken, outcomes[2]) is None
    assert w.state("a") == "cooling"


@pytest.mark.parametrize(
    ("status", "refused"),
    [(404, True), (405, True), (426, True), (501, True), (401, False), (503, False), (None, False)],
)
def test_handshakes(status: int | None, refused: bool) -> None:
    assert handshake_refused(status) is refused
