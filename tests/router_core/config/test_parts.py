"""A configuration in several files, and what git and file synchronisers leave beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from router_core.config.loader import ConfigError, Loaded, load

ENV = {"HOME": "/nonexistent", "KEY": "secret-of-the-test"}
MAIN = """\
version: 1
credentials:
  - {id: a, provider: anthropic, api_key: env:KEY}
routing: {max_attempts: 3}
"""


def folder(tmp_path: Path, files: Mapping[str, str]) -> Loaded:
    """The configuration in a folder with `files`."""
    for name, text in {"detour.yaml": MAIN, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return load(tmp_path, ENV)


def mistakes(tmp_path: Path, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        folder(tmp_path, files)
    return [str(p).replace(f"{tmp_path}/", "") for p in error.value.problems]


def test_parts_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = folder(
        tmp_path,
        {
            "conf.d/20-last.yaml": "version: 1\ncredentials: [{id: c, provider: openai, api_key: env:KEY}]\n",
            "conf.d/10-first.yaml": "credentials: [{id: b, provider: gemini, api_key: env:KEY}]\n",
            "conf.d/30-more.yaml": "routing: {max_wait: 7s}\nmodels: {fast: anthropic/claude-haiku-4-5}\n",
            "conf.d/notes.txt": "no part",
        },
    )
    assert [c.id for c in found.config.credentials] == ["a", "b", "c"]
    assert (found.config.routing.max_attempts, found.config.routing.max_wait) == (3, 7.0)
    assert list(found.config.models) == ["fast"]
    names = [str(path.relative_to(tmp_path)) for path in found.files]
    assert names == ["detour.yaml", "conf.d/10-first.yaml", "conf.d/20-last.yaml", "conf.d/30-more.yaml"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "# a comment\nrouting:\n  max_attempts: 3\n",
            "conf.d/x.yaml:3: key 'routing.max_attempts' stands in detour.yaml:4 too; remove one of them",
        ),
        ("credentials: none\n", "conf.d/x.yaml:1: key 'credentials' stands in detour.yaml:2 too; remove one of them"),
        ("version: 2\n", "conf.d/x.yaml:1: key 'version' stands in detour.yaml:1 too; remove one of them"),
        ("\nmodels: {x: anthropic/y, z: 5}\n", "conf.d/x.yaml:2: 'z' must be a text or a mapping; write PROVIDER/MODEL or {targets: [...]}"),
        ("routing:\n  stratgy: weighted\n", "conf.d/x.yaml:2: unknown key 'stratgy'; did you mean 'strategy'?"),
        ("- a\n", "conf.d/x.yaml:1: the file holds no mapping; write KEY: VALUE lines"),
        ("", "conf.d/x.yaml: the file is empty; write something into it, or delete it"),
        (
            "models:\n  x: anth",
            "conf.d/x.yaml:2: target 'anth' is no model that is known here; write PROVIDER/MODEL",
        ),
        (
            'models:\n  x: "anthropic/claude',
            "conf.d/x.yaml:2: not valid YAML: while scanning a quoted scalar found unexpected end of stream; "
            "look at this line and the one before: indentation, quotes, brackets",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_place_in_its_part(tmp_path: Path, text: str, problem: str) -> None:
    assert mistakes(tmp_path, {"conf.d/x.yaml": text}) == [problem]


def test_a_mistake_of_an_appended_item_is_told_in_the_file_that_has_it(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        {"conf.d/x.yaml": "credentials:\n  - {id: a, provider: openai, api_key: env:KEY}\n"},
    )
    assert len(found) == 1 and found[0].startswith("conf.d/x.yaml:2: "), found


@pytest.mark.parametrize(
    "name",
    [
        "team.sync-conflict-20261125-101112-ABCDEFG.yaml",
        "team (laptop's conflicted copy 2026-11-25).yaml",
        "team (conflicted copy 2026-11-25 101112).yaml",
        "team_conflict-20261125-101112.yaml",
        "team (1).yaml",
        "team_REMOTE_4711.yaml",
    ],
)
@pytest.mark.parametrize("beside", ["conf.d/", "providers/", ""])
def test_the_copy_of_a_conflict_is_reported_and_not_read(tmp_path: Path, name: str, beside: str) -> None:
    if not beside:
        name = name.replace("team", "detour")
    found = folder(
        tmp_path,
        {
            "conf.d/team.yaml": "routing: {max_wait: 7s}\n",
            f"{beside}{name}": "routing: {max_wait: 9s}\n",
        },
    )
    assert found.config.routing.max_wait == 7.0
    [warning] = found.warnings
    assert warning.file == str(tmp_path / beside / name) and "not read" in warning.what
    assert tmp_path / beside / name not in found.files


def test_files_that_are_being_brought_are_not_read(tmp_path: Path) -> None:
    found = folder(
        tmp_path,
        {"conf.d/.syncthing.x.yaml.tmp": "routing: {", "conf.d/.x.yaml": "routing: {", "conf.d/x.yaml~": "routing: {"},
    )  # fmt: skip
    assert found.warnings == [] and len(found.files) == 1


def test_what_is_watched_follows_the_folders(tmp_path: Path) -> None:
    found = folder(tmp_path, {})
    assert found.watched == (tmp_path / "detour.yaml", tmp_path / "conf.d", tmp_path / "providers")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "new.yaml").write_text("broken: [")
    assert tmp_path / "conf.d" / "new.yaml" in found.watched
