"""How much to think, and what was thought, in the dialects of Chat Completions.

==================  =========================================================  =======================
                    how much                                                   what, in earlier turns
==================  =========================================================  =======================
OpenAI              ``reasoning_effort``                                       -
Groq, Cerebras      ``reasoning_effort``                                       ``reasoning``
xAI                 ``reasoning_effort``                                       ``reasoning_content``
OpenRouter          ``reasoning: {effort}``, ``reasoning_effort``              ``reasoning``
DeepSeek, GLM,      ``thinking: {type: enabled | disabled}``                   ``reasoning_content``
Kimi, Moonshot
Qwen                ``enable_thinking``, ``thinking_budget``                   ``reasoning_content``
Mistral             -                                                          parts of ``content``
==================  =========================================================  =======================
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import effort
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.trees import at, without

type Body = dict[str, Any]

_HISTORY_FIELD: Final[dict[str, str | None]] = {
    "deepseek": "reasoning_content",
    "moonshot": "reasoning_content",
    "kimi": "reasoning_content",
    "glm": "reasoning_content",
    "qwen": "reasoning_content",
    "xai": "reasoning_content",
    "iflow": "reasoning_content",
    "openrouter": "reasoning",
    "groq": "reasoning",
    "cerebras": "reasoning",
    "ollama": "reasoning",
    "mistral": None,
}
"""In which field a provider reads the reasoning of earlier turns; None: it refuses both."""


def history_field(body: Body, context: Context) -> Body:
    name = context.among(_HISTORY_FIELD)
    if name is None:
        return body
    wanted = _HISTORY_FIELD[name]
    other = "reasoning" if wanted == "reasoning_content" else "reasoning_content"

    def message(value: Json) -> Json:
        if not isinstance(value, dict) or value.get("role") != "assistant":
            return value
        if wanted is None:
            return without(value, "reasoning", "reasoning_content")
        if other not in value:
            return value
        if value.get(wanted) or not isinstance(value[other], str):
            return without(value, other)
        return {(wanted if k == other else k): v for k, v in without(value, wanted).items()}

    return at(body, "messages", message)


def echo_reasoning(body: Body, context: Context) -> Body:
    def message(value: Json) -> Json:
        if not isinstance(value, dict) or value.get("role") != "assistant" or not value.get("tool_calls"):
            return value
        said = value.get("reasoning_content")
        return value if isinstance(said, str) and said else value | {"reasoning_content": " "}

    return at(body, "messages", message)


EFFORT_FIELDS: Final = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget")
DIALECTS: Final = {
    "openai": "effort",
    "groq": "effort",
    "xai": "effort",
    "openrouter": "reasoning",
    "deepseek": "type",
    "glm": "type",
    "moonshot": "type",
    "kimi": "type",
    "qwen": "enable",
}
"""How a provider wants to be told how much to think."""
_NATIVE: Final = {
    "effort": ("reasoning_effort",),
    "reasoning": ("reasoning", "reasoning_effort"),
    "type": ("thinking",),
    "enable": ("enable_thinking", "thinking_budget"),
}


def effort_dialect(body: Body, context: Context) -> Body:
    dialect = DIALECTS.get(context.among(DIALECTS) or "")
    if dialect is None:
        return body
    strange = [k for k in EFFORT_FIELDS if k in body and k not in _NATIVE[dialect]]
    if not strange:
        return body
    asked = _asked_effort(body)
    rest = without(body, *strange)
    if asked is None or any(k in rest for k in _NATIVE[dialect]):
        return rest
    return rest | write_effort(dialect, asked, context.model)


def write_effort(dialect: str, asked: str, model: str) -> Body:
    """Fields that ask for the effort `asked` (a word of `effort.BUDGETS`) in a dialect."""
    match dialect:
        case "effort":
            return {"reasoning_effort": effort.nearest(model, asked, effort.CHAT_LACKS)}
        case "reasoning":
            return {"reasoning": {"effort": asked} if asked != "none" else {"enabled": False}}
        case "type":
            return {"thinking": {"type": "disabled" if asked == "none" else "enabled"}}
        case _:
            if asked == "none":
                return {"enable_thinking": False}
            return {"enable_thinking": True, "thinking_budget": effort.BUDGETS[asked]}


def _asked_effort(body: Body) -> str | None:
    """The effort as a word, whatever dialect it is in."""
    reasoning, thinking = body.get("reasoning"), body.get("thinking")
    found: Json = body.get("reasoning_effort")
    if found is None and isinstance(reasoning, dict):
        found = reasoning.get("effort", reasoning.get("max_tokens"))
        found = "none" if reasoning.get("enabled") is False else found or "medium"
    if found is None and isinstance(thinking, dict):
        found = "none" if thinking.get("type") == "disabled" else thinking.get("budget_tokens", "medium")
    if found is None and "enable_thinking" in body:
        found = body.get("thinking_budget", "medium") if body["enable_thinking"] else "none"
    if type(found) is int:
        found = effort.from_budget(found)
    return found if isinstance(found, str) and found in effort.BUDGETS else None
