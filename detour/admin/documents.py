"""What the admin API says, as JSON values. Nothing here holds a secret or the content of a conversation."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from detour import __version__
from router_core.core import Core
from router_core.exchange import Attempt, Exchange
from router_core.usage.activity import Activity
from router_core.usage.entry import Entry

if TYPE_CHECKING:
    from detour.admin.context import Context
    from detour.admin.sight import Sight

NANO = 1_000_000_000


def state(context: Context, sight: Sight) -> dict[str, Any]:
    """How the instance is: its age, what runs, its ledger, its credentials counted by state."""
    return {
        "version": __version__,
        "started": context.started,
        "uptime": round(time.time() - context.started, 3),
        "config": str(context.loaded.path) if context.loaded.path else None,
        "listen": context.core.config.listen.model_dump(),
        "workers": context.workers(),
        "exchanges": {"running": len(sight.running), "finished": sight.finished},
        "connections": asdict(sight.connections),
        "credentials": Counter(status.state for status in sight.credentials),
        "ledger": asdict(sight.ledger) if sight.ledger else {"state": "off"},
        "refusals": sight.refusals,
        "warnings": [str(problem) for problem in context.loaded.warnings],
    }


def budgets(sight: Sight) -> list[dict[str, Any]]:
    return [asdict(budget) for budget in sight.budgets]


def credentials(sight: Sight) -> list[dict[str, Any]]:
    return [status.to_dict() for status in sight.credentials]


def refusals(core: Core) -> list[dict[str, Any]]:
    """The clients that do not accept the certificate, the latest first; times in seconds since the epoch."""
    known = core.refusals
    return [
        {
            "client": refusal.client.address,
            "name": refusal.name,
            "host": refusal.client.host,
            "hello": refusal.client.hello,
            "count": refusal.count,
            "reason": refusal.reason,
            "at": refusal.at,
            "tunnelled_for": round(known.tunnelled_for(refusal), 1),
            "remedy": refusal.remedy,
        }
        for refusal in known.listed()
    ]


def running(activity: Activity, exchange: Exchange) -> dict[str, Any]:
    """An exchange under way."""
    attempt, surface = exchange.attempt, exchange.surface
    elapsed = activity.elapsed(exchange)
    return {
        "id": exchange.id,
        "state": "streaming" if exchange.first_byte else "waiting",
        "at": int(exchange.created * 1000),
        "elapsed_ms": round(elapsed * 1000),
        "client": exchange.client.name or exchange.client.address,
        "tool": exchange.client.tool or "",
        "session": exchange.session or "",
        "format": str(surface.format),
        "operation": str(surface.operation),
        "stream": exchange.stream,
        "websocket": exchange.websocket,
        "asked": exchange.model or "",
        "provider": attempt.provider.name if attempt else "",
        "model": (attempt.model if attempt else None) or "",
        "credential": (attempt.credential_id if attempt else None) or "",
        "attempts": len(exchange.attempts),
        "input": exchange.usage.prompt,
        "output": exchange.usage.output,
        "first_byte_ms": round((exchange.first_byte - exchange.started) * 1000)
        if exchange.first_byte
        else None,
        "tokens_per_second": activity.tokens_per_second(exchange),
    }


def finished(entry: Entry) -> dict[str, Any]:
    """An exchange that is over; money in US dollars."""
    document = asdict(entry)
    for name in ("cost", "notional"):
        if document[name] is not None:
            document[name] = document[name] / NANO
    document["state"] = entry.result
    document["tokens"] = entry.tokens
    document["tokens_per_second"] = tokens_per_second(entry)
    return document


def tokens_per_second(entry: Entry) -> float | None:
    if not entry.output or not entry.stream or entry.first_byte_ms is None or entry.duration_ms is None:
        return None
    spent = entry.duration_ms - entry.first_byte_ms
    return round(entry.output * 1000 / spent, 1) if spent > 0 else None


def detail(exchange: Exchange) -> dict[str, Any]:
    """What only a running exchange still knows: its attempts one by one."""
    return {"attempts": [_attempt(exchange, a) for a in exchange.attempts], "rules": list(exchange.fired)}


def _attempt(exchange: Exchange, attempt: Attempt) -> dict[str, Any]:
    outcome = attempt.outcome
    return {
        "number": attempt.number,
        "provider": attempt.provider.name,
        "model": attempt.model,
        "credential": attempt.credential_id,
        "reason": attempt.reason,
        "after_ms": round((attempt.started - exchange.started) * 1000),
        "phase": outcome.phase if outcome else None,
        "status": outcome.status if outcome else None,
        "error": outcome.error if outcome else None,
    }
