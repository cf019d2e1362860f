"""Whether the names under ``models`` lead to something, and not in circles."""

from __future__ import annotations

import graphlib
import re
from typing import Final

from router_core.config.document import Path
from router_core.config.problems import nearest, shown
from router_core.config.report import Report
from router_core.config.schema import Config, VirtualModel
from router_core.credentials.model import Credential
from router_core.credentials.sources import NoSource
from router_core.providers.registry import Registry
from router_core.routing.names import FAMILIES, Names, match_wildcard, split_effort

MAX_OVERLAPS: Final = 5
"""Names in the warning of those that several providers serve."""
MAX_CIRCLES: Final = 20
"""Circles that are reported at once."""
MAX_DEPTH: Final = 32
"""Names that lead to one another before one leads to a provider."""

_FAMILIES: Final = tuple(start for start, _ in FAMILIES)
_SPAN: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-4]):[0-5]\d")


def check_models(config: Config, registry: Registry, report: Report) -> None:
    names = _Names(config, registry, report)
    edges: dict[str, dict[str, Path]] = {}
    for name, entry in config.models.items():
        path: Path = ("models", name)
        if not name or name != name.strip() or not name.isprintable():
            report.error(path, f"{shown(name)} cannot be a model's name", "write it without blanks around it")
        if isinstance(entry, VirtualModel):
            _virtual(entry, path, report)
            targets = [(t.target, (*path, "targets", number)) for number, t in enumerate(entry.targets)]
        else:
            targets = [(entry, path)]
        for target, where in targets:
            other = names.check(target, where)
            if other is not None:
                edges.setdefault(name, {}).setdefault(other, where)
    _circles(edges, report)
    _overlaps(config, registry, report)


def _overlaps(config: Config, registry: Registry, report: Report) -> None:
    """One warning for all bare names that more than one provider in use lists."""
    used = [
        Credential(c, number, NoSource(""))
        for number, c in enumerate(config.credentials)
        if c.enabled and c.id not in report.inactive
    ]
    found = Names(config, registry.providers, used).overlaps()
    if not found:
        return
    shortest = sorted(found, key=lambda name: (len(name), name))[:MAX_OVERLAPS]
    named = "; ".join(f"{name} by {', '.join(found[name])}" for name in shortest)
    more = f" and {len(found) - len(shortest)} more" if len(found) > len(shortest) else ""
    what = f"names that several providers serve are tried in this order: {named}{more}"
    report.warn(("models",), what, "write PROVIDER/MODEL for one of them, or list the name under models")


def _virtual(entry: VirtualModel, path: Path, report: Report) -> None:
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
        self.heads = {*report.names("providers"), *(c.prefix for c in config.credentials if c.prefix)}
        self.patterns = [pattern for c in config.credentials for pattern in c.models.include]
        self.patterns += [name for name in self.models if "*" in name]
        providers = registry.providers.values()
        self.listed = {name for p in providers for m in p.models for name in (m.id, *m.aliases)}
        used = [registry.provider(c.provider) for c in config.credentials]
        self.anything = any(p is not None and not p.models for p in used)

    def check(self, target: str, where: Path) -> str | None:
        """The other entry of ``models`` that `target` names, or None; errors and warnings are reported."""
        plain = split_effort(target)[0]
        for name in (target, plain):
            if name in self.models:
                return name
        head, slash, rest = plain.partition("/")
        provider = self.registry.provider(head) if slash else None
        if provider is not None and rest:
            if not provider.enabled:
                self.report.warn(where, f"target {shown(target)}: provider {provider.name} is disabled")
        elif not plain.strip() or (slash and not rest):
            self.report.error(where, f"target {shown(target)} names no model", "write PROVIDER/MODEL")
        elif slash and head in self.registry.templates:
            what = f"target {shown(target)}: {head} is a pattern without an address"
            self.report.error(where, what, "name a provider that extends it")
        elif not (self._known(plain) or (slash and head in self.heads)):
            self._unknown(target, head if slash else None, where)
        return None

    def _known(self, name: str) -> bool:
        """Whether the router finds something for a name without provider."""
        return (
            name in self.listed
            or any(match_wildcard(pattern, name) is not None for pattern in self.patterns)
            or ("/" not in name and (self.anything or "*" in name or name.startswith(_FAMILIES)))
        )

    def _unknown(self, target: str, head: str | None, where: Path) -> None:
        if head is None:
            remedy = nearest(target, sorted(self.models | self.listed)) or "write PROVIDER/MODEL"
            self.report.error(where, f"target {shown(target)} is no model that is known here", remedy)
        else:
            remedy = nearest(head, sorted({*self.registry.names, *self.heads}))
            remedy = remedy or "write PROVIDER/MODEL, PREFIX/MODEL or the name of another model"
            self.report.error(
                where, f"target {shown(target)} names an unknown provider {shown(head)}", remedy
            )


def _circles(edges: dict[str, dict[str, Path]], report: Report) -> None:
    for found in range(MAX_CIRCLES):
        try:
            order = list(graphlib.TopologicalSorter(edges).static_order())
        except graphlib.CycleError as error:
            # Its nodes stand in the order of being needed: each is a target of the next one.
            circle = list(reversed(error.args[1]))
            where = edges[circle[0]].pop(circle[1])
            shortened = circle if len(circle) < 8 else [*circle[:6], "...", circle[-1]]
            own = len(circle) == 2 and "/" not in circle[0]
            remedy = f"write PROVIDER/{circle[0]}" if own else "let one of them lead to a provider"
            report.error(where, f"models in a circle: {' -> '.join(shortened)}", remedy)
        else:
            if not found:
                _depth(order, edges, report)
            return


def _depth(order: list[str], edges: dict[str, dict[str, Path]], report: Report) -> None:
    """`order` has each name behind those that it leads to."""
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[other] for other in edges.get(name, ())), default=0)
        if depth[name] == MAX_DEPTH + 1:
            what = f"model {shown(name)} leads through more than {MAX_DEPTH} others"
            report.error(("models", name), what, "let it lead to a provider sooner")
