"""What errors are answered with, where an upstream's own status misleads clients."""

from __future__ import annotations

from typing import Final

from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When

_HEAD: Final = 16 << 10
"""Bytes of an error's body that are looked at."""
_LIMITS: Final[tuple[tuple[bytes, tuple[int, ...]], ...]] = (
    (b"model is at capacity", ()),
    (b'"usage_limit_reached"', ()),
    (b'"insufficient_quota"', (403,)),
)
"""(text of an error's body, the statuses with which it tells of a limit; any without)"""


def limit_status(status: int, body: bytes, context: Context) -> int:
    """429 for an error that says that a limit is reached, whatever its status."""
    lower = body[:_HEAD].lower()
    for text, statuses in _LIMITS:
        if text in lower and (not statuses or status in statuses):
            return 429
    return status


def credential_status(status: int, body: bytes, context: Context) -> int:
    return 401 if status == 403 and b"bad-credentials" in body[:_HEAD].lower() else status


RULES: Final = (
    Rule(
        name="limit-status",
        reason="Some upstreams tell of a model at capacity, a used up plan or quota with 400, 403 or 500; a client waits "
        "and tries again only where it is told 429.",
        source="CLIProxyAPI codex_executor_terminal.go; 9router 0.4.10, qwen executor",
        status=limit_status,
    ),
    Rule(
        name="xai-credential-status",
        reason="xAI answers a wrong key with 403 bad-credentials; clients look for 401.",
        source="CLIProxyAPI internal/runtime/executor/xai_executor.go",
        when=When(kin=("xai",)),
        status=credential_status,
    ),
)
