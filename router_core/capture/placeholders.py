"""What stands in a record in the place of a secret: ``redacted-KIND-DIGEST``.

The digest is an HMAC of the secret under a random key of this installation, so one secret has one placeholder
in all records and nobody can test guesses against it. Placeholders are made of characters that need no quoting
in headers, URLs, forms and JSON.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from router_core.capture.spans import Kind

PLACEHOLDER: Final = re.compile(r"redacted-(secret|cookie|account|email|pattern)-([0-9a-f]{12})")
MAX_KEPT: Final = 16384


class Placeholders:
    """Those of one installation."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._kept: dict[tuple[str, bytes], bytes] = {}

    def of(self, kind: Kind, value: bytes) -> bytes:
        """The stand-in for `value`, e.g. ``redacted-secret-0f3a9c11d2e4``."""
        found = self._kept.get((kind, value))
        if found is None:
            digest = hmac.digest(self._key, value, "sha256").hex()[:12]
            found = f"redacted-{kind}-{digest}".encode()
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[kind, value] = found
        return found

    def of_text(self, kind: Kind, value: str) -> str:
        """The stand-in for `value`, which stays where it is one already."""
        if PLACEHOLDER.fullmatch(value):
            return value
        return self.of(kind, value.encode("utf-8", "surrogateescape")).decode()
