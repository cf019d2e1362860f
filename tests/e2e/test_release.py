"""What a request needed is freed with its end: nothing of it waits for the collector, or for a time to pass."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.e2e.instance import LEDGER, ROOT, TIMEOUT, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

# Serves; at the first line on its input the collector begins to keep what it finds, at the second it is told what
# there is.
PROGRAM = """
import collections, gc, json, sys, threading
from pathlib import Path
from detour.launcher import serve

def watch():
    sys.stdin.readline()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    print("watching", flush=True)
    sys.stdin.readline()
    gc.collect()
    # What was found is kept too, so that it is among all that there is.
    print(json.dumps(collections.Counter(f"{type(found).__module__}.{type(found).__name__}" for found in gc.get_objects())), flush=True)

threading.Thread(target=watch, daemon=True).start()
sys.exit(serve(Path(sys.argv[1])))
"""
OF_A_REQUEST = {
    "HTTPFlow",
    "FailoverStream",
    "Call",
    "Exchange",
    "Plan",
    "Attempt",
    "Responder",
    "Request",
    "Witness",
}
REQUESTS = 10


OF_A_CONNECTION = {
    "FailoverLayer",
    "NextLayer",
    "ClientTLSLayer",
    "ServerTLSLayer",
    "BoundedHttp1Server",
    "PatientHttp1Client",
    "BodilessHttp2Server",
    "GracefulHttp2Client",
    "GracefulH2Connection",
}
CONNECTIONS = 5


class Watched:
    """A Detour that tells what is left of its objects. `ready` is its ready line."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        (folder / "detour.yaml").write_text(json.dumps(config))
        self._process = subprocess.Popen(
            # As it is served: without the checks of types, whose exceptions refer to themselves.
            [sys.executable, "-O", "-c", PROGRAM, str(folder / "detour.yaml")],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        self.ready = self._line()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=40)

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def _next(self) -> str:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def address(self, listener: str) -> str:
        found = re.search(rf"{listener}=(\S+)", self.ready)
        assert found, self.ready
        return f"http://{found[1]}"

    def watch(self) -> None:
        assert self._next() == "watching\n"

    def left(self) -> dict[str, int]:
        """How many there are of each type, with those that only the collector would have freed."""
        return json.loads(self._next())


def _of(type_: str, names: set[str]) -> bool:
    """Whether a type, which is told with its module because several have one name, has one of `names`."""
    return type_.rpartition(".")[2] in names


@pytest.fixture
def config(fakes: FakeThread, ca_bundle: Path, tmp_path: Path) -> dict[str, Any]:
    fake = fakes.start("released")
    return base_config(ca_bundle) | {
        "data_dir": str(tmp_path / "data"),
        "usage": LEDGER,
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "one", "provider": "anthropic", "api_key": "secret-one"}],
    }


@pytest.mark.parametrize("mode", ["off", "all"], ids=["not recorded", "recorded"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_nothing_of_a_request_is_left(
    config: dict[str, Any], tmp_path: Path, stream: bool, mode: str
) -> None:
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=stream)
    with (
        Watched({**config, "capture": {"mode": mode}}, tmp_path) as detour,
        httpx.Client(base_url=detour.address("gateway"), trust_env=False, timeout=TIMEOUT) as client,
    ):
        client.post(path, headers=headers, json=body).raise_for_status()
        detour.watch()
        for _ in range(REQUESTS):
            client.post(path, headers=headers, json=body).raise_for_status()
        found = detour.left()
    # The last one may not be over yet when the collector is asked.
    assert {name: count for name, count in found.items() if _of(name, OF_A_REQUEST) and count > 1} == {}


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
def test_nothing_of_a_connection_is_left(config: dict[str, Any], tmp_path: Path, http2: bool) -> None:
    path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=True)

    def ask(detour: Watched) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "data" / "ca" / "mitmproxy-ca-cert.pem"))
        proxy = detour.address("proxy")
        with httpx.Client(
            verify=context, proxy=proxy, http2=http2, trust_env=False, timeout=TIMEOUT
        ) as client:
            url = f"https://api.anthropic.com{path}"
            client.post(url, headers=headers, json=body).raise_for_status()

    with Watched(config, tmp_path) as detour:
        ask(detour)
        detour.watch()
        for _ in range(CONNECTIONS):
            ask(detour)
        found = detour.left()
    # Those of a client that has just gone may still be there; each has one in the tunnel and one before it.
    assert {name: count for name, count in found.items() if _of(name, OF_A_CONNECTION) and count > 3} == {}
