"""The quirks of the Responses API, one by one: 34 to 44, each as clients of the other formats see it."""

import json
from typing import Any

import pytest

from router_core.formats import Format, carrier
from tests.router_core.formats import clients
from tests.router_core.formats.invariants import blocks_of
from tests.router_core.formats.translated import asks, events
from tests.router_core.formats.wire.openai_chat import delta, stream as chat
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

each_client = pytest.mark.parametrize("client", OTHERS)
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x": 1}'}
KEPT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAkept"}


def carried(written: bytes) -> Any:
    """The first opaque reasoning that was given to a client."""
    text = written.decode()
    found = carrier.unpack(text[text.index(carrier.MARK) :].split('"')[0])
    assert found is not None
    return found[0]


@each_client
@pytest.mark.parametrize("numbered", [True, False])
def test_34_the_message_need_not_be_the_first_item(client: Format, numbered: bool) -> None:
    answer = read(
        client,
        created(),
        done(0, **KEPT),
        added(1, type="message", id="msg_1"),
        text(1, "a"),
        done(1, **message("a")),
        done(2, **CALL),
        completed(),
        numbered=numbered,
    )
    assert (answer.text, answer.calls, answer.signatures) == ("a", [("f", {"x": 1})], 1)


def test_34_written_events_are_numbered_without_gaps_and_items_without_holes() -> None:
    body = chat(delta(reasoning="hm"), delta(content="a"), delta("stop"))
    lines = events(Format.OPENAI_RESPONSES, Format.OPENAI_CHAT, body).decode().split("\n")
    written = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [event["sequence_number"] for event in written] == list(range(len(written)))
    ended = [event["output_index"] for event in written if event["type"] == "response.output_item.done"]
    assert ended == [0, 1]
    assert [item["type"] for item in written[-1]["response"]["output"]] == ["reasoning", "message"]


@each_client
def test_35_reasoning_without_a_summary_is_kept_as_the_done_event_has_it(client: Format) -> None:
    early = {**KEPT, "encrypted_content": "gAAAAAearly"}
    body = stream(created(), added(0, **early), done(0, **KEPT), done(1, **message("a")), completed())
    written = events(client, Format.OPENAI_RESPONSES, body)
    assert (carried(written).data, carried(written).id) == ("gAAAAAkept", "rs_1")
    assert clients.read(client, written, streaming=True).reasoning == ""


def test_36_outputs_belong_to_the_call_id() -> None:
    body = stream(created(), added(0, **{**CALL, "arguments": ""}), done(0, **CALL), completed())
    for client in OTHERS:
        written = events(client, Format.OPENAI_RESPONSES, body)
        assert b"call_1" in written and b"fc_1" not in written
    without_id = {key: value for key, value in CALL.items() if key != "id"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "ok"}
    asked = {"input": [{"role": "user", "content": "go"}, without_id, output]}
    sent = asks(Format.OPENAI_RESPONSES, Format.ANTHROPIC, asked).document["messages"]
    assert sent[1]["content"][0]["id"] == sent[2]["content"][0]["tool_use_id"] == "call_1"


@each_client
def test_37_item_ids_change_on_every_event(client: Format) -> None:
    arguments = {"type": "response.function_call_arguments.delta", "output_index": 1}
    answer = read(
        client,
        created(),
        added(0, type="message", id="a1"),
        {**text(0, "He"), "item_id": "b2"},
        {**text(0, "y"), "item_id": "c3"},
        done(0, **message("Hey", id="d4")),
        added(1, **{**CALL, "id": "e5", "arguments": ""}),
        {**arguments, "item_id": "f6", "delta": '{"x":'},
        {**arguments, "item_id": "g7", "delta": " 1}"},
        done(1, **{**CALL, "id": "h8"}),
        completed(),
    )
    assert (answer.text, answer.calls) == ("Hey", [("f", {"x": 1})])


@each_client
def test_38_done_and_keepalives_are_no_answers(client: Format) -> None:
    body = stream(created(), {"type": "keepalive"}, text(0, "a"), done(0, **message("a")), completed())
    for whole in (body, body + b"data: [DONE]\n\n"):
        answer = clients.read(client, events(client, Format.OPENAI_RESPONSES, whole), streaming=True)
        assert answer.text == "a"


@each_client
@pytest.mark.parametrize("nested", [True, False])
def test_39_errors_are_nested_or_flat(client: Format, nested: bool) -> None:
    error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "Quota", "param": None}
    event = {"type": "error", "error": error} if nested else {**error, "type": "error"}
    failed = {"type": "response.failed", "response": {"id": "resp_1", "error": error, "status": "failed"}}
    with pytest.raises(clients.STREAM_ERRORS, match="Quota"):
        read(client, created(), event, failed)


@each_client
def test_40_incomplete_without_a_message_is_the_token_limit(client: Format) -> None:
    limit = {"reason": "max_output_tokens"}
    answer = read(
        client, created(), done(0, **KEPT), completed(status="incomplete", incomplete_details=limit)
    )
    assert (answer.text, answer.stop, answer.output) == ("", "length", 5)


@each_client
def test_41_messages_of_several_phases_alternate_with_reasoning(client: Format) -> None:
    answer = read(
        client,
        created(),
        done(0, type="reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "hm"}]),
        done(1, **message("Looking. ", phase="commentary")),
        done(2, type="reasoning", id="rs_2", summary=[{"type": "summary_text", "text": "ah"}]),
        done(3, **message("Found.", phase="final_answer")),
        completed(),
    )
    assert (answer.text, answer.reasoning) == ("Looking. Found.", "hmah")


@each_client
def test_42_open_models_show_their_reasoning_itself(client: Format) -> None:
    part = {"type": "reasoning_text", "text": ""}
    where = {"output_index": 0, "content_index": 0}
    answer = read(
        client,
        created(),
        added(0, type="reasoning", id="rs", summary=[]),
        {"type": "response.content_part.added", **where, "part": part},
        {"type": "response.reasoning_text.delta", **where, "delta": "I think"},
        {"type": "response.reasoning_text.done", **where, "text": "I think"},
        done(0, type="reasoning", id="rs", summary=[], content=[{**part, "text": "I think"}]),
        done(1, **message("so")),
        completed(),
    )
    assert (answer.reasoning, answer.text) == ("I think", "so")


def test_43_input_in_all_its_shapes() -> None:
    for upstream in OTHERS:
        assert "hello" in json.dumps(asks(Format.OPENAI_RESPONSES, upstream, {"input": "hello"}).document)
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    pdf = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    later = {"type": "function", "name": "later", "parameters": {"type": "object"}}
    asked = {
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "going"},
            {"type": "additional_tools", "tools": [later]},
            CALL,
            {"type": "function_call_output", "call_id": "call_1", "output": [image, pdf]},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Done"},
            {
                "type": "tool_search_call",
                "call_id": "call_3",
                "execution": "client",
                "arguments": {"query": "q"},
            },
            {"type": "tool_search_output", "call_id": "call_3", "execution": "client", "tools": [later]},
        ]
    }
    sent = asks(Format.OPENAI_RESPONSES, Format.ANTHROPIC, asked).document
    assert sent["system"][0]["text"] == "Be brief."
    assert [tool["name"] for tool in sent["tools"]] == ["later"]
    blocks = [block for turn in sent["messages"] for block in blocks_of(turn)]
    assert [b["name"] for b in blocks if b["type"] == "tool_use"] == ["f", "patch", "tool_search"]
    results = [b for b in blocks if b["type"] == "tool_result"]
    assert [b["type"] for b in results[0]["content"]] == ["image", "document"]
    assert results[1]["content"] == "Done"
    assert "later" in results[2]["content"]
    for upstream in OTHERS:
        assert "iVBORw0KGgo=" in json.dumps(asks(Format.OPENAI_RESPONSES, upstream, asked).document)


@each_client
def test_44_unknown_figures_of_usage_are_ignored(client: Format) -> None:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "cost_in_usd_ticks": 37756000}
    usage |= {"num_sources_used": 0, "num_server_side_tools_used": 0, "context_details": {"x": 1}}
    answer = read(client, created(), done(0, **message("a")), completed(usage=usage))
    assert (answer.prompt, answer.output) == (7, 3)
