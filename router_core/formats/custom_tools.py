"""Custom tools of OpenAI, whose input is free text, as functions with one string for other upstreams."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json

from router_core.formats.ir import Arguments, Tool, ToolCall

INPUT: Final = "input"
"""The function's one parameter."""


def as_schema(tool: Tool) -> dict[str, Any]:
    """The schema of a custom tool as a function."""
    return {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "The whole input of the tool, as free text"}},
        "required": [INPUT],
        "additionalProperties": False,
    }


def description(tool: Tool) -> str | None:
    """The tool's description; a custom tool's says what grammar its input follows."""
    if tool.kind != "custom" or not tool.grammar or tool.grammar.get("type") != "grammar":
        return tool.description
    grammar = tool.grammar.get("grammar")
    rules = grammar if isinstance(grammar, dict) else tool.grammar
    text = f"The input follows this {rules.get('syntax', '')} grammar:\n{rules.get('definition', '')}"
    return f"{tool.description}\n\n{text}" if tool.description else text


def wrap(arguments: Arguments) -> dict[str, Any]:
    """Free text as the arguments of the function."""
    return {INPUT: arguments} if isinstance(arguments, str) else arguments


def arguments(call: ToolCall) -> Arguments:
    """A call's arguments as those of a function."""
    return call.arguments if call.kind == "function" else wrap(call.arguments)


def unwrap(arguments: str) -> str:
    """The free text in a function's arguments, as far as it came; what is not shaped so is the text itself."""
    try:
        value = from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return arguments
    if isinstance(value, dict) and isinstance(value.get(INPUT), str):
        return value[INPUT]
    return value if isinstance(value, str) else arguments
