"""The failure table, case by case, with bodies as providers send them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from router_core.exchange import Outcome
from router_core.formats import Operation
from router_core.routing.failure_table import TABLE
from router_core.routing.failures import RETRIED, Failure, classify, parse_row
from router_core.verdict import FailureKind
from tests.router_core.routing.build import EPOCH, World, credential, verdict

K = FailureKind
HOUR = 3600.0


def outcome(
    status: int | None, body: Any = None, headers: dict[str, str] | None = None, phase: str = "headers"
) -> Outcome:
    data = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
    return Outcome(phase, status, list((headers or {}).items()), data)  # type: ignore[arg-type]


def read(status: int | None, body: Any = None, headers: dict[str, str] | None = None, **more: Any) -> Failure:
    phase = more.pop("phase", "headers")
    more.setdefault("provider", "anthropic")
    return classify(outcome(status, body, headers, phase), now=EPOCH, **more)


@dataclass(frozen=True)
class Case:
    kind: FailureKind
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    provider: str = "openai"
    oauth: bool = False
    scope: str = "model"
    cooldown: float = 0.0
    backoff: float = 0.0
    phase: str = "headers"

    @property
    def id(self) -> str:
        return f"{self.provider}-{self.status}-{self.kind}"


def openai(message: str, type: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def anthropic(type: str, message: str = "...") -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}}


def google(code: int, status: str, message: str = "...", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


CREDENTIAL_HALF_HOUR: dict[str, Any] = {"scope": "credential", "cooldown": HOUR / 2}
CASES = [
    # By status alone: durations of the first row that knows nothing better.
    Case(K.AUTH, 401, **CREDENTIAL_HALF_HOUR),
    Case(K.PAYMENT, 402, **CREDENTIAL_HALF_HOUR),
    Case(K.AUTH, 403, cooldown=HOUR / 2),
    Case(K.NOT_FOUND, 404, cooldown=12 * HOUR),
    Case(K.TRANSIENT, 408, cooldown=60),
    Case(K.CLIENT_FAULT, 409),
    Case(K.CAPACITY, 409, openai("The server is overloaded, try again"), cooldown=60),
    Case(K.RATE_LIMIT, 429, backoff=1),
    Case(K.RATE_LIMIT, 429, oauth=True, cooldown=300),
    *(Case(K.TRANSIENT, status, cooldown=60) for status in (500, 502, 503, 504, 520)),
    Case(K.CAPACITY, 529, cooldown=60),
    *(Case(K.CLIENT_FAULT, status) for status in (400, 405, 413, 415, 422, 431)),
    # OpenAI
    Case(K.CLIENT_FAULT, 400, openai("too long", code="context_length_exceeded")),
    Case(K.NOT_FOUND, 404, openai("The model `gpt-9` does not exist", code="model_not_found"), cooldown=12 * HOUR),
    Case(K.PAYMENT, 429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), **CREDENTIAL_HALF_HOUR),
    Case(K.RATE_LIMIT, 429, openai("Rate limit reached for gpt-a", "requests", "rate_limit_exceeded"), backoff=1),
    Case(K.REQUEST_MISS, 404, openai("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.")),
    Case(K.REQUEST_MISS, 400, openai("Previous response with id 'resp_1' not found.", code="previous_response_not_found")),
    Case(K.CLIENT_FAULT, 429, openai("flagged", "invalid_request", "cyber_policy")),
    # ChatGPT's backend
    Case(K.RATE_LIMIT, 429, openai("The usage limit has been reached", "usage_limit_reached"), provider="codex", scope="credential", backoff=1),
    Case(K.CAPACITY, 400, openai("Selected model is at capacity. Please try a different model."), provider="codex", backoff=1),
    Case(K.CAPACITY, 500, {"detail": "The selected model is at capacity"}, provider="codex", backoff=1),
    Case(K.MODEL_UNSUPPORTED, 400, {"detail": "The 'gpt-x' model is not supported when using Codex with a ChatGPT account."}, provider="codex", cooldown=12 * HOUR),
    Case(K.PAYMENT, 403, openai("upgrade", "usage_not_included"), provider="codex", **CREDENTIAL_HALF_HOUR),
    Case(K.CAPACITY, 503, openai("busy", "server_is_overloaded"), provider="codex", cooldown=60),
    Case(K.TRANSIENT, 400, openai("60 minutes", code="websocket_connection_limit_reached"), provider="codex"),
    # Anthropic
    Case(K.PAYMENT, 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), provider="anthropic", **CREDENTIAL_HALF_HOUR),
    Case(K.CLIENT_FAULT, 400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), provider="anthropic"),
    Case(K.CLIENT_FAULT, 429, anthropic("rate_limit_error", "Fast mode needs usage credits"), provider="anthropic", oauth=True),
    # Not in the plan: somebody else may serve it, and the plan serves other requests.
    Case(K.PAYMENT, 429, anthropic("rate_limit_error", "Extra usage is required for long context requests."), provider="anthropic", oauth=True),
    Case(K.PAYMENT, 400, anthropic("invalid_request_error", "You're out of extra usage. Add more at claude.ai/settings/usage and keep going."), provider="anthropic", oauth=True),
    Case(K.AUTH, 403, anthropic("permission_error", "OAuth token has been revoked."), provider="anthropic", oauth=True, **CREDENTIAL_HALF_HOUR),
    # Google
    Case(K.AUTH, 400, google(400, "INVALID_ARGUMENT", "API key not valid.", {"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}), provider="gemini", **CREDENTIAL_HALF_HOUR),
    Case(K.CLIENT_FAULT, 400, google(400, "INVALID_ARGUMENT", "bad schema"), provider="gemini"),
    # Others
    Case(K.AUTH, 400, {"error": "invalid_grant"}, **CREDENTIAL_HALF_HOUR),
    Case(K.CHALLENGE, 403, b"<!DOCTYPE html><html><title>Just a moment...</title>", scope="credential", backoff=10),
    Case(K.CHALLENGE, 503, b"<html>", {"CF-Mitigated": "challenge"}, scope="credential", backoff=10),
    Case(K.RATE_LIMIT, 403, openai("quota", "insufficient_quota"), provider="qwen", scope="credential", backoff=1),
    Case(K.RATE_LIMIT, 429, {"code": "free-usage-exhausted", "error": "used"}, provider="xai", scope="credential", cooldown=24 * HOUR),
    Case(K.RATE_LIMIT, 402, {"message": "You've reached your additional usage limit for your plan"}, provider="github-copilot", **CREDENTIAL_HALF_HOUR),
    Case(K.CLIENT_FAULT, 400, {"code": 11101, "msg": "Non-stream chat request is currently not supported"}, provider="codebuddy"),
    Case(K.PAYMENT, 429, {"error": {"code": "1113", "message": "Insufficient balance"}}, provider="glm", **CREDENTIAL_HALF_HOUR),
    Case(K.PAYMENT, 200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, provider="minimax", phase="opening", **CREDENTIAL_HALF_HOUR),
    Case(K.MODEL_UNSUPPORTED, 400, openai("Model Not Exist"), provider="deepseek", cooldown=12 * HOUR),
    # What the server says of trying again goes before the status, but not before what is known of the account.
    *(Case(K.TRANSIENT, status, openai("no"), {"X-Should-Retry": "true"}, backoff=1) for status in (400, 409, 413, 422, 499)),
    *(Case(K.CLIENT_FAULT, status, openai("no"), {"x-should-retry": "false"}) for status in (408, 409, 425, 500, 502, 503, 504)),
    Case(K.AUTH, 401, openai("no"), {"x-should-retry": "true"}, **CREDENTIAL_HALF_HOUR),
    Case(K.AUTH, 401, openai("no"), {"x-should-retry": "false"}, **CREDENTIAL_HALF_HOUR),
    Case(K.AUTH, 403, openai("no"), {"x-should-retry": "false"}, cooldown=HOUR / 2),
    Case(K.NOT_FOUND, 404, openai("no"), {"x-should-retry": "false"}, cooldown=12 * HOUR),
    Case(K.RATE_LIMIT, 429, openai("slow down"), {"x-should-retry": "false"}, backoff=1),
    Case(K.CAPACITY, 529, anthropic("overloaded_error"), {"x-should-retry": "false"}, cooldown=60),
    Case(K.CLIENT_FAULT, 400, openai("too long", code="context_length_exceeded"), {"x-should-retry": "true"}),
    Case(K.TRANSIENT, 500, openai("oops"), {"x-should-retry": "true"}, cooldown=60),
    Case(K.CLIENT_FAULT, 400, openai("no"), {"x-should-retry": "maybe"}),
    # Inside a stream whose status is 200
    Case(K.CAPACITY, 200, anthropic("overloaded_error", "Overloaded"), provider="anthropic", phase="opening", cooldown=60),
    Case(K.RATE_LIMIT, 200, {"type": "response.failed", "response": {"id": "r", "error": {"code": "rate_limit_exceeded", "message": "slow"}}}, phase="opening", backoff=1),
    Case(K.PAYMENT, 200, {"type": "error", "error": {"type": "insufficient_quota", "code": "insufficient_quota"}}, phase="opening", **CREDENTIAL_HALF_HOUR),
    Case(K.TRANSIENT, 200, {"type": "error", "code": "server_error", "message": "oops"}, phase="opening", cooldown=60),
    Case(K.RATE_LIMIT, 200, {"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}, provider="codex", phase="body", scope="credential", backoff=1),
    Case(K.TRANSIENT, 200, google(503, "UNAVAILABLE", "The model is overloaded."), provider="gemini", phase="opening", cooldown=60),
    Case(K.RATE_LIMIT, 200, [google(429, "RESOURCE_EXHAUSTED")], provider="gemini", phase="opening", backoff=1),
    Case(K.TRANSIENT, 200, {"error": "something new"}, phase="opening", cooldown=60),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_the_table(case: Case) -> None:
    found = read(
        case.status, case.body, case.headers, provider=case.provider, oauth=case.oauth, phase=case.phase
    )
    assert (found.kind, found.scope, found.cooldown, found.backoff) == (
        case.kind,
        case.scope,
        case.cooldown,
        case.backoff,
    )


def test_every_row_says_where_it_is_from() -> None:
    assert all(row.source for row in TABLE)


def test_every_row_can_be_reached_by_its_own_conditions() -> None:
    # Rows with the very same conditions as an earlier one would never be asked.
    seen = []
    for row in TABLE:
        conditions = (row.status, row.codes, row.text, row.header, row.provider, row.oauth, row.phases)
        assert conditions not in seen
        seen.append(conditions)


def test_success_and_cancellation_are_no_failures() -> None:
    assert read(200, phase="done").kind is K.SUCCESS
    assert read(101, phase="done").kind is K.SUCCESS
    gone = classify(Outcome("body", 200, cancelled=True), provider="x", now=EPOCH)
    assert (gone.kind, gone.cools) == (K.CANCELLED, False)


@pytest.mark.parametrize(
    ("end", "cools"),
    [
        (Outcome("connect", error="connection refused"), True),
        (Outcome("connect", error="certificate verify failed"), True),
        (Outcome("headers", timeout=True), True),
        (Outcome("opening", 200, error="the stream ended before any content"), True),
        (Outcome("body", 200, error="connection reset"), False),
    ],
)
def test_transport_failures(end: Outcome, cools: bool) -> None:
    found = classify(end, provider="x", now=EPOCH)
    assert (found.kind, found.transport, found.cools) == (K.TRANSIENT, True, cools)
    assert found.reason


@pytest.mark.parametrize(
    ("status", "headers", "until"),
    [
        (503, {"retry-after": "7"}, 7),
        (529, {"retry-after": "7"}, 7),
        # The standing of quota windows is on every answer, and says nothing about a server that failed.
        (500, {"x-ratelimit-reset-requests": "9s"}, None),
        (429, {"x-ratelimit-reset-requests": "9s"}, 9),
        (402, {"x-ratelimit-reset-requests": "9s"}, None),
    ],
)
def test_which_headers_speak_about_which_failure(
    status: int, headers: dict[str, str], until: float | None
) -> None:
    reset = read(status, None, headers).reset
    assert (reset and reset.until - EPOCH) == until


@pytest.mark.parametrize(
    ("operation", "status", "cools"),
    [
        (Operation.COUNT_TOKENS, 429, False),
        (Operation.COUNT_TOKENS, 404, False),
        (Operation.COUNT_TOKENS, 500, False),
        (Operation.COUNT_TOKENS, 401, True),
        (Operation.LIST_MODELS, 404, False),
        (Operation.LIST_MODELS, 401, True),
        (Operation.COMPACT, 404, False),
        (Operation.COMPACT, 500, False),
        (Operation.COMPACT, 429, True),
        (Operation.COMPACT, 402, True),
        (Operation.GENERATE, 404, True),
        (Operation.EMBEDDINGS, 429, True),
    ],
)
def test_side_operations_do_not_speak_for_the_model(operation: Operation, status: int, cools: bool) -> None:
    assert read(status, operation=operation).cools is cools


UNIFIED = "anthropic-ratelimit-unified-"


@pytest.mark.parametrize(
    ("rejected", "scope", "until"),
    [
        (("5h",), "credential", 100),
        (("7d",), "credential", 200),
        (("5h", "7d"), "credential", 200),
        (("7d_oi",), "model", None),
        (("7d", "7d_oi"), "credential", 300),
        (("",), "credential", 400),
        (("", "5h"), "credential", 400),
        (("", "7d_oi"), "model", None),
        ((), "model", None),
    ],
)
def test_anthropic_windows_say_what_a_limit_covers(
    rejected: tuple[str, ...], scope: str, until: float | None
) -> None:
    headers = {}
    for window, reset in (("5h-", 100), ("7d-", 200), ("7d_oi-", 300), ("", 400)):
        headers[f"{UNIFIED}{window}status"] = "rejected" if window.rstrip("-") in rejected else "allowed"
        headers[f"{UNIFIED}{window}reset"] = str(int(EPOCH) + reset)
    found = read(429, anthropic("rate_limit_error"), headers, oauth=True)
    assert found.scope == scope
    assert (found.reset and found.reset.until - EPOCH) == until


def test_paid_use_beyond_the_plan_says_nothing_about_the_plan() -> None:
    """Where it is switched off, it is rejected on every answer, until the end of the month."""
    beyond = {f"{UNIFIED}overage-status": "rejected", f"{UNIFIED}overage-reset": str(int(EPOCH) + 9999)}
    whole = {f"{UNIFIED}status": "rejected", f"{UNIFIED}reset": str(int(EPOCH) + 400)}
    plan = {f"{UNIFIED}5h-status": "rejected", f"{UNIFIED}5h-reset": str(int(EPOCH) + 400)}
    for headers in ({**beyond, **whole}, {**beyond, **whole, **plan}):
        found = read(429, anthropic("rate_limit_error"), headers, oauth=True)
        assert (found.scope, found.reset and found.reset.until - EPOCH) == ("credential", 400)


def test_retry_after_counts_beside_the_windows() -> None:
    headers = {
        f"{UNIFIED}5h-status": "rejected",
        f"{UNIFIED}5h-reset": str(int(EPOCH) + 100),
        "retry-after": "150",
    }
    found = read(429, None, headers, oauth=True)
    assert found.reset is not None
    assert (found.reset.until - EPOCH, found.reset.source, found.scope) == (150, "retry-after", "credential")


@pytest.mark.parametrize(
    "body",
    [
        openai("Incorrect API key provided: sk-proj-abcdef1234567890.", code="invalid_api_key"),
        openai("Your key sk-proj-abcdef1234567890 is limited"),
        openai("Authorization Bearer abcdef1234567890 was refused"),
        {"error": {"message": "ck_12ab34cd.secretsecret is unknown"}},
    ],
)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_reasons_hold_no_secret(status: int, body: Any) -> None:
    reason = read(status, body).reason
    assert str(status) in reason
    assert "abcdef1234567890" not in reason
    assert "secretsecret" not in reason


def test_reasons_are_short() -> None:
    assert len(read(500, openai("x" * 10_000)).reason) <= 200


def test_the_users_rows_come_first() -> None:
    rows = [
        parse_row({"class": "client_fault", "status": 429, "text": "my * limit"}),
        parse_row({"class": "capacity", "code": ["E42"], "cooldown": "10m", "scope": "credential"}),
        parse_row({"class": "transient", "status": "500-503", "provider": "local", "backoff": "2s"}),
        parse_row({"class": "payment", "header": {"X-Wallet": "empty"}, "cooldown": "1h"}),
    ]

    def read_with(
        status: int, body: Any = None, headers: dict[str, str] | None = None, provider: str = "x"
    ) -> Failure:
        return classify(outcome(status, body, headers), provider=provider, now=EPOCH, rows=rows)

    assert read_with(429, openai("my own limit")).kind is K.CLIENT_FAULT
    assert read_with(429, openai("another limit")).kind is K.RATE_LIMIT
    found = read_with(400, openai("x", code="E42"))
    assert (found.kind, found.scope, found.cooldown) == (K.CAPACITY, "credential", 600)
    assert read_with(503, provider="local").backoff == 2
    assert read_with(503).backoff == 0
    assert read_with(403, None, {"x-wallet": "Empty!"}).kind is K.PAYMENT


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"status": 429}, "class must be one of"),
        ({"class": "nonsense", "status": 429}, "class must be one of"),
        ({"class": "auth"}, "at least one of"),
        ({"class": "auth", "status": 99}, "status"),
        ({"class": "auth", "status": True}, "status"),
        ({"class": "auth", "status": 401, "scope": "all"}, "scope"),
        ({"class": "auth", "status": 401, "cooldown": "5"}, "duration"),
        ({"class": "auth", "header": "x"}, "header"),
        ({"class": "auth", "status": 401, "phase": "later"}, "phase"),
        ({"class": "auth", "status": 401, "colour": "red"}, "unknown key"),
        ({"class": "auth", "text": [1.5]}, "text"),
    ],
)
def test_rows_that_mean_nothing_say_so(row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_row(row)


async def test_the_users_rows_are_in_force() -> None:
    world = World(
        credential("a"), routing={"failures": [{"class": "payment", "status": 418, "cooldown": "20m"}]}
    )
    found = await verdict(world, outcome(418, {}))
    assert (found.kind, found.retry) == (K.PAYMENT, True)
    assert world.until("a", "claude-a") == 1200


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "type",
                    "code",
                    "message",
                    "status",
                    "detail",
                    "details",
                    "response",
                    "base_resp",
                    "body",
                    "headers",
                    "metadata",
                    "resets_at",
                    "resets_in_seconds",
                    "retryDelay",
                    "violations",
                    "status_code",
                    "x-y",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(
    body=JSON.map(orjson.dumps) | st.binary(max_size=200),
    status=st.none() | st.integers(100, 599),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "Retry-After",
                    "retry-after-ms",
                    "x-ratelimit-reset",
                    "x-codex-primary-used-percent",
                    "x-codex-primary-reset-at",
                    f"{UNIFIED}5h-status",
                    f"{UNIFIED}5h-reset",
                ]
            ),
            st.text(max_size=20) | st.integers().map(str) | st.floats().map(str),
        ),
        max_size=4,
    ),
    phase=st.sampled_from(["connect", "headers", "opening", "body", "done"]),
)
def test_anything_can_be_classified(
    body: bytes, status: int | None, headers: list[tuple[str, str]], phase: Any
) -> None:
    found = classify(Outcome(phase, status, headers, body), provider="anthropic", now=EPOCH)
    assert found.kind in FailureKind
    assert found.reset is None or EPOCH < found.reset.until < EPOCH + 50 * 86400
    assert not found.cools or found.kind in RETRIED


def test_a_reason_does_not_quote_the_requests_credential():
    key = "of/no known+shape"
    body = {
        "error": {
            "type": "invalid_request_error",
            "message": f"not with {key}, {quote(key, safe='')} or {b64encode(key.encode()).decode()}",
        }
    }
    assert read(400, body, secrets=[key]).reason.endswith("not with [secret], [secret] or [secret]")
    assert key in read(400, body).reason
