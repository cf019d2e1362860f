"""The schema, the page and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from router_core.config import reference
from router_core.config.document import read
from router_core.config.loader import packaged, parse
from router_core.config.schema import Config
from router_core.config.units import parse_duration, parse_size, write_duration, write_size
from router_core.providers.definition import read_definition

SCHEMA = reference.json_schema()
PARTS: dict[str, Any] = {**SCHEMA["$defs"], "Config": SCHEMA}
PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_holds_the_tables_of_the_schema() -> None:
    page = PAGE.read_text()
    assert reference.write(page) == page, "run: python -m router_core.config.reference docs/configuration.md"


def test_every_part_has_its_place_on_the_page() -> None:
    assert {name for _, name in reference.SECTIONS} == reference.models()


@pytest.mark.parametrize("name", sorted(reference.models()))
def test_every_key_is_described(name: str) -> None:
    for key, entry in PARTS[name]["properties"].items():
        assert len(entry.get("description", "")) > 3, f"{name}.{key}"


@pytest.mark.parametrize(("place", "name"), reference.SECTIONS)
def test_every_key_has_an_example(place: str, name: str) -> None:
    places = [""] if place == reference.TOP else place.split(", ")
    written = {key for each in places for node in reference.nodes(each) for key in node.value}
    assert written == set(PARTS[name]["properties"])


def test_unknown_keys_are_errors_for_editors_too() -> None:
    assert all(PARTS[name]["additionalProperties"] is False for name in reference.models())


def test_defaults_are_written_as_in_a_file() -> None:
    assert PARTS["Upstream"]["properties"]["first_byte_timeout"]["default"] == "2m"
    assert PARTS["Upstream"]["properties"]["first_byte_timeout"]["description"].startswith("From the request")
    assert PARTS["Limits"]["properties"]["body"]["default"] == "64MB"
    assert PARTS["RetainUsage"]["properties"]["daily"]["default"] == 0
    assert "default" not in SCHEMA["properties"]["listen"]


def test_written_defaults_are_the_defaults() -> None:
    written = {
        key: {k: e["default"] for k, e in PARTS[model]["properties"].items() if "default" in e}
        for key, model in (
            ("upstream", "Upstream"),
            ("limits", "Limits"),
            ("routing", "Routing"),
            ("listen", "Listen"),
        )
    }
    assert Config.model_validate(written) == Config()


def test_the_packaged_file_uses_only_keys_of_the_schema() -> None:
    tree, _ = read(packaged().read_bytes(), "detour.yaml")
    assert set(tree.plain()) <= set(SCHEMA["properties"])


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_what_the_page_shows_is_valid(block: str) -> None:
    _, problems = read_definition(block.encode(), "page.yaml")
    if problems:
        found = parse(block.encode(), Path("/nonexistent/page.yaml"), {"PATH": "", "HOME": "/nonexistent"})
        assert found.config.version == 1


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        reference.write("# Configuration\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.5, "500ms"),
        (1, "1s"),
        (90, "90s"),
        (120, "2m"),
        (3600, "1h"),
        (86400 * 7, "7d"),
        (0.0015, "2ms"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
    assert parse_duration(text if text != "0" else 0) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1B"), (1 << 10, "1KB"), (64 << 20, "64MB"), (3 << 30, "3GB"), (1500, "1500B")]
)
def test_sizes(size: int, text: str) -> None:
    assert write_size(size) == text
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "wrong", ["10", 10, "ten s", "-1s", "10 parsecs", "", None, True, "1h30m", "hunter2hunter2hunter2hunter2"]
)
def test_what_is_no_duration(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write a number and a unit") as error:
        parse_duration(wrong)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("wrong", ["10", 10, "10 TB", "-1KB", "", None, True])
def test_what_is_no_size(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write a number and a unit"):
        parse_size(wrong)
