"""Rules of the answer that hold for every format."""

from __future__ import annotations

from typing import Final

from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When

_MODEL_KEYS: Final = ("model", "modelVersion")
_ERROR_HEAD: Final = 16 << 10
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


_LIMIT_TEXTS: Final = (
    (b"model is at capacity", ()),
    (b"usage_limit_reached", ()),
    (b"insufficient_quota", (403,)),
)
"""(text of an error body, the statuses with which it is a limit; any of 400 and above without)"""


def limit_status(status: int, body: bytes, context: Context) -> int:
    """429 for an error that says that a limit is reached, whatever its status."""
    lower = body[:_ERROR_HEAD].lower()
    for text, statuses in _LIMIT_TEXTS:
        if text in lower and (not statuses or status in statuses):
            return 429
    return status


def credential_status(status: int, body: bytes, context: Context) -> int:
    return 401 if status == 403 and b"bad-credentials" in body[:_ERROR_HEAD].lower() else status


RULES: Final = (
    Rule(
        name="limit-status",
        reason="Some upstreams tell of a model at capacity, a used up plan or quota with 400, 403 or 500; a client waits "
        "and tries again only where it is told 429.",
        source="CLIProxyAPI codex_executor_terminal.go; 9router 0.4.10, qwen executor",
        status=limit_status,
        own=True,
    ),
    Rule(
        name="xai-credential-status",
        reason="xAI answers a wrong key with 403 bad-credentials; clients look for 401.",
        source="CLIProxyAPI internal/runtime/executor/xai_executor.go",
        when=When(provider=("xai",)),
        status=credential_status,
    ),
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
