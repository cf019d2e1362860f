"""Rules of the answer that hold for every format."""

from __future__ import annotations

from typing import Final

from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule

_MODEL_KEYS: Final = ("model", "modelVersion")
_HOLDERS: Final = ("message", "response")


def requested_model(value: Json, context: Context) -> Json:
    """The name that the client asked for, at the five places where formats name the model."""
    if not isinstance(value, dict):
        return value
    name = context.exchange.model
    changed: dict[str, Json] = {
        key: name for key in _MODEL_KEYS if isinstance(value.get(key), str) and value[key] != name
    }
    for key in _HOLDERS:
        inner = value.get(key)
        if isinstance(inner, dict):
            renamed = {k: name for k in _MODEL_KEYS if isinstance(inner.get(k), str) and inner[k] != name}
            if renamed:
                changed[key] = inner | renamed
    return value | changed if changed else value


def _renamed(context: Context) -> bool:
    return bool(
        context.exchange.model and context.attempt.model and context.exchange.model != context.attempt.model
    )


RULES: Final = (
    Rule(
        name="answer-model-name",
        reason="A client that asked for an alias, a prefix or a virtual model is told that name again: some "
        "compare it, and budgets and statistics of tools go by it.",
        source="CLIProxyAPI sdk/cliproxy/auth/response_model_rewriter.go",
        answer=requested_model,
        event=requested_model,
        armed=_renamed,
        own=True,
        needles=(b'"model"', b'"modelVersion"'),
    ),
)
