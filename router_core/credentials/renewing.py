"""Tokens that run out and are fetched again: once at a time, ahead of time, and not too often.

- Within `lead` seconds of its end a token is still handed out while a new one is fetched beside it; one that
  lives shorter than that, in the second half of its life.
- A token that was just fetched is used for `LEAST_LIFE` seconds, even if it has ended by our clock.
- Whoever needs a token that has run out waits for the one fetch under way. A client that goes away does
  not interrupt it: a refresh token may already have been spent.
- A fetch that failed is not repeated before 5, 10, 20 ... 300 seconds are over, one that only a person can
  mend not before half an hour; a token that is refused right after it was fetched is not fetched again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from router_core.credentials.model import CredentialError, Token

logger = logging.getLogger(__name__)

SKEW: Final = 5.0
"""Seconds before its end from which a token is not used: it has to last until the upstream looks at it."""
FIRST_BACKOFF: Final = 5.0
MAX_BACKOFF: Final = 300.0
PERMANENT_BACKOFF: Final = 1800.0
LEAST_LIFE: Final = 10.0
"""Seconds for which a fetched token is used whatever it says: where clocks differ, each request would be a refresh."""
INEFFECTIVE: Final = 30.0
"""Seconds after a fetch in which a refused token is not fetched again."""


class Renewing(ABC):
    """A `Source` whose token is fetched by `_fetch`."""

    def __init__(self, name: str, *, lead: float, wall: Callable[[], float] = time.time):
        self.name, self.lead = name, lead
        self.renewed: Callable[[], None] = lambda: None
        """Called after each token that was fetched."""
        self._wall = wall
        self._held: Token | None = None
        self._task: asyncio.Task[Token] | None = None
        self._failures = 0
        self._error: CredentialError | None = None
        self._not_before = 0.0
        self._fetched_at = float("-inf")
        self._fetched = ""

    @abstractmethod
    async def _fetch(self) -> Token:
        """A new token. Raises CredentialError."""

    @abstractmethod
    def fingerprint(self) -> str: ...

    def _usable(self, margin: float) -> Token | None:
        held, now = self._held, self._wall()
        if held is None or held.expires_at is None or now < held.expires_at - margin:
            return held
        return held if held.secret == self._fetched and now < self._fetched_at + LEAST_LIFE else None

    def current(self) -> Token | None:
        return self._usable(max(self.lead, SKEW))

    def due(self) -> float:
        """Seconds until a new token should be fetched ahead of time; inf for never."""
        if self._held is None or self._held.expires_at is None:
            return float("inf")
        return max(self._held.expires_at - self.lead, self._not_before) - self._wall()

    def renewable(self) -> bool:
        """Whether `_fetch` can find anything new."""
        return True

    @property
    def running(self) -> asyncio.Task[Token] | None:
        """The fetch under way."""
        return self._task if self._task is not None and not self._task.done() else None

    async def token(self) -> Token:
        held = self._usable(SKEW)
        if held is not None:
            if self.current() is None and self._wall() >= self._not_before:
                self.renew()
            return held
        return await self._wait()

    async def rejected(self, secret: str) -> bool:
        held = self._held
        if held is not None and held.secret != secret:
            return True
        if self._wall() - self._fetched_at < INEFFECTIVE:
            return False
        return (await self._wait()).secret != secret

    def renew(self) -> asyncio.Task[Token]:
        """The fetch under way, or a new one."""
        if self.running is None:
            self._task = asyncio.get_running_loop().create_task(self._renew())
            # The one who waits, if any, handles it; nobody else may want to know.
            self._task.add_done_callback(lambda t: t.cancelled() or t.exception())
        assert self._task is not None
        return self._task

    async def _wait(self) -> Token:
        if self.running is None and self._error is not None and self._wall() < self._not_before:
            raise self._error
        return await asyncio.shield(self.renew())

    async def _renew(self) -> Token:
        try:
            token = await self._fetch()
        except CredentialError as e:
            self._failed(e)
            raise
        except Exception as e:
            # The words of an unexpected error may hold what was sent.
            error = CredentialError(f"a new token cannot be had: {type(e).__name__}")
            self._failed(error)
            raise error from None
        self._got(token)
        return token

    def _got(self, token: Token) -> None:
        """A token was fetched."""
        self._hold(token)
        self._fetched, self._fetched_at = token.secret, self._wall()
        if token.expires_at is not None:
            life = token.expires_at - self._fetched_at
            self._not_before = self._fetched_at + (life / 2 if life > 0 else INEFFECTIVE)
        self.renewed()

    def _hold(self, token: Token | None) -> None:
        """A token that is known to be new."""
        self._held, self._error = token, None
        self._failures, self._not_before = 0, 0.0

    def _failed(self, error: CredentialError) -> None:
        wait = PERMANENT_BACKOFF if error.permanent else min(FIRST_BACKOFF * 2**self._failures, MAX_BACKOFF)
        self._failures += 1
        self._error = error
        self._not_before = self._wall() + wait * random.uniform(1.0, 1.2)
        logger.warning("%s: %s", self.name, error)
