"""`detour demo` proves every scene, names what fails, and leaves nothing behind."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from detour import demo
from detour.demo import stage
from detour.demo.scenes import SCENES, Failed, Scene


def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[int, str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = io.StringIO()
    code = demo.main(Console(file=output, width=200, highlight=False))
    return code, output.getvalue()


def test_every_scene_is_proved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, output = play(monkeypatch, tmp_path)
    assert code == 0, output
    assert output.count("✓") == len(SCENES)
    assert "+ " in output and '"gpt-5-mini"' in output
    assert list(tmp_path.iterdir()) == []


def test_a_scene_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def play_badly(*_: object) -> None:
        raise Failed("the provider saw nothing")

    monkeypatch.setattr(demo, "SCENES", (Scene("The one that fails", "", play_badly),))
    code, output = play(monkeypatch, tmp_path)
    assert code == 1
    assert "✗ the provider saw nothing" in output
    assert "1 of 1 failed: The one that fails" in output
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_takes_too_long_is_called_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stage, "START_TIMEOUT", 0.01)
    code, output = play(monkeypatch, tmp_path)
    assert code == 1
    assert "it was not ready within 0.01 s" in output
    assert list(tmp_path.iterdir()) == []
