"""What an attempt's end means for its request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Whose fault a failure is; `router_core.routing.failures` has the table."""

    SUCCESS = "success"
    CLIENT_FAULT = "client_fault"
    REQUEST_MISS = "request_miss"
    AUTH = "auth"
    PAYMENT = "payment"
    NOT_FOUND = "not_found"
    MODEL_UNSUPPORTED = "model_unsupported"
    RATE_LIMIT = "rate_limit"
    CAPACITY = "capacity"
    TRANSIENT = "transient"
    CHALLENGE = "challenge"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: FailureKind
    retry: bool
    """Whether `Plan.next` may be asked for another attempt."""
    until: float | None
    """Until when the credential rests (seconds since the epoch), or None."""
    reason: str
