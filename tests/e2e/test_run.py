"""The process: what it says when it cannot serve, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import Fault
from tests.e2e import forked
from tests.e2e.conftest import Start
from tests.e2e.instance import LEDGER, ROOT, STOP, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread


def run(config: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """A Detour that is not expected to serve."""
    path = folder / "detour.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    return forked.run(["run", "--config", str(path)], env, folder)


@pytest.mark.parametrize("name", ["proxy", "gateway", "admin", "transparent"])
def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path, ca_bundle: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = base_config(ca_bundle) | {"data_dir": str(tmp_path / "data")}
        config["listen"][name] = f"127.0.0.1:{port}"
        config["transparent"] = {"local": False}
        done = run(config, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"listen.{name}" in done.stderr
    assert str(port) in done.stderr
    assert "python" in done.stderr or "pid" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_nothing_is_served_that_would_lead_detour_to_itself(tmp_path: Path, ca_bundle: Path) -> None:
    config = base_config(ca_bundle) | {"data_dir": str(tmp_path / "data")}
    config["listen"]["transparent"] = "127.0.0.1:8443"
    config["transparent"] = {"mark": None, "user": str(os.geteuid() + 1)}
    done = run(config, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run Detour as that user" in done.stderr


def test_every_mistake_of_a_configuration_at_once(tmp_path: Path) -> None:
    text = """version: 1
listen:
  proxi: 127.0.0.1:0
upstream:
  connect_timeout: 10
credentials:
  - {id: a, provider: nobody, api_key: env:X}
  - {id: a, provider: openai, api_key: env:X}
models:
  m: not-a-target
"""
    done = run(text, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    for line in (3, 5, 7, 8, 10):
        assert f"detour.yaml:{line}:" in done.stderr, f"line {line}\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["listen: [", "- a\n- b", "\x00", "version: 2", "{"], ids=repr)
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    done = run(text, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "detour.yaml:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_streams_open(start: Start, fakes: FakeThread, number: signal.Signals) -> None:
    fake = fakes.start("open")
    fake.script.add(Fault.stall_mid_stream())
    detour = start(
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "a", "provider": "anthropic", "api_key": "secret"}],
        upstream={"idle_timeout": "60s"},
    )
    path, headers, body = SHAPES["anthropic"].request("m", stream=True)
    with (
        detour.client() as client,
        client.stream("POST", f"https://api.anthropic.com{path}", headers=headers, json=body) as answer,
    ):
        next(answer.iter_raw())
        detour.process.send_signal(number)
        assert detour.process.wait(STOP) == 0
        assert fake.record.wait_for(lambda r: r.requests[0].state == "cancelled")


def test_it_keeps_its_authority_over_a_restart(ca_bundle: Path, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with Detour(base_config(ca_bundle), tmp_path) as detour:
            seen.append(detour.ca_file.read_bytes())
    assert seen[0] == seen[1]
    key = detour.ca_file.with_name("mitmproxy-ca.pem")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_listeners_can_be_left_out(start: Start, fakes: FakeThread) -> None:
    detour = start(listen={"admin": "127.0.0.1:0"})
    assert httpx.get(f"http://{detour.admin}/healthz", trust_env=False).status_code == 200
    assert detour.output[0].split()[:2] == ["detour", "ready"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it in the folder of another user")
def test_what_root_tries_out_can_be_a_services_afterwards(
    fakes: FakeThread, ca_bundle: Path, tmp_path: Path
) -> None:
    fake, service = fakes.start("tried-out"), 10001
    config = base_config(ca_bundle) | {"capture": {"mode": "all"}, "usage": LEDGER}
    config["providers"] = {"anthropic": {"base_url": fake.base_url("anthropic")}}
    config["credentials"] = [{"id": "a", "provider": "anthropic", "api_key": "secret"}]
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, service, service)
    path, headers, body = SHAPES["anthropic"].request("claude-x")
    with Detour(config, tmp_path) as detour:
        httpx.post(
            detour.gateway_url + path, headers=headers, json=body, trust_env=False, timeout=60
        ).raise_for_status()
    made = {str(file.relative_to(data)): file.stat().st_uid for file in data.rglob("*")}
    assert {"admin-token", "ca/mitmproxy-ca.pem", "capture-key", "ledger.db", "routing.json"} <= set(made)
    assert any(name.endswith(".jsonl") for name in made)
    assert {name: owner for name, owner in made.items() if owner != service} == {}
