"""Requests to OpenRouter, which hands them on to whoever hosts the model. https://openrouter.ai/docs"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When

type Body = dict[str, Any]

_CHOICES: Final = frozenset({"order", "only", "ignore", "sort", "allow_fallbacks"})
"""What says who is to host a request. One that states any of them has chosen for itself."""


def include_cost(body: Body, context: Context) -> Body:
    usage = body.get("usage")
    if "usage" in body and not isinstance(usage, dict):
        return body
    if usage and usage.get("include") is True:
        return body
    return body | {"usage": (usage or {}) | {"include": True}}


def choose_host(body: Body, context: Context) -> Body:
    wanted = context.model_info.provider if context.model_info else {}
    stated: Json = body.get("provider")
    if not wanted or not (stated is None or isinstance(stated, dict)):
        return body
    if stated and not _CHOICES.isdisjoint(stated):
        return body
    return body | {"provider": (stated or {}) | dict(wanted)}


_GENERATE: Final = ((None, Operation.GENERATE),)

RULES: Final = (
    Rule(
        name="openrouter-usage",
        reason="Only with usage.include does OpenRouter say what a request cost.",
        source="https://openrouter.ai/docs/use-cases/usage-accounting",
        when=When(format=(Format.OPENAI_CHAT,), surface=_GENERATE, quirk=("usage_include",)),
        request=include_cost,
        reads=("usage",),
    ),
    Rule(
        name="openrouter-provider",
        reason="Who hosts a model decides its price, its speed and whether its cache is met again. What the model's "
        "entry says (`providers.openrouter.models[].provider`: order, only, ignore, allow_fallbacks) is asked for; a "
        "request that chooses for itself is left alone.",
        source="https://openrouter.ai/docs/features/provider-routing",
        when=When(surface=_GENERATE, quirk=("provider_preferences",)),
        request=choose_host,
        reads=("provider",),
    ),
)
