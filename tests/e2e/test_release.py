"""What a request needed is freed with its end: nothing of it waits for the collector, or for a time to pass."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.instance import ROOT, TIMEOUT, base_config
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
    print(json.dumps(collections.Counter(type(found).__name__ for found in gc.get_objects())), flush=True)

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


@pytest.mark.parametrize("mode", ["off", "all"], ids=["not recorded", "recorded"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_nothing_of_a_request_is_left(
    fakes: FakeThread, ca_bundle: Path, tmp_path: Path, stream: bool, mode: str
) -> None:
    fake = fakes.start("released")
    config = base_config(ca_bundle) | {
        "data_dir": str(tmp_path / "data"),
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "one", "provider": "anthropic", "api_key": "secret-one"}],
        "capture": {"mode": mode},
    }
    (tmp_path / "detour.yaml").write_text(json.dumps(config))
    process = subprocess.Popen(
        # As it is served: without the checks of types, whose exceptions refer to themselves.
        [sys.executable, "-O", "-c", PROGRAM, str(tmp_path / "detour.yaml")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        ready = process.stdout.readline()
        gateway = re.search(r"gateway=(\S+)", ready)
        assert gateway, ready
        path, headers, body = SHAPES["anthropic"].request("claude-sonnet-4-5-20250929", stream=stream)
        with httpx.Client(base_url=f"http://{gateway[1]}", trust_env=False, timeout=TIMEOUT) as client:
            client.post(path, headers=headers, json=body).raise_for_status()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "watching\n"
            for _ in range(REQUESTS):
                client.post(path, headers=headers, json=body).raise_for_status()
            process.stdin.write("\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=40)
    # The last one may not be over yet when the collector is asked.
    assert {name: count for name, count in found.items() if name in OF_A_REQUEST and count > 1} == {}
