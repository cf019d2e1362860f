"""The month's report: one document of sums that answers what was used, by whom and on what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Engine

from router_core.usage.question import Question, Row
from router_core.usage.report import ask, ask_each, failures

TOP = 20
"""Rows of each section."""


@dataclass(frozen=True, slots=True)
class Monthly:
    first: date
    last: date
    total: Row | None
    """None for a month without an exchange."""
    previous: Row | None
    """The month before."""
    days: list[Row]
    models: list[Row]
    """By provider and model."""
    credentials: list[Row]
    clients: list[Row]
    tools: list[Row]
    sessions: list[Row]
    failures: list[dict[str, Any]]
    """Failed attempts by provider, credential, status and phase."""

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        sections = ("days", "models", "credentials", "clients", "tools", "sessions")
        return {
            "month": f"{self.first:%Y-%m}",
            "total": self.total.document() if self.total else None,
            "previous": self.previous.document() if self.previous else None,
            **{name: [row.document() for row in getattr(self, name)] for name in sections},
            "failures": self.failures,
        }


def monthly(engine: Engine, first: date) -> Monthly:
    """The report of the month that begins at `first`. Raises SQLAlchemyError."""
    last = _last_day(first)
    before = (first - timedelta(days=1)).replace(day=1)

    def rows(*by: str, limit: int = TOP) -> list[Row]:
        return ask(engine, Question(by, first, last, limit=limit))

    groupings = ((), ("provider", "model"), ("credential",), ("client",), ("tool",))
    total, models, credentials, clients, tools = ask_each(
        engine, Question((), first, last, limit=TOP), *groupings
    )
    return Monthly(
        first=first,
        last=last,
        total=next(iter(total), None),
        previous=next(iter(ask(engine, Question((), before, _last_day(before)))), None),
        days=rows("day", limit=31),
        models=models,
        credentials=credentials,
        clients=clients,
        tools=tools,
        sessions=rows("session"),
        failures=failures(engine, first, last)[:TOP],
    )


def _last_day(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
