"""Names of tools and ids of calls, fitted to what the other side accepts and fitted back.

Both mappings depend on the name or id alone (and, for names, on the tools of the same request), so a
conversation that is sent again is mapped the same way again and prompt caches keep matching.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from router_core.formats import Format
from router_core.formats.ir import ToolCall, ToolResult


@dataclass(frozen=True, slots=True)
class Rule:
    """Which names or ids a format accepts: characters that it does not, and the longest."""

    forbidden: re.Pattern[str]
    limit: int
    first: re.Pattern[str] | None = None

    def fits(self, value: str) -> bool:
        return (
            0 < len(value) <= self.limit
            and self.forbidden.search(value) is None
            and (self.first is None or self.first.match(value) is not None)
        )


_WORD: Final = re.compile(r"[^a-zA-Z0-9_-]")

TOOL_NAMES: Final[dict[Format, Rule]] = {
    Format.ANTHROPIC: Rule(_WORD, 128),
    Format.OPENAI_CHAT: Rule(_WORD, 64),
    Format.OPENAI_RESPONSES: Rule(_WORD, 64),
    Format.GEMINI: Rule(re.compile(r"[^a-zA-Z0-9_.:-]"), 64, re.compile(r"[a-zA-Z_]")),
}

CALL_IDS: Final[dict[Format, Rule]] = {
    Format.ANTHROPIC: Rule(_WORD, 64),
    Format.OPENAI_CHAT: Rule(re.compile(r"[\x00-\x1f]"), 64),
    Format.OPENAI_RESPONSES: Rule(re.compile(r"[\x00-\x1f]"), 64),
    Format.GEMINI: Rule(re.compile(r"[\x00-\x1f]"), 128),
    Format.OLLAMA: Rule(re.compile(r"[\x00-\x1f]"), 128),
}
OPENAI_CHAT_ID_LIMIT: Final = 40
"""What api.openai.com takes as ``tool_call_id``; compatible hosts take what they gave."""


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def call_id(value: str, rule: Rule, prefix: str = "call_") -> str:
    """`value` if the format takes it, else a digest of it that it does."""
    return value if rule.fits(value) else prefix + _digest(value, 24)


class CallIds(dict[str, str]):
    """Ids of one request's calls to those that its upstream takes; each is fitted when it is first looked up."""

    def __init__(self, rule: Rule, prefix: str = "call_", *, short: bool = False):
        self._rule = rule
        self._prefix = prefix
        self._short = short

    def __missing__(self, value: str) -> str:
        self[value] = value = short_id(value) if self._short else call_id(value, self._rule, self._prefix)
        return value


def short_id(value: str) -> str:
    """Nine letters and digits, which is the only form that Mistral's API takes."""
    return value if re.fullmatch(r"[a-zA-Z0-9]{9}", value) else _digest(value, 9)


@dataclass(frozen=True, slots=True)
class ClientTool:
    """What the client calls a tool that goes by another name upstream."""

    name: str
    namespace: str | None = None
    custom: bool = False


class ToolNames:
    """Client names to upstream names of one request, and the way back for its answer."""

    def __init__(self, format: Format):
        self._rule = TOOL_NAMES[format]
        self._wire: dict[tuple[str | None, str], str] = {}
        self.back: dict[str, ClientTool] = {}
        """Upstream name to the client's tool, for those that differ."""

    def wire(self, name: str, namespace: str | None = None, *, custom: bool = False) -> str:
        """The upstream's name for the client's tool; the same each time."""
        key = (namespace, name)
        known = self._wire.get(key)
        if known is not None:
            return known
        full = name if namespace is None else f"{namespace}__{name}"
        wire = self._fit(full)
        taken = self._wire.values()
        if wire in taken:
            wire = self._shorten(wire, f"{namespace}\0{name}")
        self._wire[key] = wire
        if wire != name or namespace is not None or custom:
            self.back[wire] = ClientTool(name, namespace, custom)
        return wire

    def called(self, part: ToolCall | ToolResult) -> str:
        """The upstream's name for the tool of a call or result."""
        known = self._wire.get((part.namespace, name := part.name or "tool"))
        return self.wire(name, part.namespace, custom=part.kind == "custom") if known is None else known

    def _fit(self, name: str) -> str:
        rule = self._rule
        if rule.fits(name):
            return name
        wire = rule.forbidden.sub("_", name) or "tool"
        if rule.first is not None and not rule.first.match(wire):
            wire = f"_{wire}"
        return wire if len(wire) <= rule.limit else self._shorten(wire, name)

    def _shorten(self, wire: str, full: str) -> str:
        return f"{wire[: self._rule.limit - 9]}_{_digest(full, 8)}"
