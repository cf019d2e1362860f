"""The errors that Detour itself answers: the codes of the contract, and their HTTP statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    UNAUTHORIZED = "unauthorized"
    MODEL_NOT_FOUND = "model_not_found"
    PROVIDER_DISABLED = "provider_disabled"
    ALL_COOLING = "all_cooling"
    NO_CREDENTIAL = "no_credential"
    UNSUPPORTED = "unsupported"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    REQUEST_TOO_LARGE = "request_too_large"
    BUDGET_EXCEEDED = "budget_exceeded"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    INTERNAL = "internal"


STATUS = {
    Code.UNAUTHORIZED: 401,
    Code.MODEL_NOT_FOUND: 404,
    Code.PROVIDER_DISABLED: 503,
    Code.ALL_COOLING: 429,
    Code.NO_CREDENTIAL: 503,
    Code.UNSUPPORTED: 400,
    Code.INVALID_REQUEST: 400,
    Code.NOT_FOUND: 404,
    Code.REQUEST_TOO_LARGE: 413,
    Code.BUDGET_EXCEEDED: 429,
    Code.UPSTREAM_UNREACHABLE: 502,
    Code.INTERNAL: 500,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Detour's own. `message` names the thing to mend and never holds a secret."""

    code: Code
    message: str
    status: int = 0
    """HTTP status; the code's own when 0."""
    retry_after: float | None = None
    """Seconds, for the Retry-After header."""
    details: Mapping[str, Any] | None = None
    """What clients of Anthropic's format are told beside, for programs to read."""

    def __post_init__(self) -> None:
        if not self.status:
            object.__setattr__(self, "status", STATUS[self.code])
