"""Limits on tokens and money for a client, a credential or a model, per calendar day or month.

The router asks `Budgets.check` for each target that it considers. What was used is known to within the
moments that the ledger is behind, so a burst of parallel requests can pass a limit by its own size.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import translate
from typing import TYPE_CHECKING, Final, Literal

from router_core.config.schema import Budget
from router_core.usage.entry import Entry, day_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Allowed:
    warnings: tuple[str, ...] = ()
    """Budgets that are used up but only warn, each said once per day or month."""


@dataclass(frozen=True, slots=True)
class PassOver:
    """The target is out; another one may serve."""

    reason: str
    until: float
    """Seconds since the epoch, when the budget begins again."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No target may serve this client."""

    reason: str
    until: float


type Used = tuple[str, int]
"""A day or month, or nothing where nothing was counted, and the tokens or billionths of a dollar."""

type Decision = Allowed | PassOver | Refuse


@dataclass(frozen=True, slots=True)
class BudgetState:
    name: str
    action: Literal["warn", "pass_over", "refuse"]
    per: Literal["day", "month"]
    unit: Literal["tokens", "cost"]
    used: float
    """Tokens or US dollars."""
    limit: float
    until: float


@dataclass(slots=True)
class _Account:
    budget: Budget
    model: re.Pattern[str] | None
    limit: int
    """Tokens, or billionths of a dollar."""
    period: str = ""
    used: int = 0
    warned: str = ""

    @property
    def name(self) -> str:
        b = self.budget
        if b.name:
            return b.name
        return (
            " ".join(f"{k} {v}" for k in ("client", "credential", "model") if (v := getattr(b, k)))
            or "everything"
        )

    def covers(self, client: str, credential: str, model: str) -> bool:
        b = self.budget
        return (
            b.client in (None, client)
            and b.credential in (None, credential)
            and (self.model is None or self.model.match(model) is not None)
        )


class Budgets:
    """All budgets of a configuration. Safe to use from the request path and the ledger's thread at once."""

    def __init__(self, budgets: Iterable[Budget], wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        self._accounts = [
            _Account(
                budget=b,
                model=re.compile(translate(b.model)) if b.model else None,
                limit=b.tokens if b.tokens is not None else int((b.cost or 0) * NANO),
            )
            for b in budgets
        ]

    def check(self, client: str | None, credential: str | None, model: str | None) -> Decision:
        """Whether `client` may use `model` with `credential`. The strictest of the budgets that are used up wins."""
        if not self._accounts:
            return _ALLOWED
        now = self._wall()
        exhausted: list[_Account] = []
        passed: PassOver | None = None
        with self._lock:
            for account in self._accounts:
                if not account.covers(client or "", credential or "", model or ""):
                    continue
                period = period_of(account.budget.per, now)
                if account.period != period or account.used < account.limit:
                    continue
                reason, until = _reason(account), next_period(account.budget.per, now)
                if account.budget.action == "refuse":
                    return Refuse(reason, until)
                if account.budget.action == "pass_over":
                    passed = passed or PassOver(reason, until)
                elif account.warned != period:
                    exhausted.append(account)
            if passed or not exhausted:
                return passed or _ALLOWED
            for account in exhausted:
                account.warned = account.period
            return Allowed(tuple(_reason(account) for account in exhausted))

    def charge(self, entry: Entry) -> None:
        """Count one exchange."""
        with self._lock:
            for account in self._accounts:
                if not account.covers(entry.client, entry.credential, entry.model):
                    continue
                period = period_of(account.budget.per, entry.at / 1000)
                if period < account.period:
                    continue
                if period > account.period:
                    account.period, account.used = period, 0
                account.used += entry.tokens if account.budget.tokens is not None else entry.cost or 0

    def refresh(self, engine: Engine, now: float) -> None:
        """Take over from the ledger what all processes have used. Raises SQLAlchemyError."""
        for account in self._accounts:
            period = period_of(account.budget.per, now)
            used = _used(engine, account, period)
            with self._lock:
                account.period, account.used = period, used

    def used(self) -> list[Used]:
        """What has been counted, in the order of the configuration, for `assume` in another process."""
        with self._lock:
            return [(account.period, account.used) for account in self._accounts]

    def assume(self, used: Iterable[Used]) -> None:
        """Take over what the `used` of the same budgets has said; accounts that knew nothing stay."""
        with self._lock:
            for account, (period, count) in zip(self._accounts, used, strict=True):
                if period:
                    account.period, account.used = period, count

    def inherit(self, earlier: Budgets) -> None:
        """Take over what has been counted for, and said of, those of `earlier` that are in force still."""
        with earlier._lock:
            counted = [(a.budget, a.period, a.used, a.warned) for a in earlier._accounts]
        with self._lock:
            for account in self._accounts:
                for budget, period, used, warned in counted:
                    if budget == account.budget:
                        account.period, account.used, account.warned = period, used, warned

    @property
    def known(self) -> bool:
        """Whether it is known of each budget what has been used."""
        with self._lock:
            return all(account.period for account in self._accounts)

    def ahead(self, now: float) -> bool:
        """Whether something was counted in a later day or month than this one: the clock has been put back."""
        with self._lock:
            return any(account.period > period_of(account.budget.per, now) for account in self._accounts)

    @property
    def bind(self) -> bool:
        """Whether one of them does more than warn."""
        return any(account.budget.action != "warn" for account in self._accounts)

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def states(self) -> list[BudgetState]:
        """Where each budget stands, in the order of the configuration."""
        now = self._wall()
        with self._lock:
            return [_state(account, now) for account in self._accounts]


_ALLOWED: Final = Allowed()


def period_of(per: Literal["day", "month"], now: float) -> str:
    """``2026-03-14`` or ``2026-03``, local time."""
    day = day_of(int(now * 1000))
    return day if per == "day" else day[:7]


def next_period(per: Literal["day", "month"], now: float) -> float:
    """When the next local day or month begins, in seconds since the epoch."""
    here = datetime.fromtimestamp(now)
    if per == "month":
        year, month = divmod(here.year * 12 + here.month, 12)
        return datetime(year, month + 1, 1).timestamp()
    # Noon tomorrow exists once on every calendar, whatever daylight saving does.
    tomorrow = datetime.fromtimestamp(datetime(here.year, here.month, here.day, 12).timestamp() + 86400)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day).timestamp()


def _used(engine: Engine, account: _Account, period: str) -> int:
    """What the roll-ups hold for one budget in one day or month."""
    from sqlalchemy import func, select

    from router_core.usage.tables import daily

    budget = account.budget
    tokens = daily.c.input + daily.c.cache_read + daily.c.cache_write + daily.c.output
    measure = tokens if budget.tokens is not None else daily.c.cost
    query = select(daily.c.model, func.sum(measure)).group_by(daily.c.model)
    query = query.where(daily.c.day == period if budget.per == "day" else daily.c.day.startswith(period))
    if budget.client is not None:
        query = query.where(daily.c.client == budget.client)
    if budget.credential is not None:
        query = query.where(daily.c.credential == budget.credential)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return sum(int(used) for model, used in rows if account.model is None or account.model.match(model))


def _state(account: _Account, now: float) -> BudgetState:
    budget = account.budget
    unit: Literal["tokens", "cost"] = "tokens" if budget.tokens is not None else "cost"
    scale = 1 if unit == "tokens" else NANO
    used = account.used if account.period == period_of(budget.per, now) else 0
    until = next_period(budget.per, now)
    return BudgetState(
        account.name, budget.action, budget.per, unit, used / scale, account.limit / scale, until
    )


def _reason(account: _Account) -> str:
    budget = account.budget
    limit = f"{budget.tokens:,} tokens" if budget.tokens is not None else f"${budget.cost}"
    return f"the budget for {account.name} is used up: {limit} a {budget.per} (usage.budgets)"
