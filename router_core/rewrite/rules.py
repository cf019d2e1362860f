"""All rules of one configuration, and how they are run over a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.providers.model import Provider
from router_core.rewrite import catalogue
from router_core.rewrite.context import Context
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin, Rule
from router_core.rewrite.schema import RuleConfig
from router_core.rewrite.shapes import Misfit, misfits

if TYPE_CHECKING:
    from router_core.config.schema import Config, Limits
    from router_core.providers.registry import Registry
    from router_core.translator import Translator


class Selected(NamedTuple):
    """The rules that may apply to one kind of attempt: to its request, and to its answer."""

    requests: tuple[Rule, ...]
    answers: tuple[Rule, ...]


class Rules:
    """An immutable set of compiled rules, in the order in which they run."""

    def __init__(
        self,
        rules: Iterable[Rule] = (),
        limits: Limits | None = None,
        translator: Translator | None = None,
    ) -> None:
        self.limits = limits
        """Of the configuration; None for the defaults."""
        self.translator = translator
        """For attempts in another format than the client's; without one they are refused."""
        self.rules = tuple(sorted(rules, key=lambda rule: list(Origin).index(rule.origin)))
        self._selected: dict[tuple[str, Format, Format, Operation, bool], Selected] = {}

    def select(self, context: Context) -> Selected:
        """The rules that may apply to the attempt, by everything that is the same for its endpoint."""
        surface = context.exchange.surface
        own = context.attempt.credential_id is None
        key = (context.provider.name, context.format, surface.format, surface.operation, own)
        found = self._selected.get(key)
        if found is None:
            rules = [r for r in self.rules if (r.own or not own) and r.when.may_hold(context)]
            found = Selected(tuple(r for r in rules if r.request), tuple(r for r in rules if r.answers))
            # Bounded: providers by formats by operations.
            self._selected[key] = found
        return found

    def apply(self, body: Json, context: Context) -> Json:
        """`body` after the request rules; the same tree where none changed it. Never raises.

        `body` is None where the request has none, or none that is a JSON object.
        """
        odd = misfits(context.format, body)
        for rule in self.select(context).requests:
            if context.message and not rule.messages:
                continue
            assert rule.request
            if body is None and not rule.bodiless:
                if context.exchange.request.body:
                    context.note("all", "left alone, the body is no JSON object")
                continue
            try:
                if not rule.when.holds(body, context):
                    continue
                if odd and not _may_read(rule, odd, context):
                    continue
                context.headers.changed = False
                changed = rule.request(body, context)
            except (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError) as e:
                # Rules read shapes that a client may get wrong; the upstream will say so better.
                context.note(rule.name, f"left alone, the body has another shape ({type(e).__name__})")
                continue
            if changed is not body or context.headers.changed:
                body = changed
                context.mark(rule.name, rule.reason)
        return body

    def answering(self, context: Context) -> tuple[Rule, ...]:
        """The rules that may change the answer to this attempt's request."""
        return tuple(
            rule
            for rule in self.select(context).answers
            # What it says about the body, it says about the request's or, where a user states it, the answer's.
            if (rule.armed is None or rule.armed(context)) and rule.when.holds_but_for_body(context)
        )


def _may_read(rule: Rule, odd: dict[str, Misfit], context: Context) -> bool:
    """Whether the fields that `rule` reads are of the right shape as a whole; says so where they are not."""
    found = [odd[key] for key in rule.reads if key in odd]
    for misfit in found:
        context.note(rule.name, f"left alone, {misfit.words}")
    return not any(misfit.whole for misfit in found)


def compile_rules(config: Config, registry: Registry, translator: Translator | None = None) -> Rules:
    """The rules in force under `config`: built in, of the providers, of the user, without the disabled."""
    disabled = set(config.disable_rewrites)
    rules = [rule for rule in catalogue.BUILT_IN if rule.name not in disabled]
    for provider in registry.providers.values():
        rules += [rule for rule in provider_rules(provider) if rule.name not in disabled]
    for i, raw in enumerate(config.rewrites, 1):
        rules.append(compile_rule(_parsed(raw), f"rewrite-{i}", Origin.USER))
    return Rules(rules, config.limits, translator)


def provider_rules(provider: Provider) -> list[Rule]:
    return [
        compile_rule(_parsed(raw), f"{provider.name}-{i}", Origin.PROVIDER, provider.name)
        for i, raw in enumerate(provider.rules, 1)
    ]


def _parsed(raw: RuleConfig | dict[str, Any]) -> RuleConfig:
    return raw if isinstance(raw, RuleConfig) else RuleConfig.model_validate(raw)
