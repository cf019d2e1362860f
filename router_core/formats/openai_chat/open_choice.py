"""A choice of an answer that is being read: the part and the calls under way, and what is known of its end."""

from __future__ import annotations

from typing import Any

from router_core.formats import ir
from router_core.formats.openai_chat.think_tags import ThinkTags
from router_core.formats.openai_chat.tool_calls import CallReader


class OpenChoice:
    __slots__ = (
        "calls",
        "entry",
        "finish",
        "kind",
        "number",
        "open",
        "sequence",
        "signature",
        "sources",
        "tags",
    )

    def __init__(self, number: int, tags: ThinkTags | None):
        self.number = number
        self.tags = tags
        """While the text may be reasoning in tags."""
        self.open: int | None = None
        """The part under way that is not a tool call, of `kind`."""
        self.kind = ""
        self.entry: dict[str, Any] | None = None
        """Of ``reasoning_details``: what is known of the entry under way, without its text."""
        self.signature: ir.Signature | None = None
        self.calls = CallReader(number)
        self.finish: ir.Stop | None = None
        self.sequence: str | None = None
        self.sources: list[ir.Citation] = []


def citation(cited: dict[str, Any]) -> ir.Citation:
    return ir.Citation(
        cited.get("url"),
        cited.get("title"),
        cited.get("content"),
        cited.get("start_index"),
        cited.get("end_index"),
    )
