"""A configuration in a folder that git or a file synchroniser keeps, followed while Detour serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PATIENCE: Final = 60.0
COPY: Final = "20-models.sync-conflict-20261125-101112-ABCDEFG.yaml"


@pytest.fixture
def upstream(fakes: FakeThread) -> FakeUpstream:
    return fakes.start("folder")


@pytest.fixture
def detour(upstream: FakeUpstream, ca_bundle: Path, tmp_path: Path) -> Iterator[Detour]:
    """Told a folder, in which the credential stands in a part."""
    config: dict[str, Any] = base_config(ca_bundle)
    config["providers"] = {"anthropic": {"base_url": upstream.base_url("anthropic")}}
    config["credentials"] = []
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "10-credentials.yaml").write_text(
        "credentials: [{id: a, provider: anthropic, api_key: env:KEY_OF_PART}]\n"
    )
    made = Detour(config, tmp_path, {"KEY_OF_PART": "secret-of-the-part"})
    made.config = tmp_path
    with made:
        yield made


def put(path: Path, text: str) -> None:
    """As git and synchronisers write: a hidden file takes the place of the one before."""
    path.with_name(f".{path.name}.tmp").write_text(text)
    path.with_name(f".{path.name}.tmp").replace(path)


def ask(detour: Detour, model: str) -> int:
    path, headers, body = SHAPES["anthropic"].request(model)
    answer = httpx.post(
        detour.gateway_url + path, headers=headers, json=body, trust_env=False, timeout=PATIENCE
    )
    return answer.status_code


def said(detour: Detour, text: str) -> int:
    return detour.log.read_text().count(text)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_part_that_is_added_changed_and_removed_is_followed(detour: Detour, upstream: FakeUpstream) -> None:
    parts = detour.folder / "conf.d"
    assert ask(detour, "claude-sonnet-4-5") == 200
    assert dict(upstream.record.requests[-1].headers)["x-api-key"] == "secret-of-the-part"
    assert ask(detour, "fast") == 404

    put(parts / "20-models.yaml", "models: {fast: anthropic/claude-haiku-4-5}\n")
    eventually(lambda: ask(detour, "fast") == 200)
    assert upstream.record.requests[-1].document["model"] == "claude-haiku-4-5"

    put(parts / "20-models.yaml", "models: {fast: anthropic/claude-sonnet-4-5}\n")
    eventually(
        lambda: (
            ask(detour, "fast") == 200
            and upstream.record.requests[-1].document["model"] == "claude-sonnet-4-5"
        )
    )

    (parts / "20-models.yaml").unlink()
    eventually(lambda: ask(detour, "fast") == 404)
    assert ask(detour, "claude-sonnet-4-5") == 200
    assert said(detour, "the configuration was read again") >= 3


def test_what_is_half_written_or_contradicts_changes_nothing(detour: Detour, upstream: FakeUpstream) -> None:
    parts = detour.folder / "conf.d"
    put(parts / "20-models.yaml", "models: {fast: anthropic/claude-haiku-4-5}\n")
    eventually(lambda: ask(detour, "fast") == 200)

    broken = {
        'models: {fast: "anthropic/claude-s': "20-models.yaml:1: not valid YAML",
        "": "20-models.yaml: the file is empty",
        "models: {fast: nobody/claude}\n": "20-models.yaml:1: ",
        "listen: {proxy: 127.0.0.1:1}\n": "20-models.yaml:1: key 'listen.proxy' stands in ",
    }
    for text, problem in broken.items():
        before = said(detour, problem)
        put(parts / "20-models.yaml", text)
        eventually(lambda: said(detour, problem) > before)  # noqa: B023
        assert ask(detour, "fast") == 200
        assert upstream.record.requests[-1].document["model"] == "claude-haiku-4-5"

    assert said(detour, "the one in force stays") >= len(broken)
    put(parts / "20-models.yaml", "models: {faster: anthropic/claude-haiku-4-5}\n")
    eventually(lambda: ask(detour, "faster") == 200)
    assert ask(detour, "fast") == 404

    put(parts / COPY, "models: {fast: anthropic/claude-haiku-4-5}\n")
    eventually(lambda: said(detour, f"{COPY}: the copy of a conflict"))
    assert ask(detour, "fast") == 404
    assert ask(detour, "faster") == 200
