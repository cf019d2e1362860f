"""Bodies of another shape than a rule expects: left alone, and said so."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.rewrite import catalogue
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.rule import Origin, Rule
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import RuleConfig
from router_core.rewrite.shapes import OBJECTS, SHAPES, misfits, shape_of
from tests.router_core import wire

READING = [
    (rule, format, key)
    for rule in catalogue.BUILT_IN
    for format in rule.when.format or SHAPES
    for key in rule.reads
    if key in SHAPES[format]
]
WRONG: list[Any] = ["text", 5, True, [1], {"a": 1}]


def prepared(rule: Rule, format: Format, body: dict[str, Any]) -> Any:
    name = rule.when.kin[0] if rule.when.kin else None
    to = wire.provider(format, name, quirks=set(rule.when.quirk))
    path = "/v1beta/models/m:generateContent" if format is Format.GEMINI else None
    x = wire.exchange(format, serialise(body), operation=Operation.GENERATE, path=path, model="claude-x")
    return wire.prepared(x, to, rules=Rules([rule]))


@pytest.mark.parametrize(("rule", "format", "key"), READING, ids=[f"{r.name}-{f}-{k}" for r, f, k in READING])
def test_a_rule_leaves_another_shape_alone_and_says_so(rule: Rule, format: Format, key: str) -> None:
    wrong = [value for value in WRONG if shape_of(value) not in SHAPES[format][key]]
    assert wrong
    for value in wrong:
        out = prepared(rule, format, {"model": "claude-x", key: value})
        assert parse(out.body)[key] == value
        assert out.fired == []
        assert out.notes == [f"{rule.name}: left alone, `{key}` is {shape_of(value)}"]


@pytest.mark.parametrize(
    "rule", [r for r in catalogue.BUILT_IN if r.request is not None], ids=lambda r: r.name
)
def test_what_a_rule_reads_is_known(rule: Rule) -> None:
    for key in rule.reads:
        assert any(key in SHAPES[format] for format in rule.when.format or SHAPES)


def test_an_odd_item_is_passed_over_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    thinking = {"type": "thinking", "thinking": "x"}
    messages = ["odd", {"role": "assistant", "content": [thinking, {"type": "text", "text": "y"}]}]
    rule = catalogue.BY_NAME["anthropic-unsigned-thinking"]
    with caplog.at_level(logging.DEBUG, "router_core.rewrite"):
        out = prepared(rule, Format.ANTHROPIC, {"model": "claude-x", "messages": messages})
    assert parse(out.body)["messages"] == [
        "odd",
        {"role": "assistant", "content": [messages[1]["content"][1]]},
    ]
    assert out.notes == ["anthropic-unsigned-thinking: left alone, `messages[0]` is a text"]
    assert out.notes[0] in caplog.text


@pytest.mark.parametrize("body", [b"[]", b"no JSON", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_left_alone(body: bytes) -> None:
    out = wire.prepared(wire.exchange(Format.ANTHROPIC, body, model="claude-x"))
    assert out.body == body
    assert out.notes == ["all: left alone, the body is no JSON object"]


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ({"drop": "messages[*].name"}, "`messages` is no list"),
        ({"set": {"messages.a": 1}}, "`messages` is no object"),
        ({"set": {"a.b.c": 1}}, "`a.b` is no object"),
        ({"default": {"list[0].x": 1}}, "`list[0]` is no object"),
    ],
)
def test_a_users_rule_says_so_too(rule: dict[str, Any], note: str) -> None:
    body = serialise({"model": "m", "messages": "hi", "a": {"b": 1}, "list": [1]})
    rules = Rules([compile_rule(RuleConfig.model_validate(rule), "mine", Origin.USER)])
    out = wire.prepared(wire.exchange(Format.ANTHROPIC, body), rules=rules)
    assert (out.body, out.notes) == (body, [f"mine: left alone, {note}"])


def test_the_same_note_of_a_stream_is_kept_once() -> None:
    def bad(value: Any, context: Any) -> Any:
        raise TypeError

    rules = Rules([Rule(name="bad", reason="", event=bad)])
    x = wire.exchange(Format.ANTHROPIC, b'{"model":"m","stream":true}')
    event = b'data: {"a":1}\n\n'
    out, responder = wire.answered(x, event * 500, rules=rules, media="text/event-stream")
    assert out == event * 500
    assert responder.context.notes == ["bad: left alone, the answer has another shape (TypeError)"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(list(SHAPES)), st.data())
def test_only_what_has_another_shape_is_a_misfit(format: Format, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(list(SHAPES[format])))
    value = data.draw(VALUES)
    found = misfits(format, {key: value})
    fits = value is None or shape_of(value) in SHAPES[format][key]
    odd = fits and shape_of(value) == OBJECTS and not all(isinstance(item, dict) for item in value)
    assert set(found) == (set() if fits and not odd else {key})
    assert not found or found[key].whole is not fits
