"""Reasoning that open-weight models write into their text: ``<think>...</think>`` before the answer.

Hosts without a reasoning parser pass it on like that: MiniMax (platform.minimax.io, "M2 tool use": the tags
must stay in the history), Ollama and llama.cpp for models they do not know, vLLM without
``--reasoning-parser``, Groq and Perplexity with ``reasoning_format: raw``.
"""

from __future__ import annotations

from typing import Final, Literal

from router_core.formats.effort import claude_version, gemini_version, is_openai

OPENING: Final = "<think>"
CLOSING: Final = "</think>"
_MAY_OPEN: Final = frozenset("< \t\r\n\f\v")
"""What such a text begins with."""


def may_tag(model: str) -> bool:
    """Whether `model` may write its reasoning so; a closed model that begins like that means the words."""
    return not (is_openai(model) or claude_version(model) or gemini_version(model))


def opens(text: str) -> bool:
    """Whether a whole text begins with reasoning."""
    return text[:1] in _MAY_OPEN and text.lstrip().startswith(OPENING)


class ThinkTags:
    """Tells reasoning from answer in one text that comes in pieces, cut anywhere.

    Only a text that begins with the tag has reasoning. At most a tag and the white space beside it are held;
    the white space around tags is left out.
    """

    __slots__ = ("_held", "_place", "_said")

    def __init__(self) -> None:
        self._held = ""
        self._place: Literal["before", "inside", "after", "over"] = "before"
        self._said = False
        """Whether any of the reasoning has been passed on."""

    @property
    def over(self) -> bool:
        """Whether the rest is answer, as it comes."""
        return self._place == "over"

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """(is reasoning, text), none of them empty."""
        held, self._held = self._held + text, ""
        pieces: list[tuple[bool, str]] = []
        if self._place == "before":
            begun = held.lstrip()
            if begun.startswith(OPENING):
                self._place, held = "inside", begun[len(OPENING) :]
            elif OPENING.startswith(begun):
                self._held = held
                return []
            else:
                self._place = "over"
        if self._place == "inside":
            thought, held = self._inside(held)
            if thought:
                pieces.append((True, thought))
        if self._place == "after":
            held = held.lstrip()
            self._place = "over" if held else "after"
        if held and self._place == "over":
            pieces.append((False, held))
        return pieces

    def _inside(self, text: str) -> tuple[str, str]:
        """(reasoning, the text after it)."""
        if not self._said:
            text = text.lstrip()
        thought, tag, answer = text.partition(CLOSING)
        if tag:
            self._place = "after"
            return thought.rstrip(), answer
        longest = min(len(CLOSING) - 1, len(text))
        begun = next((n for n in range(longest, 0, -1) if CLOSING.startswith(text[-n:])), 0)
        thought = text[: len(text) - begun].rstrip()
        self._held = text[len(thought) :]
        self._said = self._said or bool(thought)
        return thought, ""

    def end(self) -> list[tuple[bool, str]]:
        """What was held, where the text ends without more."""
        held, self._held = self._held, ""
        return [(self._place == "inside", held)] if held.strip() else []


def split(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a whole text."""
    tags = ThinkTags()
    pieces = tags.feed(text) + tags.end()
    thought = "".join(piece for inside, piece in pieces if inside)
    return thought, "".join(piece for inside, piece in pieces if not inside)


def join(thought: str, answer: str) -> str:
    return f"{OPENING}\n{thought}\n{CLOSING}\n\n{answer}"
