"""One line for each exchange."""

from __future__ import annotations

import logging
from typing import Any

from addons.call import Call

logger = logging.getLogger("detour.exchange")


def _ms(begin: float, end: float | None) -> int | None:
    return None if end is None else round((end - begin) * 1000)


def summary(call: Call) -> dict[str, Any]:
    """What is worth knowing about an exchange, without a secret or a body; plain JSON values."""
    exchange = call.exchange
    assert exchange
    attempt = exchange.attempt
    usage = {
        name: value
        for name in ("input", "output", "reasoning", "cache_read", "cache_write")
        if (value := getattr(exchange.usage, name)) is not None
    }
    return {
        "id": exchange.id,
        "client": exchange.client.name or exchange.client.address,
        "tool": exchange.client.tool,
        "surface": f"{exchange.surface.format}/{exchange.surface.operation}",
        "via": exchange.surface.via,
        "model": exchange.model,
        "stream": exchange.stream,
        "provider": attempt.provider.name if attempt else None,
        "target": attempt.model if attempt else None,
        "credential": attempt.credential_id if attempt else None,
        "attempts": len(exchange.attempts),
        "status": exchange.status,
        "first_byte_ms": _ms(exchange.started, exchange.first_byte),
        "total_ms": _ms(exchange.started, exchange.ended),
        "tokens": usage or None,
        "rules": list(exchange.fired) or None,
        "error": exchange.error,
    }


def log(fields: dict[str, Any]) -> None:
    """Write the line of a `summary`."""
    if not logger.isEnabledFor(logging.INFO):
        return
    target = "/".join(str(fields[k]) for k in ("provider", "target") if fields[k])
    tokens = fields["tokens"] or {}
    logger.info(
        "%s %s %s %s -> %s [%s] attempts=%d status=%s%s total=%dms%s%s",
        fields["id"],
        fields["tool"] or fields["client"],
        fields["surface"],
        fields["model"] or "-",
        target or "-",
        fields["credential"] or ("client's own" if target else "none"),
        fields["attempts"],
        fields["status"],
        "" if fields["first_byte_ms"] is None else f" first={fields['first_byte_ms']}ms",
        fields["total_ms"] or 0,
        f" tokens={tokens.get('input', '?')}+{tokens.get('output', '?')}" if tokens else "",
        f" error={fields['error']!r}" if fields["error"] else "",
        extra={"exchange": fields},
    )
