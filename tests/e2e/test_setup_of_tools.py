"""The real tools, where they are installed: what `detour setup` writes leads them to the gateway, and nothing else does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import Detour, base_config
from tests.upstream import FakeThread

pytestmark = pytest.mark.tool

CLAUDE, GPT, GEMINI = "claude-sonnet-4-5-20250929", "gpt-5.1", "gemini-2.5-pro"


@dataclass(frozen=True, slots=True)
class Tool:
    program: str
    package: str
    """npm's name."""
    ask: tuple[str, ...]
    model: str
    """That it asks for."""
    variables: tuple[tuple[str, str], ...] = ()


TOOLS = {
    "claude-code": Tool(
        "claude", "@anthropic-ai/claude-code", ("-p", "--model", CLAUDE, "say hello"), CLAUDE
    ),
    "codex": Tool("codex", "@openai/codex", ("exec", "--skip-git-repo-check", "-m", GPT, "say hello"), GPT),
    "gemini": Tool(
        "gemini",
        "@google/gemini-cli",
        ("--skip-trust", "-m", GEMINI, "-p", "say hello"),
        GEMINI,
    ),
    "opencode": Tool("opencode", "opencode-ai", ("run", "-m", f"anthropic/{CLAUDE}", "say hello"), CLAUDE),
    "droid": Tool(
        "droid",
        "droid",
        ("exec", "-m", f"custom:{CLAUDE}", "say hello"),
        CLAUDE,
        # It insists on an account's key before it asks anybody's model.
        (("FACTORY_API_KEY", "fk-not-a-real-one"),),
    ),
}
COPILOT = {
    "anthropic": ("", CLAUDE, "/v1/messages", {}),
    "openai": ("/v1", GPT, "/v1/chat/completions", {}),
    "responses": ("/v1", GPT, "/v1/responses", {"COPILOT_PROVIDER_WIRE_API": "responses"}),
}


@pytest.fixture(scope="module")
def upstream(fakes: FakeThread) -> Iterator[FakeUpstream]:
    fake = fakes.start("tools")
    yield fake
    fakes.stop(fake)


@pytest.fixture(scope="module")
def detour(
    upstream: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Detour]:
    config = base_config(ca_bundle)
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "60s", "idle_timeout": "60s"}
    formats = {"anthropic": "anthropic", "openai": "openai-chat", "gemini": "gemini"}
    config["providers"] = {name: {"base_url": upstream.base_url(format)} for name, format in formats.items()}
    config["credentials"] = [
        {"id": name, "provider": name, "api_key": f"secret-of-{name}"} for name in formats
    ]
    with Detour(config, tmp_path_factory.mktemp("tools")) as detour:
        # The settings name the address that the instance has.
        config["listen"]["gateway"] = detour.gateway
        detour.config.write_text(
            detour.config.read_text().replace('"gateway": "127.0.0.1:0"', f'"gateway": "{detour.gateway}"')
        )
        yield detour


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; npm install -g {package} brings it")
    return found


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", **variables}
    return subprocess.run(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )


@pytest.mark.parametrize("name", TOOLS)
def test_its_settings_lead_it_to_the_gateway(
    detour: Detour, upstream: FakeUpstream, tmp_path: Path, name: str
) -> None:
    tool = TOOLS[name]
    path = program(tool.program, tool.package)
    keys = {key: value for key, value in detour.env.items() if key.startswith(("E2E_", "PYTHON"))}
    setup = [sys.executable, "-m", "detour", "setup", name, "--config", str(detour.config)]
    written = run(tmp_path, *setup, "--yes", **keys)
    assert written.returncode == 0, written.stderr
    before = len(upstream.record.requests)

    done = run(tmp_path, path, *tool.ask, **dict(tool.variables))

    seen = [r for r in list(upstream.record.requests)[before:] if r.model == tool.model]
    assert seen, done.stdout[-2000:] + done.stderr[-2000:]
    assert {r.key for r in seen} <= {f"secret-of-{p}" for p in ("anthropic", "openai", "gemini")}
    assert upstream.text in done.stdout


@pytest.mark.parametrize("wire", COPILOT)
def test_copilot_is_led_there_by_its_variables(
    detour: Detour, upstream: FakeUpstream, tmp_path: Path, wire: str
) -> None:
    path = program("copilot", "@github/copilot")
    base, model, target, more = COPILOT[wire]
    before = len(upstream.record.requests)

    done = run(
        tmp_path,
        *(path, "-p", "say hello", "--allow-all-tools"),
        COPILOT_OFFLINE="true",
        COPILOT_PROVIDER_BASE_URL=detour.gateway_url + base,
        COPILOT_PROVIDER_TYPE="anthropic" if wire == "anthropic" else "openai",
        COPILOT_PROVIDER_API_KEY="detour",
        COPILOT_MODEL=model,
        **more,
    )

    assert [r.target for r in list(upstream.record.requests)[before:]] == [target], done.stderr
    assert upstream.text in done.stdout
