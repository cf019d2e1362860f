"""Rows of usage as comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final, TextIO

from router_core.usage.question import Row

_FIGURES: Final = ("tokens", *(f.name for f in fields(Row) if f.name not in ("group", "first_byte_ms")))


def write(out: TextIO, groups: Iterable[str], rows: Iterable[Row]) -> None:
    """A header, which is there without rows too, and a line for each row. What is unknown is empty."""
    columns = (*groups, *_FIGURES)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        document = row.document()
        writer.writerow([_cell(document[name]) for name in columns])


def _cell(value: Any) -> Any:
    # A spreadsheet takes text that begins with one of these for a formula.
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )
