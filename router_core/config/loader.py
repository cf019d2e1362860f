"""Finds the configuration, reads it, and says everything that is wrong with it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from router_core.config.checks import check
from router_core.config.document import Node, read
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
    watched: tuple[Path, ...]
    """What a hot reload looks at: the file, the folder of the user's providers (which need not be there),
    and the files in it."""
    inactive: dict[str, str]
    """Id of a credential that cannot be used to the reason, e.g. an unset variable."""
    tree: Node = field(repr=False)

    def line(self, *path: str | int) -> int:
        """The line of a key, e.g. ``line("credentials", 0, "api_key")``; of its parent where it is absent."""
        return self.tree.line_of(path)


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

    A folder stands for the ``detour.yaml`` in it, with the ``providers/`` beside that: one that git or a
    file synchroniser keeps.
    """
    path = find(env) if path is None else path
    path = path / "detour.yaml" if path.is_dir() else path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from None
    return parse(data, path, env)


def parse(data: bytes, path: Path, env: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration in `data`, as if it stood at `path`. Raises ConfigError with every mistake."""
    file = str(path)
    written, problems = read(data, file)
    config, tree, found = validate(Config, written, file, {"folder": path.parent, "home": env.get("HOME")})
    problems += found
    definitions, files, broken = _definitions(path, env, problems)
    broken |= _cut(written, tree)
    registry, mistakes = assemble(definitions, config.providers)
    # What a broken definition lacks as a whole, it lacks because a part of it was cut out.
    problems += [_place(m, definitions, file, tree) for m in mistakes if m.key or m.provider not in broken]
    report = Report(file, tree, written)
    check(config, registry, report, env)
    check_models(config, registry, report)
    if problems or report.errors:
        raise ConfigError([*problems, *report.errors])
    warnings = sorted(set(report.warnings))
    if path.resolve() == packaged().resolve():
        warnings = _default_warnings(file, report)
    return Loaded(config, registry, path, warnings, (path, *files), report.inactive, tree)


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
    path: Path, env: Mapping[str, str], problems: list[Problem]
) -> tuple[dict[str, Definition], list[Path], set[str]]:
    """The built-in providers and the user's: files in ``providers/`` beside the configuration.

    With the folder and the files in it, and the names of the broken ones, whose problems are reported.
    """
    definitions, broken = dict(load_builtin()), set[str]()
    folder = (user_folder(env) if path == packaged() else path.parent) / "providers"
    if folder.resolve() == (packaged().parent / "providers").resolve():
        return definitions, [], broken
    files = sorted(file for file in folder.glob("*.yaml") if file.is_file())
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
            line = definition.tree.line_of(("name",))
            what = f"provider {definition.name!r} stands in {own[definition.name].name} too"
            problems.append(Problem(str(file), line, what, "rename or remove one"))
            continue
        own[definition.name] = file
        definitions[definition.name] = definition
    return definitions, [folder, *files], broken


def _place(mistake: Mistake, definitions: Mapping[str, Definition], file: str, tree: Node) -> Problem:
    """A mistake in the registry as a problem of the file that made it: the configuration if it speaks of it."""
    what = f"provider {mistake.provider}: {mistake.what}"
    entry = tree.child("providers")
    entry = entry.child(mistake.provider) if entry else None
    definition = definitions.get(mistake.provider)
    if definition and (entry is None or (mistake.key and entry.child(mistake.key[0]) is None)):
        return Problem(definition.file, definition.tree.line_of(mistake.key), what, mistake.remedy)
    return Problem(file, tree.line_of(("providers", mistake.provider, *mistake.key)), what, mistake.remedy)


def _unreadable(path: Path, error: OSError) -> Problem:
    remedy = "name an existing file" if isinstance(error, FileNotFoundError) else ""
    return Problem(str(path), 0, f"cannot be read: {(error.strerror or 'I/O error').lower()}", remedy)
