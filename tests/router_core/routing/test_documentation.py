"""The examples of docs/routing.md are valid, and its tables agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router_core.config.schema import Config
from router_core.routing.failures import parse_row
from router_core.routing.names import EFFORTS
from router_core.verdict import FailureKind

PAGE = (Path(__file__).parents[3] / "docs" / "routing.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    config = Config.model_validate(yaml.safe_load(example))
    assert config != Config()
    for row in config.routing.failures:
        assert parse_row(row).source == "routing.failures"


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - {"success", "cancelled"}))
def test_every_class_is_named(kind: str) -> None:
    assert kind in PAGE


@pytest.mark.parametrize("effort", sorted(EFFORTS - {"-1"}))
def test_every_effort_is_named(effort: str) -> None:
    assert f"`{effort}`" in PAGE
