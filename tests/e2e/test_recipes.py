"""The commands of the recipes that ask the gateway, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.instance import TIMEOUT
from tests.upstream import FakeThread

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
GATEWAYS = ("http://127.0.0.1:8317", "https://detour.example.com")


def commands() -> list[str]:
    """Each `curl` of a shell block that goes to the gateway, with its continued lines."""
    blocks = [
        block
        for file in sorted(RECIPES.glob("*.md"))
        for block in re.findall(r"```sh\n(.*?)```", file.read_text(), re.DOTALL)
    ]
    found = [
        each for block in blocks for each in re.findall(r"^curl .*?\}'$", block, re.DOTALL | re.MULTILINE)
    ]
    return [each for each in found if any(gateway in each for gateway in GATEWAYS)]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_an_answer_as_the_recipes_say_it(start: Start, fakes: FakeThread) -> None:
    fake = fakes.start("recipes")
    chat = fake.base_url("openai-chat")
    detour = start(
        {"KEY": "secret-of-the-provider"},
        providers={
            "anthropic": {"base_url": fake.base_url("anthropic")},
            "openai": {"base_url": chat},
            "sometool": {"format": "openai-chat", "base_url": chat, "models": [{"id": "gpt-5.5"}]},
        },
        credentials=[
            {"id": name, "provider": name, "api_key": "env:KEY"}
            for name in ("anthropic", "openai", "sometool")
        ],
    )
    assert len(commands()) == 4
    for command in commands():
        for gateway in GATEWAYS:
            command = command.replace(gateway, detour.gateway_url)
        script = command.replace("curl ", "curl --silent --show-error --fail-with-body --noproxy '*' ", 1)
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        spoken = "".join(re.findall(r'"(?:text|content)": ?"([^"]*)"', done.stdout))
        assert spoken == fake.text, done.stdout
