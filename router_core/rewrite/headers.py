"""A request's or an answer's headers under edit: order and spelling of the others stay."""

from __future__ import annotations

from collections.abc import Iterable

from router_core.exchange import Headers


class HeaderEdit:
    """Wraps a list of headers; `changed` says whether anything was edited. Names compare in lower case."""

    def __init__(self, headers: Headers) -> None:
        self.items: Headers = list(headers)
        self.changed = False

    def get(self, name: str) -> str | None:
        """The values of `name` joined with a comma (RFC 9110 5.3), or None."""
        name = name.lower()
        values = [v for n, v in self.items if n.lower() == name]
        return ", ".join(values) if values else None

    def set(self, name: str, value: str) -> None:
        """Gives `name` this one value, at the place of the first that was there."""
        lower = name.lower()
        for i, (n, v) in enumerate(self.items):
            if n.lower() == lower:
                rest = [h for h in self.items[i + 1 :] if h[0].lower() != lower]
                if v != value or len(rest) != len(self.items) - i - 1:
                    self.items[i:] = [(n, value), *rest]
                    self.changed = True
                return
        self.items.append((name, value))
        self.changed = True

    def default(self, name: str, value: str) -> None:
        if self.get(name) is None:
            self.set(name, value)

    def drop(self, name: str) -> None:
        """Removes `name`; a trailing ``*`` matches any rest."""
        name = name.lower()
        prefix = name[:-1] if name.endswith("*") else None
        kept = [(n, v) for n, v in self.items if not (n.lower().startswith(prefix) if prefix is not None else n.lower() == name)]  # fmt: skip
        if len(kept) != len(self.items):
            self.items = kept
            self.changed = True

    def merge(self, name: str, values: Iterable[str]) -> None:
        """Adds those of `values` that a comma list such as anthropic-beta does not hold yet."""
        present = self.get(name)
        have = {v.strip() for v in (present or "").split(",")}
        new = [v for v in dict.fromkeys(values) if v not in have]
        if new:
            self.set(name, ",".join(([present] if present else []) + new))
