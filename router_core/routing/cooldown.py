"""What is known of one credential: its cooldowns, what is under way, and how it last ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from router_core.credentials.model import Credential

if TYPE_CHECKING:
    from router_core.routing.scheduler import Scheduler

type Key = str | None
"""A model name as the upstream knows it, or None: for a request, that it names none; for a cooldown, that it
holds for the whole credential."""

NO_MODEL: Final = ""
"""The key of operations that name no model, such as WebSocket handshakes."""

QUOTA: Final = "\0quota"
"""The key of windows that are closed because a quota is used up. Not a failure: never probed."""


@dataclass(slots=True)
class Cooldown:
    kind: str
    """A FailureKind, or ``quota``."""
    reason: str
    since: float
    until: float
    """Both seconds since the epoch."""
    stated: bool = False
    """Whether the provider itself named the end."""
    level: int = 0
    """How many windows in a row, from 0; the exponent of the backoff."""
    opened: float = 0.0
    probe_at: float = math.inf
    retry_at: float = math.inf
    probing: float | None = None
    """Monotonic: when it opened, when one request may test it, when one may as a last resort, and until
    when a probe under way is waited for."""
    remote: bool = False
    """Learned from another process."""

    @property
    def quota(self) -> bool:
        return self.kind == "quota"


@dataclass(frozen=True, slots=True)
class Probe:
    """An attempt that tests a cooldown."""

    key: Key
    """Of the cooldown: a model, or None for the whole credential."""
    early: bool
    """The cooldown's time is not over."""
    life: float
    """Seconds for which it is the only one, in all processes."""


@dataclass(frozen=True, slots=True)
class Over:
    """The news that a period ended."""

    at: float
    """When it was found out."""
    until: float
    """When it would have ended. Both seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of one model that seems to be used up."""

    until: float
    reason: str
    since: float = field(default=0.0, compare=False)
    """Both seconds since the epoch."""


@dataclass(slots=True, eq=False)
class CredentialState:
    """One credential while it stays active. A credential that comes back gets a new one."""

    credential: Credential
    fingerprint: str = ""
    """Of the secret that the state was learned with."""
    scheduler: Scheduler = field(init=False, repr=False)
    """The scheduler that it belongs to now; a reload makes new ones."""
    index: int = -1
    """Its bit there; -1 once it has left."""
    in_flight: int = 0
    cooldowns: dict[Key, Cooldown] = field(default_factory=dict)
    over: dict[Key, Over] = field(default_factory=dict)
    """The last cooldowns that ended before their time, so that none comes back from who has not heard of it."""
    served: dict[Key, float] = field(default_factory=dict)
    """By model, and under None of all: when the last request that was answered well had begun, in seconds since the
    epoch."""
    spent: dict[str, Limit] = field(default_factory=dict)
    """By model, as `key_of` names it: where others go first."""
    last_error: str | None = None
    last_error_at: float | None = None
    last_success_at: float | None = None
    """Seconds since the epoch."""

    def is_still(self, credential: Credential, fingerprint: str) -> bool:
        """Whether what is known here holds for `credential`: the same secret for the same place."""
        old = self.credential
        return (old.provider, old.config.base_url, self.fingerprint) == (
            credential.provider,
            credential.config.base_url,
            fingerprint,
        )

    @property
    def bit(self) -> int:
        return 1 << self.index if self.index >= 0 else 0


def key_of(model: str | None) -> str:
    return NO_MODEL if model is None else model


def bits(mask: int) -> Iterator[int]:
    """The places of the set bits, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
