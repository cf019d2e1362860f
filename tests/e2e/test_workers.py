"""Two processes on the same ports: both serve, one may die, and what is said of them is true."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from router_core import processes
from router_core.attempts import BURST
from tests.e2e import test_refusals as refusing
from tests.e2e.instance import LEDGER, Detour, base_config
from tests.e2e.wire import SHAPES, address
from tests.upstream import FakeThread

STREAMS = 24


def eventually[T](look: Callable[[], T]) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Pair:
    """A Detour with two workers, and what its admin port says."""

    def __init__(self, detour: Detour, fake: FakeUpstream, log: Path) -> None:
        self.detour, self.fake, self.log = detour, fake, log
        self.asked = 0
        self._counting = threading.Lock()
        token = (detour.folder / "data" / "admin-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        self._admin = httpx.Client(
            base_url=f"http://{detour.admin}", headers=headers, trust_env=False, timeout=60
        )

    def get(self, path: str) -> Any:
        return self._admin.get(f"/api/v1/{path}").raise_for_status().json()

    def post(self, path: str) -> Any:
        return self._admin.post(f"/api/v1/{path}").raise_for_status().json()

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        text = self._admin.get("/metrics").text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    @property
    def pids(self) -> list[int]:
        return [worker["pid"] for worker in self.get("state")["workers"] if worker["ready"]]

    def live(self) -> AbstractContextManager[httpx.Response]:
        return self._admin.stream("GET", "/api/v1/exchanges/live")

    def ask(self, model: str = "claude-x") -> httpx.Response:
        with self._counting:
            self.asked += 1
        path, headers, body = SHAPES["anthropic"].request(model)
        return httpx.post(
            self.detour.gateway_url + path, headers=headers, json=body, trust_env=False, timeout=60
        )


@pytest.fixture(scope="module")
def pair(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    fake = fakes.start("crew")
    folder = tmp_path_factory.mktemp("crew")
    config = base_config(ca_bundle)
    config["listen"] |= {"workers": 2, "drain": "60s"}
    config["upstream"] |= {"connect_timeout": "30s", "first_byte_timeout": "60s", "idle_timeout": "60s"}
    config["providers"] = {"anthropic": {"base_url": fake.base_url("anthropic")}}
    config["credentials"] = [{"id": "a", "provider": "anthropic", "api_key": "secret"}]
    config["log"] = {"file": str(folder / "detour.log")}
    config["capture"], config["usage"] = {"mode": "all"}, LEDGER
    with Detour(config, folder) as detour:
        yield Pair(detour, fake, folder / "detour.log")


def held_streams(pair: Pair, gate: str) -> list[socket.socket]:
    """Streams that have begun and wait, each on a connection of its own; all connections are made at once."""
    pair.asked += STREAMS
    pair.fake.script.add(Fault.gate(gate), model=f"claude-{gate}")
    path, headers, body = SHAPES["anthropic"].request(f"claude-{gate}", stream=True)
    request = httpx.Request("POST", pair.detour.gateway_url + path, headers=headers, json=body)
    lines = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in request.headers.raw)
    sockets = [socket.create_connection(address(pair.detour.gateway), timeout=60) for _ in range(STREAMS)]
    for sock in sockets:
        sock.sendall(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + request.content)
    for sock in sockets:
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    return sockets


def worker_of(pair: Pair, sock: socket.socket) -> int:
    found = processes.client(address(pair.detour.gateway), sock.getsockname())
    assert found
    return found.pid


KEY = "key-of-the-laptop"


@pytest.fixture
def pair_with_keys(fakes: FakeThread, ca_bundle: Path, tmp_path: Path) -> Iterator[Detour]:
    fake = fakes.start("crew-with-keys")
    config = base_config(ca_bundle) | {
        "access": {"keys": [{"name": "laptop", "key": "env:CLIENT"}]},
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "a", "provider": "anthropic", "api_key": "secret"}],
    }
    config["listen"] |= {"workers": 2}
    with Detour(config, tmp_path, {"CLIENT": KEY}) as detour:
        yield detour
    fakes.stop(fake)


def worker_connections(detour: Detour) -> dict[int, list[HTTPConnection]]:
    """Connections to the gateway by the process that has accepted them; all workers have some."""
    found: dict[int, list[HTTPConnection]] = {}
    host, port = address(detour.gateway)

    def connect() -> bool:
        connection = HTTPConnection(host, port, timeout=60)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        client = processes.client((host, port), connection.sock.getsockname())
        assert client
        found.setdefault(client.pid, []).append(connection)
        return len(found) == 2

    eventually(connect)
    return found


def worker_that_serves(detour: Detour, pid: int) -> bool:
    """Once it has answered, it has also heard what it was told before."""
    return bool(eventually(lambda: pid in worker_connections(detour)))


def status_with_key(connection: HTTPConnection, key: str) -> int:
    path, headers, body = SHAPES["anthropic"].request("claude-x")
    connection.request("POST", path, json.dumps(body), headers | {"x-api-key": key})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_both_serve_and_are_shown_as_one(pair: Pair) -> None:
    assert [line.split()[:2] for line in pair.detour.output] == [["detour", "ready"]]
    assert "each of the 2 workers has cooldowns" in pair.detour.log.read_text()
    sockets = held_streams(pair, "together")
    assert {worker_of(pair, sock) for sock in sockets} == set(pair.pids)
    assert len(pair.pids) == 2 and pair.detour.process.pid not in pair.pids

    assert len(pair.get("exchanges")["running"]) == STREAMS
    assert pair.metric("detour_exchanges_running") == STREAMS
    assert pair.metric("detour_credential_in_flight") == STREAMS
    pair.fake.open("together")
    for sock in sockets:
        whole = b""
        while not whole.endswith(b"\r\n0\r\n\r\n"):
            whole += sock.recv(1 << 16)
        sock.close()
    eventually(lambda: pair.get("state")["exchanges"] == {"running": 0, "finished": STREAMS})
    assert pair.metric("detour_exchanges_total") == STREAMS
    eventually(lambda: (pair.get("usage")["total"] or {}).get("requests") == STREAMS)
    assert {e["result"] for e in pair.get("exchanges")["finished"]} == {"ok"}
    assert len(pair.get("exchanges")["finished"]) == STREAMS

    def logged() -> bool:
        lines = [json.loads(line) for line in pair.log.read_text().splitlines()]
        ids = [line["exchange"]["id"] for line in lines if "exchange" in line]
        return len(ids) == STREAMS == len(set(ids))

    eventually(logged)
    eventually(lambda: len({c["id"] for c in pair.get("captures?limit=1000")["captures"]}) == STREAMS)


def test_live_events_come_from_both(pair: Pair) -> None:
    with pair.live() as answer:
        lines = answer.iter_lines()
        while not next(lines).startswith("retry:"):
            pass
        # Workers begin to tell when somebody looks.
        begun: set[str] = set()
        over: set[str] = set()
        asked = 0
        while len(begun & over) < 4:
            assert pair.ask().status_code == 200
            asked += 1
            while len(over) < asked:
                line = next(lines)
                if line in ("event: started", "event: finished"):
                    id = json.loads(next(lines).removeprefix("data: "))["id"]
                    (begun if line.endswith("started") else over).add(id)


def test_ledgers_of_both_lose_nothing(pair: Pair) -> None:
    with ThreadPoolExecutor(16) as crowd:
        assert set(crowd.map(lambda _: pair.ask().status_code, range(100))) == {200}
    eventually(lambda: pair.get("usage")["total"]["requests"] == pair.asked)
    assert pair.get("state")["ledger"]["dropped"] == 0


def test_what_is_chosen_on_the_admin_port_holds_for_both(pair: Pair) -> None:
    assert pair.post("credentials/a/disable")["state"] == "disabled"
    try:
        assert {pair.ask().status_code for _ in range(8)} == {404}
    finally:
        assert pair.post("credentials/a/enable")["state"] == "ready"
    assert {pair.ask().status_code for _ in range(8)} == {200}


def test_one_that_dies_is_started_again_and_the_other_goes_on(pair: Pair) -> None:
    eventually(lambda: pair.get("state")["exchanges"]["finished"] == pair.asked)
    victim, other = pair.pids
    os.kill(victim, signal.SIGKILL)
    for _ in range(10):
        assert pair.ask().status_code == 200
    eventually(lambda: pair.get("state")["exchanges"]["finished"] == pair.asked)
    eventually(lambda: len(pair.pids) == 2)
    assert other in pair.pids and victim not in pair.pids
    assert "worker 1 ended with -9; it is started again" in pair.detour.log.read_text()
    assert pair.metric("detour_exchanges_total") == pair.asked


def test_hanging_up_reaches_both(pair: Pair) -> None:
    config = json.loads(pair.detour.config.read_text())
    config["models"] = {"fresh-name": {"targets": ["anthropic/claude-y"]}}
    pair.detour.config.write_text(json.dumps(config))
    pair.detour.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the configuration was read again" in pair.detour.log.read_text())
    assert {pair.ask("fresh-name").status_code for _ in range(8)} == {200}
    assert "fresh-name" in {model["id"] for model in pair.get("models")["models"]}


def test_they_end_together_when_what_is_under_way_is_done(pair: Pair) -> None:
    sockets = held_streams(pair, "last")
    pair.detour.process.send_signal(signal.SIGTERM)

    def refused() -> bool:
        try:
            socket.create_connection(address(pair.detour.gateway)).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused)
    pair.fake.open("last")
    for sock in sockets:
        with sock:
            whole = b""
            while piece := sock.recv(1 << 16):
                whole += piece
        assert b"message_stop" in whole
    assert pair.detour.process.wait(60) == 0
    assert " left" not in pair.detour.log.read_text()


def test_wrong_keys_count_in_both(pair_with_keys: Detour) -> None:
    here = worker_connections(pair_with_keys)
    (one, *_), (two, *_) = here.values()
    # Who has come in at one of them is known at the other.
    assert status_with_key(one, KEY) == 200
    assert [status_with_key(one, "wrong") for _ in range(BURST)] == [401] * BURST
    assert status_with_key(one, "wrong") == 429
    # The other one would otherwise take as many again; news take a moment.
    assert 429 in eventually(lambda: [s for _ in range(3) if (s := status_with_key(two, "wrong")) == 429])
    assert status_with_key(two, KEY) == 200


def test_a_client_that_refuses_is_let_through_by_both(
    ca_bundle: Path, fakes: FakeThread, tmp_path: Path
) -> None:
    origin = fakes.start("anthropic")
    config = base_config(ca_bundle) | refusing.config(origin, refusals=refusing.REFUSALS, tunnel_for="1h")
    config["listen"] |= {"workers": 2}
    try:
        with Detour(config, tmp_path) as detour:
            for number in range(1, refusing.REFUSALS + 1):
                refusing.by_closing(detour, origin.port, ca_bundle)
                eventually(lambda n=number: any(r["count"] == n for r in refusing.refusals(detour)))
            # Shown once, though both know of it.
            assert len(refusing.refusals(detour)) == 1
            eventually(lambda: "are tunnelled for 1h" in detour.log.read_text())
            for _ in range(8):
                assert "Detour fake providers" in refusing.by_closing(detour, origin.port, ca_bundle)
            # One that is started again is told by the other.
            pair = Pair(detour, origin, detour.log)
            victim, other = eventually(lambda: len(pair.pids) == 2 and pair.pids)
            os.kill(victim, signal.SIGKILL)
            (begun,) = eventually(lambda: len(pair.pids) == 2 and set(pair.pids) - {victim, other})
            assert worker_that_serves(detour, begun)
            for _ in range(8):
                assert "Detour fake providers" in refusing.by_closing(detour, origin.port, ca_bundle)
            assert [r["count"] for r in refusing.refusals(detour)] == [refusing.REFUSALS]
    finally:
        fakes.stop(origin)


def test_a_worker_that_cannot_serve_is_the_end_of_all(ca_bundle: Path, tmp_path: Path) -> None:
    config = base_config(ca_bundle) | {"access": {"keys": [{"name": "k", "key": "env:NOT_SET_ANYWHERE"}]}}
    config["listen"] |= {"workers": 2}
    with pytest.raises(RuntimeError, match="NOT_SET_ANYWHERE"), Detour(config, tmp_path):
        pass
    said = (tmp_path / "stderr.log").read_text()
    assert said.rstrip().endswith("a worker cannot serve") and "Traceback" not in said
