"""The fake providers speak the real wire: checked with httpx and the official SDKs, with no Detour between."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from detour.fakes import FakeUpstream, Fault
from detour.fakes.steps import Framing, Reply
from detour.fakes.upstream import Listener
from tests import clients
from tests.clients import for_threads
from tests.upstream import FakeThread

FORMATS = ("anthropic", "openai-chat", "openai-responses", "gemini")
MESSAGES = [{"role": "user", "content": "hello"}]
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", {"model": "claude-x", "max_tokens": 9, "messages": MESSAGES}),
    "openai-chat": ("/v1/chat/completions", {"model": "gpt-x", "messages": MESSAGES}),
    "openai-responses": ("/v1/responses", {"model": "gpt-x", "input": "hello"}),
    "gemini": ("/v1beta/models/gemini-x:", {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}),
}


@pytest.fixture(scope="module")
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start("fake")


@pytest.fixture(params=[False, True], ids=["h1", "h2"])
def client(request: pytest.FixtureRequest, fakes: FakeThread) -> Iterator[httpx.Client]:
    with httpx.Client(verify=fakes.ca.client_context(), http2=request.param, timeout=10) as client:
        client.headers["x-test-protocol"] = "h2" if request.param else "h1"
        yield client


def protocol(client: httpx.Client) -> str:
    return client.headers["x-test-protocol"]


def auth(format: str, key: str) -> dict[str, str]:
    return {
        "anthropic": {"x-api-key": key, "anthropic-version": "2023-06-01"},
        "gemini": {"x-goog-api-key": key},
    }.get(format, {"authorization": f"Bearer {key}"})


def ask(
    client: httpx.Client, fake: FakeUpstream, format: str, key: str, stream: bool = True
) -> httpx.Response:
    path, body = REQUESTS[format]
    if format == "gemini":
        path += "streamGenerateContent?alt=sse" if stream else "generateContent"
    elif stream:
        body = {**body, "stream": True}
    return client.post(fake.origin + path, json=body, headers=auth(format, key))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_answers_and_remembers(client: httpx.Client, fake: FakeUpstream, format: str, stream: bool) -> None:
    key = f"key-{format}-{stream}-{protocol(client)}"
    answer = ask(client, fake, format, key, stream)
    assert answer.status_code == 200
    words = fake.text if not stream else '"word '
    assert words in answer.text
    (seen,) = fake.record.with_key(key)
    assert seen.document == json.loads(answer.request.content)
    assert seen.protocol == {"HTTP/1.1": "http/1.1", "HTTP/2": "h2"}[answer.http_version]
    assert seen.connection.sni == "localhost"
    assert fake.record.wait_for(lambda _: seen.state == "answered")


def test_event_streams_have_the_providers_line_ends(client: httpx.Client, fake: FakeUpstream) -> None:
    assert b"\r\n\r\n" in ask(client, fake, "gemini", "k").content
    assert b"\r" not in ask(client, fake, "anthropic", "k").content
    assert ask(client, fake, "openai-chat", "k").content.endswith(b"data: [DONE]\n\n")
    assert b"[DONE]" not in ask(client, fake, "openai-responses", "k").content


def test_gemini_without_alt_sse_is_an_array(client: httpx.Client, fake: FakeUpstream) -> None:
    path, body = REQUESTS["gemini"]
    answer = client.post(
        fake.origin + path + "streamGenerateContent", json=body, headers={"x-goog-api-key": "k"}
    ).json()
    assert "".join(c["candidates"][0]["content"]["parts"][0]["text"] for c in answer) == fake.text


@pytest.mark.parametrize(
    ("format", "key", "status", "message"),
    [
        ("anthropic", "", 401, ["error", "message"]),
        ("openai-chat", "", 401, ["error", "message"]),
        ("gemini", "", 403, ["error", "status"]),
    ],
)
def test_no_credential_is_the_providers_error(
    client: httpx.Client, fake: FakeUpstream, format: str, key: str, status: int, message: list[str]
) -> None:
    path, body = REQUESTS[format]
    path += "generateContent" if format == "gemini" else ""
    answer = client.post(fake.origin + path, json=body)
    assert answer.status_code == status
    assert answer.json()[message[0]][message[1]]


@pytest.mark.parametrize("missing", ["model", "max_tokens", "messages"])
def test_anthropic_names_the_missing_field(client: httpx.Client, fake: FakeUpstream, missing: str) -> None:
    path, body = REQUESTS["anthropic"]
    body = {k: v for k, v in body.items() if k != missing}
    answer = client.post(fake.origin + path, json=body, headers=auth("anthropic", "k"))
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, f"{missing}: Field required")


def test_unknown_paths_and_pages(client: httpx.Client, fake: FakeUpstream) -> None:
    assert client.get(fake.origin + "/api/other").status_code == 404
    fake.pages["GET", "/api/settings"] = Reply(200, (("Content-Type", "text/plain"),), (b"on", b"off"))
    assert client.get(fake.origin + "/api/settings").text == "onoff"


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_error_bodies_in_every_framing(client: httpx.Client, fake: FakeUpstream, framing: Framing) -> None:
    fake.script.add(Fault.status(429, [("retry-after", "7")], framing=framing), key=f"k429{framing}")
    answer = ask(client, fake, "anthropic", f"k429{framing}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.reset_before_first_byte(), httpx.TransportError),
        (Fault.close_before_first_byte(), httpx.RemoteProtocolError),
        (Fault.garbage(), httpx.RemoteProtocolError),
        (Fault.goaway(), httpx.RemoteProtocolError),
        (Fault.goaway(reset=True), httpx.TransportError),
        (Fault.head_then_reset(), httpx.TransportError),
        (Fault.reset_mid_stream(), httpx.TransportError),
        (Fault.short_body(5000), httpx.RemoteProtocolError),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_breaks_off(client: httpx.Client, fake: FakeUpstream, fault: Fault, error: type[Exception]) -> None:
    key = f"{fault.name}-{protocol(client)}"
    fake.script.add(fault, key=key)
    with pytest.raises(error):
        ask(client, fake, "anthropic", key)
    assert fake.record.wait_for(lambda r: r.with_key(key)[0].state in ("failed", "cancelled"))


@pytest.mark.parametrize("format", FORMATS)
def test_errors_inside_a_good_stream(client: httpx.Client, fake: FakeUpstream, format: str) -> None:
    fake.script.add(Fault.sse_error_before_content(pings=2), key="before")
    fake.script.add(Fault.sse_error_after_content(after=2), key="after")
    for key, content in (("before", 0), ("after", 2)):
        answer = ask(client, fake, format, key)
        assert answer.status_code == 200
        events = [e for e in answer.text.replace("\r", "").split("\n\n") if e]
        assert "error" in events[-1]
        assert sum(word in answer.text for word in ('"Hello ', '"from ', '"fake, ')) == content


def test_a_gate_holds_the_stream(client: httpx.Client, fake: FakeUpstream) -> None:
    gate = f"gate-{protocol(client)}"
    fake.script.add(Fault.gate(gate, after=1), key=gate)
    path, body = REQUESTS["anthropic"]
    with client.stream(
        "POST", fake.origin + path, json={**body, "stream": True}, headers=auth("anthropic", gate)
    ) as answer:
        events = answer.iter_lines()
        assert any('"Hello "' in line for line in events)
        assert fake.record.with_key(gate)[0].state == "answering"
        fake.open(gate)
        assert any('"from "' in line for line in events)


def test_a_client_that_goes_away_is_noticed(client: httpx.Client, fake: FakeUpstream) -> None:
    key = f"gone-{protocol(client)}"
    fake.script.add(Fault.stall_mid_stream(), key=key)
    path, body = REQUESTS["anthropic"]
    with client.stream(
        "POST", fake.origin + path, json={**body, "stream": True}, headers=auth("anthropic", key)
    ) as answer:
        next(answer.iter_raw())
    # httpx sends no RST_STREAM for a response that is closed early; it leaves that to the connection's end.
    client.close()
    assert fake.record.wait_for(lambda r: r.with_key(key)[0].state == "cancelled")


def test_rules_count_their_requests(client: httpx.Client, fake: FakeUpstream) -> None:
    key = f"count-{protocol(client)}"
    fake.script.add(Fault.status(500), key=key, times=2)
    fake.script.add(Fault.status(529), key=key, number=2)
    assert [ask(client, fake, "anthropic", key).status_code for _ in range(4)] == [500, 500, 200, 529]


def test_listeners_that_do_not_serve(fakes: FakeThread) -> None:
    context = fakes.ca.client_context()
    expected: dict[Listener, Any] = {
        "refuse": ConnectionRefusedError,
        "close": (ssl.SSLError, ConnectionError),
        "reset": ConnectionError,
        "mute": TimeoutError,
        "wrong_certificate": ssl.SSLCertVerificationError,
        "wrong_name": ssl.SSLCertVerificationError,
    }
    for listener, error in expected.items():
        fake = fakes.start(listener, listener=listener)
        with pytest.raises(error), socket.create_connection(("127.0.0.1", fake.port), timeout=0.5) as sock:
            context.wrap_socket(sock, server_hostname="localhost")
        fakes.stop(fake)


def test_keys_that_are_not_accepted(client: httpx.Client, fakes: FakeThread) -> None:
    fake = fakes.start("strict", keys=["right"])
    assert ask(client, fake, "anthropic", "right").status_code == 200
    assert [ask(client, fake, f, "wrong").status_code for f in FORMATS] == [401, 401, 401, 400]


def test_anthropic_sdk(fake: FakeUpstream, fakes: FakeThread) -> None:
    with clients.anthropic_sdk(fake.base_url("anthropic"), ca=fakes.ca.client_context()) as sdk:
        message = sdk.messages.create(model="claude-x", max_tokens=9, messages=MESSAGES)
        assert message.content[0].text == fake.text
        with sdk.messages.stream(model="claude-x", max_tokens=9, messages=MESSAGES) as stream:
            assert stream.get_final_text() == fake.text
        assert sdk.messages.count_tokens(model="claude-x", messages=MESSAGES).input_tokens > 0
        assert len(sdk.models.list().data) == 3


def test_openai_sdk(fake: FakeUpstream, fakes: FakeThread) -> None:
    with clients.openai_sdk(fake.base_url("openai-chat"), ca=fakes.ca.client_context()) as sdk:
        chat = sdk.chat.completions.create(model="gpt-x", messages=MESSAGES)
        assert chat.choices[0].message.content == fake.text
        chunks = list(
            sdk.chat.completions.create(
                model="gpt-x", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == fake.text
        assert chunks[-1].usage.completion_tokens == 8
        assert sdk.responses.create(model="gpt-x", input="hello").output_text == fake.text
        events = list(sdk.responses.create(model="gpt-x", input="hello", stream=True))
        assert events[-1].response.output_text == fake.text
        assert [e.sequence_number for e in events] == list(range(len(events)))
        assert sdk.embeddings.create(model="e", input=["a", "b"]).data[1].embedding == [0.25, -0.5, 1.0]
        assert len(sdk.models.list().data) == 3


def test_google_sdk(fake: FakeUpstream, fakes: FakeThread) -> None:
    sdk = clients.google_sdk(fake.base_url("gemini"), ca=fakes.ca.client_context())
    assert sdk.models.generate_content(model="gemini-x", contents="hello").text == fake.text
    chunks = sdk.models.generate_content_stream(model="gemini-x", contents="hello")
    assert "".join(c.text or "" for c in chunks) == fake.text
    assert sdk.models.count_tokens(model="gemini-x", contents="hello").total_tokens > 0


def responses_socket(fake: FakeUpstream, fakes: FakeThread, key: str = "k") -> ClientConnection:
    return connect(
        fake.base_url("openai").replace("https", "wss") + "/responses",
        ssl=for_threads(fakes.ca.client_context()),
        additional_headers={"Authorization": f"Bearer {key}"},
        proxy=None,
    )


def test_responses_over_a_websocket(fake: FakeUpstream, fakes: FakeThread) -> None:
    with responses_socket(fake, fakes) as socket:
        for number in (1, 2):
            socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": f"turn {number}"}))
            events = [json.loads(socket.recv(timeout=5))]
            while events[-1]["type"] != "response.completed":
                events.append(json.loads(socket.recv(timeout=5)))
            assert "".join(e["delta"] for e in events if "delta" in e) == fake.text
        socket.send(json.dumps({"type": "response.create", "input": "no model"}))
        assert json.loads(socket.recv(timeout=5))["status"] == 400
    assert fake.record.wait_for(lambda r: r.requests[-1].state == "answered")
    assert len(fake.record.requests[-1].messages) == 3


def test_a_websocket_that_fails(fake: FakeUpstream, fakes: FakeThread) -> None:
    fake.script.add(Fault.status(401), key="ws-401")
    with pytest.raises(InvalidStatus) as refused:
        responses_socket(fake, fakes, "ws-401")
    assert refused.value.response.status_code == 401
    fake.script.add(Fault.ws_close(1008, "policy", after=1), key="ws-close")
    fake.script.add(Fault.reset_mid_stream(), key="ws-reset")
    for key, code in (("ws-close", 1008), ("ws-reset", 1006)):
        with responses_socket(fake, fakes, key) as socket:
            socket.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "hello"}))
            with pytest.raises(ConnectionClosedError) as closed:
                while True:
                    socket.recv(timeout=5)
            assert (closed.value.rcvd.code if closed.value.rcvd else 1006) == code
