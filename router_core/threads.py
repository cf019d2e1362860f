"""Anthropic's message threads: conversations that its API keeps, so that each turn sends only what is new.

Its libraries' tool runners use them by themselves (beta ``message-threads-2026-08-12``). Another host that was sent one
turn alone would answer without all that came before it, so it is not sent any: the errors are the ones by which
Anthropic says the same, and at which its libraries send the whole conversation.
"""

from __future__ import annotations

from router_core.errors import Code, Refusal
from router_core.exchange import Attempt, Exchange
from router_core.formats import Format, Operation

HOLDS = "claude_api"
"""The quirk of providers that keep threads: Anthropic itself."""


def refused(exchange: Exchange, attempt: Attempt) -> Refusal | None:
    """Why `attempt` cannot be sent the request's thread; None where it can, or there is none."""
    surface, document = exchange.surface, exchange.document
    if surface.format is not Format.ANTHROPIC or surface.operation is not Operation.GENERATE:
        return None
    thread = document.get("thread") if isinstance(document, dict) else None
    if not isinstance(thread, dict) or attempt.credential_id is None or HOLDS in attempt.provider.quirks:
        return None
    name = attempt.provider.name
    if thread.get("type") == "continue":
        return Refusal(
            Code.UNSUPPORTED,
            f"{name} does not have the thread of this conversation; send all of it",
            status=404,
            details={"error_code": "thread_not_found"},
        )
    return Refusal(
        Code.UNSUPPORTED,
        f"{name} keeps no threads; send all of the conversation, without thread",
        details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
    )
