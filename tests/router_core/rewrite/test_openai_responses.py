"""The rules for OpenAI's Responses and ChatGPT's backend, each by the wire before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.rewrite import catalogue, openai_responses
from tests.router_core import wire
from tests.router_core.rewrite.cases import Case, Defaults

CODEX = frozenset({"force_stream", "force_store_false", "codex_backend", "openai_reasoning"})
case = Defaults(
    {
        "format": Format.OPENAI_RESPONSES,
        "model": "gpt-5.5",
        "provider": "codex",
        "quirks": CODEX,
        "stream": True,
    }
)
public = Defaults(
    {"format": Format.OPENAI_RESPONSES, "model": "gpt-5.5", "quirks": frozenset({"openai_reasoning"})}
)
FERNET = "gAAAAABqPBGohsoHj6Zrlp56c71sN9MnDxwsDh8qkc9b3VxGm2m0Y5w1v7x0aJ3W8k2c"
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


def body(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"input": [USER, *items], **more}


REFUSED = {
    "prompt_cache_retention": "24h", "safety_identifier": "u", "max_output_tokens": 5, "max_completion_tokens": 5,
    "temperature": 1, "top_p": 1, "truncation": "auto", "prompt_cache_options": {}, "user": "u",
    "context_management": [], "service_tier": "flex",
}  # fmt: skip
STATE = {
    "previous_response_id": "resp_1",
    "generate": False,
    "stream_options": {"include_obfuscation": False},
}

CASES = [
    case("codex-unsupported-parameters", "refused by ChatGPT's backend", body(**REFUSED), body()),
    public("codex-unsupported-parameters", "legal at api.openai.com", body(**REFUSED), None),
    case("codex-unsupported-parameters", "priority stays", body(service_tier="priority"), None),
    case("codex-unsupported-parameters", "breakpoints in content",
         {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {}}]}]},
         {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}),
    case("codex-connection-state", "stateless", body(**STATE), body()),
    public("codex-connection-state", "legal at api.openai.com", body(**STATE), None),
    case("codex-connection-state", "summary delivery stays when streaming",
         body(stream_options={"reasoning_summary_delivery": "x", "include_obfuscation": True}),
         body(stream_options={"reasoning_summary_delivery": "x"})),
    case("codex-connection-state", "only when streaming", body(stream_options={"reasoning_summary_delivery": "x"}), body(), stream=False),
    case("responses-store-false", "missing", body(), body(store=False)),
    case("responses-store-false", "true", body(store=True), body(store=False)),
    public("responses-store-false", "the API may store", body(store=True), None),
    case("codex-instructions", "missing", body(), body(instructions="")),
    case("codex-instructions", "null", body(instructions=None), body(instructions="")),
    case("codex-instructions", "the client's own", body(instructions="x"), None),
    public("codex-instructions", "optional at api.openai.com", body(), None),
    case("codex-input-message", "a text", {"input": "hi"}, {"input": [USER]}),
    public("codex-input-message", "legal at api.openai.com", {"input": "hi"}, None),
    case("codex-developer-role", "system", {"input": [{"role": "system", "content": "x"}, USER]},
         {"input": [{"role": "developer", "content": "x"}, USER]}),
    public("codex-developer-role", "legal at api.openai.com", {"input": [{"role": "system", "content": "x"}]}, None),
    case("codex-web-search", "preview", body(tools=[{"type": "web_search_preview_2025_03_11"}]), body(tools=[{"type": "web_search"}])),
    case("codex-compact", "no stream", body(stream=True), body(), operation=Operation.COMPACT, path="/v1/responses/compact"),
    public("responses-foreign-reasoning", "goes with its id", body({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "EqoD"}),
           body({"type": "reasoning", "summary": []})),
    public("responses-foreign-reasoning", "a stored id stays",
           body({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "EqoD"}, store=True),
           body({"type": "reasoning", "id": "rs_1", "summary": []}, store=True)),
    public("responses-foreign-reasoning", "its own stays", body({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": FERNET}), None),
    public("responses-foreign-reasoning", "null", body({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}), None),
    case("codex-cache-key", "from the session", body(), body(prompt_cache_key=openai_responses.session_key("s1")), session="s1",
         added=(("session-id", openai_responses.session_key("s1") or ""),)),
    case("codex-cache-key", "the session's own UUID", body(), body(prompt_cache_key="0b5e1f0a-94e7-4b5f-9d37-1d8f2f3c4a5b"),
         session="0b5e1f0a-94e7-4b5f-9d37-1d8f2f3c4a5b"),
    case("codex-cache-key", "nothing to go by", body(), None),
    case("codex-cache-key", "the client's own key and header", body(prompt_cache_key="mine"), None, session="s1",
         headers=(("session_id", "mine"),), added=(("session_id", "mine"),)),
]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [*CASES, *(c.again() for c in CASES if c.after is not None and c.rule != "codex-cache-key")],
    ids=str,
)
def test_wire(case: Case) -> None:
    case.check()


def test_the_clients_own_cache_key_becomes_the_session_header() -> None:
    out = case("codex-cache-key", "", body(prompt_cache_key="mine"), None, session="s1").prepared()
    assert ("session-id", "mine") in out.headers
    assert parse(out.body)["prompt_cache_key"] == "mine"


def test_a_session_keeps_its_key() -> None:
    keys = {
        openai_responses.session_key("one"),
        openai_responses.session_key("one"),
        openai_responses.session_key("two"),
    }
    assert len(keys) == 2


LONG = "mcp__" + "y" * 70
LONG_ID = "call_" + "z" * 70


def test_long_names_and_ids_are_shortened_and_restored() -> None:
    sent_body = body(
        {
            "type": "function_call",
            "id": "fc_" + "a" * 80,
            "call_id": LONG_ID,
            "name": LONG,
            "arguments": "{}",
        },
        {"type": "function_call_output", "call_id": LONG_ID, "output": "1"},
        tools=[
            {"type": "function", "name": LONG},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": LONG}]},
        ],
        tool_choice={"type": "function", "name": LONG},
    )
    x = wire.exchange(Format.OPENAI_RESPONSES, serialise(sent_body), model="gpt-5.5", stream=True)
    sent = parse(wire.prepared(x).body)
    call, output = sent["input"][1:]
    short = call["name"]
    assert [len(v) for v in (short, call["id"], call["call_id"])] == [64, 64, 64]
    assert call["id"].startswith("fc_") and call["call_id"] == output["call_id"]
    assert (
        sent["tools"][0]["name"]
        == sent["tools"][1]["tools"][0]["name"]
        == sent["tool_choice"]["name"]
        == short
    )
    item = b'{"type":"function_call","name":"%s","arguments":"","call_id":"%s"}' % (
        short.encode(),
        call["call_id"].encode(),
    )
    stream = (
        b'event: response.output_item.added\ndata: {"type":"response.output_item.added","item":%s}\n\n' % item
    )
    out, _ = wire.answered(x, stream, media="text/event-stream", step=11)
    assert out == stream.replace(short.encode(), LONG.encode()).replace(
        call["call_id"].encode(), LONG_ID.encode()
    )


def test_two_long_names_stay_two() -> None:
    tools = [{"type": "function", "name": "t" * 70 + c} for c in "ab"]
    x = wire.exchange(Format.OPENAI_RESPONSES, serialise(body(tools=tools)), model="gpt-5.5")
    names = {t["name"] for t in parse(wire.prepared(x).body)["tools"]}
    assert len(names) == 2


def test_a_native_codex_request_passes_byte_for_byte() -> None:
    native = (
        b'{"model":"gpt-5.5","instructions":"You are Codex","input":[{"type":"message","role":"developer","content":[]}],'
        b'"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":{"effort":"high"},"store":false,"stream":true,'
        b'"include":["reasoning.encrypted_content"],"prompt_cache_key":"0198"}'
    )
    x = wire.exchange(Format.OPENAI_RESPONSES, native, headers=[("session_id", "0198")], session="0198")
    out = wire.prepared(x, wire.provider(Format.OPENAI_RESPONSES, "codex", quirks=set(CODEX)))
    assert out.body is native
    assert out.fired == []


CAPACITY = b'{"error":{"message":"The selected model is at capacity. Please try a different model.","type":"server_error"}}'


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [(500, CAPACITY, 429), (400, b'{"error":{"type":"usage_limit_reached"}}', 429), (400, b'{"error":{"type":"invalid"}}', 400)],
)  # fmt: skip
def test_limits_are_429_whatever_their_status(status: int, error: bytes, expected: int) -> None:
    x = wire.exchange(Format.OPENAI_RESPONSES, b'{"model":"gpt-5.5","input":[]}')
    out, responder = wire.answered(x, error, status=status)
    assert (responder.status, out) == (expected, error)


def test_a_wrong_key_at_xai_is_401() -> None:
    x = wire.exchange(Format.OPENAI_CHAT, b'{"model":"grok-4","messages":[]}')
    error = b'{"code":"unauthenticated:bad-credentials"}'
    _, responder = wire.answered(x, error, wire.provider(Format.OPENAI_CHAT, "xai"), status=403)
    assert responder.status == 401
    another = replace(wire.provider(Format.OPENAI_CHAT, "grok"), lineage=("xai",))
    assert wire.answered(x, error, another, status=403)[1].status == 401


def test_every_rule_of_the_file_is_named_for_its_format() -> None:
    assert all(catalogue.BY_NAME[rule.name] is rule for rule in openai_responses.RULES)
