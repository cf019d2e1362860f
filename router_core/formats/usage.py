"""Token counts between the formats, over the one identity of `router_core.exchange.Usage`."""

from __future__ import annotations

from typing import Any

from router_core.exchange import Usage
from router_core.formats import Format
from router_core.usage.identities import IDENTITIES


class UsageReader:
    """Collects an answer's usage object, which streams send in pieces and more than once.

    Figures are cumulative, so a later one replaces an earlier one of the same name.
    """

    __slots__ = ("_identity", "changed", "raw")

    def __init__(self, format: Format):
        self._identity = IDENTITIES[format]
        self.raw: dict[str, Any] = {}
        self.changed = False

    def merge(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        for name, value in usage.items():
            if value is not None:
                self.raw[name] = value
                self.changed = True

    def take(self) -> Usage | None:
        """The usage, if anything was said about it since the last call."""
        if not self.changed:
            return None
        self.changed = False
        # The passes of an answer are in the totals or billed beside them; clients are told the totals.
        return self._identity({name: value for name, value in self.raw.items() if name != "iterations"})


def prompt_tokens(usage: Usage) -> int:
    """The whole prompt, caches included, as OpenAI and Google count it."""
    return (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)


def write_anthropic(usage: Usage) -> dict[str, Any]:
    written: dict[str, Any] = {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    searches = usage.server_tools.get("web_search")
    if searches:
        written["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    return written


def write_openai_chat(usage: Usage) -> dict[str, Any]:
    prompt, output = prompt_tokens(usage), usage.output or 0
    written: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }
    if usage.cache_write:
        written["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write
    return written


def write_openai_responses(usage: Usage) -> dict[str, Any]:
    prompt, output = prompt_tokens(usage), usage.output or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + output,
    }


def write_gemini(usage: Usage) -> dict[str, Any]:
    prompt, output = prompt_tokens(usage), usage.output or 0
    written = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": output - (usage.reasoning or 0),
        "totalTokenCount": prompt + output,
    }
    if usage.reasoning:
        written["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        written["cachedContentTokenCount"] = usage.cache_read
    return written


def write_ollama(usage: Usage) -> dict[str, Any]:
    return {"prompt_eval_count": prompt_tokens(usage), "eval_count": usage.output or 0}
