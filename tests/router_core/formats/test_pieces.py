"""The small pieces: names and ids, carriers, memory, cutting, order, failures, estimates."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format, carrier, counting, failures, ir
from router_core.formats.cutting import Cutter
from router_core.formats.memory import SessionStore
from router_core.formats.names import CALL_IDS, TOOL_NAMES, ToolNames, call_id, short_id
from router_core.formats.ordering import Sequencer
from router_core.formats.settling import NO_RESULT, settle


@given(st.text(min_size=1, max_size=200), st.sampled_from(list(TOOL_NAMES)))
def test_every_name_fits_and_is_found_again(name: str, format: Format) -> None:
    names = ToolNames(format)
    wire = names.wire(name)
    assert TOOL_NAMES[format].fits(wire)
    assert names.wire(name) == wire
    assert wire == name or names.back[wire].name == name


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = ToolNames(Format.OPENAI_CHAT)
    wires = {names.wire("mcp__server__" + "x" * 60 + str(number)) for number in range(9)}
    assert len(wires) == 9
    assert names.wire("a.b") != names.wire("a b") != names.wire("a_b")


@pytest.mark.parametrize("id", ["", "functions.read:0", "g6fVbXS8K", "toolu_bdrk_01", "x" * 80, "ü"])
def test_ids_fit_and_map_the_same_each_time(id: str) -> None:
    for rule in CALL_IDS.values():
        wire = call_id(id, rule)
        assert rule.fits(wire)
        assert wire == call_id(id, rule)
        assert wire == id or not rule.fits(id)
    assert len(short_id(id)) == 9 and short_id("g6fVbXS8K") == "g6fVbXS8K"


@given(st.text(max_size=50), st.none() | st.text(max_size=20), st.none() | st.text(max_size=20))
def test_carriers_come_back(data: str, id: str | None, text: str | None) -> None:
    signature = ir.Signature(Format.ANTHROPIC, data, id)
    assert carrier.unpack(carrier.pack(signature, text)) == (signature, text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "EpwC",
        "gAAAA",
        carrier.MARK,
        carrier.MARK + "!!",
        carrier.MARK + "W10=",
        carrier.MARK + "WyJ4IiwxXQ==",
    ],
)
def test_other_strings_are_no_carriers(value: str) -> None:
    assert carrier.unpack(value) is None


def test_memory_is_bounded() -> None:
    store = SessionStore(limit=100_000)
    memory = store.session("me", "one")
    for number in range(500):
        memory.keep(turn(f"call_{number}"))
    kept = [n for n in range(500) if len(memory.restore(bare(f"call_{n}")).parts) == 2]
    assert 0 < len(kept) < 100
    assert max(kept) == 499
    memory.keep([ir.Thinking("x" * 200_000, SIGNATURE), ir.ToolCall("huge", "f", "{}")])
    assert memory.restore(bare("huge")) == bare("huge")
    # Others push them all out, and then nothing is looked for.
    for number in range(500):
        store.session("you", "two").keep(turn(f"call_{number}"))
    assert not memory


@pytest.mark.parametrize(
    ("client", "session", "id", "arguments", "found"),
    [
        ("me", "one", "call_1", "{}", True),
        ("me", "resumed", "call_1", '{"lines": 10, "path": "a"}', True),
        # As Gemini CLI calls it when it has the conversation summarised.
        ("me", "summarised", "read__call_1", '{"lines": 10, "path": "a"}', True),
        # Not what was called, or not the client that was told.
        ("me", "resumed", "call_1", '{"lines": 11, "path": "a"}', False),
        ("me", "resumed", "call_2", '{"lines": 10, "path": "a"}', False),
        ("you", "one", "call_1", '{"lines": 10, "path": "a"}', False),
        # Clients of Ollama's format return no ids.
        ("me", "one", "", '{"lines": 10, "path": "a"}', True),
        ("me", "one", "", "{}", False),
        ("me", "resumed", "", '{"lines": 10, "path": "a"}', False),
    ],
)
def test_a_turn_is_known_again(client: str, session: str, id: str, arguments: str, found: bool) -> None:
    store = SessionStore()
    store.session("me", "one").keep(turn("call_1", '{"path":"a","lines":10.0}'))
    restored = store.session(client, session).restore(bare(id, arguments))
    assert [type(part) for part in restored.parts] == [ir.Thinking, ir.ToolCall][not found :]
    if found:
        assert restored.parts[1].id == (id or "call_1")  # type: ignore[union-attr]


def test_ids_that_several_conversations_use_are_no_names() -> None:
    """Kimi counts its calls: ``functions.read:0`` is the first of each conversation."""
    store = SessionStore()
    for session in ("one", "two"):
        store.session("me", session).keep(turn("functions.read:0"))
    assert len(store.session("me", "one").restore(bare("functions.read:0")).parts) == 2
    assert len(store.session("me", "three").restore(bare("functions.read:0")).parts) == 1


SIGNATURE = ir.Signature(Format.ANTHROPIC, "s" * 1000)


def turn(id: str, arguments: str = "{}") -> list[ir.Part]:
    return [ir.Thinking("hm", SIGNATURE), ir.ToolCall(id, "read", arguments)]


def bare(id: str, arguments: str = "{}") -> ir.Turn:
    return ir.Turn("assistant", [ir.ToolCall(id, "read", arguments)])


def cut(sequences: list[str], *pieces: str) -> tuple[str, ir.Stop]:
    cutter = Cutter(sequences)
    events: list[ir.Event] = [ir.PartStart(0, ir.Text("")), *(ir.Delta(0, piece) for piece in pieces)]
    events += [ir.PartEnd(0), ir.Finish(ir.Stop.END), ir.End()]
    out = [passed for event in events for passed in cutter.push(event)]
    finish = next(event for event in out if isinstance(event, ir.Finish))
    assert sum(isinstance(event, ir.PartEnd) for event in out) == 1
    return "".join(event.text for event in out if isinstance(event, ir.Delta)), finish.stop


@given(st.text("abST", max_size=30), st.data())
def test_stop_sequences_are_met_wherever_the_stream_is_cut(text: str, data: Any) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[i:j] for i, j in zip([0, *places], [*places, len(text)], strict=True) if i < j]
    said, stop = cut(["ST", "TT"], *pieces)
    ends = [place for place in (text.find("ST"), text.find("TT")) if place >= 0]
    assert said == (text[: min(ends)] if ends else text)
    assert stop is (ir.Stop.STOP_SEQUENCE if ends else ir.Stop.END)


@given(st.lists(st.tuples(st.sampled_from(["start", "delta", "end"]), st.integers(0, 4)), max_size=40))
def test_parts_never_overlap(steps: list[tuple[str, int]]) -> None:
    sequencer = Sequencer()
    out: list[ir.Event] = []
    started: list[int] = []
    for what, index in steps:
        if what == "start" and index in started:
            continue
        if what == "start":
            started.append(index)
        event = {
            "start": ir.PartStart(index, ir.Text("")),
            "delta": ir.Delta(index, "x"),
            "end": ir.PartEnd(index),
        }[what]
        out += sequencer.push(event)
    out += sequencer.push(ir.Finish(ir.Stop.END)) + sequencer.push(ir.End())
    open_part: int | None = None
    for event in out:
        match event:
            case ir.PartStart():
                assert open_part is None
                open_part = event.index
            case ir.Delta():
                assert event.index == open_part
            case ir.PartEnd():
                assert event.index == open_part
                open_part = None
    assert open_part is None
    assert [event.index for event in out if isinstance(event, ir.PartStart)] == started


def test_every_call_is_answered_once_and_at_once() -> None:
    def call(id: str, name: str = "f") -> ir.ToolCall:
        return ir.ToolCall(id, name, "{}")

    notes: list[str] = []
    turns = settle(
        [
            ir.Turn("user", [ir.Text("hi")]),
            ir.Turn("assistant", [call("a")]),
            ir.Turn("assistant", [call("b")]),
            ir.Turn("user", [ir.ToolResult("b", "B"), ir.Text("and"), ir.ToolResult("a", "A")]),
            ir.Turn("user", [ir.ToolResult("a", "again"), ir.ToolResult("gone", "?")]),
            ir.Turn("assistant", [call("a"), call("", "g"), call("", "h")]),
            ir.Turn("user", [ir.ToolResult("", "H", name="h"), ir.ToolResult("", "G", name="g")]),
        ],
        notes,
    )
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    first = [part.content for part in turns[2].parts if isinstance(part, ir.ToolResult)]
    assert first == ["A", "B"]
    assert isinstance(turns[2].parts[-1], ir.Text)
    second = [part.content for part in turns[4].parts if isinstance(part, ir.ToolResult)]
    assert second == ["again", "G", "H"]
    ids = [part.id for turn in turns for part in turn.parts if isinstance(part, ir.ToolCall)]
    assert len(set(ids)) == len(ids) == 5
    assert all(ids)
    assert notes == ["tool result gone: no call to answer"]
    unanswered = settle([ir.Turn("assistant", [call("x")])], notes)
    assert unanswered[1].parts[0].content == NO_RESULT  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"prompt is too long: 9 tokens","type":"invalid_request_error"}}', "context_length"),
        (400, b'{"error":{"message":"API key not valid.","status":"INVALID_ARGUMENT","code":400}}', "authentication"),
        (429, b'{"error":{"message":"no money","type":"insufficient_quota","code":"insufficient_quota"}}', "billing"),
        (529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded"),
        (503, b'[{"error":{"code":503,"message":"later","status":"UNAVAILABLE"}}]', "overloaded"),
        (422, b'{"object":"error","message":"bad","type":"invalid_request_error"}', "invalid_request"),
        (401, b'{"detail":"Unauthorized"}', "authentication"),
        (502, b"<html>Bad gateway</html>", "api"),
        (500, b"", "api"),
        (404, b'{"error":"no such model"}', "not_found"),
    ],
)  # fmt: skip
def test_kinds_of_errors(status: int, body: bytes, kind: str) -> None:
    failure = failures.read_body(status, body)
    assert failure.kind == kind
    assert "<html>" not in failure.message
    for client in Format:
        known, written = failures.translate(client, status, body)
        assert 400 <= known < 600
        assert failure.message.encode()[:9] in written


def test_overloads_have_each_formats_own_status() -> None:
    overloaded = b'{"error":{"message":"later","code":503,"status":"UNAVAILABLE"}}'
    assert failures.translate(Format.ANTHROPIC, 503, overloaded)[0] == 529
    assert (
        failures.translate(Format.OPENAI_CHAT, 529, b'{"error":{"type":"overloaded_error","message":"x"}}')[0]
        == 503
    )


def test_estimates_grow_with_the_text_and_not_with_images() -> None:
    small = counting.estimate({"messages": [{"role": "user", "content": "hello " * 100}]})
    large = counting.estimate({"messages": [{"role": "user", "content": "hello " * 1000}]})
    assert 100 < small < 400
    assert 8 < large / small < 12
    image = {"source": {"type": "base64", "data": "A" * 1_000_000}}
    assert counting.estimate(image) < 3000
