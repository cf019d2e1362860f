"""Gemini's finish reasons that stand for an answer given up: what came of it is not what the model meant.

Source: ``FinishReason`` of generateContent (ai.google.dev/api/generate-content, and Vertex AI's, whose numbers
stand here too: it writes them where it is asked with ``enum-encoding=int``).
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats.gemini.fields import get

_NUMBERS: Final = {
    "0": "FINISH_REASON_UNSPECIFIED",
    "9": "MALFORMED_FUNCTION_CALL",
    "14": "IMAGE_OTHER",
    "15": "UNEXPECTED_TOOL_CALL",
    "16": "NO_IMAGE",
}
_BROKEN: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
"""The call that the client waits for is lost, whatever was said before it."""
_WITHOUT_ANSWER: Final = frozenset(
    {"UNEXPECTED_TOOL_CALL", "FINISH_REASON_UNSPECIFIED", "NO_IMAGE", "IMAGE_OTHER"}
)
"""There is no answer where nothing was said; else what was said is the answer."""
GIVEN_UP: Final = _BROKEN | _WITHOUT_ANSWER


def given_up(candidate: Any, *, said: bool = False) -> dict[str, str] | None:
    """The error that a candidate's end stands for, or None; `said` tells whether it said anything but thoughts."""
    if not isinstance(candidate, dict) or (reason := get(candidate, "finishReason")) is None:
        return None
    code = _NUMBERS.get(str(reason), str(reason))
    if code not in _BROKEN and (said or code not in _WITHOUT_ANSWER):
        return None
    told = get(candidate, "finishMessage")
    message = f"Gemini gave the answer up: {code}" + (f" ({told})" if isinstance(told, str) and told else "")
    return {"code": code, "message": message}


def first_given_up(document: Any, *, said: bool = False) -> dict[str, str] | None:
    """The same of the first candidate of a chunk or body, where `said` is about what came before it."""
    if not isinstance(document, dict):
        return None
    inner = document.get("response")
    candidates = (inner if isinstance(inner, dict) else document).get("candidates")
    candidate = candidates[0] if isinstance(candidates, list) and candidates else None
    content = candidate.get("content") if isinstance(candidate, dict) else None
    parts = (content.get("parts") if isinstance(content, dict) else None) or ()
    return given_up(candidate, said=said or any(_is_said(part) for part in parts))


def _is_said(part: Any) -> bool:
    return isinstance(part, dict) and not part.get("thought") and any(bool(value) for value in part.values())
