"""The base-URL gateway: routed by model, or pinned to a provider by the path."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from detour.fakes import Fault
from detour.fakes.steps import Reply
from tests.clients import anthropic_sdk, google_sdk
from tests.e2e.conftest import House
from tests.e2e.instance import TIMEOUT
from tests.e2e.wire import SHAPES, address, fresh_model

MODELS = {
    "anthropic": "claude-sonnet-4-5-20250929",
    "openai-chat": "gpt-5.1",
    "openai-responses": "gpt-5.1",
    "gemini": "gemini-2.5-flash",
}

HEALTHY = b'{"status":"ok"}'


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.detour.gateway_url, timeout=TIMEOUT, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", SHAPES)
def test_routes_by_model(house: House, client: httpx.Client, format: str, stream: bool) -> None:
    fake = house.fake(format)
    path, headers, body = SHAPES[format].request(MODELS[format], stream=stream, key="whatever")
    before = len(fake.record.requests)
    answer = client.post(path, headers=headers, json=body)
    assert answer.status_code == 200
    assert "Hello " in answer.text
    assert answer.headers["x-detour-id"]
    seen = list(fake.record.requests)[before:]
    assert [(r.target, r.model, r.key) for r in seen] == [
        (path, MODELS[format], f"secret-{format.partition('-')[0]}")
    ]
    assert "whatever" not in repr(seen[0].headers)


@pytest.mark.parametrize("prefix", ["/{provider}", "/api/provider/{provider}"])
@pytest.mark.parametrize("format", SHAPES)
def test_a_provider_in_the_path_pins_it(house: House, client: httpx.Client, format: str, prefix: str) -> None:
    fake = house.fake(format)
    model = f"unlisted-{format}-{len(prefix)}"
    path, headers, body = SHAPES[format].request(model)
    answer = client.post(prefix.format(provider=format.partition("-")[0]) + path, headers=headers, json=body)
    assert answer.status_code == 200
    (seen,) = [r for r in fake.record.requests if r.model == model]
    assert seen.target == path


def test_a_model_named_with_its_provider(house: House, client: httpx.Client) -> None:
    path, headers, body = SHAPES["openai-chat"].request("openai/some-model")
    assert client.post(path, headers=headers, json=body).status_code == 200
    assert [r for r in house.openai.record.requests if r.model == "some-model"]


def test_a_model_that_nobody_serves(client: httpx.Client) -> None:
    for format in ("anthropic", "openai-chat", "openai-responses"):
        path, headers, body = SHAPES[format].request("no-such-model-anywhere")
        answer = client.post(path, headers=headers, json=body)
        assert (answer.status_code, answer.headers["x-detour-error"]) == (404, "model_not_found"), format
        assert "no-such-model-anywhere" in answer.json()["error"]["message"]


def test_lists_models_in_the_askers_format(client: httpx.Client) -> None:
    openai = client.get("/v1/models", headers={"authorization": "Bearer k"}).json()
    assert openai["object"] == "list"
    assert MODELS["anthropic"] in {m["id"] for m in openai["data"]}
    anthropic = client.get("/v1/models", headers={"anthropic-version": "2023-06-01", "x-api-key": "k"}).json()
    assert anthropic["has_more"] is False
    assert {m["type"] for m in anthropic["data"]} == {"model"}
    gemini = client.get("/v1beta/models").json()
    assert all(m["name"].startswith("models/") for m in gemini["models"])


def test_lists_models_by_pages(client: httpx.Client, house: House) -> None:
    whole = [m["id"] for m in client.get("/v1/models", headers={"anthropic-version": "1"}).json()["data"]]
    url = house.detour.gateway_url
    ca = ssl.create_default_context()
    with anthropic_sdk(url, ca=ca) as claude:
        # Both iterate over all pages.
        assert [m.id for m in claude.models.list(limit=2)] == whole
        page = claude.models.list(limit=2, before_id=whole[3])
        assert ([m.id for m in page.data], page.has_more) == (whole[1:3], True)
    google = google_sdk(url, ca=ca)
    assert [m.name for m in google.models.list(config={"page_size": 2})] == [f"models/{id}" for id in whole]
    for path, format in (("/v1/models?limit=", "anthropic"), ("/v1beta/models?pageSize=", "gemini")):
        headers = {"anthropic-version": "1"} if format == "anthropic" else {}
        for size in ("0", "-1", "many", "9" * 5000):
            answer = client.get(path + size, headers=headers)
            assert answer.status_code == (200 if size.startswith("9") else 400), (path, size[:9])
            assert answer.is_success or size in answer.json()["error"]["message"]


def test_health_needs_no_key(client: httpx.Client, house: House) -> None:
    assert client.get("/healthz").status_code == 200
    assert httpx.get(f"http://{house.detour.admin}/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v2/nothing", "/nobody/v1/messages", "/v1/messages/else"])
def test_an_unknown_path_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"model": "gpt-5.1"})
    assert (answer.status_code, answer.headers["x-detour-error"]) == (404, "not_found")
    assert answer.json()["error"]["message"]


def test_count_tokens_and_embeddings(house: House, client: httpx.Client) -> None:
    path, headers, body = SHAPES["anthropic"].request(MODELS["anthropic"])
    counted = client.post(path + "/count_tokens", headers=headers, json=body)
    assert counted.json()["input_tokens"] > 0
    embedded = client.post(
        "/openai/v1/embeddings",
        headers={"authorization": "Bearer k"},
        json={"model": "text-embedding-3-small", "input": "a"},
    )
    assert embedded.json()["data"][0]["embedding"] == [0.25, -0.5, 1.0]


def test_a_providers_other_paths_pass_when_listed(house: House, client: httpx.Client) -> None:
    house.anthropic.pages["GET", "/v1/messages/batches"] = Reply(200, (), (b'{"data": []}',))
    answer = client.get("/anthropic/v1/messages/batches")
    assert answer.json() == {"data": []}
    answer = client.get("/anthropic/v1/organizations/secrets")
    assert (answer.status_code, answer.headers["x-detour-error"]) == (404, "not_found")


def test_streams_arrive_as_they_happen(house: House, client: httpx.Client) -> None:
    house.openai.script.add(Fault.gate("gateway-gate"), model="gateway-gate")
    path, headers, body = SHAPES["openai-chat"].request("gateway-gate", stream=True)
    with client.stream("POST", "/openai" + path, headers=headers, json=body) as answer:
        parts = answer.iter_raw()
        seen = b""
        while b'"Hello "' not in seen:
            seen += next(parts)
        house.openai.open("gateway-gate")
        seen += b"".join(parts)
    assert seen.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("body", [b"404 page not found", b'{"detail":"Not Found"}'])
def test_an_upstream_that_cannot_count_is_estimated(house: House, client: httpx.Client, body: bytes) -> None:
    path, headers, document = SHAPES["anthropic"].request(model := fresh_model())
    house.anthropic.script.add(Fault.raw_answer(404, "application/json", body), model=model)
    answer = client.post(f"/anthropic{path}/count_tokens", headers=headers, json=document)
    assert (answer.status_code, answer.headers["x-detour-estimated"]) == (200, "true")
    assert answer.json()["input_tokens"] > 0


def test_a_model_that_cannot_be_counted_is_not_estimated(house: House, client: httpx.Client) -> None:
    path, headers, document = SHAPES["anthropic"].request(model := fresh_model())
    missing = b'{"type":"error","error":{"type":"not_found_error","message":"model: %s"}}' % model.encode()
    house.anthropic.script.add(Fault.raw_answer(404, "application/json", missing), model=model)
    answer = client.post(f"/anthropic{path}/count_tokens", headers=headers, json=document)
    assert (answer.status_code, answer.content) == (404, missing)


def test_a_websocket(house: House) -> None:
    url = house.detour.gateway_url.replace("http", "ws", 1) + "/v1/responses"
    for number in (1, 2):
        with connect(url, proxy=None, additional_headers={"Authorization": "Bearer whatever"}) as websocket:
            websocket.send(
                json.dumps({"type": "response.create", "model": MODELS["openai-chat"], "input": "hi"})
            )
            events = [json.loads(websocket.recv(timeout=60))]
            while events[-1]["type"] != "response.completed":
                events.append(json.loads(websocket.recv(timeout=60)))
        assert "".join(e["delta"] for e in events if "delta" in e) == house.openai.text, number
    seen = house.openai.record.requests[-1]
    assert (seen.protocol, seen.key, seen.target) == ("websocket", "secret-openai", "/v1/responses")


def test_a_request_that_its_target_cannot_take_is_unsupported(house: House, client: httpx.Client) -> None:
    path, headers, body = SHAPES["openai-responses"].request("anthropic/claude-opus-4-6")
    before = len(house.anthropic.record.requests)
    answer = client.post(path, headers=headers, json={**body, "previous_response_id": "resp_elsewhere"})
    assert (answer.status_code, answer.headers["x-detour-error"]) == (400, "unsupported")
    assert "previous_response_id" in answer.json()["error"]["message"]
    assert len(house.anthropic.record.requests) == before


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({"anthropic-version": "2023-06-01"}, {"type", "error"}),
        ({"x-goog-api-key": "k"}, {"error"}),
        ({"authorization": "Bearer k"}, {"error"}),
    ],
    ids=["anthropic", "gemini", "openai"],
)
def test_a_path_that_is_nothing_is_said_in_the_clients_format(
    client: httpx.Client, headers: dict[str, str], keys: set[str]
) -> None:
    answer = client.post("/antropic/v1/messages", headers=headers, json={})
    assert (answer.status_code, answer.headers["x-detour-error"]) == (404, "not_found")
    assert answer.json().keys() == keys
    assert ("status" in answer.json()["error"]) == ("x-goog-api-key" in headers)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/v1/models", 200), ("/v1beta/models", 200), ("/no/such/path", 404)],
)
def test_an_answer_to_head_has_no_body(house: House, path: str, status: int) -> None:
    head = b"HEAD " + path.encode() + b" HTTP/1.1\r\nHost: gateway\r\n\r\n"
    with socket.create_connection(address(house.detour.gateway), TIMEOUT) as connection:
        answers = connection.makefile("rb")
        for request in (head, b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"):
            connection.sendall(request)
            # A body after the first head would be read as the second one's beginning.
            lines = list(iter(answers.readline, b"\r\n"))
            assert lines[0].startswith(b"HTTP/1.1 %d " % (status if request is head else 200))
            assert any(line.lower().startswith(b"content-length: ") for line in lines)
        assert answers.read(len(HEALTHY)) == HEALTHY
