"""The built-in rules described for people, out of the catalogue.

``python -m router_core.rewrite.reference docs/rewrites.md`` writes the list of that page anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from router_core.formats import Format, Operation
from router_core.rewrite import catalogue
from router_core.rewrite.rule import Rule, When

BEGIN: Final = "<!-- The rest of this section is written by `python -m router_core.rewrite.reference`. -->"
END: Final = "<!-- End of the written section. -->"


def rules() -> str:
    """Every built-in rule in the order in which they run, as sections of the page."""
    return "\n\n".join(_section(rule) for rule in catalogue.DOCUMENTED)


def quirks() -> list[str]:
    """The quirks that built-in rules ask for."""
    return sorted({q for rule in catalogue.BUILT_IN for q in (*rule.when.quirk, *rule.when.unless_quirk)})


def _section(rule: Rule) -> str:
    lines = [f"### `{rule.name}`", "", rule.reason, "", f"- When: {describe(rule.when)}"]
    if changes := _changes(rule):
        lines.append(f"- Changes: {' and '.join(changes)}")
    if rule.own:
        lines.append("- Also where the client's own request goes to its own host")
    if rule.source:
        lines.append(f"- Source: {rule.source}")
    return "\n".join(lines)


def _changes(rule: Rule) -> list[str]:
    parts = [
        ("the request", rule.request),
        ("the answer", rule.answer or rule.event),
        ("the answer's headers", rule.answer_headers),
        ("the status of an error", rule.status),
    ]
    return [name for name, function in parts if function is not None]


def describe(when: When) -> str:
    """A condition in words."""
    parts: list[str] = []
    if when.format:
        parts.append(f"the upstream speaks {_any(when.format)}")
    if when.surface:
        parts.append(f"the client asks for {_any(map(_surface, when.surface))}")
    if when.provider:
        parts.append(f"the provider is {_any(when.provider)}")
    if when.kin:
        parts.append(f"the provider is or extends {_any(when.kin)}")
    if when.quirk:
        parts.append(f"the provider has the quirk {_any(when.quirk)}")
    if when.unless_quirk:
        parts.append(f"the provider has not the quirk {_any(when.unless_quirk)}")
    if when.model:
        parts.append(f"the model is {_any(when.model)}")
    if when.client:
        parts.append(f"the client is {_any(when.client)}")
    if when.header:
        parts.append(f"the header {_any(name for name, _ in when.header)} says so")
    if when.stream is not None:
        parts.append("the client streams" if when.stream else "the client does not stream")
    return ", ".join(parts) or "always"


def _any(values: object) -> str:
    return " or ".join(f"`{value}`" for value in values)  # type: ignore[attr-defined]


def _surface(surface: tuple[Format | None, Operation | None]) -> str:
    return "/".join(str(part) for part in surface if part)


def write(page: str) -> str:
    """`page` with the list between its two marks written anew."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError("the page has no place for the list")
    return f"{before}{BEGIN}\n\n{rules()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(write(page.read_text()))
