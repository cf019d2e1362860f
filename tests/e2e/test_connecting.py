"""Connections to upstreams that come to nothing in ways in which mitmproxy expects none to."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.instance import TIMEOUT, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

# Runs the command that follows it. Once in thousands of times a peer that resets right after it has accepted does so
# between the end of `connect` and the question for the peer's name; here every connection to one port looks so.
RESET_BEFORE_ASKED = """
import asyncio, os, runpy, sys

connect = asyncio.open_connection

async def reset_before_asked(host, port, **options):
    reader, writer = await connect(host, port, **options)
    if str(port) == os.environ["RESETTING"]:
        known = writer.get_extra_info
        writer.get_extra_info = lambda name, default=None: default if name == "peername" else known(name, default)
    return reader, writer

asyncio.open_connection = reset_before_asked
sys.argv = sys.argv[3:]  # without: python -m detour
runpy.run_module("detour", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(params=["", "asserting"], ids=["as served", "asserting"])
def detour(
    request: pytest.FixtureRequest, fakes: FakeThread, ca_bundle: Path, tmp_path: Path
) -> Iterator[Detour]:
    resetting, serving = fakes.start("resetting", listener="mute"), fakes.start("serving")
    config = base_config(ca_bundle)
    for name, first in (("one", "unreachable"), ("both", "reached")):
        config["providers"][name] = {"extends": "anthropic-compatible", "hosts": [f"{name}.test"]}
        config["providers"][name]["base_url"] = serving.base_url("anthropic")
        config["credentials"].append(
            {"id": f"{name}-{first}", "provider": name, "api_key": f"secret-{name}-1", "priority": 9}
            | {"base_url": resetting.base_url("anthropic")}
        )
    config["credentials"].append({"id": "both-good", "provider": "both", "api_key": "secret-both-2"})
    env = {"RESETTING": f"{resetting.port}"} | ({"DETOUR_DEBUG": request.param} if request.param else {})
    with Detour(config, tmp_path, env, within=[sys.executable, "-c", RESET_BEFORE_ASKED]) as running:
        yield running


def ask(client: httpx.Client, provider: str) -> httpx.Response:
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=True)
    return client.post(f"https://{provider}.test{path}", headers=headers, json=body)


def test_a_reset_that_leaves_no_name_of_the_peer_is_a_failed_attempt(detour: Detour) -> None:
    with detour.client() as client:
        for _ in range(2):
            assert ask(client, "both").status_code == 200
        answer = ask(client, "one")
    assert (answer.status_code, answer.headers["x-detour-error"]) == (502, "upstream_unreachable")
    assert "connection reset by peer" in answer.json()["error"]["message"]


def test_clients_that_reset_at_once_leave_nothing_behind(ca_bundle: Path, tmp_path: Path) -> None:
    with Detour(base_config(ca_bundle), tmp_path) as running:
        address, port = running.proxy.split(":")
        for _ in range(200):
            sock = socket.create_connection((address, int(port)), timeout=TIMEOUT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        # Its end finds no crash in the log.
        assert (
            httpx.get(f"http://{running.admin}/healthz", trust_env=False, timeout=TIMEOUT).status_code == 200
        )
