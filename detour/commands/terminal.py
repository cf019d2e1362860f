"""What a terminal shows: text that does not speak to it, and tables of no more columns than it has room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

_UNSEEN: Final = {
    **{i: f"\\x{i:02x}" for i in (*range(9), *range(11, 32), *range(127, 160))},
    # Orders to write the rest from right to left.
    **{i: f"\\u{i:04x}" for i in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}

GAP: Final = 3
"""Cells between two columns, and about as many at the edges."""
NAME: Final = 18
LEAST: Final = 6


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    worth: int = 0
    """Those of the least worth are left out first; those without never are."""
    name: bool = False
    """Text of any length, to the left, which gives way; other cells are figures or words, and stay whole."""
    right: bool = False
    least: int = NAME
    """Cells that a name gets, if it is that long, before a column is left out for it."""


def visible(text: str) -> str:
    """`text` without control characters: what others wrote must not speak to the terminal."""
    return text.translate(_UNSEEN)


def fitted(
    title: str | None, columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int, *, fold: bool
) -> tuple[Table, list[str]]:
    """A table of cells in rich's markup, at most `width` cells wide, and the titles of what was left out.

    Names that are too long are folded, or else end in an ellipsis. The columns that hold nothing but ``-`` go first.
    """
    lines = [[Text.from_markup(visible(cell)) for cell in row] for row in rows]
    natural = [
        max([len(column.title), *(line[i].cell_len for line in lines)]) for i, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))

    def needed() -> int:
        return sum(_least(columns[i], natural[i]) + GAP for i in kept)

    def loss(i: int) -> tuple[bool, int]:
        return any(line[i].plain.strip() not in ("", "-") for line in lines), columns[i].worth

    for i in sorted((i for i in kept if columns[i].worth), key=loss):
        if needed() > width:
            kept.remove(i)
    names = [i for i in kept if columns[i].name]
    spare, widths = width - needed(), {}
    for place, i in enumerate(names):
        least = _least(columns[i], natural[i])
        more = spare if spare >= 0 else spare // (len(names) - place)
        widths[i] = max(min(natural[i], least + more), LEAST)
        spare -= widths[i] - least
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i in kept:
        column = columns[i]
        table.add_column(
            column.title,
            width=widths.get(i),
            justify="right" if column.right else "left",
            no_wrap=not (column.name and fold),
            overflow="fold" if fold else "ellipsis",
        )
    for line in lines:
        table.add_row(*(line[i] for i in kept))
    return table, [column.title for i, column in enumerate(columns) if i not in kept]


def _least(column: Column, natural: int) -> int:
    return min(natural, column.least) if column.name else natural
