"""Real command-line tools, recorded by ``detour capture run``, when they are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from router_core.capture.folder import Folders, paths
from router_core.capture.reader import read
from tests.e2e.instance import Detour
from tests.upstream import FakeThread

TIME_LIMIT = 90.0
KEY = "sk-ant-api03-of-the-pool-Planted"
TOOLS = {
    # name: (arguments, provider that it asks, variables of its own)
    "claude": (
        ["-p", "Say hello.", "--model", "claude-sonnet-4-5"],
        "anthropic",
        {
            "ANTHROPIC_API_KEY": "sk-ant-api03-of-the-tool-Planted",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    ),
    "codex": (
        ["exec", "--skip-git-repo-check", "--sandbox", "read-only", "Say hello."],
        "openai",
        {"OPENAI_API_KEY": "sk-of-the-tool-Planted-00", "CODEX_API_KEY": "sk-of-the-tool-Planted-00"},
    ),
}


@pytest.mark.tool
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_recorded_and_its_conversation_read(
    name: str, start: Callable[..., Detour], fakes: FakeThread
):
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    arguments, provider, variables = TOOLS[name]
    fake = fakes.start(provider)
    format = {"anthropic": "anthropic", "openai": "openai-chat"}[provider]
    detour = start(
        {"POOL_KEY": KEY},
        providers={provider: {"base_url": fake.base_url(format)}},
        credentials=[{"id": "pool", "provider": provider, "api_key": "env:POOL_KEY"}],
        upstream={"first_byte_timeout": "30s", "idle_timeout": "30s"},
    )
    command = [
        sys.executable,
        "-m",
        "detour",
        "capture",
        "run",
        "--json",
        "--config",
        str(detour.config),
        "--",
    ]
    done = subprocess.run(
        [*command, program, *arguments],
        env={**detour.env, **variables},
        capture_output=True,
        text=True,
        cwd=detour.folder,
        stdin=subprocess.DEVNULL,
        timeout=TIME_LIMIT,
    )
    report = json.loads(done.stdout[done.stdout.index('{\n  "command"') :])
    hosts = {host["provider"]: host for host in report["hosts"]}
    assert provider in hosts, (done.stdout, done.stderr)
    assert any(surface.endswith("/generate") for surface in hosts[provider]["surfaces"])
    found = [read(path) for path in paths(Folders(detour.folder / "data" / "captures"))]
    asked = [r for r in found if r.opening.operation == "generate"]
    assert asked and all(r.attempts for r in asked)
    assert {r.opening.tool for r in asked} == {"claude-code" if name == "claude" else name}
    assert any(
        b"Say hello." in r.client.request.body.data or any(b"Say hello." in f.data for f in r.frames)
        for r in asked
    )
    assert b"Planted" not in b"".join(
        p.read_bytes() for p in paths(Folders(detour.folder / "data" / "captures"))
    )
