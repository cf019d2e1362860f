"""Names of models: the upstream's in the request, the client's in the answer."""

from __future__ import annotations

from typing import Final

from router_core.formats import Format
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule

_KEYS: Final = ("model", "modelVersion")
_HOLDERS: Final = ("message", "response")


def name_model(body: dict[str, Json], context: Context) -> dict[str, Json]:
    """`body` asking for the upstream's name of the model, wherever the format puts it."""
    name = context.attempt.model
    if name is None:
        return body
    if context.format is not Format.GEMINI:
        # A body that names no model where the client did goes to a host that knows it otherwise.
        unnamed = "model" not in body and name == context.exchange.model
        changed = body if unnamed or body.get("model") == name else body | {"model": name}
    else:
        # The path names it; where a body repeats that, it says `models/NAME`.
        changed = _renamed(body, name)
        for key in ("generateContentRequest", "request", "requests"):
            inner = changed.get(key)
            new = [_renamed(i, name) for i in inner] if isinstance(inner, list) else _renamed(inner, name)
            if new != inner:
                changed = changed | {key: new}
    if changed is not body:
        context.mark(NAME_MODEL.name, NAME_MODEL.reason)
    return changed


def _renamed(value: Json, name: str) -> Json:
    if not isinstance(value, dict) or not isinstance(old := value.get("model"), str):
        return value
    new = f"models/{name}" if old.startswith("models/") and not name.startswith("models/") else name
    return value if old == new else value | {"model": new}


def requested_model(value: Json, context: Context) -> Json:
    """The name that the client asked for, at the five places where formats name the model."""
    if not isinstance(value, dict):
        return value
    name = context.exchange.model
    changed: dict[str, Json] = {k: name for k in _KEYS if isinstance(value.get(k), str) and value[k] != name}
    for key in _HOLDERS:
        inner = value.get(key)
        if isinstance(inner, dict):
            renamed = {k: name for k in _KEYS if isinstance(inner.get(k), str) and inner[k] != name}
            if renamed:
                changed[key] = inner | renamed
    return value | changed if changed else value


def is_renamed(context: Context) -> bool:
    requested, sent = context.exchange.model, context.attempt.model
    return bool(requested and sent and requested != sent)


NAME_MODEL: Final = Rule(
    name="model-name",
    reason="Aliases, prefixes, suffixes and virtual models are Detour's; the upstream is asked for its own name of the "
    "model, in the body or in the path. Runs last and cannot be switched off.",
)

TRANSLATION: Final = Rule(
    name="format-translation",
    reason="The upstream speaks another format than the client, so the request is told in its words, and the answer in "
    "the client's. Runs first and cannot be switched off.",
)

RULES: Final = (
    Rule(
        name="answer-model-name",
        reason="A client that asked for an alias, a prefix or a virtual model is told that name again (`model`, "
        "`modelVersion`, `message.model`, `response.model`, `response.modelVersion`): some compare it, and tools' "
        "statistics go by it.",
        source="CLIProxyAPI sdk/cliproxy/auth/response_model_rewriter.go",
        answer=requested_model,
        event=requested_model,
        armed=is_renamed,
        own=True,
        needles=(b'"model"', b'"modelVersion"'),
    ),
)
