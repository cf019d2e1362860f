"""What can be seen of a core at one moment, as plain values: they travel between processes and are added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from detour.admin import documents
from router_core.capture.writer import Stats
from router_core.connections import Connections
from router_core.core import Core
from router_core.routing.status import CredentialStatus
from router_core.usage.budgets import BudgetState
from router_core.usage.status import LedgerStatus

STATES: Final = ("disabled", "inactive", "exhausted", "cooling", "half_open", "busy", "ready")
"""Of credentials, the gravest first."""
LEDGERS: Final = ("refused", "waiting", "starting", "stopped", "ok")


@dataclass(frozen=True, slots=True)
class Sight:
    running: list[dict[str, Any]]
    """Exchanges under way, oldest first, as `documents.running` with `documents.detail`."""
    finished: int
    """Exchanges that are over, since the start."""
    credentials: list[CredentialStatus]
    connections: Connections
    refusals: list[dict[str, Any]]
    ledger: LedgerStatus | None
    budgets: list[BudgetState]
    recorder: Stats | None

    @property
    def disabled(self) -> list[str]:
        return sorted(status.id for status in self.credentials if status.state == "disabled")


def sight_of(core: Core) -> Sight:
    activity, ledger = core.activity, core.activity.ledger
    return Sight(
        [documents.running(activity, e) | documents.detail(e) for e in activity.running()],
        activity.finished_total,
        core.router.status(),
        core.connections,
        documents.refusals(core),
        ledger.status() if ledger else None,
        ledger.budgets.states() if ledger and ledger.budgets else [],
        core.recorder.stats if core.recorder else None,
    )


def merged(sights: Sequence[Sight]) -> Sight:
    """What several processes that serve the same configuration show together."""
    first = sights[0]
    if len(sights) == 1:
        return first
    return Sight(
        sorted((e for sight in sights for e in sight.running), key=lambda e: e["at"]),
        sum(sight.finished for sight in sights),
        [_credential([s.credentials for s in sights], status.id) for status in first.credentials],
        added([sight.connections for sight in sights]),
        _refusals([r for sight in sights for r in sight.refusals]),
        _ledger([sight.ledger for sight in sights if sight.ledger]),
        [_budget([s.budgets for s in sights], budget) for budget in first.budgets],
        _recorded([sight.recorder for sight in sights if sight.recorder]),
    )


def added(counted: Sequence[Connections]) -> Connections:
    return Connections(*(sum(getattr(one, field.name) for one in counted) for field in fields(Connections)))


def _refusals(everywhere: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Processes tell each other of refusals; the one that saw the client knows its program."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in sorted(everywhere, key=lambda r: (r["count"], len(r["name"]))):
        found[one["client"], one["host"], one["hello"]] = one
    return sorted(found.values(), key=lambda r: -r["at"])


def _credential(everywhere: Sequence[list[CredentialStatus]], id: str) -> CredentialStatus:
    """The gravest state that a credential is in anywhere, and in how many processes it is."""
    found = [status for statuses in everywhere for status in statuses if status.id == id]
    worst = min(found, key=lambda s: (STATES.index(s.state), -(s.until or 0)))
    here = sum(status.state == worst.state for status in found)
    reason = f"{worst.reason} (in {here} of {len(found)} workers)" if here < len(found) else worst.reason
    failed = max(found, key=lambda s: s.last_error_at or 0)
    models = {(m.model, m.kind): m for s in found for m in sorted(s.models, key=lambda m: m.until)}
    windows = {w.name: w for s in found for w in sorted(s.windows, key=lambda w: w.used or 0)}
    return replace(
        worst,
        reason=reason.strip(),
        in_flight=sum(status.in_flight for status in found),
        models=tuple(models[key] for key in sorted(models)),
        windows=tuple(windows.values()),
        last_error=failed.last_error,
        last_error_at=failed.last_error_at,
        last_success_at=max((s.last_success_at for s in found if s.last_success_at), default=None),
    )


def _budget(everywhere: Sequence[list[BudgetState]], one: BudgetState) -> BudgetState:
    """Each process knows its own use at once and that of the others from the ledger: the most is the truest."""
    same = [
        b
        for budgets in everywhere
        for b in budgets
        if (b.name, b.unit, b.per) == (one.name, one.unit, one.per)
    ]
    return max(same, key=lambda budget: budget.used)


def _ledger(statuses: Sequence[LedgerStatus]) -> LedgerStatus | None:
    if not statuses:
        return None
    worst = min(statuses, key=lambda status: LEDGERS.index(status.state))
    return LedgerStatus(
        worst.state,
        worst.error,
        sum(status.queued for status in statuses),
        sum(status.written for status in statuses),
        # They share one spool.
        max(status.spooled for status in statuses),
        sum(status.dropped for status in statuses),
    )


def _recorded(counted: Sequence[Stats]) -> Stats | None:
    if not counted:
        return None
    return Stats(
        sum(stats.recorded for stats in counted),
        sum(stats.discarded for stats in counted),
        sum(stats.dropped for stats in counted),
        sum(stats.pruned for stats in counted),
        sum(stats.bytes for stats in counted),
        next((stats.problem for stats in counted if stats.problem), None),
    )
