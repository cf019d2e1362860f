"""What OpenAI's Responses API and its kin really stream, as clients of other formats get it."""

from typing import Any

import pytest

from router_core.formats import Format
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events
from tests.router_core.formats.wire.openai_responses import (
    OTHERS,
    added,
    completed,
    created,
    done,
    message,
    read,
    stream,
    text,
)


@pytest.mark.parametrize("client", OTHERS)
def test_items_are_known_by_their_index_alone(client: Format) -> None:
    answer = read(
        client,
        created(),
        added(0, type="reasoning", id="rs_a", summary=[]),
        done(0, type="reasoning", id="rs_b", summary=[], encrypted_content="gAAAAAdone"),
        added(1, type="message", id="msg_a", content=[]),
        text(1, "Hel"),
        text(1, "lo"),
        done(1, **message("Hello", id="msg_b")),
        completed(),
        numbered=False,
    )
    assert answer.text == "Hello"
    assert answer.signatures == 1


@pytest.mark.parametrize("client", OTHERS)
def test_encrypted_content_is_the_one_of_the_done_event(client: Format) -> None:
    body = stream(
        created(),
        added(0, type="reasoning", id="rs_1", summary=[], encrypted_content="gAAAAAearly"),
        done(0, type="reasoning", id="rs_1", summary=[], encrypted_content="gAAAAAlate"),
        completed(),
    )
    from router_core.formats import carrier

    written = events(client, Format.OPENAI_RESPONSES, body).decode()
    found = written[written.index(carrier.MARK) :].split('"')[0]
    unpacked = carrier.unpack(found)
    assert unpacked is not None
    assert (unpacked[0].data, unpacked[0].id) == ("gAAAAAlate", "rs_1")


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize("lost", ["deltas", "added", "all but the end", "half of the deltas"])
def test_missing_events_are_made_up_from_those_that_came(client: Format, lost: str) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'}
    deltas = [text(0, "Hel"), text(0, "lo")]
    values = {
        "deltas": [added(0, type="message"), done(0, **message("Hello")), added(1, **call), done(1, **call)],
        "added": [*deltas, done(0, **message("Hello")), done(1, **call)],
        "all but the end": [],
        "half of the deltas": [
            added(0, type="message"),
            deltas[0],
            done(0, **message("Hello")),
            done(1, **call),
        ],
    }[lost]
    answer = read(client, created(), *values, completed(message("Hello"), call))
    assert answer.text == "Hello"
    assert answer.calls == [("f", {"x": 1})]
    assert (answer.prompt, answer.output) == (10, 5)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize("order", [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], [0, 1, 2, 3, 1, 2, 3, 0, 4, 5]])
def test_events_that_come_twice_count_once(client: Format, order: list[int]) -> None:
    texts = [text(0, "a"), text(0, "a")]
    values = [created(), added(0, type="message"), *texts, done(0, **message("aa")), completed()]
    lines = stream(*values).split(b"\n\n")[:-1]
    body = b"".join(lines[number] + b"\n\n" for number in order)
    answer = clients.read(client, events(client, Format.OPENAI_RESPONSES, body), streaming=True)
    assert answer.text == "aa"


@pytest.mark.parametrize("client", OTHERS)
def test_hosts_that_number_all_events_alike_lose_none(client: Format) -> None:
    values = [created(), added(0, type="message"), text(0, "a"), text(0, "a"), completed()]
    answer = read(client, *({**value, "sequence_number": 0} for value in values), numbered=False)
    assert answer.text == "aa"


@pytest.mark.parametrize("client", OTHERS)
def test_messages_and_reasoning_may_alternate(client: Format) -> None:
    thought = {"type": "response.reasoning_summary_text.delta", "summary_index": 0}
    answer = read(
        client,
        created(),
        {**thought, "output_index": 0, "delta": "hm"},
        done(0, type="reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "hm"}]),
        text(1, "Looking. "),
        done(1, **message("Looking. ", phase="commentary")),
        {**thought, "output_index": 2, "delta": "ah"},
        done(2, type="reasoning", id="rs_2", summary=[{"type": "summary_text", "text": "ah"}]),
        text(3, "Found."),
        done(3, **message("Found.", phase="final_answer")),
        completed(),
    )
    assert (answer.text, answer.reasoning) == ("Looking. Found.", "hmah")


@pytest.mark.parametrize("client", OTHERS)
def test_open_models_show_their_reasoning_itself(client: Format) -> None:
    raw = {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0}
    item = {
        "type": "reasoning",
        "id": "rs",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "I think"}],
    }
    answer = read(
        client, created(), {**raw, "delta": "I "}, {**raw, "delta": "think"}, done(0, **item), completed()
    )
    assert answer.reasoning == "I think"


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("reason", "stop"), [("max_output_tokens", "length"), ("content_filter", "filter"), (None, "end")]
)
def test_incomplete_responses_need_no_message(client: Format, reason: str | None, stop: str) -> None:
    status = "incomplete" if reason else "completed"
    answer = read(client, created(), completed(status=status, incomplete_details={"reason": reason}))
    assert (answer.text, answer.stop) == ("", stop)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    "error",
    [
        {
            "type": "error",
            "error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "Quota"},
        },
        {"type": "error", "code": "insufficient_quota", "message": "Quota", "param": None},
        {"type": "response.failed", "response": {"id": "resp_1", "error": {"code": "x", "message": "Quota"}}},
    ],
)
def test_errors_in_all_their_shapes(client: Format, error: dict[str, Any]) -> None:
    failed = {
        "type": "response.failed",
        "response": {"id": "resp_1", "error": {"code": "x", "message": "again"}},
    }
    with pytest.raises(clients.STREAM_ERRORS, match="Quota"):
        read(client, created(), error, failed)


@pytest.mark.parametrize("client", OTHERS)
def test_custom_calls_are_calls_with_one_input(client: Format) -> None:
    call = {
        "type": "custom_tool_call",
        "id": "ctc_1",
        "call_id": "call_1",
        "name": "patch",
        "input": "*** Begin",
    }
    answer = read(
        client,
        created(),
        added(0, **{**call, "input": ""}),
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "*** Be"},
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "gin"},
        done(0, **call),
        completed(),
    )
    assert answer.calls == [("patch", {"input": "*** Begin"})]


def test_a_search_becomes_blocks_that_claude_code_reads() -> None:
    action = {"type": "search", "query": "cats", "sources": [{"type": "url", "url": "https://a.test"}]}
    body = stream(
        created(), done(0, type="web_search_call", id="ws_1", status="completed", action=action), completed()
    )
    written = events(Format.ANTHROPIC, Format.OPENAI_RESPONSES, body).decode()
    assert '"type":"server_tool_use","id":"srvtoolu_ws_1","name":"web_search"' in written
    assert '"type":"web_search_tool_result","tool_use_id":"srvtoolu_ws_1"' in written
    assert "https://a.test" in written
    assert '"stop_reason":"end_turn"' in written


def test_images_that_a_model_makes() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}
    body = stream(created(), done(0, **item), completed())
    assert b'"inlineData":{"mimeType":"image/png","data":"aGk="}' in events(
        Format.GEMINI, Format.OPENAI_RESPONSES, body
    )
    assert b"data:image/png;base64,aGk=" in events(Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, body)
