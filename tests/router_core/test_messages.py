"""Messages of a Responses WebSocket, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.json_document import parse, serialise
from router_core.messages import Messages
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import RuleConfig
from router_core.sse import of_message
from tests.router_core import wire

CODEX = {"force_stream", "force_store_false", "codex_backend", "openai_reasoning"}
LONG = "mcp__" + "x" * 70


def session(model: str | None = None, requested: str | None = None) -> Messages:
    x = wire.exchange(
        Format.OPENAI_RESPONSES, b"", method="GET", websocket=True, model=requested, session="s"
    )
    tried = wire.attempt(x, wire.provider(Format.OPENAI_RESPONSES, "codex", quirks=CODEX), model=model)
    return Messages(x, tried, wire.built_in())


def test_a_request_is_rewritten_but_keeps_what_belongs_to_the_connection() -> None:
    message = (
        b'{"type": "response.create", "previous_response_id": "resp_1", "generate": false, "temperature": 1.0, '
        b'"instructions": "x", "store": false, "prompt_cache_key": "k", "input": [{"role": "system", "n": 1.50}]}'
    )
    assert session().sent(message) == message.replace(b'"temperature": 1.0, ', b"").replace(
        b"system", b"developer"
    )


def test_a_request_under_response() -> None:
    message = b'{"type":"response.create","response":{"model":"alias","instructions":"","store":false,"input":[],"prompt_cache_key":"k"}}'
    assert session("gpt-5.5", "alias").sent(message) == message.replace(b"alias", b"gpt-5.5")


def test_answers_get_the_clients_names_back() -> None:
    ws = session("gpt-5.5", "alias")
    sent = parse(
        ws.sent(
            serialise(
                {"type": "response.create", "model": "alias", "tools": [{"type": "function", "name": LONG}]}
            )
        )
    )
    short = sent["tools"][0]["name"]
    assert len(short) == 64 and sent["model"] == "gpt-5.5"
    event = (
        b'{"type":"response.output_item.added","item":{"type":"function_call","name":"%s"}}' % short.encode()
    )
    assert ws.received(of_message(event)) == event.replace(short.encode(), LONG.encode())
    created = b'{"type":"response.created","response":{"model":"gpt-5.5"}}'
    assert ws.received(of_message(created)) == created.replace(b"gpt-5.5", b"alias")
    other = b'{"type":"response.output_text.delta","delta":"gpt-5.5"}'
    assert ws.received(of_message(other)) is other


def test_what_a_rule_removes_is_left_out_and_what_follows_moves_up() -> None:
    quiet = compile_rule(
        RuleConfig.model_validate({"on": "answer", "action": "suppress-thinking"}), "quiet", Origin.USER
    )
    x = wire.exchange(Format.OPENAI_RESPONSES, b"", method="GET", websocket=True)
    ws = Messages(x, wire.attempt(x), Rules([quiet]))
    added = b'{"type":"response.output_item.added","output_index":%d,"item":{"type":"%s"}}'
    assert ws.received(of_message(added % (0, b"reasoning"))) is None
    assert ws.received(of_message(added % (1, b"message"))) == added % (0, b"message")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b'{"type":"response.cancel"}',
        b'"response.create"',
        b'{"type":"response.create"',
        b'["response.create"]',
    ],
)
def test_everything_else_passes_as_it_came(message: bytes) -> None:
    assert session().sent(message) is message


@given(st.binary(max_size=60))
def test_any_bytes_pass(data: bytes) -> None:
    ws = session("up", "m")
    assert ws.received(of_message(data)) == data
    assert ws.sent(data) == data
