"""Chat Completions whose ``finish_reason`` says that the answer was given up, without any error beside it.

OpenRouter and Mistral say ``error`` (openrouter.ai/docs/api-reference/overview, docs.mistral.ai/api), OpenRouter with
the model's own word in ``native_finish_reason``; Google's compatible surface says ``function_call_filter: REASON``.
"""

from __future__ import annotations

from typing import Any, Final

MODEL_ERROR: Final = "model_error"
"""The code where the host has no word for it."""
_FILTER: Final = "function_call_filter"
_UNASKED: Final = "UNEXPECTED_TOOL_CALL"
"""No tool was offered, so what was said beside the call is the answer."""


def given_up(choice: Any, *, said: bool = False) -> dict[str, str] | None:
    """The error that a choice's end stands for, or None; `said` tells whether it said anything but reasoning."""
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    if not isinstance(reason, str) or not (reason == "error" or reason.startswith(_FILTER)):
        return None
    native = choice.get("native_finish_reason") if reason == "error" else reason.partition(":")[2].strip()
    code = native if isinstance(native, str) and native not in ("", "error") else MODEL_ERROR
    if code == _UNASKED and said:
        return None
    return {"code": code, "message": f"The upstream gave the answer up: {code}"}


def first_given_up(document: Any, *, said: bool = False) -> dict[str, str] | None:
    """The same of the first choice of a chunk or body, where `said` is about what came before it.

    An error beside it says more.
    """
    choices = document.get("choices") if isinstance(document, dict) and not document.get("error") else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    fields = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
    here = isinstance(fields, dict) and any(fields.get(name) for name in ("content", "tool_calls", "refusal"))
    return given_up(choice, said=said or here)
