"""Answers without thinking, for clients that cannot bear it.

In a body thinking goes where a tool is called, in a stream always, since what comes behind it is not known
yet. What a format calls thinking, and what becomes of the rest:

    ================  ====================================================  ===============================
    format            thinking                                              behind it
    ================  ====================================================  ===============================
    Anthropic         blocks ``thinking`` and ``redacted_thinking``         later blocks move up
    Chat Completions  ``reasoning_content``, ``reasoning``,                 a chunk with nothing left goes
                      ``reasoning_details``, parts of type ``thinking``
    Responses         items of type ``reasoning``                           later items move up
    Gemini            parts with ``thought: true``                          a chunk with nothing left goes
    Ollama            ``message.thinking``                                  a line with nothing left goes
    ================  ====================================================  ===============================

Blocks and items move up because the official SDKs keep them in lists and look them up by index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.paths import GONE
from router_core.rewrite.rule import DROPPED, Look, Rule, When
from router_core.rewrite.trees import at, objects, without

SUPPRESS: Final = "suppress-thinking"

type Body = dict[str, Any]


def suppress_in_body(value: Json, context: Context) -> Json:
    """A whole answer without thinking where it calls a tool."""
    body = _BODIES.get(context.exchange.surface.format)
    return body(value) if body and isinstance(value, dict) else value


def suppress_in_stream(value: Json, context: Context) -> Json:
    """An event without thinking; DROPPED where it is of nothing else."""
    event = _EVENTS.get(context.exchange.surface.format)
    return event(value, context) if event and isinstance(value, dict) else value


# -- Anthropic

_THINKING: Final = ("thinking", "redacted_thinking")
_BLOCK_EVENTS: Final = ("content_block_start", "content_block_delta", "content_block_stop")


def _anthropic_body(value: Body) -> Body:
    if not any(block.get("type") == "tool_use" for block in objects(value.get("content"))):
        return value
    return at(value, "content", lambda block: GONE if _type(block) in _THINKING else block)


def _anthropic_event(value: Body, context: Context) -> Json:
    kind, index = value.get("type"), value.get("index")
    if kind == "message_start":
        context.state.pop(SUPPRESS, None)
    if kind not in _BLOCK_EVENTS or type(index) is not int:
        return value
    begins = kind == "content_block_start"
    return _moved_up(value, "index", begins, _type(value.get("content_block")) in _THINKING, context)


def _moved_up(value: Body, key: str, begins: bool, thinks: bool, context: Context) -> Json:
    """`value`, which speaks of the part at ``value[key]``, with that index as it is without thinking."""
    gone: set[int] = context.state.setdefault(SUPPRESS, set())
    index = value[key]
    if begins:
        # Some gateways begin a message anew, and its indexes with it.
        gone.discard(index)
    if thinks:
        gone.add(index)
    if index in gone:
        return DROPPED
    before = sum(1 for i in gone if i < index)
    return value | {key: index - before} if before else value


# -- Chat Completions

_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")


def _chat_body(value: Body) -> Body:
    def choice(item: Json) -> Json:
        message = item.get("message") if isinstance(item, dict) else None
        if not isinstance(message, dict) or not message.get("tool_calls"):
            return item
        spoken = _unthought(message)
        return item if spoken is message else item | {"message": spoken}

    return at(value, "choices", choice)


def _chat_event(value: Body, context: Context) -> Json:
    def choice(item: Json) -> Json:
        delta = item.get("delta") if isinstance(item, dict) else None
        if not isinstance(delta, dict):
            return item
        spoken = _unthought(delta)
        return item if spoken is delta else item | {"delta": spoken}

    changed = at(value, "choices", choice)
    if changed is value or value.get("usage") or not all(map(_says_nothing, objects(changed["choices"]))):
        return changed
    if any("role" in item["delta"] for item in objects(changed["choices"])):
        # The first chunk tells who speaks, and some hosts repeat it in all of them.
        told = context.state.setdefault(SUPPRESS, set())
        if not told:
            told.add("role")
            return changed
    return DROPPED


def _unthought(message: Body) -> Body:
    # Empty fields are no thinking.
    message = without(message, *(key for key in _REASONING if message.get(key)))
    return at(message, "content", lambda part: GONE if _type(part) == "thinking" else part)


def _says_nothing(choice: Body) -> bool:
    delta = choice.get("delta")
    rest = without(choice, "index", "delta")
    return isinstance(delta, dict) and not any(rest.values()) and not any(without(delta, "role").values())


# -- Responses

_TOOL_ITEMS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)  # fmt: skip
"""Calls that the client answers."""


def _responses_body(value: Body) -> Body:
    if not any(item.get("type") in _TOOL_ITEMS for item in objects(value.get("output"))):
        return value
    return _without_reasoning(value)


def _without_reasoning(response: Body) -> Body:
    return at(response, "output", lambda item: GONE if _type(item) == "reasoning" else item)


def _responses_event(value: Body, context: Context) -> Json:
    kind, response = value.get("type"), value.get("response")
    if kind == "response.created":
        context.state.pop(SUPPRESS, None)
    if isinstance(response, dict):
        spoken = _without_reasoning(response)
        return value if spoken is response else value | {"response": spoken}
    if type(value.get("output_index")) is not int:
        return value
    begins = kind == "response.output_item.added"
    return _moved_up(value, "output_index", begins, _type(value.get("item")) == "reasoning", context)


# -- Gemini

_GEMINI_NEWS: Final = ("candidates", "usageMetadata", "modelVersion", "responseId", "createTime")
"""Keys of a chunk that the next chunk repeats."""


def _gemini_body(value: Body) -> Body:
    return _in_envelope(value, lambda answer: at(answer, "candidates", _calling_without_thoughts))


def _calling_without_thoughts(candidate: Json) -> Json:
    content = candidate.get("content") if isinstance(candidate, dict) else None
    parts = objects(content.get("parts")) if isinstance(content, dict) else []
    calls = any("functionCall" in part for part in parts)
    return _without_thoughts(candidate) if calls else candidate


def _without_thoughts(candidate: Json) -> Json:
    content = candidate.get("content") if isinstance(candidate, dict) else None
    if not isinstance(content, dict):
        return candidate
    kept = at(content, "parts", lambda part: GONE if _is_thought(part) else part)
    if kept is content:
        return candidate
    # Google leaves the list out where it would be empty.
    return candidate | {"content": kept if kept["parts"] else without(kept, "parts")}


def _is_thought(part: Json) -> bool:
    return isinstance(part, dict) and part.get("thought") is True


def _gemini_event(value: Body, context: Context) -> Json:
    def chunk(answer: Body) -> Json:
        changed = at(answer, "candidates", _without_thoughts)
        if changed is answer or set(changed) - set(_GEMINI_NEWS):
            return changed
        rest = [
            without(c, "index", "content") | (c.get("content") or {}) for c in objects(changed["candidates"])
        ]
        return changed if any(without(r, "role") for r in rest) else DROPPED

    return _in_envelope(value, chunk)


def _in_envelope(value: Body, function: Callable[[Body], Json]) -> Json:
    """`function` on an answer, also on one that stands in the envelope of Code Assist."""
    inner = value.get("response")
    if not isinstance(inner, dict):
        return function(value)
    changed = function(inner)
    return changed if changed is DROPPED else value if changed is inner else value | {"response": changed}


# -- Ollama


def _ollama_body(value: Body) -> Body:
    message = value.get("message")
    if not isinstance(message, dict) or not message.get("tool_calls") or "thinking" not in message:
        return value
    return value | {"message": without(message, "thinking")}


def _ollama_event(value: Body, context: Context) -> Json:
    message = value.get("message")
    if not isinstance(message, dict) or not message.get("thinking"):
        return value
    rest = without(message, "thinking")
    if value.get("done") is not True and not any(without(rest, "role").values()):
        return DROPPED
    return value | {"message": rest}


def _type(value: Json) -> Json:
    return value.get("type") if isinstance(value, dict) else None


_BODIES: Final[dict[Format, Callable[[Body], Json]]] = {
    Format.ANTHROPIC: _anthropic_body,
    Format.OPENAI_CHAT: _chat_body,
    Format.OPENAI_RESPONSES: _responses_body,
    Format.GEMINI: _gemini_body,
    Format.OLLAMA: _ollama_body,
}
_EVENTS: Final[dict[Format, Callable[[Body, Context], Json]]] = {
    Format.ANTHROPIC: _anthropic_event,
    Format.OPENAI_CHAT: _chat_event,
    Format.OPENAI_RESPONSES: _responses_event,
    Format.GEMINI: _gemini_event,
    Format.OLLAMA: _ollama_event,
}
_NEEDLES: Final[dict[Format, tuple[bytes, ...]]] = {
    Format.ANTHROPIC: (b"thinking", b"message_start"),
    Format.OPENAI_CHAT: (b'"reasoning', b'"thinking"'),
    Format.OPENAI_RESPONSES: (b'"reasoning"', b"response.created"),
    Format.GEMINI: (b'"thought"',),
    Format.OLLAMA: (b'"thinking"',),
}
_MOVES: Final = frozenset({Format.ANTHROPIC, Format.OPENAI_RESPONSES})
"""Formats in which what follows a part that went must move up."""


def _near_thinking(context: Context) -> Look:
    format, state = context.exchange.surface.format, context.state
    needles, moves = _NEEDLES.get(format, ()), format in _MOVES

    def near(raw: bytes) -> bool:
        for needle in needles:
            if needle in raw:
                return True
        return moves and bool(state.get(SUPPRESS))

    return near


def for_amp(context: Context) -> bool:
    """Whether Amp reads the answer."""
    provider = context.exchange.surface.provider
    return context.exchange.client.tool == "amp" or (
        provider is not None and "amp_signatures" in provider.quirks
    )


RULES: Final = (
    Rule(
        name=SUPPRESS,
        reason="Amp cannot show thinking beside a tool's use: in a body thinking goes where a tool is used, in a stream "
        "always. Other clients, of any format, get it by a rule of the user's with `action: suppress-thinking`.",
        source="CLIProxyAPI internal/api/modules/amp/response_rewriter.go at 8122b9fe4^",
        when=When(surface=((Format.ANTHROPIC, Operation.GENERATE),)),
        answer=suppress_in_body,
        event=suppress_in_stream,
        armed=for_amp,
        own=True,
        whole=True,
        concerns=_near_thinking,
    ),
)
