"""The direction of imports: `detour` -> `addons` -> `router_core`, and mitmproxy only where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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


def test_no_circle_of_imports() -> None:
    """Not even through an import inside a function; what only types need may point back."""
    packages = [p for folder in FORBIDDEN for p in (ROOT / folder).rglob("*.py")]
    modules = {_name(path): path for path in packages}
    graph = {name: set(_imports_of(path, set(modules))) - {name} for name, path in modules.items()}
    assert len(graph) > 300
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports_of(path: Path, modules: set[str]) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in modules else node.module for name in below)


def test_serving_imports_nothing_that_only_some_need() -> None:
    """Each of these takes a tenth of a start or more, which the user of `detour exec` waits for."""
    heavy = {"httpx", "rich", "sqlalchemy", "alembic", "redis", "opentelemetry", "psycopg", "flask"}
    program = "import sys, detour.launcher; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "mitmproxy" in (modules := set(imported.stdout.split()))
    assert not heavy & modules
