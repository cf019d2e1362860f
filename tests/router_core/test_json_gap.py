"""Edits of large JSON texts without what stays, and those that have to be found by reading."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, strategies as st

from router_core.json_document import gap, parse, serialise, splice
from router_core.json_document.kept import kept_lists
from router_core.json_document.walk import walked

STYLES: list[dict[str, Any]] = [
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {},
    {"indent": 2},
    {"indent": "\t", "ensure_ascii": False},
]


def turn(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text, **more}]}


def body_of(style: dict[str, Any], turns: int = 60) -> tuple[bytes, dict[str, Any]]:
    value = {
        "model": "claude",
        "big": 2**70,
        "messages": [turn(f'turn {i}: gr\u00fcn "x"\n' * 40) for i in range(turns)],
        "max_tokens": 5,
    }
    return json.dumps(value, **style).encode(), value


def with_turn(value: dict[str, Any], i: int, new: Any) -> dict[str, Any]:
    turns = [*value["messages"]]
    turns[i] = new
    return value | {"messages": turns}


def gapped(body: bytes, before: Any, after: Any) -> bytes | None:
    return gap.edited(body, before, after, splice)


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("i", [0, 31, 59])
def test_only_the_edited_item_changes(style: dict[str, Any], i: int) -> None:
    body, _ = body_of(style)
    before = parse(body)
    old = before["messages"][i]
    after = with_turn(before, i, {"role": old["role"], "content": []}) | {"model": "clever"}
    out = gapped(body, before, after)
    assert out is not None and parse(out) == after
    assert out == splice(body, before, after)
    head = body.index(b"turn %d:" % i) - 200
    assert out[20:head] == body[20:head] if head > 20 else True
    tail = body[body.index(b"turn %d:" % i) :].partition(b"turn %d:" % (i + 1))[2]
    assert out.endswith(tail)


def assert_edited_by_reading(body: bytes) -> None:
    """The quick way does not edit turn 9, and the edit is right all the same."""
    before = parse(body)
    after = with_turn(before, 9, turn("other"))
    assert gapped(body, before, after) is None
    assert parse(splice(body, before, after)) == after


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_an_item_that_stands_there_twice_is_found_by_reading(style: dict[str, Any]) -> None:
    _, value = body_of(style)
    body = json.dumps(with_turn(value, 7, value["messages"][9]), **style).encode()
    assert_edited_by_reading(body)


def test_the_bytes_of_another_value_that_is_equal_are_not_taken_for_it() -> None:
    """The edited turn is spelled with an escape; one that is equal to it and stays is not."""
    _, value = body_of(STYLES[0])
    value = with_turn(value, 7, turn("same/same"))
    value = with_turn(value, 9, turn("same/same"))
    whole = json.dumps(value, **STYLES[0])
    at = whole.rindex("same/same")
    body = (whole[:at] + "same\\/same" + whole[at + len("same/same") :]).encode()
    assert_edited_by_reading(body)


def test_of_a_key_that_stands_twice_one_goes() -> None:
    """Another reader might take the first."""
    body, _ = body_of(STYLES[0])
    body = body.replace(b"{", b'{"model":"first",', 1)
    before = parse(body)
    after = with_turn(before, 3, turn("other")) | {"model": "clever"}
    out = splice(body, before, after)
    assert parse(out) == after and json.loads(out, object_pairs_hook=len) == 4


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_of_a_list_that_stands_twice_the_second_is_edited(style: dict[str, Any]) -> None:
    """The second is the value of its key; the first may stay."""
    _, value = body_of(style)
    body = json.dumps({"mess": value["messages"]} | value, **style).replace('"mess"', '"messages"').encode()
    before = parse(body)
    for i in (0, 30, 59):
        after = with_turn(before, i, turn("other")) | {"model": "clever"}
        assert parse(splice(body, before, after)) == after


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize(
    "edit", ["drop first", "drop last", "drop", "append", "put first", "move", "members"]
)
def test_edits_of_every_kind_leave_the_others_as_they_stand(style: dict[str, Any], edit: str) -> None:
    body, value = body_of(style)
    before = parse(body)

    def edited(tree: dict[str, Any], turns: list[Any]) -> dict[str, Any]:
        match edit:
            case "drop first":
                return tree | {"messages": turns[1:]}
            case "drop last":
                return tree | {"messages": turns[:-1]}
            case "drop":
                return tree | {"messages": [*turns[:20], *turns[23:]]}
            case "append":
                return tree | {"messages": [*turns, turn("more")]}
            case "put first":
                return tree | {"messages": [turn("more"), *turns]}
            case "move":
                return {"request": {"contents": turns}, "model": "clever"}
        return {k: v for k, v in tree.items() if k != "max_tokens"} | {"model": "clever", "n": 1}

    after = edited(before, before["messages"])
    out = gapped(body, before, after)
    assert out is not None and parse(out) == after
    numbers = b"1180591620717411303424"
    assert (numbers in out) is (edit != "move")
    if "indent" not in style and edit not in ("append", "put first", "move", "members"):
        # What is new is written compactly.
        assert out == json.dumps(edited(value, value["messages"]), **style).encode()


def test_a_conversation_about_this_is_edited_too() -> None:
    _, value = body_of(STYLES[0])
    value = with_turn(value, 59, turn("detour: items that stay, 0") | {"x": "detour: items that stay, 0"})
    body = json.dumps(value, **STYLES[0]).encode()
    before = parse(body)
    after = with_turn(before, 59, before["messages"][59] | {"role": "user"})
    assert gapped(body, before, after) is None
    assert parse(splice(body, before, after)) == after


@given(st.data(), st.sampled_from(STYLES))
def test_what_is_found_is_what_reading_finds(data: st.DataObject, style: dict[str, Any]) -> None:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.text(max_size=4)
        | st.sampled_from([1.0, "x" * 40, '"}],' * 9])
    )
    items = st.dictionaries(
        st.sampled_from(["a", "b", "k"]), scalars | st.lists(scalars, max_size=3), max_size=3
    )
    value = {"k": data.draw(st.text(max_size=4)), "list": data.draw(st.lists(items, max_size=5)), "n": 1.50}
    body = json.dumps(value, **style).encode("utf-8", "surrogatepass")
    try:
        before = parse(body)
    except ValueError:
        return
    edited = {i: data.draw(items) for i in range(len(before["list"])) if data.draw(st.booleans())}
    gone = {i for i in edited if data.draw(st.booleans())}
    after = before | {"list": [edited.get(i, item) for i, item in enumerate(before["list"]) if i not in gone]}
    if data.draw(st.booleans()):
        after["k"] = data.draw(st.text(max_size=4))
    slow = splice(body, before, after)
    with patch.object(gap, "MIN_BYTES", 0):
        quick = gapped(body, before, after)
    # As written: what is beyond 64 bits is read back as a float.
    wanted = parse(serialise(after))
    assert quick is None or (parse(quick) == wanted == parse(slow) and b"1.5" in quick)


@pytest.mark.parametrize("edits", [(0,), (59,), (3, 31), (0, 1, 30, 59), tuple(range(0, 60, 7))], ids=str)
def test_a_walk_finds_each_run_by_what_stands_around_the_longest(edits: tuple[int, ...]) -> None:
    _, value = body_of({})
    body = serialise({key: item for key, item in value.items() if key != "big"})
    before = parse(body)
    after = before
    for i in edits:
        after = with_turn(after, i, turn("new"))
    (kept,) = kept_lists(before, after)
    spans = walked(body, before, kept)
    assert spans is not None
    found = [parse(b"[%s]" % body[start:end]) for start, end in spans]
    assert found == [before["messages"][run.start : run.stop] for run in kept.runs]
    assert parse(gapped(body, before, after) or b"0") == after == parse(splice(body, before, after))


@pytest.mark.parametrize(("i", "leads"), [(5, True), (50, False)])
def test_a_walk_needs_the_usual_spelling_only_where_it_goes(i: int, leads: bool) -> None:
    _, value = body_of({})
    items = [serialise(item) for item in value["messages"]]
    items[i] = items[i].replace(b'{"role":', b'{ "role" :')
    body = b'{"messages":[%s]}' % b",".join(items)
    before = parse(body)
    after = with_turn(before, 40, turn("new"))
    (kept,) = kept_lists(before, after)
    assert (walked(body, before, kept) is not None) is leads
    out = splice(body, before, after)
    assert parse(out) == after and b'{ "role" :' in out


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("edits", [(11, 40), (11, 12, 14), (46, 47, 50)], ids=str)
def test_items_that_are_alike_are_told_apart(style: dict[str, Any], edits: tuple[int, ...]) -> None:
    """A search finds the first of two, which is not the edited one."""
    _, value = body_of(style)
    turns = value["messages"]
    turns[10] = turns[11] = turns[12]
    turns[50] = turns[51]
    body = json.dumps(value, **style).encode()
    after = before = parse(body)
    for i in edits:
        after = with_turn(after, i, turn("new"))
    quick = gapped(body, before, after)
    assert quick is None or parse(quick) == after
    assert parse(splice(body, before, after)) == after
