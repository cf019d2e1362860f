"""What hosts of Chat Completions really stream, as a client of Anthropic or of Responses gets it."""

import json
from typing import Any

import pytest

from router_core.formats import Format
from router_core.formats.call_arguments import HOLD
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events, translated
from tests.router_core.formats.wire.openai_chat import OTHERS, call, delta, read, stream


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                delta(tool_calls=[call(0, "a", "one", "")]),
                delta(tool_calls=[call(0, text='{"x"')]),
                delta(tool_calls=[call(0, text=":1}")]),
                delta(tool_calls=[call(1, "b", "two", "")]),
                delta(tool_calls=[call(1, text='{"y":2}')]),
            ],
            id="one after the other",
        ),
        pytest.param(
            [
                delta(tool_calls=[call(0, "a", "one", ""), call(1, "b", "two", "")]),
                delta(tool_calls=[call(1, text='{"y"')]),
                delta(tool_calls=[call(0, text='{"x":')]),
                delta(tool_calls=[call(1, text=":2}")]),
                delta(tool_calls=[call(0, text="1}")]),
            ],
            id="interleaved",
        ),
        pytest.param(
            [delta(tool_calls=[call(0, "a", "one", '{"x":1}'), call(0, "b", "two", '{"y":2}')])],
            id="whole, under one index",
        ),
        pytest.param(
            [delta(tool_calls=[call(None, "a", "one", '{"x":1}'), call(None, "b", "two", {"y": 2})])],
            id="without indexes, arguments an object",
        ),
        pytest.param(
            [
                delta(tool_calls=[call(None, "a", "one", ""), call(None, "b", "two", "")]),
                delta(tool_calls=[call(None, text='{"x":'), call(None, text='{"y":')]),
                delta(tool_calls=[call(None, text="1}"), call(None, text="2}")]),
            ],
            id="told apart by their places alone",
        ),
        pytest.param(
            [
                delta(tool_calls=[call(0, "", "one", '{"x":1}')]),
                delta(tool_calls=[call(0, "", "two", '{"y":2}')]),
            ],
            id="without ids, under one index",
        ),
        pytest.param(
            [
                delta(tool_calls=[call(1, "a")]),
                delta(tool_calls=[call(1, text='{"x":')]),
                delta(tool_calls=[call(1, name="one", text="1}")]),
                delta(tool_calls=[call(2, "b", "two")]),
                delta(tool_calls=[call(2, name="", text='{"y":2}')]),
            ],
            id="from index 1, name late",
        ),
        pytest.param(
            [
                delta(tool_calls=[call(0, "a", "one", '{"x":')]),
                delta(tool_calls=[call(0, "a", "one", "1}")]),
                delta("tool_calls", tool_calls=[call(1, "b", "two", '{"y":2}')]),
            ],
            id="id and name repeated, call on the last chunk",
        ),
    ],
)
def test_parallel_calls_stay_apart_and_in_order(client: Format, chunks: list[Any]) -> None:
    body = stream(delta(role="assistant", content=""), *chunks, delta("tool_calls"))
    read = clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)
    assert read.calls == [("one", {"x": 1}), ("two", {"y": 2})]
    assert read.stop == "tools"


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize("text", ["", None, "{}", " ", "null"])
def test_a_call_without_arguments_has_an_empty_object(client: Format, text: str | None) -> None:
    body = stream(delta(tool_calls=[call(0, "a", "now", text)]), delta("tool_calls"))
    written = events(client, Format.OPENAI_CHAT, body)
    ((name, arguments),) = clients.read(client, written, streaming=True).calls
    assert (name, arguments) == ("now", {})


@pytest.mark.parametrize("client", OTHERS)
def test_text_before_between_and_after_calls_keeps_its_place(client: Format) -> None:
    body = stream(
        delta(content="first "),
        delta(tool_calls=[call(0, "a", "one", "{}")]),
        delta(content="then"),
        delta("stop"),
    )
    read = clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)
    assert read.text == "first then"
    assert read.stop == "tools"


def anthropic(body: bytes) -> list[dict[str, Any]]:
    lines = events(Format.ANTHROPIC, Format.OPENAI_CHAT, body).decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def test_blocks_of_anthropic_never_overlap_and_count_up() -> None:
    written = anthropic(
        stream(
            delta(reasoning_content="hm"),
            delta(content="text"),
            delta(tool_calls=[call(0, "a", "one", "{"), call(1, "b", "two", "{")]),
            delta(tool_calls=[call(0, text="}"), call(1, text="}")]),
            delta("tool_calls"),
        )
    )
    assert written[0]["type"] == "message_start"
    assert [event["type"] for event in written[-2:]] == ["message_delta", "message_stop"]
    open_block = None
    numbers = []
    for event in written[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                open_block = event["index"]
                numbers.append(open_block)
            case "content_block_delta":
                assert event["index"] == open_block
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
    assert open_block is None
    assert numbers == [0, 1, 2, 3]


def test_a_call_is_shown_at_once_and_a_long_one_streams_on() -> None:
    """A call that stands alone waits for no other; its arguments are looked at before they go on."""
    opening = delta(tool_calls=[call(0, "a", "one", '{"x":"')])
    first = anthropic(stream(opening, done=False))
    assert [e["content_block"]["name"] for e in first if e["type"] == "content_block_start"] == ["one"]
    assert "content_block_delta" not in [e["type"] for e in first]
    long = delta(tool_calls=[call(0, text="y" * HOLD)])
    more = anthropic(stream(opening, long, delta(tool_calls=[call(0, text="z")]), done=False))
    pieces = [e["delta"]["partial_json"] for e in more if e["type"] == "content_block_delta"]
    assert pieces == ['{"x":"', "y" * HOLD, "z"]


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a", "\ude00b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ud83d", "\ude00\ud83d", "\ude00"], "\U0001f600\U0001f600"),
    ],
)
def test_characters_that_are_cut_in_two_are_joined(client: Format, pieces: list[str], text: str) -> None:
    """JavaScript hosts cut strings between surrogates."""
    assert read(client, *(delta(content=piece) for piece in pieces), delta("stop")).text == text
    given = [call(0, "a", "f", '{"x": "'), *(call(0, text=piece) for piece in pieces), call(0, text='"}')]
    answer = read(client, *(delta(tool_calls=[piece]) for piece in given), delta("tool_calls"))
    assert answer.calls == [("f", {"x": text})]


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("reason", "native", "code"),
    [
        ("error", "MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        ("error", None, "model_error"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", None, "MALFORMED_FUNCTION_CALL"),
    ],
)
@pytest.mark.parametrize("said", [{}, {"content": "I will read it."}])
def test_an_answer_that_is_given_up_is_an_error(
    client: Format, reason: str, native: str | None, code: str, said: dict[str, Any]
) -> None:
    last = delta(reason)
    last["choices"][0]["native_finish_reason"] = native
    with pytest.raises(clients.STREAM_ERRORS, match=f"gave the answer up: {code}"):
        read(client, delta(**said), last)


@pytest.mark.parametrize("client", OTHERS)
def test_what_was_said_beside_a_call_without_tools_is_the_answer(client: Format) -> None:
    answer = read(client, delta(content="a"), delta("function_call_filter: UNEXPECTED_TOOL_CALL"))
    assert (answer.text, answer.stop) == ("a", "end")


def test_usage_may_come_with_after_or_without_choices() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    details = usage | {"prompt_tokens_details": {"cached_tokens": 4}}
    last = {**delta(), "choices": [], "usage": details}
    for chunks in (
        [delta(content="a"), delta("stop"), last],
        [delta(content="a"), {**delta("stop"), "usage": details}],
        [{**delta(content="a"), "usage": usage}, {**delta("stop"), "usage": details}],
        [delta(content="a"), delta("stop"), {**delta("stop", content=""), "usage": details}],
        [{**delta(content="a"), "x_groq": {"usage": details}}, delta("stop")],
    ):
        ending = anthropic(stream(*chunks))[-2]
        assert ending["usage"]["input_tokens"] == 6
        assert ending["usage"]["cache_read_input_tokens"] == 4
        assert ending["usage"]["output_tokens"] == 5


def test_azures_first_chunk_names_nothing() -> None:
    azure = {"id": "", "model": "", "created": 0, "object": "", "choices": [], "prompt_filter_results": [{}]}
    written = anthropic(stream(azure, delta(content="a"), delta("stop")))
    assert written[0]["message"]["id"].startswith("msg_")
    assert [e["type"] for e in written].count("message_start") == 1


@pytest.mark.parametrize(
    ("chunks", "dialect"),
    [
        ([delta(reasoning_content="I "), delta(reasoning_content="think")], "reasoning_content"),
        ([delta(reasoning="I "), delta(reasoning="think")], "reasoning"),
        ([delta(reasoning="I think", reasoning_content="I think")], "reasoning_content"),
        (
            [
                delta(
                    reasoning="I think",
                    reasoning_details=[{"type": "reasoning.text", "text": "I think", "index": 0}],
                )
            ],
            "reasoning_details",
        ),
        (
            [delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]}])],
            "content",
        ),
    ],
)
def test_reasoning_in_all_its_dialects(chunks: list[Any], dialect: str) -> None:
    body = stream(*chunks, delta(content="so"), delta("stop"))
    for client in OTHERS:
        read = clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)
        assert (read.reasoning, read.text) == ("I think", "so")


def test_errors_inside_a_stream_end_it() -> None:
    error = {"error": {"message": "too busy", "type": "server_error", "code": "server_is_overloaded"}}
    for body in (
        stream(delta(content="a"), error, done=False),
        b"event: error\n" + stream(error, done=False),
        stream(delta(content="a"), {**delta("error"), **error}),
    ):
        written = anthropic(body)
        assert written[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}
        for client in OTHERS:
            with pytest.raises(clients.STREAM_ERRORS):
                clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)


@pytest.mark.parametrize(
    ("last", "type_"),
    [
        (delta("network_error"), "api_error"),
        (delta("insufficient_system_resource"), "overloaded_error"),
        (
            delta("error") | {"choices": [{"index": 0, "delta": {}, "error": {"code": 429, "message": "m"}}]},
            "rate_limit_error",
        ),
    ],
)
def test_an_answer_that_its_host_broke_off_is_an_error(last: dict[str, Any], type_: str) -> None:
    written = anthropic(stream(delta(content="a"), last))
    assert written[-1]["error"]["type"] == type_
    choice = last["choices"][0] | {"message": {"role": "assistant", "content": "a"}}
    body = json.dumps({**last, "choices": [choice]}).encode()
    status, out = translated(
        Format.OPENAI_RESPONSES, Format.OPENAI_CHAT, body, streamed=False, streaming=False
    )
    assert status >= 400
    assert json.loads(out)["error"]["message"]


def test_a_stream_without_an_end_is_an_error_and_one_without_done_is_not() -> None:
    assert anthropic(stream(delta(content="a"), done=False))[-1]["type"] == "error"
    assert anthropic(stream(delta(content="a"), delta("stop"), done=False))[-1]["type"] == "message_stop"
    assert anthropic(b"")[-1]["type"] == "error"
    # Baseten ends streams without a finish reason.
    assert anthropic(stream(delta(content="a")))[-1]["type"] == "message_stop"


@pytest.mark.parametrize("reason", ["", None])
def test_empty_finish_reasons_are_none(reason: str | None) -> None:
    written = anthropic(stream(delta(reason, content="a"), delta("length")))
    assert written[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize("field", ["message", "delta"])
def test_an_object_instead_of_a_text_is_its_json(client: Format, field: str) -> None:
    """Cloudflare's JSON mode."""
    chunk = delta("stop", content={"title": "Pears", "pages": 3})
    chunk["choices"][0][field] = chunk["choices"][0].pop("delta")
    body = stream(chunk) if field == "delta" else json.dumps(chunk).encode()
    streamed = field == "delta"
    status, out = translated(client, Format.OPENAI_CHAT, body, streamed=streamed, streaming=streamed)
    assert status == 200
    assert json.loads(clients.read(client, out, streaming=streamed).text) == {"title": "Pears", "pages": 3}


def test_a_refusal_is_text_and_a_stop_reason_for_anthropic() -> None:
    body = stream(delta(refusal="I can't "), delta(refusal="do that."), delta("stop"))
    read = clients.read(Format.ANTHROPIC, events(Format.ANTHROPIC, Format.OPENAI_CHAT, body), streaming=True)
    assert (read.text, read.stop) == ("I can't do that.", "filter")
    written = events(Format.OPENAI_RESPONSES, Format.OPENAI_CHAT, body)
    assert clients.read(Format.OPENAI_RESPONSES, written, streaming=True).refusal == "I can't do that."


@pytest.mark.parametrize("client", OTHERS)
def test_half_a_character_may_stand_anywhere(client: Format) -> None:
    half = b"\\ud800"
    body = (
        b'data: {"id":"%s","model":"%s","choices":[{"index":0,"delta":{"content":"%s","tool_calls":[{"index":0,"id":"%s",'
        b'"type":"function","function":{"name":"%s","arguments":"{}"}}]},"finish_reason":"stop"}]}\n\n'
        % ((half,) * 5)
    )
    assert b"cannot be translated" not in (written := events(client, Format.OPENAI_CHAT, body))
    assert half in written


def test_annotations_become_citations() -> None:
    cited = {"url": "https://a.test", "title": "A", "start_index": 0, "end_index": 3}
    body = stream(
        delta(content="abc", annotations=[{"type": "url_citation", "url_citation": cited}]), delta("stop")
    )
    citations = [e["delta"] for e in anthropic(body) if e.get("delta", {}).get("type") == "citations_delta"]
    assert citations[0]["citation"]["url"] == "https://a.test"
    written = events(Format.OPENAI_RESPONSES, Format.OPENAI_CHAT, body)
    assert b"response.output_text.annotation.added" in written
    assert b"groundingChunks" in events(Format.GEMINI, Format.OPENAI_CHAT, body)


@pytest.mark.parametrize("client", OTHERS)
def test_sources_that_come_after_the_finish_are_kept(client: Format) -> None:
    cited = {"url": "https://a.test", "title": "A", "start_index": 0, "end_index": 3}
    annotations = [{"type": "url_citation", "url_citation": cited}]
    results = [{"url": "https://a.test", "title": "A", "date": None}]
    for last in (
        delta(annotations=annotations),
        {**delta(), "citations": ["https://a.test"]},
        {**delta(), "citations": ["https://a.test"], "search_results": results},
    ):
        written = events(client, Format.OPENAI_CHAT, stream(delta(content="abc"), delta("stop"), last))
        assert b"https://a.test" in written
        assert (b'"title":"A"' in written) is ("citations" not in last or "search_results" in last)


def test_several_choices_are_items_of_their_own_for_responses() -> None:
    body = stream(
        delta(content="o", index=0),
        delta(content="tw", index=1),
        delta(content="ne", index=0),
        delta(content="o", index=1),
        delta("stop", 0),
        delta("stop", 1),
    )
    written = events(Format.OPENAI_RESPONSES, Format.OPENAI_CHAT, body)
    read = clients.read(Format.OPENAI_RESPONSES, written, streaming=True)
    assert read.text == "onetwo"
    lines = [json.loads(line[6:]) for line in written.decode().split("\n") if line.startswith("data: ")]
    done = [event["output_index"] for event in lines if event["type"] == "response.output_item.done"]
    assert done == [0, 1]
    assert (
        clients.read(
            Format.ANTHROPIC, events(Format.ANTHROPIC, Format.OPENAI_CHAT, body), streaming=True
        ).text
        == "one"
    )
