"""Commands that talk to a running instance, or to providers."""

from __future__ import annotations

import json
import re
import socket
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from detour.fakes import FakeUpstream, Fault
from tests.e2e.instance import Detour, base_config
from tests.upstream import FakeThread

MESSAGE = {"model": "claude-sonnet-4-5", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def upstream(fakes: FakeThread) -> Iterator[FakeUpstream]:
    fake = fakes.start("anthropic")
    yield fake
    fakes.stop(fake)


@pytest.fixture
def config(upstream: FakeUpstream, ca_bundle) -> dict[str, Any]:
    return base_config(ca_bundle) | {
        "providers": {"anthropic": {"base_url": upstream.base_url("anthropic")}},
        "credentials": [
            {"id": "one", "provider": "anthropic", "api_key": "env:KEY"},
            {"id": "unset", "provider": "anthropic", "api_key": "env:UNSET"},
        ],
    }


def rewrite(detour: Detour, config: dict[str, Any]) -> None:
    detour.config.write_text(json.dumps({"data_dir": str(detour.folder / "data"), **config}))


@pytest.fixture
def detour(config, tmp_path) -> Detour:
    return Detour(config, tmp_path, {"KEY": "the-configured-one"})


def test_cooldowns_are_shown_and_ended(detour, upstream):
    windows = [
        ("anthropic-ratelimit-unified-5h-utilization", "0.42"),
        ("anthropic-ratelimit-unified-5h-reset", str(int(time.time()) + 7200)),
    ]
    upstream.script.add(Fault.status(401, windows))
    with detour:
        with detour.client() as client:
            assert client.post("https://api.anthropic.com/v1/messages", json=MESSAGE).status_code == 401
        before = json.loads(detour.command("credentials", "--json").stdout)
        table = detour.command("credentials")
        reset = detour.command("credentials", "reset", "one")
        after = json.loads(detour.command("credentials", "list", "--json").stdout)
        unknown = detour.command("credentials", "reset", "nobody")

    assert [(entry["id"], entry["state"]) for entry in before] == [("one", "cooling"), ("unset", "inactive")]
    head, one, window, error, _ = table.stdout.splitlines()
    assert table.stderr == ""
    assert head.split() == ["ID", "PROVIDER", "STATE", "SINCE", "BACK", "IN", "PRIORITY", "WHY"]
    # Two seconds at most are added by chance, and minutes are rounded up.
    assert re.fullmatch(r"one +anthropic +cooling +\d+ s ago +3[01] min +0 +401 authentication_error", one)
    assert re.fullmatch(r" +window 5h +42% +\d+ (h|min).*", window)
    assert re.fullmatch(r" +last error +\d+ s ago +401 authentication_error", error)
    assert "one cools until" in detour.log.read_text()
    assert (reset.returncode, reset.stdout) == (0, "one is ready\n")
    assert after[0]["state"] == "ready"
    assert unknown.returncode == 1 and "nobody" in unknown.stderr


def test_each_credential_is_tried_against_its_provider(detour, upstream):
    tried = detour.command("credentials", "test", "one", "--json")

    (result,) = json.loads(tried.stdout)
    assert (result["id"], result["result"], result["status"]) == ("one", "ok", 200), tried.stdout
    (seen,) = upstream.record.requests
    assert (seen.method, seen.path) == ("GET", "/v1/models")
    assert dict(seen.headers)["x-api-key"] == "the-configured-one"


def test_a_credential_that_cannot_be_tried_is_1(detour):
    tried = detour.command("credentials", "test", "unset")

    assert tried.returncode == 1
    assert "environment variable UNSET is not set" in tried.stdout


def test_an_unreachable_provider_is_said(detour, config, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config["providers"]["anthropic"]["base_url"] = f"https://127.0.0.1:{closed.getsockname()[1]}"
        rewrite(detour, config)

        tried = detour.command("credentials", "test", "one")

    assert tried.returncode == 1 and "127.0.0.1 cannot be reached" in tried.stdout


def test_a_taken_port_is_said_with_its_holder(detour, config):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        listen = {"proxy": "127.0.0.1:0", "gateway": f"127.0.0.1:{port}", "admin": None}
        rewrite(detour, config | {"listen": listen})

        shown = detour.command("run")

    assert shown.returncode == 1 and shown.stdout == ""
    assert f"listen.gateway: cannot listen on 127.0.0.1:{port}: Address already in use" in shown.stderr
    assert "(pid " in shown.stderr or not sys.platform.startswith("linux")


def test_a_broken_configuration_serves_nothing(detour):
    detour.config.write_text("version: 1\nlisten: {proxi: 127.0.0.1:0}\nrouting: {max_attempts: many}\n")

    shown = detour.command("run")

    assert shown.returncode == 2 and shown.stdout == ""
    assert f"{detour.config}:2: " in shown.stderr and f"{detour.config}:3: " in shown.stderr


def test_an_instance_is_announced_while_it_runs(detour):
    file = detour.folder / "data" / "runtime.json"
    with detour:
        announced = json.loads(file.read_text())
        variables = json.loads(detour.command("env", "--json").stdout)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert announced["proxy"] == detour.proxy and announced["config"] == str(detour.config)
    assert variables["HTTPS_PROXY"] == f"http://{detour.proxy}"
    assert not file.exists()


def test_logs_are_json_lines_when_asked_for(detour, config):
    rewrite(detour, config | {"log": {"file": str(detour.folder / "logs" / "detour.log")}})
    with detour, detour.client() as client:
        client.post("https://api.anthropic.com/v1/messages", json=MESSAGE)

    lines = [json.loads(line) for line in (detour.folder / "logs" / "detour.log").read_text().splitlines()]
    (exchange,) = [line["exchange"] for line in lines if line["logger"] == "detour.exchange"]
    assert exchange["model"] == "claude-sonnet-4-5" and exchange["credential"] == "one"
    assert exchange["status"] == 200 and exchange["attempts"] == 1
    assert exchange["total_ms"] >= exchange["first_byte_ms"] >= 0
    assert exchange["tokens"]["input"] > 0
    assert "the-configured-one" not in (detour.folder / "logs" / "detour.log").read_text()
