"""Finds the configuration, reads it, and says everything that is wrong with it at once."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from router_core.config.checks import check
from router_core.config.document import Node, read
from router_core.config.parts import PARTS, PROVIDERS, conflict, copies_of, merged, read_part, yaml_files
from router_core.config.problems import ConfigError, Problem
from router_core.config.report import Report
from router_core.config.schema import Config
from router_core.config.targets import check_models
from router_core.config.validation import validate
from router_core.providers.definition import Definition, load_builtin, read_definition
from router_core.providers.registry import Mistake, Registry, assemble

__all__ = ["ConfigError", "Loaded", "Problem", "find", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and where it came from."""

    config: Config
    registry: Registry
    path: Path
    warnings: list[Problem]
    files: tuple[Path, ...]
    """What it was read from: the file, its parts, the user's providers."""
    folders: tuple[Path, ...]
    """Those of the parts and the providers, which need not be there."""
    inactive: dict[str, str]
    """Id of a credential that cannot be used to the reason, e.g. an unset variable."""
    tree: Node = field(repr=False)
    read_at: int | None = None
    """When the reading began, in nanoseconds since the epoch; None of what is no file."""

    @property
    def watched(self) -> tuple[Path, ...]:
        """What a hot reload looks at: the file, the folders, and what is in these now, read or not."""
        inside = (file for folder in self.folders for found in yaml_files(folder) for file in found)
        return (self.path, *self.folders, *inside)

    def line(self, *path: str | int) -> int:
        """The line of a key, e.g. ``line("credentials", 0, "api_key")``; of its parent where it is absent."""
        return self.tree.place_of(path)[1]


def packaged() -> Path:
    """The default configuration that ships with Detour."""
    return Path(str(resources.files("configs") / "detour.yaml"))


def find(env: Mapping[str, str]) -> Path:
    """The configuration file when none is named: DETOUR_CONFIG, the user's own, else the packaged one."""
    if named := env.get("DETOUR_CONFIG"):
        return Path(named).expanduser()
    own = user_folder(env) / "detour.yaml"
    return own if own.is_file() else packaged()


def user_folder(env: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME/detour``; a relative XDG_CONFIG_HOME is to be ignored (XDG base directories)."""
    base = Path(env.get("XDG_CONFIG_HOME", ""))
    if base.is_absolute():
        return base / "detour"
    return Path(env.get("HOME") or Path.home()) / ".config" / "detour"


def load(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration at `path`, or where `find` finds it. Raises ConfigError with every mistake.

    A folder stands for the ``detour.yaml`` in it, with ``conf.d/`` and ``providers/`` beside that: one that git
    or a file synchroniser keeps.
    """
    path = find(env) if path is None else path
    path = path / "detour.yaml" if path.is_dir() else path
    began = time.time_ns()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from None
    return replace(parse(data, path, env), read_at=began)


def parse(data: bytes, path: Path, env: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration in `data`, as if it stood at `path`. Raises ConfigError with every mistake."""
    written, problems = read(data, str(path))
    folders = _folders(path, env)
    copies = copies_of(path)
    written, parts = _with_parts(written, folders, problems, copies)
    config, tree, found = validate(Config, written, {"folder": path.parent, "home": env.get("HOME")})
    problems += found
    definitions, files, broken = _definitions(folders, problems, copies)
    broken |= _cut(written, tree)
    registry, mistakes = assemble(definitions, config.providers)
    # What a broken definition lacks as a whole, it lacks because a part of it was cut out.
    problems += [_place(m, definitions, tree) for m in mistakes if m.key or m.provider not in broken]
    report = Report(tree, written)
    check(config, registry, report, env)
    check_models(config, registry, report)
    if problems or report.errors:
        raise ConfigError([*problems, *report.errors])
    warnings = sorted({*report.warnings, *map(conflict, copies)})
    if path.resolve() == packaged().resolve():
        warnings = _default_warnings(str(path), report)
    return Loaded(config, registry, path, warnings, (path, *parts, *files), folders, report.inactive, tree)


def _folders(path: Path, env: Mapping[str, str]) -> tuple[Path, ...]:
    """Those of the parts and of the user's providers, beside the configuration at `path`."""
    beside = user_folder(env) if path == packaged() else path.parent
    if beside.resolve() == packaged().parent.resolve():
        return ()
    return beside / PARTS, beside / PROVIDERS


def _with_parts(
    written: Node, folders: tuple[Path, ...], problems: list[Problem], copies: list[Path]
) -> tuple[Node, list[Path]]:
    """`written` and what its parts add, in the order of their names; and their files."""
    files, left = yaml_files(folders[0]) if folders and isinstance(written.value, dict) else ([], [])
    copies += left
    for file in files:
        try:
            part, found = read_part(file)
        except OSError as error:
            problems.append(_unreadable(file, error))
            continue
        problems += found
        written = merged(written, part, problems)
    return written, files


def _default_warnings(file: str, report: Report) -> list[Problem]:
    """One line for the default configuration, whose credentials are all but a few inactive with everybody."""
    if not report.inactive:
        return []
    what = f"inactive, since their variables are not set: {', '.join(report.inactive)}"
    return [Problem(file, 0, what, "set the variables of those that you have, e.g. ANTHROPIC_API_KEY")]


def _cut(written: Node, tree: Node) -> set[str]:
    """The providers of the configuration of which something was cut out."""
    before, after = written.child("providers"), tree.child("providers")
    if before is None or not isinstance(before.value, dict):
        return set()
    kept = after.value if after is not None else {}
    return {
        name for name, node in before.value.items() if name not in kept or node.plain() != kept[name].plain()
    }


def _definitions(
    folders: tuple[Path, ...], problems: list[Problem], copies: list[Path]
) -> tuple[dict[str, Definition], list[Path], set[str]]:
    """The built-in providers and the user's: files in ``providers/`` beside the configuration.

    With the files, and the names of the broken ones, whose problems are reported.
    """
    definitions, broken = dict(load_builtin()), set[str]()
    if not folders:
        return definitions, [], broken
    files, left = yaml_files(folders[1])
    copies += left
    own: dict[str, Path] = {}
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            problems.append(_unreadable(file, error))
            continue
        definition, found = read_definition(data, str(file))
        problems += found
        if found:
            broken.add(definition.name)
        if definition.name in own:
            what = f"provider {definition.name!r} stands in {own[definition.name].name} too"
            problems.append(Problem(*definition.tree.place_of(("name",)), what, "rename or remove one"))
            continue
        own[definition.name] = file
        definitions[definition.name] = definition
    return definitions, files, broken


def _place(mistake: Mistake, definitions: Mapping[str, Definition], tree: Node) -> Problem:
    """A mistake in the registry as a problem of the file that made it: the configuration if it speaks of it."""
    what = f"provider {mistake.provider}: {mistake.what}"
    entry = tree.child("providers")
    entry = entry.child(mistake.provider) if entry else None
    definition = definitions.get(mistake.provider)
    if definition and (entry is None or (mistake.key and entry.child(mistake.key[0]) is None)):
        return Problem(*definition.tree.place_of(mistake.key), what, mistake.remedy)
    place = tree.place_of(("providers", mistake.provider, *mistake.key))
    return Problem(*place, what, mistake.remedy)


def _unreadable(path: Path, error: OSError) -> Problem:
    remedy = "name an existing file" if isinstance(error, FileNotFoundError) else ""
    return Problem(str(path), 0, f"cannot be read: {(error.strerror or 'I/O error').lower()}", remedy)
