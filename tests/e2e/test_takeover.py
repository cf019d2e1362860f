"""Sockets that outlive a process: one instance takes another's place, or the service manager keeps them open."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e import forked
from tests.e2e.instance import LEDGER, ROOT, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread


@pytest.fixture
def config(fakes: FakeThread, ca_bundle: Path, tmp_path: Path) -> dict:
    fake = fakes.start("behind")
    config = base_config(ca_bundle) | {"data_dir": str(tmp_path / "data"), "usage": LEDGER}
    config["listen"] |= {"drain": "60s"}
    config["upstream"] |= {"connect_timeout": "30s", "first_byte_timeout": "60s"}
    config["providers"] = {"anthropic": {"base_url": fake.base_url("anthropic")}}
    config["credentials"] = [{"id": "a", "provider": "anthropic", "api_key": "secret"}]
    return config


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@contextmanager
def load(detour: Detour, threads: int = 4) -> Iterator[Counter]:
    """Short requests, each on a connection of its own, through the gateway and through the proxy; what came of them."""
    over, results = threading.Event(), Counter()
    path, headers, body = SHAPES["anthropic"].request("claude-x")
    ways = [
        {"url": detour.gateway_url + path},
        {"url": f"https://api.anthropic.com{path}", "proxy": detour.proxy_url, "verify": detour.tls()},
    ]

    def ask(way: dict) -> None:
        while not over.is_set():
            try:
                answer = httpx.post(headers=headers, json=body, trust_env=False, timeout=60, **way)
                results[answer.status_code] += 1
            except httpx.HTTPError as error:
                results[repr(error)] += 1

    crowd = [threading.Thread(target=ask, args=(ways[n % 2],)) for n in range(threads)]
    for thread in crowd:
        thread.start()
    try:
        yield results
    finally:
        over.set()
        for thread in crowd:
            thread.join()


def test_an_instance_takes_the_place_of_another_and_no_request_fails(config: dict, tmp_path: Path) -> None:
    with ExitStack() as instances:
        old = instances.enter_context(Detour(config, tmp_path))
        for name in ("proxy", "gateway", "admin"):
            config["listen"][name] = getattr(old, name)
        with load(old) as results:
            # One that has taken a place gives it to the next.
            for name in ("newer", "newest"):
                new = Detour(config, folder(tmp_path / name), options=["--replace"])
                instances.enter_context(new)
                assert (new.proxy, new.gateway, new.admin) == (old.proxy, old.gateway, old.admin)
                assert old.process.wait(60) == 0
                before = results[200]
                while results[200] < before + 20 and set(results) == {200}:
                    time.sleep(0.05)
                assert json.loads((tmp_path / "data" / "runtime.json").read_text())["pid"] == new.process.pid
                assert "another instance serves now" in old.log.read_text()
                old = new
        assert set(results) == {200}


def run(config: dict, where: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A Detour that is not expected to serve."""
    path = where / "detour.yaml"
    path.write_text(json.dumps(config))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(where), "PYTHONPATH": str(ROOT), "E2E_0": "secret"}
    return forked.run(["run", "--config", str(path), *options], env, where)


def test_one_that_cannot_serve_leaves_the_running_one_as_it_is(config: dict, tmp_path: Path) -> None:
    with Detour(config, tmp_path) as old:
        config["credentials"] = []
        for name in ("proxy", "gateway", "admin"):
            config["listen"][name] = getattr(old, name)
        clash = run(config, tmp_path)
        assert clash.returncode == 1
        assert f"(pid {old.process.pid})" in clash.stderr and "detour run --replace" in clash.stderr

        keyless = config | {"access": {"keys": [{"name": "k", "key": "env:NOT_SET_ANYWHERE"}]}}
        failed = run(keyless, tmp_path, "--replace")
        assert failed.returncode == 1 and "NOT_SET_ANYWHERE" in failed.stderr
        assert httpx.get(f"{old.gateway_url}/healthz", trust_env=False).json() == {"status": "ok"}
    assert "did not come to serve" in old.log.read_text()


def test_only_an_instance_gives_its_port_away(config: dict, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        config["listen"]["gateway"] = f"127.0.0.1:{foreign.getsockname()[1]}"
        done = run(config, tmp_path, "--replace")
    assert done.returncode == 1 and f"(pid {os.getpid()})" in done.stderr


ACTIVATE = """
import os, sys
first, second = map(int, sys.argv[1:3])
for number, handle in ((13, first), (14, second)):
    os.dup2(handle, number)
os.dup2(13, 3), os.dup2(14, 4)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "detour.socket:gateway"}
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_sockets_of_the_service_manager_are_listened_on(config: dict, tmp_path: Path) -> None:
    """One is known by its address, the other by its name; clients wait in them before Detour runs."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as gateway:
        config["listen"]["proxy"] = f"127.0.0.1:{proxy.getsockname()[1]}"
        early = socket.create_connection(gateway.getsockname(), timeout=60)
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        handles = (proxy.fileno(), gateway.fileno())
        within = [sys.executable, "-c", ACTIVATE, *map(str, handles)]
        with Detour(config, tmp_path, within=within, inherited=handles) as detour:
            assert detour.gateway == f"127.0.0.1:{gateway.getsockname()[1]}"
            with early, early.makefile("rb") as answer:
                assert b'{"status":"ok"}' in answer.read()
            assert httpx.get(f"{detour.gateway_url}/healthz", trust_env=False).status_code == 200
