"""Keeps secrets out of log lines, whoever wrote them."""

from __future__ import annotations

import re
from typing import Final

from router_core.capture.patterns import BEARER, TOKENS

REDACTED: Final = "[redacted]"

NAMES: Final = (
    "authorization",
    "api-key",
    "api_key",
    "apikey",
    "cookie",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "password",
)
"""What stands before a secret in a header, a JSON member, a query or an assignment."""

_NAMED = re.compile(
    rf"(?P<name>{'|'.join(NAMES)})(?P<between>[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"',;&]+",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")


def redact(text: str) -> str:
    """`text` without what looks like a key, a token or a password."""
    data = text.encode("utf-8", "surrogatepass")
    data = BEARER.sub(b"Bearer " + REDACTED.encode(), TOKENS.sub(REDACTED.encode(), data))
    text = _USERINFO.sub(REDACTED, data.decode("utf-8", "surrogatepass"))
    # Looking for the words is a tenth of the pattern's cost, and most lines have none.
    lower = text.lower()
    if any(name in lower for name in NAMES):
        text = _NAMED.sub(lambda m: f"{m['name']}{m['between']}{REDACTED}", text)
    return text
