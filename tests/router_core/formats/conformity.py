"""Whether a request is of the types that the official libraries declare for it, to the last key."""

from __future__ import annotations

import types as builtin_types
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import typing_extensions
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from google.genai import types as google
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import BaseModel

from router_core.formats import Format

TYPES: dict[Format, Any] = {
    Format.ANTHROPIC: MessageCreateParamsNonStreaming,
    Format.OPENAI_CHAT: CompletionCreateParamsNonStreaming,
    Format.OPENAI_RESPONSES: ResponseCreateParamsNonStreaming,
}
GOOGLE: dict[str, Any] = {
    "contents": google.Content,
    "systemInstruction": google.Content,
    "tools": google.Tool,
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
}
SAMPLING = {"temperature", "top_p", "top_k"}
"""Gone from Anthropic's library with the models that took them; older models and other hosts still do."""


def assert_conforms(format: Format, document: Mapping[str, Any]) -> None:
    """Raises AssertionError with the place where `document` is not of the library's type."""
    if format is Format.GEMINI:
        for key, value in document.items():
            for item in value if isinstance(value, list) else [value]:
                GOOGLE[key].model_validate(item)
        return
    problem = _problem(document, TYPES[format], format.value)
    assert problem is None, problem


@cache
def _hints(type_: Any) -> dict[str, Any]:
    return get_type_hints(type_, include_extras=True)


def _problem(value: Any, type_: Any, place: str) -> str | None:
    """What is wrong with `value`, or None."""
    type_ = _plain(type_)
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in (Any, object):
        return None
    if type_ is type(None):
        return None if value is None else f"{place}: not null"
    if origin is Literal:
        return None if value in arguments else f"{place}: {value!r} is not one of {arguments}"
    if origin in (Union, builtin_types.UnionType):
        return _no_branch(value, arguments, place)
    if typing_extensions.is_typeddict(type_) or typing.is_typeddict(type_):
        return _no_mapping(value, type_, place)
    if origin in (list, Iterable, Sequence) or getattr(type_, "__name__", "") == "SequenceNotStr":
        if not isinstance(value, list):
            return f"{place}: not an array"
        inner = arguments[0] if arguments else Any
        return next((p for n, v in enumerate(value) if (p := _problem(v, inner, f"{place}[{n}]"))), None)
    if getattr(origin, "__name__", "") == "SequenceNotStr":
        return None if isinstance(value, list) else f"{place}: not an array"
    if origin is dict:
        return None if isinstance(value, dict) else f"{place}: not an object"
    if type_ is float:
        type_ = (int, float)
    if isinstance(value, bool) and type_ is not bool:
        return f"{place}: a boolean"
    return None if isinstance(value, type_) else f"{place}: {type(value).__name__} is no {type_}"


def _plain(type_: Any) -> Any:
    """Without Required, Annotated and names of aliases."""
    while True:
        origin = get_origin(type_)
        if origin in (typing.Required, typing_extensions.Required, typing.NotRequired, typing.Annotated):
            type_ = get_args(type_)[0]
        elif hasattr(type_, "__value__"):
            type_ = type_.__value__
        else:
            return type_


def _no_branch(value: Any, branches: tuple[Any, ...], place: str) -> str | None:
    problems = []
    for branch in branches:
        if isinstance(_plain(branch), type) and issubclass(_plain(branch), BaseModel):
            continue  # The libraries also take back their own answers' objects.
        problem = _problem(value, branch, place)
        if problem is None:
            return None
        problems.append(problem)
    # The deepest problem is of the branch that nearly fits.
    return max(
        problems, key=lambda text: text.partition(":")[0].count(".") + text.partition(":")[0].count("[")
    )


def _no_mapping(value: Any, type_: Any, place: str) -> str | None:
    if not isinstance(value, dict):
        return f"{place}: not an object"
    hints = _hints(type_)
    for key in type_.__required_keys__:
        if key not in value:
            return f"{place}: {key} is missing in {type_.__name__}"
    kind = hints.get("type")
    if kind is not None and "type" in value and (problem := _problem(value["type"], kind, f"{place}.type")):
        return problem
    for key, inner in value.items():
        if key in SAMPLING and type_ is MessageCreateParamsNonStreaming:
            continue
        if key not in hints:
            return f"{place}.{key}: unknown to {type_.__name__}"
        if problem := _problem(inner, hints[key], f"{place}.{key}"):
            return problem
    return None
