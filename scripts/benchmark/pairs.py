"""Contestants that take short turns, so that all meet the same machine, and are compared turn by turn.

A busy machine changes by the second: figures of one turn belong together, and medians of turns and of their
ratios say more than sums. CPU time says most, as what others run adds little to it.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from scripts.benchmark.proxies import Child


@dataclass
class Figures:
    """Row -> contestant -> one figure a turn."""

    turns: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def note(self, row: str, contestant: str, value: float) -> None:
        self.turns[row][contestant].append(value)

    def median(self, row: str, contestant: str) -> float:
        return statistics.median(self.turns[row][contestant])

    def ratio(self, row: str, contestant: str, base: str) -> float | None:
        """The median of the turns' ratios; None where the base has nothing."""
        pairs = zip(self.turns[row][contestant], self.turns[row][base], strict=True)
        ratios = [value / other for value, other in pairs if other]
        return statistics.median(ratios) if ratios else None

    def as_json(self) -> dict[str, dict[str, float]]:
        return {row: {name: self.median(row, name) for name in by} for row, by in self.turns.items()}

    def table(self, title: str, names: Sequence[str]) -> Table:
        """The first of `names` is what the others are compared with."""
        shown = Table(title=title)
        base, *others = names
        for heading in ("", base, *(h for name in others for h in (name, "ratio"))):
            shown.add_column(heading, justify="right" if heading else "left")
        for row in self.turns:
            cells = [row, f"{self.median(row, base):,.2f}"]
            for name in others:
                ratio = self.ratio(row, name, base)
                cells += [f"{self.median(row, name):,.2f}", "-" if ratio is None else f"{ratio:.2f}"]
            shown.add_row(*cells)
        return shown


async def take_turns(
    rounds: int, contestants: Iterable[Child], turn: Callable[[Child, Figures], Awaitable[None]]
) -> Figures:
    """Each contestant's `turn` in each round, in an order that is reversed from round to round."""
    figures, order = Figures(), list(contestants)
    for _ in range(rounds):
        for child in order:
            await turn(child, figures)
        order.reverse()
    return figures
