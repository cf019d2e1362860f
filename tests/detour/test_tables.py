"""Tables in terminals of any width."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from detour.commands.terminal import Column, fitted

COLUMNS = (
    Column("provider", name=True),
    Column("model", name=True),
    Column("requests", 8, right=True),
    Column("failed", 3, right=True),
    Column("cost", right=True),
    Column("tok/s", 2, right=True),
    Column("trend", 1),
)
ROWS = [
    ["anthropic", "claude-sonnet-4-5-20250929", "12.3k", "-", "$1,234.56+", "98.7", "▁▂▃▄▅▆▇█" * 4],
    ["openai", "模型" * 40, "7", "-", "?", "-", ""],
]


def shown(width: int, *, fold: bool = True) -> tuple[str, list[str]]:
    table, left_out = fitted("Title", COLUMNS, ROWS, width, fold=fold)
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue(), left_out


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_figures_stay_whole_and_names_can_be_told_apart(width: int, fold: bool) -> None:
    text, left_out = shown(width, fold=fold)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "$1,234.56+" in text and "anthr" in text and "claud" in text and "openai" in text
    for title, value in (("requests", "12.3k"), ("tok/s", "98.7"), ("trend", ROWS[0][-1])):
        assert (value in text) is (title not in left_out)


def test_what_says_nothing_and_what_is_worth_least_is_left_out_first() -> None:
    assert [shown(width)[1] for width in (200, 90, 60)] == [
        [],
        ["failed", "trend"],
        ["failed", "tok/s", "trend"],
    ]


def test_a_name_gets_the_room_that_is_left() -> None:
    assert "claude-sonnet-4-5-20250929" in shown(120)[0]
    assert "模型" * 40 in shown(300)[0]


def test_names_do_not_speak_to_the_terminal() -> None:
    rows = [["p", "m\x1b]0;title\x07\u202eedoc", *ROWS[0][2:]]]
    table, _ = fitted(None, COLUMNS, rows, 200, fold=True)
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    assert r"m\x1b]0;title\x07\u202eedoc" in out.getvalue()
