"""Collects what the checks of a configuration find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from router_core.config.document import Node, Path
from router_core.config.problems import Problem
from router_core.config.values import Fault


@dataclass(slots=True)
class Report:
    """Collects errors and warnings with the places of `tree`."""

    tree: Node
    """What was valid: the places of what the configuration holds."""
    written: Node
    """All that is written: names that stand in a broken part are known all the same."""
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    inactive: dict[str, str] = field(default_factory=dict)
    """Id of a credential to the reason why it cannot be used."""

    def names(self, section: str) -> set[str]:
        """The keys that stand in a section of the file, broken entries included."""
        node = self.written.child(section)
        return set(node.value) if node is not None and isinstance(node.value, dict) else set()

    def written_keys(self, section: str, path: Path) -> set[str]:
        """The keys of the list item at `path`, those that were cut out as broken included."""
        place, items = self.tree.place_of(path), self.written.child(section)
        found = items.value if items is not None and isinstance(items.value, list) else ()
        return {
            key
            for node in found
            if (node.file, node.line) == place and isinstance(node.value, dict)
            for key in node.value
        }

    def error(self, path: Path, what: str, remedy: str = "") -> None:
        self.errors.append(Problem(*self.tree.place_of(path), what, remedy))

    def faults(self, path: Path, faults: Iterable[Fault], whose: str = "") -> None:
        for what, remedy in faults:
            self.error(path, whose + what, remedy)

    def warn(self, path: Path, what: str, remedy: str = "") -> None:
        self.warnings.append(Problem(*self.tree.place_of(path), what, remedy))
