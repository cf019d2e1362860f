"""Rules as data: paths, conditions, actions, and the mistakes that are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from router_core.exchange import Headers
from router_core.formats import Format
from router_core.json_document import parse, serialise
from router_core.rewrite import catalogue
from router_core.rewrite.generic import compile_rule
from router_core.rewrite.headers import HeaderEdit
from router_core.rewrite.paths import GONE, edit, parse_path, rename
from router_core.rewrite.rule import Origin
from router_core.rewrite.rules import Rules
from router_core.rewrite.schema import KNOWN_RULES, RuleConfig
from tests.router_core import wire

BODY: dict[str, Any] = {
    "model": "gpt-4.1",
    "temperature": 0.5,
    "tools": [{"type": "web_search", "name": "w"}, {"type": "function", "name": "f"}],
    "messages": [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "user", "content": "c"},
    ],
    "a.b": {"x": 1},
    "reasoning": None,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("temperature", [0.5]),
        ("messages[0].role", ["user"]),
        ("messages[-1].content", ["c"]),
        ("messages[*].content[*].text", ["a", "b"]),
        ("tools[?type=web*].name", ["w"]),
        ("tools[?type!=web*].name", ["f"]),
        ('["a.b"].x', [1]),
        ("messages[7].role", []),
        ("temperature.x", []),
        ("model[0]", []),
    ],
)
def test_paths_select(path: str, expected: list[Any]) -> None:
    assert list(parse_path(path).select(BODY)) == expected


@pytest.mark.parametrize("path", ["", ".a", "a..b", "a[", "a[x]", "a[?b]", "a b", "[*", 'a["', "a[1]b"])
def test_a_wrong_path_is_told_with_its_place(path: str) -> None:
    with pytest.raises(ValueError, match=r"path"):
        parse_path(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "type"]), v, max_size=3),
)
PATHS = st.lists(
    st.sampled_from(["a", "b", "[*]", "[0]", "[-1]", "[?type=x*]", "[?a!=1]"]), min_size=1, max_size=4
)


@given(VALUES, PATHS, st.booleans())
def test_no_shape_makes_a_path_raise(value: Any, steps: list[str], create: bool) -> None:
    text = ".".join(steps).replace(".[", "[")
    path = parse_path(text)
    list(path.select(value))
    assert edit(value, path, lambda old: old) is value or create
    edit(value, path, lambda old: "new", create=create)
    edit(value, path, lambda old: GONE)
    rename(value, path, "c")


def run(
    rule: dict[str, Any], body: dict[str, Any] = BODY, headers: Headers | None = None, **kwargs: Any
) -> Any:
    rules = Rules([compile_rule(RuleConfig.model_validate(rule), "mine", Origin.USER)])
    x = wire.exchange(Format.OPENAI_CHAT, serialise(body), headers=headers, **kwargs)
    return wire.prepared(x, rules=rules)


def changes(rule: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """The keys of the body that a rule changed, with GONE for the dropped."""
    after = parse(run(rule, **kwargs).body)
    return {k: after.get(k, GONE) for k in {*BODY, *after} if after.get(k, GONE) != BODY.get(k, GONE)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"set": {"temperature": 1}}, {"temperature": 1}),
        ({"set": {"temperature": 0.5}}, {}),
        ({"set": {"provider.order": ["a"]}}, {"provider": {"order": ["a"]}}),
        ({"set": {"tools[*].strict": True}}, {"tools": [{**t, "strict": True} for t in BODY["tools"]]}),
        ({"set": {"temperature.x": 1}}, {}),
        ({"default": {"temperature": 1, "top_p": 1}}, {"top_p": 1}),
        ({"drop": "temperature"}, {"temperature": GONE}),
        ({"drop": ["tools[?type=web*]"]}, {"tools": BODY["tools"][1:]}),
        ({"drop": "nothing.here"}, {}),
        ({"rename": {"temperature": "heat"}}, {"temperature": GONE, "heat": 0.5}),
        ({"rename": {"temperature": "model"}}, {}),
        ({"append": {"stop": "x"}}, {"stop": ["x"]}),
        ({"append": {"tools": [{"name": "n"}]}}, {"tools": [*BODY["tools"], {"name": "n"}]}),
        ({"append": {"messages[1].content": "!"}}, {"messages": [BODY["messages"][0], {"role": "user", "content": "c!"}]}),
        ({"append": {"temperature": 1}}, {}),
        ({"append": {"reasoning": 1}}, {"reasoning": [1]}),
        ({"set": {"reasoning.effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"default": {"reasoning.a.b": 1, "reasoning": 2}}, {"reasoning": {"a": {"b": 1}}}),
        ({"drop": "reasoning.effort"}, {}),
        ({"rename": {"temperature": '["t/ü.1"]'}}, {"temperature": GONE, "t/ü.1": 0.5}),
    ],
)  # fmt: skip
def test_actions(rule: dict[str, Any], expected: dict[str, Any]) -> None:
    assert changes(rule) == expected
    assert run(rule).fired == (["mine"] if expected else [])


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"provider": "open*"}, True),
        ({"provider": ["x", "openrouter"]}, False),
        ({"format": "openai-chat"}, True),
        ({"format": ["gemini", "anthropic"]}, False),
        ({"surface": "generate"}, True),
        ({"surface": "openai-chat/generate"}, True),
        ({"surface": "anthropic"}, False),
        ({"model": "gpt-*"}, True),
        ({"model": "premium"}, False),
        ({"client": "codex"}, True),
        ({"client": "amp"}, False),
        ({"header": {"X-Team": "bl*"}}, True),
        ({"header": {"x-team": "red"}}, False),
        ({"header": {"x-none": "*"}}, False),
        ({"stream": False}, True),
        ({"stream": True}, False),
        ({"quirk": "force_stream"}, False),
        ({"body": {"present": "tools"}}, True),
        ({"body": {"present": ["tools", "nothing"]}}, False),
        ({"body": {"absent": "nothing"}}, True),
        ({"body": {"absent": "tools"}}, False),
        ({"body": {"equals": {"temperature": 0.5}}}, True),
        ({"body": {"equals": {"temperature": 1}}}, False),
        ({"body": {"matches": {"messages[*].content[*].text": "^B?b$"}}}, True),
        ({"body": {"matches": {"temperature": "0"}}}, False),
    ],
)
def test_conditions(when: dict[str, Any], holds: bool) -> None:
    out = run({"set": {"x": 1}, "when": when}, headers=[("X-TEAM", "blue")], tool="codex")
    assert (out.fired == ["mine"]) is holds


def test_the_upstreams_name_of_the_model_counts_as_well() -> None:
    rules = Rules(
        [
            compile_rule(
                RuleConfig.model_validate({"set": {"x": 1}, "when": {"model": "up-*"}}), "mine", Origin.USER
            )
        ]
    )
    out = wire.prepared(wire.exchange(Format.OPENAI_CHAT, serialise(BODY)), rules=rules, model="up-1")
    assert out.fired == ["mine", "model-name"]


def test_headers() -> None:
    rule = {
        "headers": {
            "set": {"x-a": "2"},
            "default": {"X-B": "1", "x-c": "1"},
            "drop": ["x-stainless-*"],
            "merge": {"anthropic-beta": ["b", "c"]},
        }
    }
    headers = [
        ("X-A", "1"),
        ("x-b", "own"),
        ("X-Stainless-OS", "Linux"),
        ("anthropic-beta", "a,b"),
        ("user-agent", "u"),
    ]
    out = run(rule, headers=headers)
    assert out.fired == ["mine"]
    assert out.headers[:4] == [("X-A", "2"), ("x-b", "own"), ("anthropic-beta", "a,b,c"), ("user-agent", "u")]
    assert ("x-c", "1") in out.headers


def test_headers_of_a_request_without_a_body() -> None:
    rules = Rules(
        [
            compile_rule(
                RuleConfig.model_validate({"headers": {"set": {"x-a": "1"}}, "set": {"y": 1}}),
                "mine",
                Origin.USER,
            )
        ]
    )
    x = wire.exchange(
        Format.OPENAI_CHAT, b"", method="GET", path="/v1/models", operation=wire.Operation.LIST_MODELS
    )
    out = wire.prepared(x, rules=rules)
    assert (out.body, ("x-a", "1") in out.headers) == (b"", True)


def test_a_repeated_header_becomes_one() -> None:
    headers = HeaderEdit([("a", "1"), ("b", "x"), ("A", "2")])
    headers.set("a", "3")
    assert headers.items == [("a", "3"), ("b", "x")]
    assert HeaderEdit([("a", "1"), ("A", "2")]).get("a") == "1, 2"


def test_default_is_judged_by_the_original_body() -> None:
    def user(rule: dict[str, Any], name: str):
        return compile_rule(RuleConfig.model_validate(rule), name, Origin.USER)

    rules = Rules(
        [
            user({"drop": "temperature"}, "a"),
            user({"default": {"temperature": 1, "top_p": 1}}, "b"),
            user({"default": {"top_p": 2}}, "c"),
        ]
    )
    out = wire.prepared(wire.exchange(Format.OPENAI_CHAT, serialise(BODY)), rules=rules)
    sent = parse(out.body)
    assert ("temperature" in sent, sent["top_p"], out.fired) == (False, 1, ["a", "b"])


def test_answers_can_be_edited_too() -> None:
    rule = {"on": "answer", "drop": ["usage.cost"], "headers": {"drop": ["x-ratelimit-*"]}}
    rules = Rules([compile_rule(RuleConfig.model_validate(rule), "mine", Origin.USER)])
    x = wire.exchange(Format.OPENAI_CHAT, serialise(BODY))
    out, responder = wire.answered(
        x,
        b'{"usage": {"cost": 1.50, "n": 1}}',
        rules=rules,
        headers=[("content-type", "application/json"), ("X-RateLimit-Left", "1")],
    )
    assert out == b'{"usage": {"n": 1}}'
    assert responder.headers == [("content-type", "application/json")]
    assert x.fired == ["mine"]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"name": "x", "when": {"provider": "openai"}},
        {"set": {"a..b": 1}},
        {"set": {"[0].a": 1}},
        {"rename": {"a[0]": "b"}},
        {"rename": {"a": ""}},
        {"rename": {"a.b": "a.c"}},
        {"set": {"a": [{"b": float("inf")}]}},
        {"when": {"body": {"equals": {"a": float("nan")}}}, "drop": "a"},
        {"when": {"body": {"matches": {"a": "("}}}, "drop": "a"},
        {"when": {"surface": "chat"}, "drop": "a"},
        {"when": {"format": "xml"}, "drop": "a"},
        {"when": {"colour": "blue"}, "drop": "a"},
        {"headers": {"set": {"content-length": "1"}}},
        {"headers": {"set": {"x": "a\r\nb"}}},
        {"headers": {"set": {"not a name": "1"}}},
        {"action": "supress-thinking"},
        {"action": "suppress-thinking"},
        {"on": "answer", "action": "anthropic-sampling"},
        {"on": "tuesday", "drop": "a"},
    ],
)
def test_mistakes_are_told(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuleConfig.model_validate(rule, context={KNOWN_RULES: catalogue.BY_NAME})


def test_an_unknown_action_is_told_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'suppress-thinking'"):
        RuleConfig.model_validate({"action": "supress-thinking"}, context={KNOWN_RULES: catalogue.BY_NAME})


def test_an_action_is_told_where_it_belongs() -> None:
    with pytest.raises(ValidationError, match="rewrites answers; write on: answer"):
        RuleConfig.model_validate({"action": "suppress-thinking"}, context={KNOWN_RULES: catalogue.BY_NAME})


def test_an_action_takes_back_in_the_answer_what_it_did_to_the_request() -> None:
    config = RuleConfig.model_validate({"action": "chat-long-names"})
    rules = Rules([compile_rule(config, "mine", Origin.USER)])
    long = "mcp__" + "x" * 80
    tool = {"type": "function", "function": {"name": long}}
    x = wire.exchange(Format.OPENAI_CHAT, serialise({"model": "m", "messages": [], "tools": [tool]}))
    short = parse(wire.prepared(x, rules=rules).body)["tools"][0]["function"]["name"]
    assert len(short) == 64
    answer = {"choices": [{"message": {"tool_calls": [{"function": {"name": short}}]}}]}
    out, _ = wire.answered(x, serialise(answer), rules=rules)
    assert parse(out)["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == long


def test_rules_run_in_the_order_format_provider_user() -> None:
    def stated(origin: Origin):
        return compile_rule(
            RuleConfig.model_validate({"append": {"user": str(origin)}}), str(origin), origin, "openai"
        )

    rules = Rules([stated(Origin.USER), stated(Origin.PROVIDER), *catalogue.BUILT_IN])
    out = wire.prepared(
        wire.exchange(Format.OPENAI_CHAT, b'{"model":"gpt-5","user":"","max_tokens":1}'), rules=rules
    )
    assert parse(out.body)["user"] == "provideruser"
    assert out.fired == ["chat-max-tokens", "provider", "user"]


def test_names_in_the_catalogue_are_unique() -> None:
    names = [rule.name for rule in catalogue.BUILT_IN]
    assert len(names) == len(set(names)) == len(catalogue.BY_NAME)
