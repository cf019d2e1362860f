"""The first ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAMES = ("provider", "credential", "model", "client", "tool")
TOKENS = (
    "input",
    "output",
    "reasoning",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
)
SUMS = (
    "requests",
    "errors",
    "cancelled",
    "refused",
    "failed_attempts",
    *TOKENS,
    "server_tools",
    "cost",
    "notional",
    "unpriced",
    "duration_ms",
    "generated",
    "generation_ms",
)


def text(name: str) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False)


def big(name: str, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "exchanges",
        text("id"),
        big("at", nullable=False),
        *(text(name) for name in NAMES),
        *(text(name) for name in ("asked", "session", "format", "operation")),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("websocket", sa.Boolean, nullable=False),
        text("result"),
        sa.Column("status", sa.Integer),
        text("error"),
        sa.Column("attempts", sa.Integer, nullable=False),
        big("first_byte_ms"),
        big("duration_ms"),
        *(big(name) for name in TOKENS),
        text("server_tools"),
        text("notes"),
        sa.Column("subscription", sa.Boolean, nullable=False),
        big("cost"),
        big("notional"),
        text("cost_source"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("exchanges_at", "exchanges", ["at"])
    op.create_index("exchanges_session", "exchanges", ["session", "at"])
    op.create_table(
        "attempts",
        text("exchange"),
        sa.Column("number", sa.Integer, nullable=False),
        big("at", nullable=False),
        text("provider"),
        text("credential"),
        text("model"),
        text("phase"),
        sa.Column("status", sa.Integer),
        sa.Column("timeout", sa.Boolean, nullable=False),
        big("duration_ms"),
        big("input"),
        big("output"),
        sa.PrimaryKeyConstraint("exchange", "number"),
    )
    op.create_index("attempts_at", "attempts", ["at"])
    rollup("hourly", [big("hour", nullable=False)], sums=(*SUMS, *(f"fb{i}" for i in range(13))))
    rollup("daily", [text("day")])
    rollup("sessions", [text("day"), text("session")], names=("client", "tool"))


def rollup(
    table: str, keys: list[sa.Column], names: tuple[str, ...] = NAMES, sums: tuple[str, ...] = SUMS
) -> None:
    op.create_table(
        table,
        *keys,
        *(text(name) for name in names),
        *(big(name, nullable=False) for name in sums),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), *names),
        sqlite_with_rowid=False,
    )
