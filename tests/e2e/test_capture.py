"""What is recorded of real traffic through a real Detour, and what can be done with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import ThreadingHTTPServer

import httpx
import pytest
from websockets.sync.client import connect

from detour.fakes import FakeUpstream, Fault
from router_core.capture.fixture import pytest_file
from router_core.capture.folder import Folders, paths
from router_core.capture.reader import read
from router_core.capture.record import Record
from tests.clients import anthropic_sdk, for_threads, google_sdk, openai_sdk
from tests.e2e.instance import ROOT, Detour
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PATIENCE = 60.0
KEY_A, KEY_B = "sk-ant-api03-planted-A", "sk-ant-api03-planted-B"
OWN = "sk-ant-clients-own-key"
MESSAGES = "https://api.anthropic.com/v1/messages"


def records(detour: Detour, count: int, finished: bool = True) -> list[Record]:
    """The records, when there are `count` of them."""
    folder = detour.folder / "data" / "captures"
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [read(path) for path in paths(Folders(folder))]
        if len(found) >= count and (not finished or all(r.end for r in found)):
            return found
        assert time.monotonic() < deadline, [(r.opening, r.end) for r in found]
        time.sleep(0.05)


def written(detour: Detour) -> bytes:
    """Everything that the instance wrote, but for its CA and the configuration that it was given."""
    data = detour.folder / "data"
    pieces = [detour.log.read_bytes()]
    for path in data.rglob("*"):
        if path.is_file() and data / "ca" not in path.parents:
            with suppress(FileNotFoundError):  # a journal of the ledger
                pieces.append(path.read_bytes())
    return b"".join(pieces)


@pytest.fixture
def house(start: Callable[..., Detour], fakes: FakeThread):
    """An instance that records, with two credentials of one provider, and a provider without one."""

    def begin(**capture) -> tuple[Detour, FakeUpstream, FakeUpstream]:
        fake, own = fakes.start("anthropic"), fakes.start("own")
        detour = start(
            {"KEY_A": KEY_A, "KEY_B": KEY_B, "KEY_O": "sk-openai-planted"},
            providers={
                "anthropic": {"base_url": fake.base_url("anthropic")},
                "openai": {"base_url": fake.base_url("openai-chat")},
                "gemini": {"base_url": fake.base_url("gemini")},
                "own": {"format": "anthropic", "hosts": ["localhost"], "base_url": own.base_url("anthropic")},
            },
            credentials=[
                {"id": "a", "provider": "anthropic", "api_key": "env:KEY_A", "priority": 2},
                {"id": "b", "provider": "anthropic", "api_key": "env:KEY_B"},
                {"id": "o", "provider": "openai", "api_key": "env:KEY_O"},
                {"id": "g", "provider": "gemini", "api_key": "env:KEY_O"},
            ],
            capture={"mode": "all", **capture},
        )
        return detour, fake, own

    return begin


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_a_stream_with_a_failover_is_recorded_from_end_to_end(house, http2):
    detour, fake, _ = house()
    fake.script.add(Fault.status(429), key=KEY_A)
    _, headers, body = SHAPES["anthropic"].request("claude-x", stream=True, key=OWN)
    with detour.client(http2=http2) as client:
        answer = client.post(MESSAGES, headers=headers, json=body)
    assert answer.status_code == 200
    [record] = records(detour, 1)
    assert record.opening.provider == "anthropic" and record.opening.model == "claude-x"
    assert record.opening.url == MESSAGES
    assert record.client.request.body.data == answer.request.content
    assert record.client.response.status == 200
    assert record.client.response.body.data == answer.content
    first, second = record.attempts
    assert (first.response.status, second.response.status) == (429, 200)
    assert (first.about["credential"], second.about["credential"]) == ("a", "b")
    assert first.about["outcome"]["status"] == 429
    assert second.response.body.data == answer.content
    times = [at for at, _ in second.response.body.chunks]
    assert times == sorted(times) and len(times) > 5
    assert {"connecting", "connected", "tls"} <= first.timings.keys()
    assert record.plan == [{"target": "anthropic/claude-x"}]
    assert record.end["status"] == 200 and record.end["attempts"] == 2 and record.end["usage"]
    assert record.end["t"] < 1.0 + times[-1]
    assert b"planted" not in written(detour) and OWN.encode() not in written(detour)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format", SHAPES)
def test_every_format_is_recorded_as_the_client_got_it(house, format, stream):
    detour, _, _ = house()
    path, headers, body = SHAPES[format].request("model-x", stream=stream, key=OWN)
    host = {"anthropic": "api.anthropic.com", "gemini": "generativelanguage.googleapis.com"}.get(
        format, "api.openai.com"
    )
    with detour.client() as client:
        answer = client.post(f"https://{host}{path}", headers=headers, json=body)
    [record] = records(detour, 1)
    assert (record.opening.format, record.opening.model, record.opening.stream) == (format, "model-x", stream)
    assert record.client.response.body.data == answer.content
    assert record.attempts[0].request.url.startswith("https://localhost:")
    fired = {"chat-include-usage"} if (format, stream) == ("openai-chat", True) else set()
    assert set(record.end.get("reasons") or ()) == fired


def test_an_answer_of_detours_own_is_recorded(house):
    detour, fake, _ = house()
    for key in (KEY_A, KEY_B):
        fake.script.add(Fault.status(500), key=key)
    _, headers, body = SHAPES["anthropic"].request("claude-x")
    with detour.client() as client:
        answer = client.post(MESSAGES, headers=headers, json=body)
    [record] = records(detour, 1)
    assert answer.status_code >= 500
    assert (record.status, record.client.response.body.data) == (answer.status_code, answer.content)
    assert [hop.response.status for hop in record.attempts] == [500, 500]


def test_what_passes_through_is_recorded_and_stays_as_it_is(house):
    detour, _, own = house()
    with detour.client() as client:
        answer = client.post(
            f"https://localhost:{own.port}/api/telemetry?session_key=planted-query",
            json={"event": 1, "password": "planted"},
        )
    [record] = records(detour, 1)
    assert (record.opening.provider, record.opening.operation) == ("own", None)
    assert json.loads(record.client.request.body.data)["event"] == 1
    assert record.client.response.status == answer.status_code
    assert record.client.response.body.data == answer.content
    assert record.attempts == [] and record.end["status"] == answer.status_code
    assert own.record.requests[-1].document == {"event": 1, "password": "planted"}
    assert b"planted" not in written(detour)


def test_a_host_that_is_named_is_recorded_although_nobody_routes_it(start, fakes):
    other = fakes.start("other")
    detour = start(capture={"mode": "all", "hosts": ["localhost"]})
    with detour.client() as client:
        answer = client.post(
            f"https://localhost:{other.port}/v1/messages", json={"model": "m"}, headers={"x-api-key": OWN}
        )
    [record] = records(detour, 1)
    assert (record.opening.provider, record.opening.operation) == (None, None)
    assert record.client.response.body.data == answer.content
    assert other.record.requests[-1].header("x-api-key") == OWN
    assert OWN.encode() not in written(detour)


def test_websocket_messages_are_recorded(house):
    detour, _, _ = house()
    url = "wss://api.openai.com/v1/responses"
    secret = {
        "type": "response.create",
        "model": "gpt-x",
        "input": "hi",
        "metadata": {"client_secret": "planted"},
    }
    with connect(
        url,
        ssl=for_threads(detour.tls()),
        proxy=detour.proxy_url,
        additional_headers={"Authorization": f"Bearer {OWN}"},
    ) as socket:
        socket.send(json.dumps(secret))
        got = [json.loads(socket.recv(timeout=60))]
        while got[-1]["type"] != "response.completed":
            got.append(json.loads(socket.recv(timeout=60)))
    [record] = records(detour, 1)
    assert record.opening.websocket and record.client.response.status == 101
    sent, *received = record.frames
    assert sent.from_client and json.loads(sent.data)["input"] == "hi"
    assert [json.loads(f.data) for f in received] == got and not any(f.from_client for f in received)
    assert record.attempts[0].about["credential"] == "o"
    assert b"planted" not in written(detour) and OWN.encode() not in written(detour)


@pytest.mark.parametrize("status", [200, 400, 429])
def test_errors_only_keeps_exchanges_in_which_something_failed(house, status):
    detour, fake, _ = house(mode="errors")
    if status != 200:
        fake.script.add(Fault.status(status), key=KEY_A, model="claude-x")
    _, headers, body = SHAPES["anthropic"].request("claude-x")
    with detour.client() as client:
        answer = client.post(MESSAGES, headers=headers, json=body)
        assert answer.status_code == (400 if status == 400 else 200)
        client.post(MESSAGES, headers=headers, json={**body, "model": "claude-y"})
    kept = records(detour, 0 if status == 200 else 1)
    detour.process.send_signal(signal.SIGTERM)
    detour.process.wait(PATIENCE)
    assert [r.opening.model for r in records(detour, len(kept))] == ([] if status == 200 else ["claude-x"])
    assert not list((detour.folder / "data" / "captures").rglob(".spool/*/*"))


def test_no_secret_is_written_whatever_its_place(house):
    """Header, cookie, query, body, error, stream, WebSocket, OAuth form, and answers to all of them."""
    detour, fake, own = house(redact=["project-falcon"])
    echo = json.dumps(
        {"error": {"message": f"Incorrect API key {KEY_A}, not {OWN}; mail some.body@example.org"}}
    ).encode()
    fake.script.add(Fault.raw_answer(400, "application/json", echo[:40], echo[40:]), model="claude-error")
    split = f'data: {{"text":"{KEY_A}"}}\n\n'.encode()
    own.pages["POST", "/oauth/token"] = _page(
        b'{"access_token":"planted-token","refresh_token":"planted-token-2"}'
    )
    own.pages["POST", "/api/echo"] = _page(
        b'{"id_token":"planted-id","cookie":"a=planted"}', [("set-cookie", "sid=planted-cookie")]
    )
    own.pages["GET", "/api/stream"] = _page(split, [("content-type", "text/event-stream")])
    _, headers, body = SHAPES["anthropic"].request("claude-error", key=OWN)
    with detour.client(cookies={"session": "planted-cookie-value"}) as client:
        client.post(
            f"{MESSAGES}?key=planted-query",
            headers=headers,
            json={
                **body,
                "metadata": {"user_id": "planted-user"},
                "system": "project-falcon planted_is_a_word",
            },
        )
        host = f"https://localhost:{own.port}"
        form = {
            "grant_type": "refresh_token",
            "refresh_token": "planted-form",
            "client_secret": "planted/secret",
            "code": "planted-code",
        }
        client.post(f"{host}/oauth/token", data=form, headers={"authorization": "Basic cGxhbnRlZDpwbGFudGVk"})
        client.post(
            f"{host}/api/echo",
            json={"api_key": "planted-json", "nested": json.dumps({"password": "planted-nested"})},
            headers={"x-session-token": "planted-header"},
        )
        client.get(f"{host}/api/stream?access_token=planted-access#planted")
    found = records(detour, 4)
    assert len(found) == 4
    data = written(detour).replace(b"planted_is_a_word", b"")
    assert b"redacted-secret-" in data and b"redacted-cookie-" in data
    for secret in (b"planted", b"cGxhbnRlZ", KEY_A.encode(), OWN.encode(), b"some.body", b"project-falcon"):
        place = data.find(secret)
        assert place < 0, data[max(0, place - 200) : place + 100]


def _page(body: bytes, headers=()):
    from detour.fakes.call import Reply

    names = {name.lower() for name, _ in headers}
    kind = [] if "content-type" in names else [("Content-Type", "application/json")]
    return Reply(200, (*kind, *headers), (body,))


def test_a_record_played_back_gives_the_recorded_answer_byte_for_byte(house, start, fakes, tmp_path):
    detour, _, _ = house()
    _, headers, body = SHAPES["anthropic"].request("claude-x", stream=True)
    with detour.client() as client:
        client.post(MESSAGES, headers=headers, json=body)
    [record] = records(detour, 1)
    detour.__exit__()

    played: dict = {}
    exec(compile(pytest_file(record.upstream, "KEY", "played"), "played.py", "exec"), played)
    server = ThreadingHTTPServer(("127.0.0.1", 0), played["Replay"])
    server.requests = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        (tmp_path / "again").mkdir()
        config = json.loads(detour.config.read_text())
        config["providers"]["anthropic"]["base_url"] = f"http://127.0.0.1:{server.server_port}"
        config["data_dir"] = str(tmp_path / "again" / "data")
        with (
            Detour(config, tmp_path / "again", {"KEY_A": KEY_A, "KEY_B": KEY_B, "KEY_O": "sk-o"}) as again,
            again.client() as client,
        ):
            request = record.client.request
            answer = client.post(MESSAGES, headers=headers, content=request.body.data)
            [second] = records(again, 1)
    finally:
        server.shutdown()
        server.server_close()
    assert answer.content == record.client.response.body.data
    assert second.client.response.body.data == record.client.response.body.data
    assert second.attempts[0].response.body.data == record.upstream.response.body.data


def test_a_stream_survives_the_death_of_the_proxy(house):
    detour, fake, _ = house()
    fake.script.add(Fault.gate("held", after=3), model="claude-held")
    _, headers, body = SHAPES["anthropic"].request("claude-held", stream=True)
    with detour.client() as client, client.stream("POST", MESSAGES, headers=headers, json=body) as answer:
        got = b""
        for piece in answer.iter_raw():
            got += piece
            if got.count(b"content_block_delta") >= 3 * 2:
                break
        time.sleep(1.0)
        os.kill(detour.process.pid, signal.SIGKILL)
        detour.process.wait()
        detour.proxy = ""  # it did not end as it was told to
    fake.open("held")
    [record] = records(detour, 1, finished=False)
    deadline = time.monotonic() + PATIENCE
    while not (record.client.response and got in record.client.response.body.data):
        assert time.monotonic() < deadline, record.client.response
        time.sleep(0.05)
        [record] = records(detour, 1, finished=False)
    assert record.end is None


def test_a_hundred_streams_at_once_are_recorded_apart(house):
    detour, _, _ = house()

    def ask(number: int) -> tuple[str, bytes]:
        _, headers, body = SHAPES["anthropic"].request(f"claude-{number}", stream=True)
        with detour.client() as client:
            return f"claude-{number}", client.post(MESSAGES, headers=headers, json=body).content

    with ThreadPoolExecutor(20) as pool:
        answers = dict(pool.map(ask, range(100)))
    for record in records(detour, 100):
        assert record.client.response.body.data == answers[record.opening.model]
        assert record.problems == []


def test_the_sdks_are_recorded_with_their_names(house):
    detour, _, _ = house()
    options = {"ca": detour.tls(), "proxy": detour.proxy_url}
    message = {"role": "user", "content": "hi"}
    with anthropic_sdk(**options).messages.stream(
        model="claude-x", max_tokens=9, messages=[message]
    ) as stream:
        text = stream.get_final_text()
    list(openai_sdk(**options).chat.completions.create(model="gpt-x", messages=[message], stream=True))
    google = google_sdk(**options)
    google.models.generate_content(model="gemini-x", contents="hi")
    tools = {r.opening.tool: r for r in records(detour, 3)}
    assert set(tools) == {"anthropic-sdk", "openai-sdk", "google-genai-sdk"}

    def show(tool: str) -> str:
        command = ["capture", "show", tools[tool].id, "--config", str(detour.config)]
        shown = subprocess.run(
            [sys.executable, "-m", "detour", *command],
            env=detour.env,
            capture_output=True,
            text=True,
            cwd=detour.folder,
        )
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    shown = show("anthropic-sdk")
    assert text in shown and "timeline:" in shown
    # What was rewritten, and why.
    assert "rule       chat-include-usage: Without it a stream says nothing about tokens." in show(
        "openai-sdk"
    )


ASKS = """
import os, sys, httpx
with httpx.Client(proxy=os.environ["HTTPS_PROXY"], verify=os.environ["SSL_CERT_FILE"], trust_env=False) as client:
    for url in sys.argv[1:]:
        try:
            client.post(url, json={"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}, headers={"authorization": "Bearer planted"})
        except httpx.HTTPError as error:
            print(type(error).__name__)
for stream in (sys.stdout, sys.stderr):
    stream.write("no end of a line")
sys.exit(7)
"""


def capture_run(
    detour: Detour, *options: str, urls: list[str], script: str = ASKS
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "detour", "capture", "run", "--config", str(detour.config), *options]
    return subprocess.run(
        [*command, "--", sys.executable, "-c", script, *urls],
        env=detour.env,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_capture_run_says_what_a_command_talked_to(start, fakes):
    fake = fakes.start("openai")
    detour = start(
        {"KEY_O": "sk-o"},
        providers={"openai": {"base_url": fake.base_url("openai-chat")}},
        credentials=[{"id": "o", "provider": "openai", "api_key": "env:KEY_O"}],
    )
    urls = [
        "https://api.openai.com/v1/chat/completions",
        f"https://localhost:{fake.port}/v2/chat/completions",
    ]
    done = capture_run(detour, "--host", "localhost", urls=urls)
    assert done.returncode == 7, done.stderr
    assert "api.openai.com" in done.stderr and "openai-chat/generate" in done.stderr and "m-1" in done.stderr
    assert "Unknown provider: localhost speaks openai-chat" in done.stderr
    assert f"base_url: https://localhost:{fake.port}/v2" in done.stderr
    assert b"planted" not in written(detour)
    assert "no end of a line" in done.stderr.splitlines()

    done = capture_run(detour, "--json", urls=urls)
    assert "no end of a line" in done.stdout.splitlines()
    report = json.loads(done.stdout.partition("{")[1] + done.stdout.partition("{")[2])
    assert [h["host"] for h in report["hosts"]] == ["api.openai.com"]
    assert report["tunnelled"] == [{"host": "localhost", "likely": False}]
    assert report["exit_code"] == 7 and report["unknown_providers"] == []


def test_a_providers_captures_have_a_folder_of_their_own(house, tmp_path):
    detour, _, _ = house(mode="all", dirs={"anthropic": str(tmp_path / "claude")})
    path, headers, body = SHAPES["anthropic"].request("claude-own-folder")
    url = detour.gateway_url + path
    assert httpx.post(url, headers=headers, json=body, timeout=PATIENCE, trust_env=False).status_code == 200
    _, headers, body = SHAPES["openai-chat"].request("gpt-5.1")
    url = detour.gateway_url + "/openai/v1/chat/completions"
    assert httpx.post(url, headers=headers, json=body, timeout=PATIENCE, trust_env=False).status_code == 200
    deadline = time.monotonic() + PATIENCE
    while len(own := paths(Folders(tmp_path / "claude"))) != 1:  # a record is moved there after its end
        assert time.monotonic() < deadline
    [record] = records(detour, 1)
    assert record.end and record.end["provider"] == "openai"
    assert read(own[0]).opening.model == "claude-own-folder"
    listed = json.loads(capture(detour, "list", "--json").stdout)
    assert {entry["model"] for entry in listed} == {"claude-own-folder", "gpt-5.1"}


RELOADS = """
import os, pathlib, sys, time, httpx
config, log, *urls = sys.argv[1:]
said = lambda: pathlib.Path(log).read_text().count("the configuration was read again")
before = said()
with httpx.Client(proxy=os.environ["HTTPS_PROXY"], verify=os.environ["SSL_CERT_FILE"], trust_env=False) as client:
    pathlib.Path(config).write_text(pathlib.Path(config).read_text() + " ")
    while said() == before:
        time.sleep(0.05)
    for url in urls:
        client.post(url, json={"model": "m-1", "messages": [{"role": "user", "content": "hi"}]})
"""


def test_capture_run_records_on_when_the_configuration_changes(start, fakes):
    fake = fakes.start("openai")
    detour = start(
        {"KEY_O": "sk-o"},
        providers={"openai": {"base_url": fake.base_url("openai-chat")}},
        credentials=[{"id": "o", "provider": "openai", "api_key": "env:KEY_O"}],
        capture={"mode": "off"},
    )
    urls = [
        "https://api.openai.com/v1/chat/completions",
        f"https://localhost:{fake.port}/v2/chat/completions",
    ]
    log = str(detour.folder / "data" / "logs" / "exec.log")
    arguments = [str(detour.config), log, *urls]
    done = capture_run(detour, "--host", "localhost", "--json", urls=arguments, script=RELOADS)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {h["host"] for h in report["hosts"]} == {"api.openai.com", "localhost"}, report
    assert report["tunnelled"] == []
    assert len(report["unknown_providers"]) == 1


def capture(detour: Detour, *arguments: str) -> subprocess.CompletedProcess[str]:
    return detour.command("capture", *arguments)


def test_the_mode_is_switched_while_it_runs(house):
    detour, _, _ = house(mode="off")

    def ask(model: str) -> None:
        _, headers, body = SHAPES["anthropic"].request(model)
        with detour.client() as client:
            client.post(MESSAGES, headers=headers, json=body)

    ask("claude-before")
    assert capture(detour, "mode").stdout == "off\n"
    assert capture(detour, "mode", "all").stdout == "all\n"
    ask("claude-while")
    assert capture(detour, "mode", "off").returncode == 0
    ask("claude-after")
    [record] = records(detour, 1)
    assert record.opening.model == "claude-while"
    deadline = time.monotonic() + PATIENCE
    while json.loads(capture(detour, "mode", "--json").stdout)["counters"]["recorded"] != 1:
        assert time.monotonic() < deadline, "nobody asks the writer, since nothing is recorded any more"
    assert "no mode 'some'" in capture(detour, "mode", "some").stderr
