"""The state of credentials in words and figures, for people. Never holds a secret."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from router_core.credentials.model import Credential
from router_core.routing.cooldown import NO_MODEL, QUOTA, Cooldown, CredentialState, Key
from router_core.routing.windows import Window

logger = logging.getLogger(__name__)

TAKEN_OUT = "it was taken out of use; `detour credentials enable` puts it back"


@dataclass(frozen=True, slots=True)
class CooldownStatus:
    model: str
    """Empty: requests that name no model."""
    state: str
    """``cooling``, or ``half_open`` once its time is over and until a request has shown that it works, or
    ``exhausted`` while others go first."""
    kind: str
    """A failure kind, or ``quota``."""
    reason: str
    since: float
    until: float
    """Seconds since the epoch."""
    stated: bool
    """Whether the provider itself named the end."""


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    id: str
    provider: str
    state: str
    """``ready``, ``cooling``, ``half_open``, ``exhausted``, ``busy`` ``disabled`` (taken out of use by
    hand) or ``inactive``; cooling of single models stands in `models`."""
    reason: str
    since: float | None = None
    until: float | None = None
    """Seconds since the epoch."""
    priority: int = 0
    weight: int = 1
    prefix: str | None = None
    in_flight: int = 0
    concurrency: int | None = None
    models: tuple[CooldownStatus, ...] = ()
    windows: tuple[Window, ...] = ()
    last_error: str | None = None
    last_error_at: float | None = None
    last_success_at: float | None = None
    expires_at: float | None = None
    """When its present token expires, where it does."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Summary:
    state: str = "ready"
    reason: str = ""
    since: float | None = None
    until: float | None = None
    models: list[CooldownStatus] = field(default_factory=list)


def status_of(
    credential: Credential, state: CredentialState | None, off: bool, windows: list[Window], now: float
) -> CredentialStatus:
    """`state` is None for a credential that is not active; `off` says that somebody took it out of use;
    `now` is the wall clock."""
    config = credential.config
    if state is None or not credential.active:
        return CredentialStatus(
            config.id,
            config.provider,
            "disabled" if off else "inactive",
            TAKEN_OUT if off else credential.inactive or "its provider is not known",
            priority=config.priority,
            weight=config.weight,
            prefix=config.prefix,
            concurrency=config.concurrency,
        )
    summary = _summary(state, now)
    token = credential.source.current()
    return CredentialStatus(
        config.id,
        config.provider,
        summary.state,
        summary.reason,
        summary.since,
        summary.until,
        priority=config.priority,
        weight=config.weight,
        prefix=config.prefix,
        in_flight=state.in_flight,
        concurrency=config.concurrency,
        models=tuple(summary.models),
        windows=tuple(windows),
        last_error=state.last_error,
        last_error_at=state.last_error_at,
        last_success_at=state.last_success_at,
        expires_at=token.expires_at if token else None,
    )


def _summary(state: CredentialState, now: float) -> _Summary:
    summary = _Summary()
    for key, cooldown in state.cooldowns.items():
        phase = "cooling" if cooldown.until > now else "half_open"
        if key == QUOTA:
            phase = "exhausted"
        if key is None or key == QUOTA:
            if summary.until is None or cooldown.until > summary.until:
                summary.state, summary.reason = phase, cooldown.reason or cooldown.kind
                summary.since, summary.until = cooldown.since, cooldown.until
        else:
            since, until = cooldown.since, cooldown.until
            summary.models.append(
                CooldownStatus(key, phase, str(cooldown.kind), cooldown.reason, since, until, cooldown.stated)
            )
    for model, limit in state.spent.items():
        if limit.until > now and model not in state.cooldowns:
            row = CooldownStatus(
                model, "exhausted", "quota", limit.reason, limit.since, limit.until, stated=True
            )
            summary.models.append(row)
    if summary.state == "ready" and state.bit & state.scheduler.full:
        summary.state, summary.reason = "busy", _full(state)
    summary.models.sort(key=lambda m: m.model)
    return summary


def _full(state: CredentialState) -> str:
    return f"its limit of {state.credential.config.concurrency} at a time is reached"


def why(state: CredentialState, model: str | None, now: float) -> str:
    """In words, what keeps `state` from serving `model` now; ``ready`` if nothing does."""
    for key in (None, QUOTA, NO_MODEL if model is None else model):
        cooldown = state.cooldowns.get(key)
        if cooldown is not None and cooldown.until > now:
            return f"{cooldown.reason or cooldown.kind}; back in {describe(cooldown.until - now)}"
        if cooldown is not None and cooldown.probing is not None:
            return "its cooldown is over and one request is testing it"
    limit = state.spent.get(NO_MODEL if model is None else model)
    if limit is not None and limit.until > now:
        return f"{limit.reason}; others go first for {describe(limit.until - now)}"
    if state.bit & state.scheduler.full:
        return _full(state)
    return "ready"


def log_change(state: CredentialState, key: Key, cooldown: Cooldown | None, now: float) -> None:
    """One line for each cooldown of `state` that begins, changes or ends, with the same facts as the status."""
    of = f" for {key}" if key and key != QUOTA else ""
    if cooldown is None:
        logger.info("%s%s is ready again", state.credential.id, of)
        return
    what = "is exhausted" if cooldown.quota else "cools"
    since = f", since {_clock(cooldown.since)}" if now - cooldown.since >= 1 else ""
    logger.info(
        "%s%s %s until %s (%s)%s: %s",
        state.credential.id, of, what, _clock(cooldown.until), describe(cooldown.until - now), since,
        cooldown.reason or cooldown.kind,
    )  # fmt: skip


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")


def describe(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``6 days``: for people, rounded up."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{math.ceil(seconds / 86400)} days"
