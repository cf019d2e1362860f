"""What an answer means, whatever its format: for comparing recordings with what clients read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STOPS = {
    # Anthropic
    "end_turn": "end",
    "max_tokens": "length",
    "tool_use": "tools",
    "stop_sequence": "end",
    "pause_turn": "end",
    "refusal": "filter",
    "model_context_window_exceeded": "length",
    # Chat Completions
    "stop": "end",
    "length": "length",
    "tool_calls": "tools",
    "content_filter": "filter",
    # Responses
    "completed": "end",
    "max_output_tokens": "length",
    # Gemini
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "PROHIBITED_CONTENT": "filter",
    "MODEL_ARMOR": "filter",
    "OTHER": "end",
    None: "end",
}
"""A format's word for the end of an answer to its class."""


@dataclass
class Meaning:
    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """(name, parsed arguments) in order."""
    reasoning: str = ""
    stop: str = "end"
    prompt: int = 0
    """All input tokens, caches included."""
    cached: int = 0
    output: int = 0
    """Reasoning included."""
    signatures: int = 0
    """How many opaque pieces of reasoning there are."""
    refusal: str = ""
    more: list[str] = field(default_factory=list)
    """The texts of further choices."""

    def settle(self) -> Meaning:
        """A turn that makes calls ends with them, in formats that have no word for it too."""
        if self.calls and self.stop == "end":
            self.stop = "tools"
        return self
