"""Broken bodies and streams: nothing raises, nothing hangs, and what no rule covers stays."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.rewrite import catalogue
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import RuleConfig
from router_core.sse import EventReader
from tests.e2e.rule_cases import CASES, Case
from tests.router_core import wire
from tests.router_core.test_respond import ASKS, STREAMS

PATHS = {
    "/v1/messages": Format.ANTHROPIC,
    "/v1/chat": Format.OPENAI_CHAT,
    "/v1/responses": Format.OPENAI_RESPONSES,
}


def shape_of(case: Case) -> Format:
    return next((f for path, f in PATHS.items() if case.path.startswith(path)), Format.GEMINI)


FORMATS = [Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI]
QUIRKS = sorted({q for rule in catalogue.BUILT_IN for q in rule.when.quirk})
BROKEN = b"log has the details"
"""What Detour says when an answer hit a bug of its own."""

USER = Rules(
    [
        *catalogue.BUILT_IN,
        *(
            compile_rule(RuleConfig.model_validate(config), f"user-{i}", Origin.USER)
            for i, config in enumerate(
                [
                    {"on": "answer", "set": {"extra.a": 1}, "drop": ["usage", "choices[*].logprobs"]},
                    {"on": "answer", "rename": {"type": "kind"}, "append": {"choices": {"x": 1}}},
                    {"set": {"messages[*].x": 1}, "default": {"a.b.c": 1}, "drop": ["tools[?type=f*]"], "append": {"input": "x"}},
                ]
            )
        ),
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, stream: bytes) -> bytes:
    """`stream` with pieces removed, doubled, overwritten."""
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(stream)))
        end = min(len(stream), start + draw(st.integers(0, 60)))
        piece = draw(
            st.sampled_from(
                [
                    b"",
                    b"\n\n",
                    b"\r\n",
                    b'"',
                    b"{",
                    b"]",
                    b"null",
                    b"\xff",
                    b"\\u",
                    b"data: ",
                    stream[start:end] * 2,
                ]
            )
        )
        stream = stream[:start] + piece + stream[end:]
    return stream


def ask(format: Format, stream: bool) -> wire.Exchange:
    action = "streamGenerateContent?alt=sse" if stream else "generateContent"
    path = f"/v1beta/models/m:{action}" if format is Format.GEMINI else None
    return wire.exchange(format, ASKS[format], path=path, stream=stream, tool="amp")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_answers(format: Format, stream: bool, data: st.DataObject) -> None:
    answer = data.draw(damaged(STREAMS[format]))
    step = data.draw(st.integers(1, 300))
    media = data.draw(st.sampled_from(["text/event-stream", "", "application/json"]))
    rules = data.draw(st.sampled_from([USER, wire.built_in()]))
    out, _ = wire.answered(ask(format, stream), answer, media=media, step=step, rules=rules, model="up")
    assert BROKEN not in out


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
@settings(max_examples=25)
def test_events_that_no_rule_concerns_stay_however_damaged_the_others_are(
    format: Format, data: st.DataObject
) -> None:
    bystander = b'event: x\r\ndata: {"n": 1.50, "s": "\\u00e9"}\r\n\r\n'
    events = [e.raw for e in EventReader().feed(data.draw(damaged(STREAMS[format]))) if e.raw]
    where = data.draw(st.integers(0, len(events)))
    stream = b"".join([*events[:where], bystander, *events[where:]])
    out, _ = wire.answered(
        ask(format, True), stream, media="text/event-stream", step=data.draw(st.integers(1, 99)), model="up"
    )
    assert bystander in out or not stream.count(b"\n\n" + bystander) + stream.startswith(bystander)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9999)
    | st.sampled_from(["", "assistant", "thinking", "E", "x" * 70, "1h"])
)
NAMES = st.sampled_from(
    [
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "max_tokens",
        "betas",
        "input",
        "stream",
        "contents",
        "stream_options",
        "store",
        "role",
        "reasoning",
        "generationConfig",
        "request",
        "usage",
        "temperature",
        "top_p",
        "output_config",
        "type",
        "content",
        "signature",
        "name",
        "function",
        "id",
        "call_id",
        "cache_control",
        "ttl",
        "parts",
        "thought",
        "functionCall",
        "parameters",
        "functionDeclarations",
        "encrypted_content",
        "tool_calls",
        "budget_tokens",
        "text",
        "thoughtSignature",
        "allowed_domains",
        "effort",
        "properties",
        "required",
        "enum",
        "a",
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


@given(st.data())
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
def test_requests_of_any_shape(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(FORMATS))
    value: Any = data.draw(st.dictionaries(NAMES, TREES, max_size=8))
    body = serialise(value)
    operation = data.draw(st.sampled_from([Operation.GENERATE, Operation.COUNT_TOKENS, Operation.COMPACT]))
    path = "/v1beta/models/m:generateContent" if format is Format.GEMINI else None
    x = wire.exchange(
        format,
        body,
        operation=operation,
        model="claude-gpt-5",
        path=path,
        session="s",
        stream=data.draw(st.booleans()),
    )
    to = wire.provider(
        format,
        data.draw(st.sampled_from([None, "groq", "xai", "deepseek", "qwen", "mistral"])),
        quirks=set(data.draw(st.lists(st.sampled_from(QUIRKS), max_size=6))),
    )
    effort = data.draw(st.sampled_from([None, "high", "none", "5000", "auto"]))
    rules = data.draw(st.sampled_from([wire.built_in(), USER]))
    out = wire.prepared(x, to, effort=effort, rules=rules)
    sent = parse(out.body)
    assert isinstance(sent, dict)
    if not out.fired:
        assert out.body is x.request.body


ACTIONS = Rules(
    compile_rule(RuleConfig.model_validate({"action": rule.name}), f"user-{rule.name}", Origin.USER)
    for rule in catalogue.BUILT_IN
    if rule.request
)
"""Each built-in rule as an action of the user's, which no condition keeps from any request."""
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "x",
        "y" * 80,
        "\ud800",
        [],
        {},
        [None],
        ["a"],
        [[]],
        [{}],
        {"type": 5},
        {"type": ["x"]},
    ]
)
SHAPES: list[tuple[Format, Any]] = [(shape_of(case), case.sent) for case in CASES]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in a tree but its root."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [path for key, item in below for path in places(item, (*at, key))]
    return [at, *inner] if at else inner


@given(st.data())
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
def test_good_requests_with_something_else_in_one_place(data: st.DataObject) -> None:
    format, sent = data.draw(st.sampled_from(SHAPES))
    *way, last = data.draw(st.sampled_from(places(sent)))
    body = holder = deepcopy(sent)
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(ODD)
    path = "/v1beta/models/m:generateContent" if format is Format.GEMINI else None
    x = wire.exchange(
        format, serialise(body), model="claude-gpt-5", path=path, session="s", stream=data.draw(st.booleans())
    )
    for rules in (wire.built_in(), ACTIONS):
        out = wire.prepared(
            x,
            wire.provider(format, quirks=set(QUIRKS)),
            rules=rules,
            effort=data.draw(st.sampled_from([None, "high"])),
        )
        assert isinstance(parse(out.body), dict)
        assert out.fired or out.body is x.request.body
        assert not any(note.startswith("all:") for note in out.notes)


@given(st.binary(max_size=200))
def test_requests_of_any_bytes(body: bytes) -> None:
    out = wire.prepared(wire.exchange(Format.ANTHROPIC, body, model="m"), model="up", rules=USER)
    assert out.body == body or isinstance(parse(out.body), dict)
