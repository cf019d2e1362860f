"""The opening of a 200 event stream: whether an event already tells the client something.

Before content, an error may still be turned into a try at another upstream. The shapes are those of
recorded streams: empty first deltas, chunks of filter results without choices, errors flat and nested.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from router_core.formats import Format
from router_core.formats.gemini import endings as gemini_endings
from router_core.formats.openai_chat import endings as chat_endings
from router_core.sse import Event


class Verdict(Enum):
    HOLD = "hold"
    """Says nothing yet; comes before content."""
    PING = "ping"
    """A keep-alive, without a place in the stream's order."""
    CONTENT = "content"
    """The client must see it, or the stream is over."""
    ERROR = "error"
    """The upstream failed; the event's data says how."""


class Opening:
    """Judges events of one stream in `format`, the upstream's."""

    def __init__(self, format: Format, *, translated: bool = False) -> None:
        """`translated`: the client's format is another, and may have no word for an answer that is given up."""
        self._judge: Callable[[str, dict[str, Any]], Verdict] = _JUDGES.get(format, _judge_other)
        self._said = False
        if translated and format is Format.GEMINI:
            self._judge = self._judge_foreign_gemini
        elif translated and format is Format.OPENAI_CHAT:
            self._judge = self._judge_foreign_chat

    def judge(self, event: Event) -> Verdict:
        """What `event` means as long as no content came. Never raises."""
        data = event.data
        if data is None:
            return Verdict.HOLD if event.name else Verdict.PING
        if event.name == "error":
            return Verdict.ERROR
        if not data.strip():
            return Verdict.HOLD
        try:
            value = event.document
        except ValueError:
            return Verdict.CONTENT
        if not isinstance(value, dict):
            return Verdict.CONTENT
        kind = value.get("type")
        try:
            verdict = self._judge(kind if isinstance(kind, str) else event.name or "", value)
        except (AttributeError, TypeError, KeyError):
            verdict = Verdict.CONTENT
        self._said |= verdict is Verdict.CONTENT
        return verdict

    def _judge_foreign_gemini(self, kind: str, value: dict[str, Any]) -> Verdict:
        given_up = gemini_endings.first_given_up(value, said=self._said)
        return Verdict.ERROR if given_up else _judge_gemini(kind, value)

    def _judge_foreign_chat(self, kind: str, value: dict[str, Any]) -> Verdict:
        given_up = chat_endings.first_given_up(value, said=self._said)
        return Verdict.ERROR if given_up else _judge_openai_chat(kind, value)


def _judge_anthropic(kind: str, value: dict[str, Any]) -> Verdict:
    match kind:
        case "error":
            return Verdict.ERROR
        case "ping":
            return Verdict.PING
        case "message_start":
            return Verdict.CONTENT if value["message"].get("content") else Verdict.HOLD
        case "content_block_start":
            return Verdict.HOLD if _is_empty_block(value["content_block"]) else Verdict.CONTENT
        case "content_block_delta":
            delta = value["delta"]
            said = [
                delta.get(k) for k in ("text", "thinking", "partial_json", "signature", "citation", "content")
            ]
            return Verdict.CONTENT if any(said) else Verdict.HOLD
        case "content_block_stop":
            return Verdict.HOLD
    return Verdict.ERROR if _is_error(value) and not kind else Verdict.CONTENT


_EMPTY_BLOCKS: Final = {
    "text": ("text", "citations"),
    "thinking": ("thinking", "signature"),
    "tool_use": ("input",),
}


def _is_empty_block(block: dict[str, Any]) -> bool:
    """Whether more of the block is to come. Others than these arrive whole: results, redacted thinking."""
    keys = _EMPTY_BLOCKS.get(block.get("type", ""))
    return keys is not None and not any(block.get(key) for key in keys)


def _judge_openai_chat(kind: str, value: dict[str, Any]) -> Verdict:
    choices = value.get("choices")
    if value.get("error") or (not choices and _is_error(value)):
        return Verdict.ERROR
    if choices is None:
        return Verdict.CONTENT
    return Verdict.HOLD if all(_is_empty_choice(c) for c in choices) else Verdict.CONTENT


def _is_empty_choice(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return not choice.get("finish_reason") and not any(v for k, v in delta.items() if k != "role")


_RESPONSES_HELD: Final = frozenset(
    {
        "response.created",
        "response.in_progress",
        "response.queued",
        "keepalive",
        "codex.rate_limits",
        "codex.response.metadata",
    }
)


def _judge_openai_responses(kind: str, value: dict[str, Any]) -> Verdict:
    if kind in ("error", "response.failed"):
        return Verdict.ERROR
    if kind in _RESPONSES_HELD:
        response = value.get("response")
        failed = isinstance(response, dict) and (response.get("status") == "failed" or response.get("error"))
        return Verdict.ERROR if failed else Verdict.HOLD
    if kind == "response.output_item.added":
        item = value["item"]
        return Verdict.HOLD if item.get("type") == "message" and not item.get("content") else Verdict.CONTENT
    if kind == "response.content_part.added":
        return Verdict.CONTENT if value["part"].get("text") else Verdict.HOLD
    return Verdict.ERROR if not kind and _is_error(value) else Verdict.CONTENT


def _judge_gemini(kind: str, value: dict[str, Any]) -> Verdict:
    if isinstance(value.get("response"), dict):
        value = value["response"]
    if value.get("error"):
        return Verdict.ERROR
    if value.get("promptFeedback"):
        return Verdict.CONTENT
    for candidate in value.get("candidates") or ():
        parts = (candidate.get("content") or {}).get("parts") or ()
        if candidate.get("finishReason") or any(_is_said(part) for part in parts):
            return Verdict.CONTENT
    return Verdict.HOLD


def _is_said(part: dict[str, Any]) -> bool:
    return any(v for k, v in part.items() if k != "thought")


def _judge_other(kind: str, value: dict[str, Any]) -> Verdict:
    return Verdict.ERROR if value.get("error") else Verdict.CONTENT


def _is_error(value: dict[str, Any]) -> bool:
    """The shapes of errors in place of an event: nested, flat, and of gateways with a code of their own."""
    if value.get("error") or "error" in (value.get("object"), value.get("type")):
        return True
    return bool(value.get("code")) and isinstance(value.get("message", value.get("msg")), str)


_JUDGES: Final[dict[Format, Callable[[str, dict[str, Any]], Verdict]]] = {
    Format.ANTHROPIC: _judge_anthropic,
    Format.OPENAI_CHAT: _judge_openai_chat,
    Format.OPENAI_RESPONSES: _judge_openai_responses,
    Format.GEMINI: _judge_gemini,
}
