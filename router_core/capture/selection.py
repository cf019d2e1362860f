"""Which exchanges are recorded: the mode of the first rule that fits, else the general one."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from router_core.capture.record import Opening

if TYPE_CHECKING:
    from router_core.config.schema import Capture, CaptureRule

type Mode = Literal["off", "errors", "all"]


@dataclass(frozen=True)
class Selection:
    """The modes of one configuration, ready to be asked for each exchange."""

    capture: Capture

    def mode(self, opening: Opening, provider: str | None = None) -> Mode | None:
        """The mode for an exchange; None while that depends on the provider, which is not known yet.

        `provider` is the one that served it, for the end of an exchange.
        """
        provider = opening.provider or provider
        for rule, fits in self._rules:
            if not fits(opening):
                continue
            if rule.provider is None or (provider is not None and _match(rule.provider, provider)):
                return rule.mode
            if provider is None:
                return None
        return self.capture.mode

    @cached_property
    def idle(self) -> bool:
        """Whether nothing at all is recorded."""
        return self.capture.mode == "off" and all(r.mode == "off" for r in self.capture.rules)

    @cached_property
    def _rules(self):
        return [(rule, _compiled(rule)) for rule in self.capture.rules]


def _compiled(rule: CaptureRule):
    """Tests everything of a rule but the provider."""
    tests = [
        (name, re.compile(fnmatch.translate(value)).match)
        for name in ("host", "model", "path")
        if (value := getattr(rule, name)) is not None
    ]
    client = re.compile(fnmatch.translate(rule.client)).match if rule.client is not None else None

    def fits(opening: Opening) -> bool:
        if client and not (client(opening.client or "") or client(opening.tool or "")):
            return False
        return all(match(getattr(opening, name) or "") for name, match in tests)

    return fits


def _match(pattern: str, value: str) -> bool:
    return fnmatch.fnmatchcase(value, pattern)
