"""What only the whole configuration can tell of rewrite rules: names, and conditions that nothing meets."""

from __future__ import annotations

from collections.abc import Sequence

from router_core.config.document import Path
from router_core.config.problems import nearest, shown
from router_core.config.report import Report
from router_core.config.schema import Config
from router_core.providers.definition import load_builtin
from router_core.providers.registry import Registry
from router_core.rewrite import catalogue
from router_core.rewrite.rule import fits
from router_core.rewrite.schema import RuleConfig


def check_rewrites(config: Config, registry: Registry, report: Report) -> None:
    _names(("rewrites",), config.rewrites, config, report)
    for name, provider in config.providers.items():
        _names(("providers", name, "rules"), provider.rules or (), config, report)
    _quirks(config, registry, report)
    for number, rule in enumerate(config.rewrites):
        _providers(("rewrites", number), rule, registry, report)
        for action in ("set", "default"):
            if rule.on == "request" and "model" in getattr(rule, action):
                what = "the name of the model is written after all rules, so this has no effect"
                report.warn(("rewrites", number, action), what, "give the model another name under models:")


def _names(section: Path, rules: Sequence[RuleConfig], config: Config, report: Report) -> None:
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.name is None:
            continue
        path = (*section, number, "name")
        if rule.name in seen:
            report.error(path, f"rule {shown(rule.name)} is given twice", "rename one of them")
        elif rule.name in catalogue.BY_NAME and rule.name not in config.disable_rewrites:
            what = f"{shown(rule.name)} is the name of a built-in rule"
            report.error(path, what, "write another name, or name it under disable_rewrites as well")
        seen.add(rule.name)


def _quirks(config: Config, registry: Registry, report: Report) -> None:
    rules = [*config.rewrites, *(rule for p in registry.providers.values() for rule in p.rules)]
    known = {quirk for rule in rules for quirk in rule.when.quirk}
    built_in = {quirk for definition in load_builtin().values() for quirk in definition.config.quirks or ()}
    for name, provider in config.providers.items():
        for quirk in sorted((provider.quirks or set()) - known - built_in):
            remedy = (
                nearest(quirk, sorted(known | built_in)) or "remove it, or add a rewrite that asks for it"
            )
            report.warn(("providers", name, "quirks"), f"no rule asks for the quirk {shown(quirk)}", remedy)
    stated = {quirk for provider in registry.providers.values() for quirk in provider.quirks}
    for number, rule in enumerate(config.rewrites):
        for quirk in sorted(set(rule.when.quirk) - stated - built_in):
            remedy = nearest(quirk, sorted(stated | built_in)) or "name it under providers.NAME.quirks"
            report.warn(
                ("rewrites", number, "when", "quirk"), f"no provider has the quirk {shown(quirk)}", remedy
            )


def _providers(path: Path, rule: RuleConfig, registry: Registry, report: Report) -> None:
    for pattern in rule.when.provider:
        if not any(fits(name, (pattern,)) for name in registry.providers):
            remedy = nearest(pattern, sorted(registry.providers)) or "name one that `detour check` lists"
            report.warn((*path, "when", "provider"), f"no provider fits {shown(pattern)}", remedy)
