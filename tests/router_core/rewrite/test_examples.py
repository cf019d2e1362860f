"""The page's examples of `detour explain` fire the rules that it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from router_core.config.loader import parse
from router_core.core import Core
from router_core.exchange import Request
from router_core.explain import explain
from router_core.prepare import Outgoing

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| `(docs/examples/\S+ [^`]+)` \| (.*) \|$", re.MULTILINE)
EXAMPLES = ROW.findall((ROOT / "docs" / "rewrites.md").read_text())
PROVIDERS = ("anthropic", "openai", "codex", "gemini")


def test_every_example_stands_on_the_page() -> None:
    files = {path.name for path in (ROOT / "docs" / "examples").glob("*.json")}
    assert {Path(command.split()[0]).name for command, _ in EXAMPLES} == files


@pytest.mark.parametrize(("command", "rules"), EXAMPLES)
def test_the_page_tells_the_rules_that_fire(
    command: str, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWRITES_KEY", "secret-of-mine")
    file, *arguments = shlex.split(command)
    options: dict[str, Any] = dict(zip(arguments[::2], arguments[1::2], strict=True))
    credentials = "\n".join(
        f"  - {{id: {name}, provider: {name}, api_key: 'env:REWRITES_KEY'}}" for name in PROVIDERS
    )
    core = Core(parse(f"credentials:\n{credentials}".encode(), Path("detour.yaml")))
    request = Request(
        "POST", options["--path"], [("content-type", "application/json")], (ROOT / file).read_bytes()
    )
    found = explain(core, options.get("--host"), request)
    sends = found.steps[0].sends
    assert isinstance(sends, Outgoing)
    assert sends.fired == re.findall(r"`([^`]+)`", rules)
    assert all(len(sends.reasons[name]) > 20 for name in sends.fired)
