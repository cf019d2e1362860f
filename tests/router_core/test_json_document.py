"""JSON bodies edited by splicing: what is not edited keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.json_document import parse, serialise, splice

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)
STYLES = st.sampled_from(
    [{"separators": (",", ":")}, {}, {"indent": 2}, {"indent": "\t", "ensure_ascii": False}]
)


@pytest.mark.parametrize(
    ("body", "edit", "expected"),
    [
        ('{"a":1,"b":2}', {"a": 9}, '{"a":9,"b":2}'),
        ('{"a":1.0,"b":1E5,"c":"\\u0041"}', {"d": 1}, '{"a":1.0,"b":1E5,"c":"\\u0041","d":1}'),
        ('{"big":123456789012345678901234567890,"m":"x"}', {"m": "y"}, '{"big":123456789012345678901234567890,"m":"y"}'),
        ('{ "a" : 1 , "b" : 2 }', {"b": 3}, '{ "a" : 1 , "b" : 3 }'),
        ('{\n  "a": 1\n}\n', {"b": {"c": 2}}, '{\n  "a": 1,\n  "b": {"c":2}\n}\n'),
        ('{\n  "a": 1,\n  "b": 2\n}', {"c": 3}, '{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}'),
        (' {} ', {"a": "é"}, ' {"a":"é"} '),
        ('{"a":1,"x":"é","a":2}', {"a": 3}, '{"x":"é","a":3}'),
        ('{"m":1,"x":{"m":"m"}}', {"m": 2}, '{"m":2,"x":{"m":"m"}}'),
        ('{"\\u006d":1,"x":0}', {"m": 2}, '{"\\u006d":2,"x":0}'),
    ],
)  # fmt: skip
def test_a_key_is_set(body: str, edit: dict[str, Any], expected: str) -> None:
    before = parse(body.encode())
    assert splice(body.encode(), before, before | edit).decode() == expected


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ('{"a":1,"b":2,"c":3}', "a", '{"b":2,"c":3}'),
        ('{"a":1,"b":2,"c":3}', "b", '{"a":1,"c":3}'),
        ('{"a":1,"b":2,"c":3}', "c", '{"a":1,"b":2}'),
        ('{\n  "a": 1,\n  "b": 2\n}', "b", '{\n  "a": 1\n}'),
        ('{\n  "a": 1,\n  "b": 2\n}', "a", '{\n  "b": 2\n}'),
        ('{"a":1,"b":2,"a":3}', "a", '{"b":2}'),
        ('{"a":1}', "a", "{}"),
    ],
)
def test_a_key_is_dropped(body: str, key: str, expected: str) -> None:
    before = parse(body.encode())
    after = {k: v for k, v in before.items() if k != key}
    assert splice(body.encode(), before, after).decode() == expected


def test_a_value_that_moves_keeps_its_bytes() -> None:
    body = b'{"tools":[{"type":"function","function":{"name":"\\u0061b","parameters":{"max":1e3}}}],"n":1}'
    before = parse(body)
    function = before["tools"][0]["function"]
    after = {**before, "tools": [{"type": "function", **function}]}
    assert splice(body, before, after) == (
        b'{"tools":[{"type":"function","name":"\\u0061b","parameters":{"max":1e3}}],"n":1}'
    )


def test_a_whole_body_moves_into_an_envelope() -> None:
    body = b'{"contents": [{"n": 1.50}]}\n'
    before = parse(body)
    assert splice(body, before, {"model": "m", "request": before}) == (
        b'{"model": "m","request": {"contents": [{"n": 1.50}]}}\n'
    )


def test_items_reorder_drop_and_grow() -> None:
    body = b'[{"a": 1.0}, {"b": 2.0}, {"c": 3.0}]'
    a, b, c = before = parse(body)
    assert splice(body, before, [c, a]) == b'[{"c": 3.0}, {"a": 1.0}]'
    assert splice(body, before, [{"z": 0}, a, b, c]) == b'[{"z":0},{"a": 1.0}, {"b": 2.0}, {"c": 3.0}]'
    assert splice(body, before, [a, {**b, "d": 4}]) == b'[{"a": 1.0}, {"b": 2.0,"d": 4}]'
    assert splice(body, before, []) == b"[]"
    assert splice(body, before, [a, b, c, 1]) == b'[{"a": 1.0}, {"b": 2.0}, {"c": 3.0}, 1]'
    assert splice(body, before, [a, c]) == b'[{"a": 1.0}, {"c": 3.0}]'
    assert splice(body, before, [a, 1, 2, c]) == b'[{"a": 1.0}, 1, 2, {"c": 3.0}]'
    assert splice(body, before, [b, c]) == b'[{"b": 2.0}, {"c": 3.0}]'


@given(VALUES, STYLES)
def test_without_an_edit_the_body_is_the_same_object(value: Any, style: dict[str, Any]) -> None:
    body = json.dumps(value, **style).encode()
    before = parse(body)
    assert splice(body, before, before) is body
    assert splice(body, before, copy(before)) == body


def copy(value: Any) -> Any:
    """New containers all the way down, the same leaves."""
    if isinstance(value, dict):
        return {k: copy(v) for k, v in value.items()}
    return [copy(v) for v in value] if isinstance(value, list) else value


@given(VALUES, VALUES, STYLES)
def test_any_edit_gives_the_edited_value(old: Any, new: Any, style: dict[str, Any]) -> None:
    body = json.dumps(old, **style).encode()
    before = parse(body)
    assert parse(splice(body, before, new)) == parse(json.dumps(new).encode())


@given(st.data(), STYLES)
def test_untouched_members_keep_their_bytes(data: st.DataObject, style: dict[str, Any]) -> None:
    old = data.draw(st.dictionaries(st.text(max_size=3), VALUES, max_size=5))
    before = parse(json.dumps(old, **style).encode())
    body = json.dumps(old, **style).encode()
    after: dict[str, Any] = {}
    for key, value in before.items():
        match data.draw(st.sampled_from(["keep", "keep", "drop", "set", "rename", "insert"])):
            case "keep":
                after[key] = value
            case "set":
                after[key] = ["new"]
            case "rename":
                after["renamed " + key] = value
            case "insert":
                after["inserted " + key] = {"moved": value}
                after[key] = value
    out = splice(body, before, after)
    assert parse(out) == after
    for key, value in after.items():
        if key in before and before[key] is value:
            assert json.dumps(old[key], **style).encode().split(b"\n")[0] in out


LEAVES = [1.5, "x", "é\n", {"a": [1, {"b": "c"}], "d": None}, ["p", "q"], {}, [], "y" * 3]


@given(st.data(), STYLES, st.booleans())
def test_long_lists_keep_the_bytes_of_what_stays(
    data: st.DataObject, style: dict[str, Any], odd: bool
) -> None:
    """In the shape of conversations; `odd`: one number that is spelled as nobody would."""
    turns = data.draw(st.lists(st.lists(st.sampled_from(LEAVES), max_size=5), max_size=12))
    old = {"first": 1, "turns": [{"n": i, "parts": parts} for i, parts in enumerate(turns)], "last": 2}
    text = json.dumps(old, **style)
    if odd:
        text = text.replace("1.5", "1.50E0")
    before = parse(text.encode())
    changed = []
    for turn in before["turns"]:
        match data.draw(st.sampled_from(["keep"] * 6 + ["drop", "part", "grow", "insert"])):
            case "keep":
                changed.append(turn)
            case "part":
                changed.append({**turn, "parts": turn["parts"][1:]})
            case "grow":
                changed.append({**turn, "parts": [*turn["parts"], "new"]})
            case "insert":
                changed += [{"new": 1}, turn]
    after = {**before, "turns": changed}
    out = splice(text.encode(), before, after).decode()
    assert parse(out.encode()) == after
    # A text of the same style, but for the numbers: nothing else was spelled anew.
    if style == {"separators": (",", ":")}:
        expected = json.dumps(after, **style)
        assert out == (expected.replace("1.5", "1.50E0") if odd else expected)
    elif changed == before["turns"]:
        assert out == text
    assert text.count("1.50E0") >= out.count("1.50E0") == (out.count("1.5") if odd else 0)


@given(st.binary(max_size=60))
def test_any_bytes_parse_or_raise_value_error(body: bytes) -> None:
    try:
        value = parse(body)
    except ValueError:
        return
    assert parse(serialise(value)) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a':1}",
        b'{"a":NaN}',
        b"[Infinity]",
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 5000,
    ],
)
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(body)


def test_lone_surrogates_pass() -> None:
    body = b'{"text":"cut \\ud83d","model":"a"}'
    before = parse(body)
    assert splice(body, before, {**before, "model": "b"}) == b'{"text":"cut \\ud83d","model":"b"}'
    assert serialise(before) == body


def test_bytes_of_another_value_are_refused() -> None:
    with pytest.raises(ValueError, match="not the JSON text"):
        splice(b'{"b":1}', {"a": 1}, {"a": 2})


def test_deep_edits_are_refused_rather_than_raised() -> None:
    body = b'{"a":' * 900 + b"1" + b"}" * 900
    before = parse(body)
    after: Any = 2
    for _ in range(900):
        after = {"a": after}
    try:
        out = splice(body, before, after)
    except ValueError:
        return
    assert parse(out) == after
