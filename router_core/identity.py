"""Ids of exchanges, and the tools behind User-Agent headers."""

from __future__ import annotations

import random
import time
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u

_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]

TOOLS = (
    # (User-Agent begins with, name); the first that fits. Versions and platforms follow after it.
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("codex_", "codex"),
    ("codex-", "codex"),
    ("codex ", "codex"),
    ("geminicli", "gemini-cli"),
    ("opencode", "opencode"),
    ("amp/", "amp"),
    ("ampcode", "amp"),
    ("githubcopilot", "copilot"),
    ("copilot", "copilot"),
    ("codebuddy", "codebuddy"),
    ("qwencode", "qwen-code"),
    ("qwen-code", "qwen-code"),
    ("anthropic/", "anthropic-sdk"),
    ("openai/", "openai-sdk"),
    ("asyncopenai/", "openai-sdk"),
    ("asyncanthropic/", "anthropic-sdk"),
    ("google-genai-sdk", "google-genai-sdk"),
    ("curl/", "curl"),
)


def new_id() -> str:
    """A new exchange id: 18 characters, sorts by time (milliseconds), then random."""
    value = int(time.time() * 1000) << 40 | random.getrandbits(40)
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(80, -1, -10)])


@lru_cache(1024)
def tool_of(user_agent: str) -> str | None:
    """The tool that sends `user_agent`, or None if it is not a known one."""
    lower = user_agent.lower()
    return next((name for prefix, name in TOOLS if lower.startswith(prefix)), None)
