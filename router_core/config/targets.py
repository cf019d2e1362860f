"""Whether the names under ``models`` lead to something, and not in circles."""

from __future__ import annotations

import fnmatch
import graphlib
import re
from typing import Final

from router_core.config.checks import Report
from router_core.config.problems import nearest, shown
from router_core.config.schema import Config, VirtualModel
from router_core.providers.registry import Registry

MAX_CIRCLES: Final = 20
"""Circles that are reported at once."""

_EFFORT: Final = re.compile(r"\([^()]*\)$")
_SPAN: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-4]):[0-5]\d")


def check_models(config: Config, registry: Registry, report: Report) -> None:
    names = _Names(config, registry, report)
    edges: dict[str, dict[str, tuple[str | int, ...]]] = {}
    for name, entry in config.models.items():
        path: tuple[str | int, ...] = ("models", name)
        if not name or name != name.strip() or not name.isprintable():
            report.error(path, f"{shown(name)} cannot be a model's name", "write it without blanks around it")
        if isinstance(entry, VirtualModel):
            _virtual(entry, path, report)
            targets = [(t.target, (*path, "targets", number)) for number, t in enumerate(entry.targets)]
        else:
            targets = [(entry, path)]
        for target, where in targets:
            other = names.check(name, target, where)
            if other is not None:
                edges.setdefault(name, {}).setdefault(other, where)
    _circles(edges, report)


def _virtual(entry: VirtualModel, path: tuple[str | int, ...], report: Report) -> None:
    if not entry.targets:
        report.error((*path, "targets"), "has no targets", "add PROVIDER/MODEL")
    elif entry.strategy == "weighted" and not any(target.weight for target in entry.targets):
        report.error((*path, "targets"), "every target has weight 0", "give one of them a weight")
    for number, target in enumerate(entry.targets):
        time = target.when.time
        if time is not None and not _SPAN.fullmatch(time):
            what = f"{shown(time)} is no span of time"
            report.error(
                (*path, "targets", number, "when", "time"), what, "write HH:MM-HH:MM, e.g. 22:00-07:00"
            )
        low, high = target.when.min_context, target.when.max_context
        if low is not None and high is not None and low > high:
            report.error((*path, "targets", number, "when"), "min_context is above max_context", "swap them")


class _Names:
    """Everything that a target may name."""

    def __init__(self, config: Config, registry: Registry, report: Report) -> None:
        self.registry, self.report = registry, report
        # Those that were cut out as broken count as well: what is wrong with them has been said.
        self.models = {*config.models, *report.names("models")}
        self.prefixes = {c.prefix for c in config.credentials if c.prefix}
        self.patterns = [pattern for c in config.credentials for pattern in c.models.include]
        self.declared = report.names("providers")
        self.listed = {
            name for p in registry.providers.values() for m in p.models for name in (m.id, *m.aliases)
        }

    def check(self, name: str, target: str, where: tuple[str | int, ...]) -> str | None:
        """The other entry of ``models`` that `target` names, or None; errors and warnings are reported."""
        plain = _EFFORT.sub("", target).strip()
        head, slash, rest = plain.partition("/")
        provider = self.registry.provider(head) if slash else None
        # An entry called like one of a provider's models may lead to that very model.
        if plain in self.models and not (plain == name and provider is not None):
            return plain
        if provider is not None and rest:
            if not provider.enabled:
                self.report.warn(where, f"target {shown(target)}: provider {provider.name} is disabled")
        elif not plain or (slash and not rest):
            self.report.error(where, f"target {shown(target)} names no model", "write PROVIDER/MODEL")
        elif head in self.registry.templates:
            what = f"target {shown(target)}: {head} is a pattern without an address"
            self.report.error(where, what, "name a provider that extends it")
        elif (
            plain in self.listed or (slash and head in self.prefixes | self.declared) or self._included(plain)
        ):
            pass
        elif slash:
            known = [*self.registry.names, *self.prefixes]
            remedy = nearest(head, known) or "write PROVIDER/MODEL, PREFIX/MODEL or the name of another model"
            self.report.error(
                where, f"target {shown(target)} names an unknown provider {shown(head)}", remedy
            )
        else:
            remedy = nearest(plain, sorted(self.models | self.listed)) or "write PROVIDER/MODEL"
            self.report.error(where, f"target {shown(target)} is no model that is known here", remedy)
        return None

    def _included(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


def _circles(edges: dict[str, dict[str, tuple[str | int, ...]]], report: Report) -> None:
    for _ in range(MAX_CIRCLES):
        try:
            graphlib.TopologicalSorter({name: set(others) for name, others in edges.items()}).prepare()
            return
        except graphlib.CycleError as error:
            # Its nodes stand in the order of being needed: each is a target of the next one.
            circle = list(reversed(error.args[1]))
            where = edges[circle[0]].pop(circle[1])
            what = f"models in a circle: {' -> '.join(circle)}"
            remedy = (
                "write PROVIDER/MODEL for the model itself"
                if len(circle) == 2
                else "let one of them lead out"
            )
            report.error(where, what, remedy)
