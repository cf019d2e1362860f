"""What the overview draws."""

from detour.admin.charts import LEFT, WIDTH, bars, lines


def test_a_line_is_interrupted_where_nothing_is_known() -> None:
    chart = lines("First byte", "seconds", ["a", "b", "c", "d", "e"], {"p50": [1, 2, None, 4, None]})
    (line,) = chart.lines
    assert [len(run.split()) for run in line.runs] == [2]
    # One value alone would be a line without a length.
    assert len(line.dots) == 1 and line.dots[0].x > 400
    assert [row[0] for row in chart.rows] == ["a", "b", "d"]


def test_nothing_known_is_said() -> None:
    assert lines("Speed", "tokens a second", ["a"], {"output": [None]}).empty


def test_a_bar_stands_in_its_place_and_is_no_wall() -> None:
    (only,) = bars("Tokens", "tokens", ["a"], [5]).bars
    assert only.width <= 40 and only.x + only.width / 2 == (LEFT + WIDTH) / 2
    chart = bars("Tokens", "tokens", ["a", "b", "c"], [0, 2, 0])
    assert [bar.label for bar in chart.bars] == ["b"] and [tick.text for tick in chart.x] == ["a", "b", "c"]
