"""The direction of imports: `detour` -> `addons` -> `router_core`, and mitmproxy only where it belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "router_core": {"addons", "detour", "mitmproxy", "tests", "scripts"},
    "addons": {"detour", "tests", "scripts"},
    "detour": {"tests", "scripts"},
}
MITMPROXY_OUTSIDE_ADDONS = {
    # It makes mitmproxy's options.
    "detour/instance.py",
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, first name of the module) of each import in `path`, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name in FORBIDDEN[package]
    ]
    assert wrong == []


def test_only_addons_import_mitmproxy() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "detour").rglob("*.py")
        if any(name == "mitmproxy" for _, name in imported(path))
    }
    assert users <= MITMPROXY_OUTSIDE_ADDONS
