"""What Anthropic and gateways in front of it really stream, as clients of other formats get it."""

import json
import re
from typing import Any

import pytest

from router_core.formats import Format, carrier
from router_core.formats.anthropic.read_events import HOLD
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events, translated
from tests.router_core.formats.wire.anthropic import (
    OTHERS,
    TEXT,
    block,
    end,
    given,
    read,
    said,
    start,
    stream,
    tool,
)


@pytest.mark.parametrize("client", OTHERS)
def test_usage_is_cumulative_and_the_last_figures_hold(client: Format) -> None:
    late = {"input_tokens": 30, "cache_read_input_tokens": 100, "output_tokens": 145}
    answer = read(client, start(input_tokens=3, output_tokens=2), *block(0, TEXT, said("a")), *end(**late))
    assert (answer.prompt, answer.cached, answer.output) == (130, 100, 145)
    kept = start(input_tokens=3, cache_read_input_tokens=7, cache_creation_input_tokens=5, output_tokens=1)
    answer = read(client, kept, *block(0, TEXT, said("a")), *end(output_tokens=4, input_tokens=None))
    assert (answer.prompt, answer.cached, answer.output) == (15, 7, 4)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize("deltas", [[], [given("")], [given("{}")]])
def test_a_call_without_input_has_an_empty_object(client: Format, deltas: list[Any]) -> None:
    answer = read(client, start(), *block(0, tool("toolu_1"), *deltas), *end("tool_use"))
    assert answer.calls == [("f", {})]


@pytest.mark.parametrize("client", OTHERS)
def test_thinking_that_is_not_shown_is_kept_and_not_invented(client: Format) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    sealed = {"type": "signature_delta", "signature": "c2lnbmVk"}
    redacted = {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}
    answer = read(
        client,
        start(),
        *block(0, thinking, sealed),
        *block(1, redacted),
        *block(2, redacted),
        *block(3, TEXT, said("a")),
        *end(),
    )
    assert answer.reasoning == ""
    assert answer.text == "a"
    assert answer.signatures == 3


@pytest.mark.parametrize("client", OTHERS)
def test_the_model_that_an_answer_falls_back_to_signs_its_own_thinking(client: Format) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    switch = {"type": "fallback", "from": {"model": "claude-a"}, "to": {"model": "claude-b"}}
    written = events(
        client,
        Format.ANTHROPIC,
        stream(
            start(),
            *block(0, thinking, {"type": "signature_delta", "signature": "Zmlyc3Q="}),
            *block(1, switch),
            *block(2, thinking, {"type": "signature_delta", "signature": "c2Vjb25k"}),
            *block(3, TEXT, said("a")),
            *end(),
        ),
    )
    carried = [carrier.unpack(value) for value in re.findall(rf"{carrier.MARK}[\w=-]+", written.decode())]
    models = {proof[0].data: proof[0].model for proof in carried if proof}
    assert models == {"Zmlyc3Q=": "upstream-model", "c2Vjb25k": "claude-b"}


@pytest.mark.parametrize("client", OTHERS)
def test_thinking_may_come_between_texts(client: Format) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    answer = read(
        client,
        start(),
        *block(0, TEXT, said("one ")),
        {"type": "ping"},
        *block(1, thinking, {"type": "thinking_delta", "thinking": "hm"}),
        *block(2, TEXT, said("two")),
        *end(),
    )
    assert (answer.text, answer.reasoning) == ("one two", "hm")


@pytest.mark.parametrize("client", OTHERS)
def test_what_anthropic_runs_itself_is_no_call_for_the_client(client: Format) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = [{"type": "web_search_result", "url": "https://a.test", "title": "A", "encrypted_content": "x"}]
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": found}
    cited = {"type": "web_search_result_location", "url": "https://a.test", "title": "A", "cited_text": "b"}
    answer = read(
        client,
        start(),
        *block(0, search, given('{"query":'), given('"q"}')),
        *block(1, result),
        *block(2, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "s"}),
        *block(3, {"type": "fallback", "from": "a", "to": "b"}),
        *block(4, TEXT, {"type": "citations_delta", "citation": cited}, said("see A")),
        *end(),
    )
    assert answer.calls == []
    assert (answer.text, answer.stop) == ("see A", "end")


def test_a_search_is_a_search_for_responses() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    body = stream(start(), *block(0, search, given('{"query": "cats"}')), *block(1, TEXT, said("a")), *end())
    written = events(Format.OPENAI_RESPONSES, Format.ANTHROPIC, body)
    assert b'"type":"web_search_call"' in written
    assert b'"query":"cats"' in written


@pytest.mark.parametrize("first", ["source", "text"])
@pytest.mark.parametrize("client", [Format.OPENAI_CHAT, Format.OPENAI_RESPONSES])
def test_a_source_is_of_its_whole_block_whichever_comes_first(client: Format, first: str) -> None:
    citation = {"type": "web_search_result_location", "url": "https://a.test", "title": "A"}
    deltas = [{"type": "citations_delta", "citation": citation}, said("it is so")]
    cited = block(1, TEXT, *(deltas if first == "source" else reversed(deltas)))
    answer = stream(start(), *block(0, TEXT, said("By A, ")), *cited, *block(2, TEXT, said(".")), *end())
    body = translated(client, Format.ANTHROPIC, answer, streamed=True, streaming=False)[1]
    document = json.loads(body)
    if client is Format.OPENAI_CHAT:
        message = document["choices"][0]["message"]
        text, annotations = message["content"], [a["url_citation"] for a in message["annotations"]]
    else:
        part = document["output"][0]["content"][1]
        text, annotations = part["text"], part["annotations"]
    (found,) = annotations
    assert found["url"] == "https://a.test"
    assert text[found["start_index"] : found["end_index"]] == "it is so"


def test_a_call_of_code_execution_has_its_input_at_once() -> None:
    opening = start()
    opening["message"]["content"] = [{**tool("toolu_1", "roll"), "input": {"player": 1}}]
    answer = read(Format.OPENAI_CHAT, opening, *end("tool_use"))
    assert answer.calls == [("roll", {"player": 1})]


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("pause_turn", "end"),
        ("refusal", "filter"),
        ("model_context_window_exceeded", "length"),
        ("something_new", "end"),
        (None, "end"),
    ],
)
def test_stop_reasons(client: Format, reason: str | None, stop: str) -> None:
    answer = read(client, start(), *block(0, TEXT, said("a")), *end(reason))
    assert answer.stop == stop


@pytest.mark.parametrize("client", OTHERS)
def test_an_empty_answer_is_an_empty_message(client: Format) -> None:
    answer = read(client, start(), *end("end_turn"))
    assert (answer.text, answer.calls, answer.stop) == ("", [], "end")
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    refused = read(client, start(), *end("refusal", details))
    assert (refused.text, refused.stop) == ("", "filter")


@pytest.mark.parametrize("client", OTHERS)
def test_a_message_that_begins_again_leaves_no_half_call(client: Format) -> None:
    answer = read(
        client,
        start(),
        start(),
        *block(0, TEXT, said("one ")),
        *block(1, tool("toolu_1"), given('{"half": "sp'), open=True),
        start(),
        *block(0, TEXT, said("two")),
        *block(1, tool("toolu_2"), given('{"whole": 1}')),
        *end("tool_use"),
    )
    assert answer.text == "one two"
    assert answer.calls == [("f", {"whole": 1})]


def test_a_long_call_is_passed_on_while_it_comes() -> None:
    half = '{"text": "' + "x" * HOLD
    body = stream(start(), *block(0, tool("toolu_1"), given(half), open=True))
    written = events(Format.OPENAI_CHAT, Format.ANTHROPIC, body)
    assert len(written) > HOLD
    short = stream(start(), *block(0, tool("toolu_1"), given('{"a":'), open=True))
    assert b"toolu_1" not in events(Format.OPENAI_CHAT, Format.ANTHROPIC, short)


@pytest.mark.parametrize("client", OTHERS)
def test_blocks_without_their_start_or_stop_are_survived(client: Format) -> None:
    lost_start = [{"type": "content_block_delta", "index": 0, "delta": said("one ")}]
    lost_stop = block(1, TEXT, said("two"), open=True)
    unknown = [
        {"type": "content_block_delta", "index": 7, "delta": given("{}")},
        {"type": "content_block_stop", "index": 9},
        {"type": "new_event"},
    ]
    answer = read(client, start(), *lost_start, *lost_stop, *unknown, *end())
    assert answer.text == "one two"


@pytest.mark.parametrize("client", OTHERS)
def test_a_message_may_come_after_its_first_block(client: Format) -> None:
    first, *rest = [*block(0, tool("t"), given('{"x": 1}')), *block(1, TEXT, said("a"))]
    answer = read(client, first, start(), *rest, *end("tool_use"))
    assert (answer.text, answer.calls, answer.prompt) == ("a", [("f", {"x": 1})], 5)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    "values",
    [
        [*end()],
        [start(), *block(0, tool("t"), given("{}"))[1:], *end("tool_use")],
        [start(), *block(0, tool("t"))[1:], *end("tool_use")],
    ],
)
def test_an_answer_that_lost_what_it_announces_is_an_error(client: Format, values: list[Any]) -> None:
    with pytest.raises(clients.STREAM_ERRORS, match=r"was empty|without its beginning"):
        read(client, *values)


@pytest.mark.parametrize("client", OTHERS)
def test_errors_inside_a_stream(client: Format) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    for before in ([start()], [start(), *block(0, TEXT, said("a"), open=True)]):
        with pytest.raises(clients.STREAM_ERRORS, match="Overloaded"):
            read(client, *before, error)
    with pytest.raises(clients.STREAM_ERRORS, match="ended before"):
        read(client, start(), *block(0, TEXT, said("a")))


def test_pings_keep_the_connection_alive() -> None:
    body = stream(start(), {"type": "ping"}, *block(0, TEXT, said("a")), *end())
    assert b": keep-alive\n\n" in events(Format.OPENAI_CHAT, Format.ANTHROPIC, body)
