"""What a real instance writes down: counts as the providers reported them, in the API and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.sync.client import connect

from detour.fakes import FakeUpstream, Fault
from router_core.formats import Format
from router_core.usage.count import Meter
from router_core.usage.tap import Tap
from tests.e2e.conftest import House, Start
from tests.e2e.instance import LEDGER, ROOT, TIMEOUT, Detour, base_config
from tests.e2e.wire import SHAPES, fresh_model
from tests.upstream import FakeThread


class Admin(httpx.Client):
    """The admin API of an instance, with its token."""

    def __init__(self, detour: Detour) -> None:
        token = (detour.folder / "data" / "admin-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        super().__init__(
            base_url=f"http://{detour.admin}/api/v1", headers=headers, timeout=TIMEOUT, trust_env=False
        )

    def rows(self, requests: int, **query: str) -> list[dict[str, Any]]:
        """The usage of `requests` exchanges, once the ledger's thread has written that many."""
        deadline = time.monotonic() + 60  # the writer's process takes long to start on a busy machine
        while time.monotonic() < deadline:
            answer = self.get("/usage", params=query).raise_for_status().json()
            if sum(row["requests"] for row in answer["rows"]) >= requests:
                return answer["rows"]
            time.sleep(0.05)
        raise AssertionError(f"not {requests} exchanges: {answer}")


@pytest.fixture
def admin(house: House) -> Iterator[Admin]:
    with Admin(house.detour) as client:
        yield client


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", SHAPES)
def test_counts_are_what_the_provider_reported(
    house: House, admin: Admin, format: str, stream: bool, coding: str
) -> None:
    model = fresh_model()
    path, headers, body = SHAPES[format].request(model, stream=stream)
    if format == "openai-chat" and stream:
        body["stream_options"] = {"include_usage": True}
    headers |= {"accept-encoding": coding, "user-agent": "codex_cli_rs/1.0"}
    with house.detour.client() as client:
        answer = client.post(f"https://{house.host(format)}{path}", headers=headers, json=body)
    assert answer.status_code == 200
    meter = Meter(Format(format))
    tap = Tap(meter)
    tap.feed(answer.content)
    tap.close()
    (row,) = admin.rows(1, by="model,tool,credential", model=model)
    assert meter.usage.input and meter.usage.output
    assert (row["input"], row["output"], row["tool"]) == (meter.usage.input, meter.usage.output, "codex")
    assert row["credential"] == f"{format.partition('-')[0]}-1"
    # The model is nobody's, so nobody knows its price.
    assert (row["cost"], row["unpriced"]) == (None, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_usage_that_cannot_be_read_is_said(house: House, admin: Admin, stream: bool) -> None:
    """Python's own JSON writer makes such answers; what nobody reads passes as it is."""
    model = fresh_model()
    body = b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":NaN}}'
    if stream:
        body = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":NaN}}\n\n'
    house.openai.script.add(Fault.raw_answer(200, SSE if stream else JSON, body), model=model)
    path, headers, request = SHAPES["openai-chat"].request(model, stream=stream)
    with house.detour.client() as client:
        assert client.post(f"https://api.openai.com{path}", headers=headers, json=request).content == body
    (row,) = admin.rows(1, by="model", model=model)
    (one,) = [e for e in admin.get("/exchanges").json()["finished"] if e["asked"] == model]
    assert (row["tokens"], row["cost"], one["notes"]) == (
        0,
        None,
        ["answer: not readable as JSON"],
    )


def test_an_exchange_of_the_clients_own_credential_is_counted(house: House, admin: Admin) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    with house.detour.client() as client:
        url = f"https://localhost:{house.own.port}{path}"
        assert client.post(url, headers=headers, json=body).status_code == 200
    (row,) = admin.rows(1, by="provider,credential,model", model=model)
    assert (row["provider"], row["credential"]) == ("own", "")
    assert row["input"] > 0


def test_an_attempt_that_failed_is_counted_apart(start: Start, fakes: FakeThread) -> None:
    bad, good = fakes.start("bad"), fakes.start("good")
    bad.script.add(Fault.status(429))
    detour = start(
        providers={
            "first": {"format": "anthropic", "base_url": bad.base_url("anthropic")},
            "second": {"format": "anthropic", "base_url": good.base_url("anthropic")},
        },
        credentials=[
            {"id": f"{n}-1", "provider": n, "api_key": f"env:{n.upper()}"} for n in ("first", "second")
        ],
        models={"both": {"targets": ["first/m", "second/m"]}},
        usage=LEDGER
        | {
            "prices": [{"model": "m", "input": 3, "output": 15}],
            "budgets": [{"per": "day", "tokens": 1, "action": "warn", "name": "one token"}],
        },
        env={"FIRST": "secret-of-first", "SECOND": "secret-of-second"},
    )
    path, headers, body = SHAPES["anthropic"].request("both")
    answer = httpx.post(
        detour.gateway_url + path, headers=headers, json=body, timeout=TIMEOUT, trust_env=False
    )
    assert answer.status_code == 200
    usage = answer.json()["usage"]
    with Admin(detour) as admin:
        (row,) = admin.rows(1, by="provider,credential")
        assert (row["provider"], row["requests"], row["failed_attempts"]) == ("second", 1, 1)
        assert row["cost"] == pytest.approx((usage["input_tokens"] * 3 + usage["output_tokens"] * 15) / 1e6)
        (one,) = admin.get("/exchanges").json()["finished"]
        assert [(f["provider"], f["status"]) for f in one["failures"]] == [("first", 429)]
        assert admin.get(f"/exchanges/{one['id']}").json()["cost"] == row["cost"]
        (budget,) = admin.get("/budgets").json()["budgets"]
        assert (budget["name"], budget["used"]) == ("one token", row["tokens"])
        metrics = admin.get(f"http://{detour.admin}/metrics").text
    assert (
        'detour_attempt_failures_total{credential="first-1",phase="headers",provider="first",status="429"} 1.0'
        in metrics
    )
    command = [
        sys.executable,
        "-m",
        "detour",
        "usage",
        "--config",
        str(detour.config),
        "--by",
        "model",
        "--json",
    ]
    told = json.loads(
        subprocess.run(command, env=detour.env, cwd=ROOT, capture_output=True, check=True).stdout
    )
    assert [(r["model"], r["tokens"]) for r in told["rows"]] == [("m", row["tokens"])]


def test_budgets_pass_over_and_refuse(start: Start, fakes: FakeThread) -> None:
    first, second = fakes.start("first"), fakes.start("second")
    options: dict[str, Any] = {
        "providers": {
            "first": {"format": "anthropic", "base_url": first.base_url("anthropic")},
            "second": {"format": "anthropic", "base_url": second.base_url("anthropic")},
        },
        "credentials": [
            {"id": "a", "provider": "first", "api_key": "secret-of-a", "priority": 2},
            {"id": "b", "provider": "first", "api_key": "secret-of-b", "priority": 1},
            {"id": "c", "provider": "second", "api_key": "secret-of-c"},
        ],
        "models": {m: {"targets": [f"first/{m}", f"second/{m}"]} for m in ("m", "little")},
        "usage": LEDGER
        | {
            "budgets": [
                {"credential": "a", "per": "day", "tokens": 1, "action": "pass_over"},
                {"model": "refused", "per": "month", "tokens": 1, "action": "refuse"},
                {"credential": "b", "model": "little", "per": "day", "tokens": 1, "action": "refuse"},
            ]
        },
    }

    def ask(detour: Detour, model: str) -> httpx.Response:
        path, headers, body = SHAPES["anthropic"].request(model)
        url = detour.gateway_url + path
        return httpx.post(url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False)

    def refused(answer: httpx.Response) -> str:
        assert (answer.status_code, answer.headers["x-detour-error"]) == (429, "budget_exceeded")
        assert int(answer.headers["retry-after"]) > 0
        return answer.json()["error"]["message"]

    detour = start(**options)
    with Admin(detour) as admin:
        for model, credential in (("m", "a"), ("m", "b"), ("first/refused", "b"), ("little", "b")):
            assert ask(detour, model).status_code == 200
            admin.rows(1, by="credential", credential=credential, model=model.removeprefix("first/"))
        assert "model refused is used up: 1 tokens a month" in refused(ask(detour, "first/refused"))
        # Another target could serve, which a budget that passes over would go on to.
        assert "credential b model little is used up" in refused(ask(detour, "little"))
    detour.__exit__()
    again = start(**options)
    for model in ("first/refused", "little"):
        refused(ask(again, model))
    assert len(first.record.requests) == 4
    assert not second.record.requests


def test_exchanges_are_told_live(house: House, admin: Admin) -> None:
    model = "gpt-4.1-nano"  # which has a price, and no other test asks for
    path, headers, body = SHAPES["openai-chat"].request(model)
    seen: dict[str, dict[str, Any]] = {}
    with admin.stream("GET", "/exchanges/live") as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        lines = live.iter_lines()
        assert next(lines) == "retry: 2000"
        url = house.detour.gateway_url + "/openai" + path
        assert (
            httpx.post(url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False).status_code == 200
        )
        name = ""
        for line in lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                document = orjson.loads(line.removeprefix("data: "))
                if document["asked"] == model:
                    seen[name] = document
            # What the ledger's writer finds out after that is told too; it may be quicker.
            priced = seen.get("priced") or seen.get("finished", {})
            if priced.get("cost_source"):
                break
    assert seen["started"]["state"] in ("waiting", "streaming")
    assert seen["finished"]["state"] == "ok"
    assert seen["started"]["id"] == seen["finished"]["id"] == priced["id"]
    assert priced["cost"] > 0 and priced["cost_source"] == "catalog"


def test_a_credential_is_taken_out_and_put_back(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("anthropic")
    detour = start(
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "only", "provider": "anthropic", "api_key": "env:ONLY"}],
        routing={"unconfigured": "reject"},
        usage=LEDGER,
        env={"ONLY": "secret-of-only"},
    )
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929")

    def ask() -> int:
        return httpx.post(
            detour.gateway_url + path, headers=headers, json=body, timeout=TIMEOUT, trust_env=False
        ).status_code

    with Admin(detour) as admin:
        assert ask() == 200
        assert admin.post("/credentials/only/disable").json()["state"] == "disabled"
        assert ask() >= 400
        assert admin.post("/credentials/only/enable").json()["state"] == "ready"
        assert ask() == 200
        fake.script.add(Fault.status(401))
        ask()
        assert admin.get("/credentials").json()["credentials"][0]["state"] == "cooling"
        fake.script.rules.clear()
        assert admin.post("/credentials/only/reset").json()["state"] == "ready"
        assert ask() == 200


def test_a_credential_stays_out_of_use_over_a_restart(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("anthropic")
    options: dict[str, Any] = {
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [
            {"id": "one", "provider": "anthropic", "api_key": "secret-one", "priority": 1},
            {"id": "two", "provider": "anthropic", "api_key": "secret-two"},
        ],
        "usage": LEDGER,
    }
    detour = start(**options)
    assert credentials(detour, "disable", "one")["state"] == "disabled"
    detour.process.kill()  # nobody gets to save anything
    detour.process.wait()
    path, headers, body = SHAPES["anthropic"].request("claude-x")
    again = start(**options)
    assert [c["state"] for c in credentials(again, "list")] == ["disabled", "ready"]
    for served_by, then in (("secret-two", "enable"), ("secret-one", "disable")):
        httpx.post(again.gateway_url + path, headers=headers, json=body, timeout=TIMEOUT, trust_env=False)
        assert fake.record.requests[-1].header("x-api-key") == served_by
        credentials(again, then, "one")
    detour.proxy = ""  # its end was meant


def credentials(detour: Detour, *arguments: str) -> Any:
    done = detour.command("credentials", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_turn_on_a_websocket_is_counted(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("openai")
    detour = start(
        providers={"openai": {"base_url": fake.base_url("openai-chat")}},
        credentials=[{"id": "only", "provider": "openai", "api_key": "env:ONLY"}],
        usage=LEDGER,
        env={"ONLY": "secret-of-only"},
    )
    url = detour.gateway_url.replace("http", "ws", 1) + "/v1/responses"
    reported = []
    with connect(url, proxy=None, additional_headers={"authorization": "Bearer whatever"}) as websocket:
        for text in ("hi", "and a longer question"):
            websocket.send(json.dumps({"type": "response.create", "model": "gpt-5.1", "input": text}))
            event = json.loads(websocket.recv(timeout=60))
            while event["type"] != "response.completed":
                event = json.loads(websocket.recv(timeout=60))
            reported.append(event["response"]["usage"])
    with Admin(detour) as admin:
        (row,) = admin.rows(1, by="provider")
    assert row["output"] == sum(usage["output_tokens"] for usage in reported)
    assert row["input"] + row["cache_read"] == sum(usage["input_tokens"] for usage in reported)


def test_what_was_reported_before_the_client_left_is_counted(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("anthropic")
    fake.script.add(Fault.gate("middle", after=2))
    detour = start(
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "only", "provider": "anthropic", "api_key": "env:ONLY"}],
        usage=LEDGER,
        env={"ONLY": "secret-of-only"},
    )
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=True)
    url = detour.gateway_url + path
    with httpx.stream("POST", url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False) as answer:
        for line in answer.iter_lines():
            if "content_block_delta" in line:
                break
    with Admin(detour) as admin:
        (row,) = admin.rows(1, by="credential")
        (one,) = admin.get("/exchanges").json()["finished"]
    assert (row["cancelled"], one["state"]) == (1, "cancelled")
    assert row["input"] > 0
    assert row["cost"] > 0


@dataclass(frozen=True)
class Failing:
    """An answer that says what it used and is then of no use."""

    format: str
    stream: bool
    content_type: str
    body: bytes
    used: tuple[int, int]
    """Input and output tokens, as `body` reports them."""

    @property
    def host(self) -> str:
        return f"{self.format}-{'stream' if self.stream else 'json'}.test"

    @property
    def provider(self) -> str:
        return self.host.removesuffix(".test")


SSE = "text/event-stream"
JSON = "application/json"
FAILING = (
    Failing(
        "anthropic", True, SSE,
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":31,"output_tokens":1}}}\n\n'
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        (31, 1),
    ),
    Failing(
        "openai-chat", True, SSE,
        b'data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":32,"completion_tokens":2,"total_tokens":34}}\n\n'
        b'data: {"error":{"message":"The server is overloaded.","type":"server_error","param":null,"code":503}}\n\n',
        (32, 2),
    ),
    Failing(
        "openai-responses", True, SSE,
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","output":[]}}\n\n'
        b'event: response.failed\ndata: {"type":"response.failed","sequence_number":1,"response":{"id":"r","status":"failed","output":[],'
        b'"error":{"code":"server_error","message":"The server had an error."},"usage":{"input_tokens":33,"output_tokens":3,"total_tokens":36}}}\n\n',
        (33, 3),
    ),
    Failing(
        "gemini", True, SSE,
        b'data: {"candidates":[],"usageMetadata":{"promptTokenCount":34,"candidatesTokenCount":4,"totalTokenCount":38},"modelVersion":"m"}\r\n\r\n'
        b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\r\n\r\n',
        (34, 4),
    ),
    # An answer that is not a stream fails with its status; some gateways say in it what it cost all the same.
    Failing("anthropic", False, JSON, b'{"type":"error","error":{"type":"overloaded_error","message":"x"},"usage":{"input_tokens":41,"output_tokens":1}}', (41, 1)),
    Failing("openai-chat", False, JSON, b'{"error":{"message":"x","type":"server_error"},"usage":{"prompt_tokens":42,"completion_tokens":2,"total_tokens":44}}', (42, 2)),
    Failing("openai-responses", False, JSON, b'{"error":{"message":"x","code":"server_error"},"usage":{"input_tokens":43,"output_tokens":3,"total_tokens":46}}', (43, 3)),
    Failing("gemini", False, JSON, b'{"error":{"code":503,"message":"x","status":"UNAVAILABLE"},"usageMetadata":{"promptTokenCount":44,"candidatesTokenCount":4,"totalTokenCount":48}}', (44, 4)),
)  # fmt: skip


@pytest.fixture(scope="module")
def failing(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Detour, dict[str, FakeUpstream]]]:
    """For each of `FAILING` a provider with a credential that gets it, and another one that does not."""
    config = base_config(ca_bundle)
    config["credentials"], config["usage"], upstreams = [], LEDGER, {}
    for case in FAILING:
        fake = upstreams[case.provider] = fakes.start(case.provider)
        status = 200 if case.stream else 503
        answer = Fault.raw_answer(status, case.content_type, case.body, framing="length")
        fake.script.add(answer, key=f"bad-of-{case.provider}")
        config["providers"][case.provider] = {
            "format": case.format,
            "hosts": [case.host],
            "base_url": fake.base_url(case.format),
        }
        config["credentials"] += [
            {
                "id": f"{name}-{case.provider}",
                "provider": case.provider,
                "api_key": f"{name}-of-{case.provider}",
                "priority": priority,
            }
            for name, priority in (("bad", 1), ("good", 0))
        ]
    with Detour(config, tmp_path_factory.mktemp("failing")) as detour:
        yield detour, upstreams


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.provider)
def test_what_failed_attempts_used_is_counted_apart(
    failing: tuple[Detour, dict[str, FakeUpstream]], case: Failing
) -> None:
    detour, upstreams = failing
    path, headers, body = SHAPES[case.format].request("m", stream=case.stream)
    if case.format == "openai-chat" and case.stream:
        body["stream_options"] = {"include_usage": True}
    with detour.client() as client:
        answer = client.post(f"https://{case.host}{path}", headers=headers, json=body)
    assert answer.status_code == 200 and len(upstreams[case.provider].record.requests) == 2
    meter = Meter(Format(case.format))
    tap = Tap(meter)
    tap.feed(answer.content)
    tap.close()
    with Admin(detour) as admin:
        (row,) = admin.rows(1, by="credential", provider=case.provider)
        (one,) = [e for e in admin.get("/exchanges").json()["finished"] if e["provider"] == case.provider]
        month = admin.get(f"/usage/months/{time.strftime('%Y-%m')}").json()
    (failure,) = one["failures"]
    assert failure["credential"] == f"bad-{case.provider}"
    assert (failure["input"], failure["output"]) == case.used
    # The exchange's own figures are those of the answer that the client got.
    assert (row["credential"], row["requests"], row["failed_attempts"]) == (f"good-{case.provider}", 1, 1)
    assert (row["input"], row["output"]) == (meter.usage.input, meter.usage.output) != case.used
    (told,) = [f for f in month["failures"] if f["credential"] == failure["credential"]]
    assert told["input"] == case.used[0]


def test_the_pace_of_what_runs_is_shown(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("anthropic")
    fake.script.add(Fault.paced(0.3))
    detour = start(
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "only", "provider": "anthropic", "api_key": "env:ONLY"}],
        usage=LEDGER,
        env={"ONLY": "secret-of-only"},
    )
    path, headers, body = SHAPES["anthropic"].request("claude-x", stream=True)
    url = detour.gateway_url + path
    seen = []
    with (
        Admin(detour) as admin,
        admin.stream("GET", "/exchanges/live") as live,
        ThreadPoolExecutor(1) as others,
    ):
        lines = live.iter_lines()
        next(line for line in lines if line.startswith("retry"))
        others.submit(httpx.post, url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False)
        for line in lines:
            if line.startswith("data: ["):
                seen += json.loads(line.removeprefix("data: "))
            if line == "event: finished":
                break
    assert {e["state"] for e in seen} >= {"streaming"}
    assert [e["credential"] for e in seen[-1:]] == ["only"]
    assert any(e["tokens_per_second"] for e in seen), seen


def test_a_trace_is_passed_on_and_never_begun(house: House) -> None:
    trace = {"traceparent": f"00-{'4b' * 16}-{'f0' * 8}-01", "tracestate": "vendor=1", "baggage": "team=blue"}
    path, headers, body = SHAPES["anthropic"].request(fresh_model())
    for sent in (trace, {}):
        httpx.post(
            f"{house.detour.gateway_url}/anthropic{path}",
            headers=headers | sent,
            json=body,
            timeout=TIMEOUT,
            trust_env=False,
        ).raise_for_status()
        seen = house.anthropic.record.requests[-1]
        assert {name: seen.header(name) for name in trace if seen.header(name)} == sent
