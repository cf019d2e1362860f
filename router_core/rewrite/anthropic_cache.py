"""Marks for Anthropic's prompt cache. https://docs.claude.com/en/docs/build-with-claude/prompt-caching"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router_core.formats.anthropic.cache_marks import surplus
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.trees import at, objects, without

type Body = dict[str, Any]


def limit_cache_marks(body: Body, context: Context) -> Body:
    sections: dict[str, list[int]] = {"system": [], "tools": [], "messages": []}
    for section, holder in _marked(body, context):
        sections[section].append(id(holder))
    gone = surplus(**sections, further="cache_control" in body)
    return _unmarked(body, frozenset(gone), ("cache_control",)) if gone else body


def order_cache_ttls(body: Body, context: Context) -> Body:
    short_seen = False
    late: set[int] = set()
    # The order in which the API reads them, which is not the order in the body.
    rank = {"tools": 0, "system": 1, "messages": 2}
    for _, holder in sorted(_marked(body, context), key=lambda pair: rank[pair[0]]):
        mark = holder["cache_control"]
        if isinstance(mark, dict) and mark.get("ttl") == "1h":
            if short_seen:
                late.add(id(holder))
        else:
            short_seen = True
    return _unmarked(body, frozenset(late), ("cache_control", "ttl")) if late else body


def _marked(body: Body, context: Context) -> Iterator[tuple[str, Body]]:
    """(section, object) for each cache_control mark, in the order of each section."""
    for section in ("system", "tools"):
        for item in objects(body.get(section)):
            if item.get("cache_control") is not None:
                yield section, item
    for _, block in context.blocks(body.get("messages")):
        if block.get("cache_control") is not None:
            yield "messages", block
        if isinstance(inner := block.get("content"), list):
            for part in objects(inner):
                if part.get("cache_control") is not None:
                    yield "messages", part


def _unmarked(body: Body, holders: frozenset[int], path: tuple[str, ...]) -> Body:
    """`body` without the mark, or without its ttl, of the objects with these ids."""

    def visit(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        new = at(value, "content", visit)
        if id(value) not in holders:
            return new
        if len(path) == 1:
            return without(new, path[0])
        return new | {path[0]: without(new[path[0]], path[1])}

    for section in ("system", "tools", "messages"):
        body = at(body, section, visit)
    return body
