"""A choice of an answer that is being read: the part and the calls under way, and what is known of its end."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import failures, ir
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
        "said",
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
        self.said = False
        """Whether it said anything but reasoning."""
        self.sequence: str | None = None
        self.sources: list[ir.Citation] = []


_BROKEN: Final = {"error": "api", "network_error": "api", "insufficient_system_resource": "overloaded"}
"""Finish reasons of answers that are not whole: OpenRouter's and Mistral's, Z.ai's, DeepSeek's."""


def broken(item: dict[str, Any]) -> ir.Failure | None:
    """Why the host broke a choice off, None where it did not."""
    error, reason = item.get("error"), item.get("finish_reason")
    if error:
        return failures.read(error)
    kind = _BROKEN.get(reason) if isinstance(reason, str) else None
    return ir.Failure(kind, f"the upstream broke its answer off ({reason})") if kind else None


def sources(chunk: dict[str, Any]) -> list[ir.Citation]:
    """What an answer rests on as a whole: Perplexity's ``search_results``, or the URLs alone, as xAI has them."""
    results, urls = chunk.get("search_results"), chunk.get("citations")
    if isinstance(results, list) and results:
        return [ir.Citation(r.get("url"), r.get("title")) for r in results if isinstance(r, dict)]
    return [ir.Citation(url) for url in urls if isinstance(url, str)] if isinstance(urls, list) else []


def citation(cited: dict[str, Any]) -> ir.Citation:
    return ir.Citation(
        cited.get("url"),
        cited.get("title"),
        cited.get("content"),
        cited.get("start_index"),
        cited.get("end_index"),
    )
