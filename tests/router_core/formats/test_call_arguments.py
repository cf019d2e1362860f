"""Calls whose arguments come damaged: what their client gets is a call that was meant, or an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format, ir
from router_core.formats.call_arguments import HOLD, CallArguments
from router_core.formats.object_text import Damaged, ObjectText
from tests.router_core.formats import clients
from tests.router_core.formats.translated import translated
from tests.router_core.formats.wire import openai_chat as chat, openai_responses as responses

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values, max_size=3)


def fed(text: str, places: list[int]) -> tuple[str, ObjectText]:
    """What `text`, cut at `places`, lets through."""
    reader = ObjectText()
    cuts = sorted(place % (len(text) + 1) for place in places)
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return "".join(reader.feed(piece) for piece in pieces), reader


@given(objects, st.lists(st.integers(0), max_size=6), st.booleans(), st.sampled_from([None, 2]))
def test_every_object_passes_however_it_is_cut(
    value: dict[str, Any], places: list[int], ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    passed, reader = fed(text, places)
    assert reader.complete
    if "\\ud" in text:
        # Half of a surrogate pair is no character.
        assert isinstance(json.loads(passed), dict)
    else:
        assert passed == text


@given(objects, st.integers(0), st.sampled_from(["lose", "repeat", *'{}[]",:0\\']), st.lists(st.integers(0)))
def test_what_passes_begins_an_object(value: dict[str, Any], at: int, what: str, places: list[int]) -> None:
    text = json.dumps(value)
    at %= len(text)
    put = {"lose": "", "repeat": text[at] * 2}.get(what, what + text[at])
    text = text[:at] + put + text[at + 1 :]
    try:
        passed, reader = fed(text, places)
    except Damaged:
        with pytest.raises(ValueError):
            json.loads(text)
    else:
        assert not reader.complete or isinstance(json.loads(passed), dict)
        assert reader.complete or not _is_json(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        (['{"a": "one\n', 'two\x00"}'], '{"a": "one\\ntwo\\u0000"}'),
        (['{"a": "\\ud83d', '\\ude00 \\ud83d!"}'], '{"a": "\\ud83d\\ude00 \\ufffd!"}'),
        (['{"a": {"b": 1}', "}", "}"], '{"a": {"b": 1}}'),
        (['{"a":', '"x"}', '"x"}'], '{"a":"x"}'),
        (["  \n", ' {"a": 1} ', "\n"], '{"a": 1}'),
    ],
)
def test_what_can_be_meant_in_one_way_is_put_right(pieces: list[str], passed: str) -> None:
    reader = ObjectText()
    assert "".join(reader.feed(piece) for piece in pieces) == passed
    assert reader.complete


def through(
    *pieces: str, stop: ir.Stop = ir.Stop.TOOL_CALLS, more: bool = False, free: bool = False
) -> list[ir.Event]:
    """What becomes of a call of `pieces`; `more` follows it, and its tool takes `free` text."""
    check = CallArguments({"f"} if free else ())
    events: list[ir.Event] = [ir.PartStart(0, ir.ToolCall("id", "f", "")), *(ir.Delta(0, p) for p in pieces)]
    events.append(ir.PartEnd(0))
    if more:
        events += [ir.PartStart(1, ir.Text("")), ir.PartEnd(1)]
    events += [ir.Finish(stop), ir.End()]
    return [passed for event in events for passed in check.push(event)]


def arguments(events: list[ir.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ir.Delta))


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        ([], ""),
        (["{}"], "{}"),
        (["nu", "ll"], ""),
        (['"{\\"a\\"', ': 1}"'], '{"a": 1}'),
        (['""'], ""),
        (["{}", '{"a":', " 1}"], '{"a": 1}'),
    ],
)
def test_arguments_in_other_words(pieces: list[str], given: str) -> None:
    events = through(*pieces)
    assert arguments(events) == given
    assert [type(event) for event in events[-3:]] == [ir.PartEnd, ir.Finish, ir.End]


ODD = ["ls -l", "[1]", '"ls"', '"[1]"', '{"a" 1}', '{"a": 1', '{"a": 1}{"a": 2}', "n"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("more", [True, False])
def test_what_is_no_object_is_handed_on_whole_for_the_tool_to_refuse(text: str, more: bool) -> None:
    events = through(*text, more=more)
    assert json.loads(arguments(events)) == {"arguments": text}
    kinds = [type(event) for event in events if not isinstance(event, ir.KeepAlive | ir.Delta)]
    parts = [ir.PartStart, ir.PartEnd]
    assert kinds == [*parts, *(parts if more else []), ir.Finish, ir.End]


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_object_and_too_long_to_be_held_is_an_error(text: str) -> None:
    long = "x" * HOLD
    before = '{"x": "' + long + '", ' if text.startswith("{") else long
    events = through(before, text.removeprefix("{"))
    assert isinstance(events[-1], ir.Failure)
    assert " f " in events[-1].message
    assert not any(isinstance(event, ir.PartEnd | ir.Finish) for event in events)


def test_long_arguments_go_on_while_they_come() -> None:
    check = CallArguments(())
    check.push(ir.PartStart(0, ir.ToolCall("id", "f", "")))
    held = check.push(ir.Delta(0, '{"x": "' + "x" * HOLD))
    assert arguments(held) == '{"x": "' + "x" * HOLD
    assert check.push(ir.Delta(0, "more")) == [ir.Delta(0, "more")]


def test_the_client_hears_that_a_held_call_goes_on() -> None:
    events = through('{"x": "', *["x"] * 200, '"}')
    assert 2 < sum(isinstance(event, ir.KeepAlive) for event in events) < 20


@pytest.mark.parametrize(
    ("stop", "more", "given"),
    [
        (ir.Stop.LENGTH, False, '{"a": "b'),
        (ir.Stop.CONTEXT, False, '{"a": "b'),
        (ir.Stop.LENGTH, True, '{"arguments":"{\\"a\\": \\"b"}'),
        (ir.Stop.END, False, '{"arguments":"{\\"a\\": \\"b"}'),
    ],
)
def test_what_a_limit_cuts_off_is_passed_on_with_that_ending(stop: ir.Stop, more: bool, given: str) -> None:
    assert arguments(through('{"a": "b', stop=stop, more=more)) == given


@pytest.mark.parametrize("size", [1, HOLD])
def test_tools_that_take_free_text_take_words_for_their_input(size: int) -> None:
    text = "*** Begin" * size
    assert arguments(through(text, "!", free=True)) == text + "!"


PIECES = ['{"path"', ': "a.py", ', '"lines": [1', ", 2]", "}"]
VALUE = json.loads("".join(PIECES))
DAMAGES: dict[str, list[str]] = {
    "lost": PIECES[:1] + PIECES[2:],
    "lost at the end": PIECES[:-1],
    "moved": [PIECES[1], PIECES[0], *PIECES[2:]],
    "repeated": PIECES[:2] + PIECES[1:],
}
CLIENTS = (Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI)


@pytest.mark.parametrize("client", chat.OTHERS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("streaming", [True, False])
def test_chat_says_it_once_so_that_the_tool_has_to_refuse_it(
    client: Format, damage: str, streaming: bool
) -> None:
    pieces = [chat.call(0, text=piece) for piece in DAMAGES[damage]]
    deltas = [chat.delta(tool_calls=[call]) for call in [chat.call(0, "c1", "f", ""), *pieces]]
    body = chat.stream(*deltas, chat.delta("tool_calls"))
    status, out = translated(client, Format.OPENAI_CHAT, body, streamed=True, streaming=streaming)
    said = clients.read(client, out, streaming=streaming, status=status)
    assert said.calls == [("f", {"arguments": "".join(DAMAGES[damage])})]
    assert said.stop == "tools"


@pytest.mark.parametrize("client", chat.OTHERS)
@pytest.mark.parametrize("streaming", [True, False])
def test_a_long_call_that_comes_damaged_is_an_error(client: Format, streaming: bool) -> None:
    pieces = [chat.call(0, "c1", "f", '{"x": "'), chat.call(0, text="x" * HOLD), chat.call(0, text='"x"}')]
    body = chat.stream(*(chat.delta(tool_calls=[call]) for call in pieces), chat.delta("tool_calls"))
    status, out = translated(client, Format.OPENAI_CHAT, body, streamed=True, streaming=streaming)
    assert status == (200 if streaming else 500)
    with pytest.raises(clients.STREAM_ERRORS, match="call to f came damaged"):
        clients.read(client, out, streaming=streaming, status=status)


@pytest.mark.parametrize("client", responses.OTHERS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("second_copy", ["arguments", "item", "end"])
def test_responses_say_it_again_so_that_damage_is_mended(
    client: Format, damage: str, second_copy: str
) -> None:
    call = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "".join(PIECES)}
    deltas = [
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": piece}
        for piece in PIECES
    ]
    whole = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "".join(PIECES)}
    again = {"arguments": [whole], "item": [responses.done(0, **call)], "end": []}[second_copy]
    output = [call] if second_copy == "end" else []
    opened = responses.added(0, **{**call, "arguments": ""})
    values = [responses.created(), opened, *deltas, *again, responses.completed(*output)]
    numbered = [{**value, "sequence_number": number} for number, value in enumerate(values)]
    here = 2 + DAMAGES[damage].index(PIECES[1]) if damage != "lost" else 3
    match damage:
        case "lost":
            del numbered[here]
        case "lost at the end":
            del numbered[6]
        case "moved":
            numbered[2], numbered[3] = numbered[3], numbered[2]
        case "repeated":
            numbered.insert(here, numbered[here])
    lines = "".join(f"data: {json.dumps(value)}\n\n" for value in numbered).encode()
    _, out = translated(client, Format.OPENAI_RESPONSES, lines, streamed=True, streaming=True)
    assert clients.read(client, out, streaming=True).calls == [("f", VALUE)]


def unnumbered(client: Format, kind: str, *pieces: str) -> Any:
    """What `client` reads of a call whose first piece is lost, in a stream without numbers."""
    name, delta = {
        "function_call": ("arguments", "response.function_call_arguments.delta"),
        "custom_tool_call": ("input", "response.custom_tool_call_input.delta"),
    }[kind]
    call = {"type": kind, "id": "fc", "call_id": "c1", "name": "f", name: "".join(pieces)}
    deltas = [{"type": delta, "output_index": 0, "delta": piece} for piece in pieces[1:]]
    values = [responses.created(), responses.added(0, **{**call, name: ""}), *deltas]
    return responses.read(
        client, *values, responses.done(0, **call), responses.completed(call), numbered=False
    )


@pytest.mark.parametrize("client", responses.OTHERS)
def test_without_numbers_the_second_copy_goes_before_what_is_held(client: Format) -> None:
    assert unnumbered(client, "function_call", '{"a": "one ', 'two"', "}").calls == [("f", {"a": "one two"})]


@pytest.mark.parametrize("client", responses.OTHERS)
@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        ("function_call", ['{"a": 1, ', '{"b": "', "x" * HOLD, '"}']),
        ("custom_tool_call", ["*** Begin", " Patch", " End"]),
    ],
)
def test_without_numbers_damage_to_what_went_on_is_an_error(
    client: Format, kind: str, pieces: list[str]
) -> None:
    with pytest.raises(clients.STREAM_ERRORS, match="came damaged"):
        unnumbered(client, kind, *pieces)


@pytest.mark.parametrize("client", responses.OTHERS)
def test_a_gap_in_the_text_is_filled_from_the_second_copy(client: Format) -> None:
    words = [responses.text(0, word) for word in ("one ", "two ", "three ", "four")]
    opening = [responses.created(), responses.added(0, type="message", content=[])]
    values = [
        *opening,
        *words,
        responses.done(0, **responses.message("one two three four")),
        responses.completed(),
    ]
    numbered = [{**value, "sequence_number": number} for number, value in enumerate(values)]
    del numbered[3]
    assert responses.read(client, *numbered, numbered=False).text == "one two three four"


@pytest.mark.parametrize("client", responses.OTHERS)
def test_a_gap_without_a_second_copy_is_an_error(client: Format) -> None:
    words = [responses.text(0, word) for word in ("one ", "two ", "three ")]
    values = [
        responses.created(),
        responses.added(0, type="message", content=[]),
        *words,
        responses.completed(),
    ]
    numbered = [{**value, "sequence_number": number} for number, value in enumerate(values)]
    del numbered[3]
    with pytest.raises(clients.STREAM_ERRORS, match="are missing"):
        responses.read(client, *numbered, numbered=False)
