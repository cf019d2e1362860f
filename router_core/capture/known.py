"""Secrets whose values are known, in every way in which they may be spelled on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from router_core.capture import patterns
from router_core.capture.spellings import plain, spellings

MAX_LEARNED: Final = 256
"""Secrets that were seen in headers and logins and are then looked for everywhere; the oldest go first."""
_SHORTEST: Final = 4


class KnownSecrets:
    """Not thread-safe but for `know`, which any thread may call."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}
        self._learned: dict[bytes, bytes] = {}
        self.version = 0
        """Grows with every secret: what was found harmless before may not be so any more."""
        self.exact: re.Pattern[bytes] | None = None
        """Finds those that lie in one run of token characters."""
        self.odd: tuple[bytes, ...] = ()
        """The others, to be searched for one by one."""

    def know(self, secrets: Iterable[str]) -> None:
        """Registers secrets of the pool, for good."""
        known = dict(self._known)
        for secret in secrets:
            if len(secret) >= _SHORTEST and secret.encode("utf-8", "surrogateescape") not in known:
                known.update(spellings(secret))
        if len(known) != len(self._known):
            self._known = known
            self._compile()

    def learn(self, secret: str) -> None:
        """Remembers a secret that stood in a place for secrets, in case it is echoed elsewhere.

        Words are not remembered: a cookie may hold ``Europe/Berlin``.
        """
        value = secret.encode("utf-8", "surrogateescape")
        if not patterns.LOOKS_RANDOM.fullmatch(value) or value in self._known or value in self._learned:
            return
        self._learned.update(spellings(secret))
        while len(self._learned) > MAX_LEARNED:
            del self._learned[next(iter(self._learned))]
        self._compile()

    def plain(self, value: bytes) -> bytes:
        """The bytes behind one spelling of a secret, known or not: all its spellings share a placeholder."""
        return self._known.get(value) or self._learned.get(value) or plain(value)

    def _compile(self) -> None:
        values = [*self._known, *self._learned]
        runs = [v for v in values if len(v) >= patterns.RUN and patterns.TOKEN_BYTES.issuperset(v)]
        runs.sort(key=len, reverse=True)
        self.exact = re.compile(b"|".join(map(re.escape, runs))) if runs else None
        self.odd = tuple(v for v in values if v not in set(runs))
        self.version += 1
