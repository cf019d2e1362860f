"""The end of a process: what is under way comes to its end, nothing new begins, and signals are followed."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
from http.client import HTTPConnection

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from detour.fakes import FakeUpstream, Fault
from tests.e2e.conftest import Start
from tests.e2e.instance import LEDGER, Detour
from tests.e2e.wire import SHAPES, Http2Client, address, tunnel
from tests.upstream import FakeThread

TOLD = "finishing what is under way"


def anthropic(fake: FakeUpstream, **listen: str | int) -> dict:
    return {
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "a", "provider": "anthropic", "api_key": "secret"}],
        "upstream": {"first_byte_timeout": "60s", "idle_timeout": "60s"},
        "listen": listen,
    }


def ask_for_the_end(detour: Detour, number: signal.Signals = signal.SIGTERM) -> None:
    """Send the signal, and wait until it is followed."""
    detour.process.send_signal(number)
    while TOLD not in detour.log.read_text():
        assert detour.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            detour.process.wait(0.05)


def test_what_is_under_way_comes_to_its_end_and_nothing_new_begins(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("drained")
    fake.script.add(Fault.gate("rest"), model="claude-gated")
    detour = start(**anthropic(fake, drain="60s"), usage=LEDGER)
    path, headers, body = SHAPES["anthropic"].request("claude-gated", stream=True)
    gateway = httpx.Client(base_url=detour.gateway_url, trust_env=False, timeout=60)
    admin = httpx.Client(base_url=f"http://{detour.admin}", trust_env=False, timeout=60)
    idle = HTTPConnection(*address(detour.gateway), timeout=60)
    idle.request("GET", "/healthz")
    assert b"ok" in idle.getresponse().read()
    with (
        Http2Client(detour.proxy, "api.anthropic.com", detour.tls()) as http2,
        gateway.stream("POST", path, headers=headers, json=body) as answer,
    ):
        number = http2.send("POST", path, headers, json.dumps(body).encode())
        http2.until(lambda streams: b"text_delta" in streams[number].data)
        pieces = answer.iter_text()
        begun = next(pieces)

        ask_for_the_end(detour)

        assert idle.sock.recv(4096) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address(detour.gateway))
        assert admin.get("/healthz").json() == {"status": "draining"}
        assert admin.get("/readyz").status_code == 503
        health = detour.command("health")
        assert (health.returncode, health.stdout) == (1, "is ending\n")
        assert not http2.going_away
        fake.open("rest")
        assert (begun + "".join(pieces)).count("event: message_stop") == 1
        http2.until(lambda streams: streams[number].ended)
        assert b"message_stop" in http2.streams[number].data
        with pytest.raises(ConnectionError):
            http2.until(lambda _: False)
        assert http2.going_away
    assert detour.process.wait(20) == 0
    assert "cut" not in detour.log.read_text()


def test_an_answer_during_the_end_is_the_last_on_its_connection(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("last")
    fake.script.add(Fault.gate_before_head("head"))
    detour = start(**anthropic(fake, drain="60s"))
    path, headers, body = SHAPES["anthropic"].request("claude-m")
    request = httpx.Request("POST", detour.gateway_url + path, headers=headers, json=body)
    lines = [f"{name.decode()}: {value.decode()}" for name, value in request.headers.raw]
    with socket.create_connection(address(detour.gateway), timeout=60) as sock:
        sock.sendall("\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + request.content)
        assert fake.record.wait_for(lambda r: bool(r.requests))
        ask_for_the_end(detour)
        fake.open("head")
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert detour.process.wait(20) == 0


@pytest.mark.parametrize("limit", ["60s", "300ms"])
def test_what_does_not_end_is_cut_after_the_limit_or_by_a_second_signal(
    start: Start, fakes: FakeThread, limit: str
) -> None:
    fake = fakes.start("cut")
    fake.script.add(Fault.stall_mid_stream())
    detour = start(**anthropic(fake, drain=limit))
    path, headers, body = SHAPES["anthropic"].request("claude-m", stream=True)
    with httpx.stream(
        "POST", detour.gateway_url + path, headers=headers, json=body, trust_env=False
    ) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        ask_for_the_end(detour, signal.SIGINT)
        if limit == "60s":
            detour.process.send_signal(signal.SIGTERM)
        assert detour.process.wait(20) == 0
        assert fake.record.wait_for(lambda r: r.requests[0].state == "cancelled")
    assert (
        "ended with connections open" if limit == "60s" else "1 connections were"
    ) in detour.log.read_text()


def test_a_quiet_session_and_a_quiet_tunnel_are_closed(start: Start, fakes: FakeThread) -> None:
    """They are given ten seconds, since nobody knows what goes on in a tunnel."""
    fake, other = fakes.start("session"), fakes.start("origin")
    detour = start(
        providers={
            "session": {
                "format": "openai-responses",
                "base_url": fake.base_url("openai-responses"),
                "websocket": True,
            }
        },
        credentials=[{"id": "a", "provider": "session", "api_key": "secret"}],
        listen={"drain": "60s"},
    )
    url = f"{detour.gateway_url.replace('http', 'ws', 1)}/session/v1/responses"
    with (
        tunnel(detour.proxy, f"127.0.0.1:{other.port}") as raw,
        connect(url, proxy=None, additional_headers={"Authorization": "Bearer own"}) as session,
    ):
        session.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": "hello"}))
        while json.loads(session.recv(timeout=60))["type"] != "response.completed":
            pass
        detour.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            session.recv(timeout=50)
        assert closed.value.rcvd and closed.value.rcvd.code == 1001
        assert raw.recv(1) == b""
        assert detour.process.wait(20) == 0
    assert fake.record.wait_for(lambda r: r.requests[0].state == "answered")


class ServiceManager:
    """What systemd is to a service: a socket that the service tells things."""

    def __init__(self) -> None:
        self.name = f"detour-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.name}")
        self._socket.settimeout(20)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": f"@{self.name}", "WATCHDOG_USEC": "400000"}

    def hears(self, *, watchdog: bool = False) -> dict[str, str]:
        """The next message, of the watchdog's or of the others."""
        while True:
            said = dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())
            if ("WATCHDOG" in said) == watchdog:
                return said


def test_the_service_manager_hears_of_it_and_hanging_up_reads_the_configuration(start: Start) -> None:
    manager = ServiceManager()
    detour = start(manager.env, models={"first": {"targets": ["anthropic/claude-x"]}})

    def asked_for() -> set[str]:
        answer = httpx.get(f"{detour.gateway_url}/v1/models", trust_env=False, timeout=20)
        return {model["id"] for model in answer.json()["data"]}

    assert manager.hears() == {"READY": "1", "STATUS": "serving"}
    for _ in range(3):
        assert manager.hears(watchdog=True) == {"WATCHDOG": "1"}
    assert "first" in asked_for()

    good = detour.config.read_text()
    detour.config.write_text(good.replace('"first"', '"second"'))
    detour.process.send_signal(signal.SIGHUP)
    assert manager.hears()["RELOADING"] == "1"
    assert manager.hears() == {"READY": "1", "STATUS": "serving"}
    assert "second" in asked_for()

    detour.config.write_text(good.replace('"first": {', '"first": {"nonsense": 1, '))
    detour.process.send_signal(signal.SIGHUP)
    assert int(manager.hears()["MONOTONIC_USEC"]) > 0
    assert "mistakes" in manager.hears()["STATUS"]
    assert "second" in asked_for()

    detour.process.send_signal(signal.SIGTERM)
    assert detour.process.wait(20) == 0
    assert "nonsense" in detour.log.read_text()
