"""The real Codex, where it is installed: its WebSockets, and what it does when one ends or is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from detour.fakes import FakeUpstream, Fault
from tests.e2e.conftest import Start
from tests.e2e.instance import Detour
from tests.e2e.test_websocket_failover import LIMIT, says
from tests.upstream import FakeThread

CODEX = shutil.which("codex")
pytestmark = [
    pytest.mark.tool,
    pytest.mark.skipif(
        CODEX is None, reason="Codex is not installed; npm install -g @openai/codex brings it"
    ),
]

SETTINGS = """
model = "gpt-5.5"
model_provider = "detour"

[model_providers.detour]
name = "detour"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "CODEX_TEST_KEY"
supports_websockets = true
"""


@pytest.fixture
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start("codex")


def begin(start: Start, fake: FakeUpstream, **provider: object) -> Detour:
    return start(
        upstream={"first_byte_timeout": "30s", "idle_timeout": "30s", "connect_timeout": "20s"},
        providers={"codex": {"base_url": fake.base_url("openai-responses"), **provider}},
        credentials=[
            {"id": name, "provider": "codex", "api_key": f"secret-{name}", "priority": priority}
            for name, priority in (("first", 1), ("second", 0))
        ],
    )


def ask(detour: Detour, folder: Path) -> str:
    assert CODEX is not None
    home = folder / "codex"
    home.mkdir()
    (home / "config.toml").write_text(SETTINGS.format(url=detour.gateway_url))
    # Codex is a script of Node's.
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), "CODEX_TEST_KEY": "client"}
    command = [CODEX, "exec", "--skip-git-repo-check", "--sandbox", "read-only", "say hello"]
    done = subprocess.run(
        command, env=env, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(fake: FakeUpstream) -> list[tuple[str, str]]:
    return [(r.method, str(r.key).removeprefix("secret-")) for r in tuple(fake.record.requests)]


def test_a_session_that_is_used_up_goes_on_with_the_next_account(
    start: Start, fake: FakeUpstream, tmp_path: Path
) -> None:
    fake.script.add(says(LIMIT, after=0), key="secret-first")
    assert fake.text in ask(begin(start, fake), tmp_path)
    assert asked(fake) == [("GET", "first"), ("GET", "second")]


def test_without_websockets_upstream_it_goes_on_with_http(
    start: Start, fake: FakeUpstream, tmp_path: Path
) -> None:
    assert fake.text in ask(begin(start, fake, websocket=False), tmp_path)
    assert asked(fake) == [("POST", "first")]


def test_an_upstream_that_refuses_handshakes_is_asked_over_http(
    start: Start, fake: FakeUpstream, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        fake.script.add(Fault.status(426), key=f"secret-{name}", times=1)
    assert fake.text in ask(begin(start, fake), tmp_path)
    handshakes = [name for method, name in asked(fake) if method == "GET"]
    assert handshakes == ["first", "second"]
    assert asked(fake)[-1] == ("POST", "first")
