"""Charts as plain geometry: the templates draw them as SVG, and show the same figures as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 160
LEFT: Final = 56
BOTTOM: Final = 22
GAP: Final = 0.2
"""Share of a bar's place that stays free."""
WIDEST: Final = 40
"""Of a bar, however few there are."""


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Tick:
    position: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    runs: tuple[str, ...]
    """``x,y x,y ...`` for a polyline each; where a value is unknown, the line is interrupted."""
    dots: tuple[Dot, ...]
    """Values between unknown ones, of which a line would show nothing."""


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    unit: str
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """The figures as a table: a label and its values."""
    heads: tuple[str, ...] = ()
    y: tuple[Tick, ...] = ()
    x: tuple[Tick, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.bars and not any(line.runs or line.dots for line in self.lines)


def bars(title: str, unit: str, labels: Sequence[str], values: Sequence[float]) -> Chart:
    """A bar for each value."""
    if not any(values):
        return Chart(title, unit)
    top = nice(max(values))
    place = (WIDTH - LEFT) / len(values)
    height = HEIGHT - BOTTOM
    width = min(place * (1 - GAP), WIDEST)
    drawn = tuple(
        Bar(
            round(LEFT + (index + 0.5) * place - width / 2, 2),
            round(height - value / top * height, 2),
            round(width, 2),
            round(value / top * height, 2),
            label,
            figure(value),
        )
        for index, (label, value) in enumerate(zip(labels, values, strict=True))
        if value
    )
    rows = tuple((label, figure(value)) for label, value in zip(labels, values, strict=True) if value)
    return Chart(title, unit, drawn, rows=rows, heads=(unit,), y=_y_ticks(top), x=_x_ticks(labels, place))


def lines(title: str, unit: str, labels: Sequence[str], series: dict[str, Sequence[float | None]]) -> Chart:
    """A line for each series; a gap where a value is None."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return Chart(title, unit)
    top = nice(max(known))
    place = (WIDTH - LEFT) / max(1, len(labels))
    height = HEIGHT - BOTTOM
    drawn = tuple(
        _line(
            name,
            [
                None
                if v is None
                else Dot(round(LEFT + (i + 0.5) * place, 1), round(height - v / top * height, 1))
                for i, v in enumerate(values)
            ],
        )
        for name, values in series.items()
    )
    rows = tuple(
        (label, *("-" if values[i] is None else figure(values[i] or 0) for values in series.values()))
        for i, label in enumerate(labels)
        if any(values[i] is not None for values in series.values())
    )
    return Chart(
        title, unit, lines=drawn, rows=rows, heads=tuple(series), y=_y_ticks(top), x=_x_ticks(labels, place)
    )


def _line(name: str, dots: Sequence[Dot | None]) -> Line:
    """A line through `dots`, interrupted where there is none."""
    runs = [list(run) for known, run in groupby(dots, lambda dot: dot is not None) if known]
    return Line(
        name,
        tuple(" ".join(f"{dot.x},{dot.y}" for dot in run if dot) for run in runs if len(run) > 1),
        tuple(dot for run in runs for dot in run if dot and len(run) == 1),
    )


def nice(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999)


def figure(value: float) -> str:
    """``950``, ``12.3k``, ``0.0042``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2g}"


def _y_ticks(top: float) -> tuple[Tick, ...]:
    height = HEIGHT - BOTTOM
    return tuple(Tick(round(height - share * height, 2), figure(top * share)) for share in (0, 0.5, 1))


def _x_ticks(labels: Sequence[str], place: float) -> tuple[Tick, ...]:
    every = max(1, math.ceil(len(labels) / 8))
    return tuple(Tick(round(LEFT + (i + 0.5) * place, 2), labels[i]) for i in range(0, len(labels), every))
