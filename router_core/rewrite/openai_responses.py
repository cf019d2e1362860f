"""Requests to OpenAI's Responses API and to ChatGPT's backend for Codex.

https://platform.openai.com/docs/api-reference/responses, https://github.com/openai/codex (codex-rs)
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite import shortening
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When
from router_core.rewrite.signatures import is_openai
from router_core.rewrite.trees import at, without

CODEX: Final = "codex_backend"
"""Quirk of ChatGPT's backend, which takes less than api.openai.com."""
_CPA: Final = "CLIProxyAPI internal/runtime/executor/codex_executor_*.go"
_NAMESPACE: Final = uuid.UUID("6f1c3a52-5b0e-5b52-9c58-0d7d8f0a3a11")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

type Body = dict[str, Any]

_UNSUPPORTED: Final = (
    "prompt_cache_retention", "safety_identifier", "max_output_tokens", "max_completion_tokens", "temperature",
    "top_p", "truncation", "prompt_cache_options", "user", "context_management",
)  # fmt: skip


def drop_unsupported(body: Body, context: Context) -> Body:
    body = without(body, *_UNSUPPORTED)
    if body.get("service_tier", "priority") != "priority":
        body = without(body, "service_tier")

    def item(value: Json) -> Json:
        return at(value, "content", _unmarked) if isinstance(value, dict) else value

    return at(body, "input", item)


def _unmarked(part: Json) -> Json:
    return without(part, "prompt_cache_breakpoint") if isinstance(part, dict) else part


def drop_connection_state(body: Body, context: Context) -> Body:
    body = without(body, "previous_response_id", "generate")
    options = body.get("stream_options")
    if "stream_options" not in body:
        return body
    kept = {"reasoning_summary_delivery"} & set(options) if isinstance(options, dict) else set()
    if not context.upstream_streams or not kept or not isinstance(options, dict):
        return without(body, "stream_options")
    if len(kept) == len(options):
        return body
    return body | {"stream_options": {k: v for k, v in options.items() if k in kept}}


def never_store(body: Body, context: Context) -> Body:
    return body if body.get("store") is False else body | {"store": False}


def default_instructions(body: Body, context: Context) -> Body:
    return body if body.get("instructions") is not None else body | {"instructions": ""}


def developer_role(body: Body, context: Context) -> Body:
    def item(value: Json) -> Json:
        if isinstance(value, dict) and value.get("role") == "system":
            return value | {"role": "developer"}
        return value

    return at(body, "input", item)


def input_message(body: Body, context: Context) -> Body:
    text = body.get("input")
    if not isinstance(text, str):
        return body
    part = {"type": "input_text", "text": text}
    return body | {"input": [{"type": "message", "role": "user", "content": [part]}]}


def web_search(body: Body, context: Context) -> Body:
    def tool(value: Json) -> Json:
        if isinstance(value, dict) and str(value.get("type", "")).startswith("web_search_preview"):
            return value | {"type": "web_search"}
        return value

    return at(body, "tools", tool)


def compact_without_stream(body: Body, context: Context) -> Body:
    return without(body, "stream", "stream_options")


def shorten_names(body: Body, context: Context) -> Body:
    shorten = shortening.shortener(context)

    def item(value: Json) -> Json:
        if isinstance(value, dict):
            for key in ("id", "call_id", "name"):
                # Asked here, since there may be thousands of items and hardly ever a long one.
                if isinstance(text := value.get(key), str) and len(text) > shortening.LIMIT:
                    value = shortening.field(value, key, shorten)
        return value

    return at(shortening.tools(body, shorten, nested=False), "input", item)


def foreign_reasoning(body: Body, context: Context) -> Body:
    stored = body.get("store") is True

    def item(value: Json) -> Json:
        if (
            not isinstance(value, dict)
            or value.get("type") != "reasoning"
            or "encrypted_content" not in value
        ):
            return value
        encrypted = value["encrypted_content"]
        if encrypted is None or (isinstance(encrypted, str) and is_openai(encrypted)):
            return value
        # Without its content the id names nothing that the provider has.
        return without(value, "encrypted_content", *(() if stored else ("id",)))

    return at(body, "input", item)


def cache_key(body: Body, context: Context) -> Body:
    own = body.get("prompt_cache_key")
    key = own if isinstance(own, str) and own else session_key(context.exchange.session)
    if key is None:
        return body
    if (
        context.headers.get("session_id") is None
        and key.isascii()
        and key.isprintable()
        and not context.message
    ):
        context.headers.default("session-id", key)
    return body if own else body | {"prompt_cache_key": key}


def session_key(session: str | None) -> str | None:
    """A UUID for a session; the session's own id where it is one."""
    if not session:
        return None
    return session if _UUID.fullmatch(session) else str(uuid.uuid5(_NAMESPACE, session))


_RESPONSES: Final = (Format.OPENAI_RESPONSES,)
_GENERATE: Final = ((None, Operation.GENERATE),)
_COMPACT: Final = ((None, Operation.COMPACT),)
_BOTH: Final = (*_GENERATE, *_COMPACT)

RULES: Final = (
    Rule(
        name="codex-unsupported-parameters",
        reason='ChatGPT\'s backend answers 400 "Unsupported parameter" to limits, sampling, retention and safety '
        "identifiers, which are legal at api.openai.com.",
        source=_CPA + "; internal/translator/codex/openai/responses",
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=drop_unsupported,
        reads=("input",),
    ),
    Rule(
        name="codex-connection-state",
        reason="ChatGPT's backend stores nothing, so previous_response_id and generate mean something only on a "
        "WebSocket; of stream_options it takes reasoning_summary_delivery, when streaming.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=drop_connection_state,
        reads=("stream_options",),
        messages=False,
    ),
    Rule(
        name="responses-store-false",
        reason="ChatGPT's backend refuses `store: true`, which is the default of the API.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_GENERATE, quirk=("force_store_false",)),
        request=never_store,
    ),
    Rule(
        name="codex-instructions",
        reason='ChatGPT\'s backend answers 400 "Instructions are required"; an empty text will do.',
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=default_instructions,
    ),
    Rule(
        name="codex-input-message",
        reason="ChatGPT's backend wants a list as `input`, where the API also takes a text.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=input_message,
        reads=("input",),
    ),
    Rule(
        name="codex-developer-role",
        reason="ChatGPT's backend refuses the role system in `input`; developer is the same there.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=developer_role,
        reads=("input",),
    ),
    Rule(
        name="codex-web-search",
        reason="ChatGPT's backend knows the tool web_search only without `_preview`.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=(CODEX,)),
        request=web_search,
        reads=("tools",),
    ),
    Rule(
        name="codex-compact",
        reason="responses/compact answers JSON and refuses `stream`.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_COMPACT, quirk=(CODEX,)),
        request=compact_without_stream,
    ),
    Rule(
        name="responses-foreign-reasoning",
        reason="Encrypted reasoning of another provider is invalid_encrypted_content to OpenAI, and its id names no "
        "stored item.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_BOTH, quirk=("openai_reasoning",)),
        request=foreign_reasoning,
        reads=("input",),
    ),
    Rule(
        name="responses-long-names",
        reason="OpenAI refuses tool names, item ids and call ids over 64 characters, as MCP servers and other "
        "providers make them. The answer gets the client's own names back.",
        source=_CPA + "; helps/codex_input_ids.go",
        when=When(format=_RESPONSES, surface=_BOTH),
        request=shorten_names,
        reads=("input", "tools", "tool_choice"),
        answer=shortening.restore,
        event=shortening.restore,
        armed=lambda context: bool(context.state.get(shortening.STATE)),
        # A client does not know the short names, however long the answer is.
        whole=True,
        client_side=False,
        concerns=shortening.repeated,
    ),
    Rule(
        name="codex-cache-key",
        reason="Prompt caches are found by `prompt_cache_key` and the session header: one of each per conversation, "
        "the client's own first.",
        source=_CPA,
        when=When(format=_RESPONSES, surface=_GENERATE, quirk=(CODEX,)),
        request=cache_key,
    ),
)
