"""Five minutes with a provider that nobody described: recorded, drafted, asked by curl, replayed, and routed to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e import forked
from tests.e2e.conftest import Start
from tests.e2e.instance import ROOT, TIMEOUT, Detour
from tests.upstream import FakeThread

KEY = "ck_0123456789.the-key-of-the-tool"

# A tool whose provider takes streams only and wants its key under two names.
TOOL = """
import os, sys, httpx
with httpx.Client(proxy=os.environ["HTTPS_PROXY"], verify=os.environ["SSL_CERT_FILE"], trust_env=False) as client:
    headers = {"authorization": f"Bearer {os.environ['TOOL_KEY']}", "x-api-key": os.environ["TOOL_KEY"]}
    body = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
    client.post(sys.argv[1], json=body, headers=headers).raise_for_status()
"""


def run(detour: Detour, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return forked.run(arguments, detour.env | env, ROOT)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_from_a_tool_that_nobody_knows_to_a_provider_that_serves_all_tools(
    start: Start, fakes: FakeThread
) -> None:
    fake = fakes.start("unknown")
    first = start()
    config = ["--config", str(first.config)]

    # What does it talk to, and how?
    url = f"https://localhost:{fake.port}/v1/chat/completions"
    tool = ["--", sys.executable, "-c", TOOL, url]
    done = run(first, "capture", "run", *config, "--host", "localhost", "--json", *tool, TOOL_KEY=KEY)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout[done.stdout.index("{") :])["unknown_providers"]
    draft = yaml.safe_load(found["draft"])
    assert (draft["format"], draft["base_url"]) == ("openai-chat", f"https://localhost:{fake.port}/v1")
    assert {carrier["header"] for carrier in draft["auth"]} == {"authorization", "x-api-key"}
    assert draft["models"] == [{"id": "gpt-5.5"}]

    # The same request by curl, its key from the environment.
    exported = run(first, "capture", "export", "last", *config)
    assert exported.returncode == 0 and KEY not in exported.stdout, exported.stderr
    [variable] = {word for word in _variables(exported.stdout) if word.endswith("API_KEY")}
    ca = first.folder.parent / "fake-ca.pem"
    fakes.ca.write(ca)
    curl = subprocess.run(
        ["sh", "-c", exported.stdout],
        env={"PATH": "/usr/bin:/bin", variable: KEY, "CURL_CA_BUNDLE": str(ca)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert curl.returncode == 0 and "[DONE]" in curl.stdout, curl.stderr
    asked, again = fake.record.requests[-2], fake.record.requests[-1]
    assert asked.document == again.document
    assert again.header("authorization") == f"Bearer {KEY}" and again.header("x-api-key") == KEY

    # The draft as it stands, and a credential for it.
    second = start(
        {"TOOL_KEY": KEY},
        providers={"newcomer": {k: v for k, v in draft.items() if k != "name"}},
        credentials=[{"id": "mine", "provider": "newcomer", "api_key": "env:TOOL_KEY"}],
    )
    config = ["--config", str(second.config)]
    assert run(second, "check", str(second.config)).returncode == 0
    replayed = run(second, "capture", "replay", "last", "--to", "mine", "--json", *config)
    assert replayed.returncode == 0, replayed.stderr
    [answer] = json.loads(replayed.stdout)
    assert (answer["status"], answer["changes"]) == (200, []), answer

    # Now every tool can use it, also one that does not stream.
    body: dict[str, Any] = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Say hello."}]}
    routed = httpx.post(
        f"{second.gateway_url}/v1/chat/completions", json=body, timeout=TIMEOUT, trust_env=False
    )
    assert routed.status_code == 200, routed.text
    assert routed.json()["choices"][0]["message"]["content"] == fake.text
    assert fake.record.requests[-1].header("x-api-key") == KEY


def _variables(script: str) -> set[str]:
    """The names behind a $ in a shell script."""
    return {
        piece.split("}")[0].lstrip("{").split('"')[0].split("'")[0].split(":")[0]
        for piece in script.split("$")[1:]
    }
