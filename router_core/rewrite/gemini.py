"""Requests to Google's Gemini API, and the envelope in which Gemini CLI and Antigravity send them.

https://ai.google.dev/api/generate-content, https://github.com/google-gemini/gemini-cli
(packages/core/src/code_assist). Names are accepted in camelCase and in snake_case, so both are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import Format, Operation, effort
from router_core.formats.gemini.fields import wrapped_under
from router_core.formats.gemini.schema import for_gemini
from router_core.formats.placeholder import PLACEHOLDER
from router_core.formats.schema import MAX_DEPTH
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When
from router_core.rewrite.signatures import is_gemini
from router_core.rewrite.trees import at, without

ENVELOPE: Final = "code_assist_envelope"

type Body = dict[str, Any]


def inside(function: Callable[[Body, Context], Body]) -> Callable[[Body, Context], Body]:
    """`function` on the request itself, where that stands in an envelope or is to be counted."""

    def enveloped(body: Body, context: Context) -> Body:
        key = wrapped_under(body)
        if key is None:
            return function(body, context)
        inner = function(body[key], context)
        return body if inner is body[key] else body | {key: inner}

    return enveloped


def is_enveloped(body: Json) -> bool:
    return isinstance(body, dict) and wrapped_under(body) == "request"


def _key(body: Body, camel: str, snake: str) -> str:
    return snake if snake in body and camel not in body else camel


_SCHEMA_KEYS: Final = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
    }
    | {
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "propertyOrdering",
    }
    | {"default", "items", "minimum", "maximum"}
)
_STRING_FORMATS: Final = frozenset({"enum", "date-time"})


def clean_schemas(body: Body, context: Context) -> Body:
    def declaration(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        for key in ("parameters", "response"):
            schema = value.get(key)
            if isinstance(schema, dict) and not _is_accepted(schema, 0):
                value = value | {key: for_gemini(schema)}
        return value

    def tool(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        return at(value, _key(value, "functionDeclarations", "function_declarations"), declaration)

    return at(body, "tools", tool)


def _is_accepted(schema: Json, depth: int) -> bool:
    """Whether the API's Schema has all of this; it refuses fields that it does not know."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH or not schema.keys() <= _SCHEMA_KEYS:
        return False
    kind, format = schema.get("type"), schema.get("format")
    if not isinstance(kind, str | None):
        return False
    if kind is not None and kind.lower() == "string" and format is not None and format not in _STRING_FORMATS:
        return False
    if not all(isinstance(v, str) for v in schema.get("enum") or ()):
        return False
    properties = schema.get("properties") or {}
    if not all(name in properties for name in schema.get("required") or ()):
        return False
    below = [*properties.values(), *(schema.get("anyOf") or ())]
    if "items" in schema:
        below.append(schema["items"])
    return all(_is_accepted(inner, depth + 1) for inner in below)


def cap_output(body: Body, context: Context) -> Body:
    info = context.model_info
    key = _key(body, "generationConfig", "generation_config")
    config = body.get(key)
    if info is None or info.max_output_tokens is None or not isinstance(config, dict):
        return body
    field = _key(config, "maxOutputTokens", "max_output_tokens")
    asked = config.get(field)
    if type(asked) is not int or asked <= info.max_output_tokens:
        return body
    return body | {key: config | {field: info.max_output_tokens}}


def user_first(body: Body, context: Context) -> Body:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return body
    first = contents[0]
    if not isinstance(first, dict) or first.get("role") != "model":
        return body
    # A blank, since an empty text is refused as well.
    return body | {"contents": [{"role": "user", "parts": [{"text": " "}]}, *contents]}


def sign_thoughts(body: Body, context: Context) -> Body:
    version = effort.gemini_version(context.model)
    checked = version is not None and version >= (3, 0)

    def turn(value: Json) -> Json:
        if not isinstance(value, dict) or value.get("role") != "model":
            return value
        signed = False

        def part(item: Json) -> Json:
            nonlocal signed
            if not isinstance(item, dict):
                return item
            key = _key(item, "thoughtSignature", "thought_signature")
            signature = item.get(key)
            if key in item and not (isinstance(signature, str) and is_gemini(signature)):
                item = {k: v for k, v in item.items() if k != key}
            if not ("functionCall" in item or "function_call" in item) or signed:
                return item
            signed = True
            return item if key in item or not checked else item | {"thoughtSignature": PLACEHOLDER}

        return at(value, "parts", part)

    return at(body, "contents", turn)


def order_parts(body: Body, context: Context) -> Body:
    def turn(value: Json) -> Json:
        if (
            not isinstance(value, dict)
            or value.get("role") != "model"
            or not isinstance(value.get("parts"), list)
        ):
            return value
        parts = sorted(value["parts"], key=_part_rank)
        return (
            value
            if all(a is b for a, b in zip(parts, value["parts"], strict=True))
            else value | {"parts": parts}
        )

    return at(body, "contents", turn)


def _part_rank(part: Json) -> int:
    if not isinstance(part, dict):
        return 1
    return 0 if part.get("thought") is True else 2 if "functionCall" in part or "function_call" in part else 1


def envelope(body: Body, context: Context) -> Body:
    wanted = ENVELOPE in context.provider.quirks
    if is_enveloped(body) is wanted:
        return body
    if not wanted:
        # Code Assist's alone.
        return without(body["request"], "session_id")
    if context.operation is Operation.COUNT_TOKENS:
        return {"request": {"model": f"models/{context.model}", **body}}
    project = context.attempt.headers.get("x-goog-user-project")
    return {"model": context.model, **({"project": project} if project else {}), "request": body}


def unwrap(value: Json, context: Context) -> Json:
    """What the client did not ask to have in an envelope."""
    if isinstance(value, dict) and isinstance(value.get("response"), dict):
        return value["response"]
    return value


def wrap(value: Json, context: Context) -> Json:
    return (
        {"response": value}
        if isinstance(value, dict) and not ("response" in value or "error" in value)
        else value
    )


def _client_wraps(context: Context) -> bool:
    return context.exchange.surface.format is Format.GEMINI and is_enveloped(context.exchange.document)


def _unwraps(context: Context) -> bool:
    return ENVELOPE in context.provider.quirks and not _client_wraps(context)


def _wraps(context: Context) -> bool:
    generates = context.operation is Operation.GENERATE
    return generates and ENVELOPE not in context.provider.quirks and _client_wraps(context)


_GEMINI: Final = (Format.GEMINI,)
_GENERATE: Final = ((None, Operation.GENERATE),)
_BOTH: Final = (*_GENERATE, (None, Operation.COUNT_TOKENS))
_CPA: Final = "CLIProxyAPI internal/util/gemini_schema.go"

ENVELOPES: Final = (
    Rule(
        name="code-assist-envelope",
        reason="Code Assist, which Gemini CLI and Antigravity talk to, has the request in an envelope {model, project, "
        "request} and its answer in {response}; the Gemini API has neither.",
        source="https://github.com/google-gemini/gemini-cli packages/core/src/code_assist/converter.ts",
        when=When(format=_GEMINI, surface=_BOTH),
        request=envelope,
        answer=unwrap,
        event=unwrap,
        armed=_unwraps,
        client_side=False,
        whole=True,
        needles=(b'"response"',),
    ),
    Rule(
        name="code-assist-answer",
        reason="A client of Code Assist reads its answer in an envelope, also where another provider gives it.",
        source="https://github.com/google-gemini/gemini-cli packages/core/src/code_assist/converter.ts",
        when=When(surface=((Format.GEMINI, Operation.GENERATE),)),
        answer=wrap,
        event=wrap,
        armed=_wraps,
        whole=True,
    ),
)
"""First of all: the other rules expect the request in the envelope of its upstream, or in none."""

RULES: Final = (
    Rule(
        name="gemini-tool-schemas",
        reason="The API answers 400 to JSON Schema that its own Schema does not have ($ref, additionalProperties, const, "
        "lists of types ...); what cannot be said so is told in the description.",
        source="https://ai.google.dev/api/caching#Schema; " + _CPA,
        when=When(format=_GEMINI, surface=_BOTH),
        request=inside(clean_schemas),
        reads=("tools",),
    ),
    Rule(
        name="gemini-max-output-tokens",
        reason="A maxOutputTokens over the model's own limit is a 400.",
        source="https://ai.google.dev/gemini-api/docs/models; CLIProxyAPI gemini_executor.go",
        when=When(format=_GEMINI, surface=_GENERATE),
        request=inside(cap_output),
        reads=("generationConfig", "generation_config"),
    ),
    Rule(
        name="gemini-turn-order",
        reason="A conversation must not begin with the model's turn.",
        source="CLIProxyAPI helps/gemini_content_turns.go",
        when=When(format=_GEMINI, surface=_BOTH),
        request=inside(user_first),
        reads=("contents",),
    ),
    Rule(
        name="gemini-thought-signatures",
        reason="Signatures of other providers are refused, and Gemini 3 refuses a turn whose first function call has "
        "none; Google documents a text that stands for one in history that no Gemini model wrote.",
        source="https://ai.google.dev/gemini-api/docs/thought-signatures; CLIProxyAPI internal/signature/gemini_sanitize.go",
        when=When(format=_GEMINI, surface=_BOTH),
        request=inside(sign_thoughts),
        reads=("contents",),
    ),
    Rule(
        name="antigravity-part-order",
        reason="Code Assist refuses model turns whose parts do not stand in the order thinking, other, functionCall.",
        source="CLIProxyAPI internal/runtime/executor/antigravity_executor_*.go",
        when=When(format=_GEMINI, surface=_BOTH, quirk=(ENVELOPE, "antigravity")),
        request=inside(order_parts),
        reads=("contents",),
    ),
)
