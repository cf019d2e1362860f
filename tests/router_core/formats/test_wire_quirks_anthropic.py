"""The quirks of Anthropic's wire, one by one: 1 to 20, each as clients of the other formats see it."""

import json
from typing import Any

import pytest

from router_core.formats import Format, carrier
from tests.router_core.formats import clients
from tests.router_core.formats.translated import asks, events
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

each_client = pytest.mark.parametrize("client", OTHERS)
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


def messages(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "max_tokens": 99,
        "messages": [{"role": role, "content": content} for role, content in turns],
        **fields,
    }


@each_client
def test_01_output_tokens_are_cumulative(client: Format) -> None:
    answer = read(
        client,
        start(input_tokens=5, output_tokens=2),
        *block(0, TEXT, said("a")),
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 40}},
        *end(output_tokens=145),
    )
    assert answer.output == 145


@each_client
def test_02_the_last_input_tokens_hold(client: Format) -> None:
    late = {"input_tokens": 22397, "output_tokens": 9}
    answer = read(client, start(input_tokens=2068, output_tokens=1), *block(0, TEXT, said("a")), *end(**late))
    assert answer.prompt == 22397


@each_client
def test_03_input_tokens_that_are_not_repeated_are_kept(client: Format) -> None:
    answer = read(
        client, start(input_tokens=77, output_tokens=1), *block(0, TEXT, said("a")), *end(output_tokens=3)
    )
    assert (answer.prompt, answer.output) == (77, 3)


@each_client
def test_04_cache_figures_move_and_passes_are_not_added(client: Format) -> None:
    first = start(input_tokens=9, cache_read_input_tokens=55096, output_tokens=1)
    passes = [
        {"type": "compaction", "input_tokens": 900, "output_tokens": 90},
        {"type": "message", "input_tokens": 100, "output_tokens": 20},
    ]
    late = {"input_tokens": 100, "cache_read_input_tokens": 0, "output_tokens": 20, "iterations": passes}
    answer = read(client, first, *block(0, TEXT, said("a")), *end(**late))
    assert (answer.prompt, answer.cached, answer.output) == (100, 0, 20)


@each_client
def test_05_the_prompt_is_the_sum_of_three_figures(client: Format) -> None:
    usage = start(
        input_tokens=3, cache_read_input_tokens=1111, cache_creation_input_tokens=418, output_tokens=1
    )
    answer = read(client, usage, *block(0, TEXT, said("a")), *end())
    assert (answer.prompt, answer.cached) == (1532, 1111)


@each_client
def test_06_pings_come_anywhere_and_more_than_once(client: Format) -> None:
    ping = {"type": "ping"}
    opening, *rest = block(0, TEXT, said("a"), said("b"))
    spread = [event for one in rest for event in (ping, one, ping)]
    assert read(client, start(), ping, opening, *spread, *end()).text == "ab"


@each_client
def test_07_data_lines_are_padded_with_spaces(client: Format) -> None:
    body = stream(start(), *block(0, TEXT, said("a  }")), *end())
    padded = b"\n".join(
        line[:-1].rstrip() + b"     }  " if line.startswith(b"data: ") and line.strip()[-1:] == b"}" else line
        for line in (line.rstrip() if line.startswith(b"data: ") else line for line in body.split(b"\n"))
    )
    assert b"     }  \n" in padded
    assert (
        clients.read(client, events(client, Format.ANTHROPIC, padded, step=3), streaming=True).text == "a  }"
    )


@each_client
@pytest.mark.parametrize("deltas", [[], [given("")], [given(""), given("{}")]])
def test_08_a_call_without_arguments_is_an_empty_object(client: Format, deltas: list[Any]) -> None:
    written = events(
        client, Format.ANTHROPIC, stream(start(), *block(0, CALL, *deltas), *end("tool_use"))
    ).decode()
    assert clients.read(client, written.encode(), streaming=True).calls == [("f", {})]
    if client is not Format.GEMINI:
        assert "{}" in written


@each_client
def test_09_thinking_that_is_omitted_is_kept_and_not_shown(client: Format) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    sealed = {"type": "signature_delta", "signature": "c2lnbmVk"}
    answer = read(client, start(), *block(0, thinking, sealed), *block(1, TEXT, said("a")), *end())
    assert (answer.reasoning, answer.signatures, answer.text) == ("", 1, "a")


@each_client
def test_10_redacted_thinking_comes_whole_and_twice(client: Format) -> None:
    blocks = [block(n, {"type": "redacted_thinking", "data": f"cmVk{n}AAA"}) for n in range(2)]
    body = stream(start(), *blocks[0], *blocks[1], *block(2, TEXT, said("a")), *end())
    written = events(client, Format.ANTHROPIC, body)
    found = [
        carrier.unpack(piece.split(b'"')[0].decode())
        for piece in written.split(b'"')
        if piece.startswith(carrier.MARK.encode())
    ]
    assert {s[0].data for s in found if s} == {"cmVk0AAA", "cmVk1AAA"}
    assert clients.read(client, written, streaming=True).reasoning == ""


@each_client
def test_11_thinking_comes_between_texts(client: Format) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    answer = read(
        client,
        start(),
        *block(0, TEXT, said("one ")),
        *block(1, thinking, {"type": "thinking_delta", "thinking": "hm"}),
        *block(2, TEXT, said("two ")),
        *block(3, TEXT, said("three")),
        *end(),
    )
    assert (answer.text, answer.reasoning) == ("one two three", "hm")


@each_client
@pytest.mark.parametrize("name", ["web_search", "web_fetch", "bash_code_execution", "tool_search_tool_bm25"])
def test_12_server_tools_are_no_calls_for_the_client(client: Format, name: str) -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": name, "input": {}}
    result = {"type": f"{name}_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    answer = read(
        client,
        start(),
        *block(0, use, given('{"query"'), given(':"q"}')),
        *block(1, result),
        *block(2, TEXT, said("found")),
        *end(),
    )
    assert (answer.calls, answer.text, answer.stop) == ([], "found", "end")


@each_client
def test_13_calls_of_code_execution_are_whole_at_their_start(client: Format) -> None:
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
    opening = start()
    opening["message"]["content"] = [{**CALL, "input": {"player": 1}, "caller": caller}]
    second = {**CALL, "id": "toolu_2", "input": {"player": 2}, "caller": {"type": "direct"}}
    answer = read(client, opening, *block(1, second), *end("tool_use"))
    assert answer.calls == [("f", {"player": 1}), ("f", {"player": 2})]


@each_client
def test_14_an_answer_without_content_is_an_empty_message(client: Format) -> None:
    ended = read(client, start(), *end("end_turn"))
    assert (ended.text, ended.calls, ended.stop) == ("", [], "end")
    refused = read(client, start(), *end("refusal", {"type": "refusal", "explanation": "Not this."}))
    assert (refused.text, refused.stop) == ("", "filter")


@each_client
@pytest.mark.parametrize(
    ("reason", "stop"), [("pause_turn", "end"), ("refusal", "filter"), ("compaction", "end"), ("new", "end")]
)
def test_15_stop_reasons_beyond_the_four_and_their_company(client: Format, reason: str, stop: str) -> None:
    ending, last = end(reason)
    ending["delta"] |= {"container": {"id": "container_1"}, "stop_details": None}
    ending["context_management"] = {"applied_edits": [{"type": "clear_tool_uses_20250919"}]}
    answer = read(client, start(), *block(0, TEXT, said("a")), ending, last)
    assert (answer.text, answer.stop) == ("a", stop)


def test_16_system_turns_inside_of_messages() -> None:
    given = messages(("user", "one"), ("assistant", "two"), ("system", "In French."), ("user", "three"))
    chat = asks(Format.ANTHROPIC, Format.OPENAI_CHAT, given).document["messages"]
    assert [m["role"] for m in chat] == ["user", "assistant", "system", "user"]
    items = asks(Format.ANTHROPIC, Format.OPENAI_RESPONSES, given).document["input"]
    assert [i["role"] for i in items] == ["user", "assistant", "developer", "user"]
    contents = asks(Format.ANTHROPIC, Format.GEMINI, given).document["contents"]
    assert [c["role"] for c in contents] == ["user", "model", "user"]
    assert "In French." in contents[2]["parts"][0]["text"]
    # An older Claude knows no such turns, so none is ever sent.
    back = asks(Format.OPENAI_CHAT, Format.ANTHROPIC, {"messages": chat}).document["messages"]
    assert {m["role"] for m in back} == {"user", "assistant"}


def test_17_tool_results_in_all_their_shapes() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}}
    search = {"type": "search_result", "source": "https://a.test", "title": "A", "content": [TEXT]}
    contents: list[Any] = [
        "plain",
        [{"type": "text", "text": "said"}, image],
        [document, {**search, "content": [{"type": "text", "text": "hit"}]}],
        [{"type": "tool_reference", "tool_name": "later"}],
        None,
    ]
    calls = [{**CALL, "id": f"toolu_{n}"} for n in range(len(contents))]
    results = [
        {"type": "tool_result", "tool_use_id": f"toolu_{n}", **({} if c is None else {"content": c})}
        for n, c in enumerate(contents)
    ]
    asked = messages(
        ("user", "go"), ("assistant", calls), ("user", [*results, {"type": "text", "text": "and?"}, document])
    )
    sent = asks(Format.ANTHROPIC, Format.OPENAI_CHAT, asked).document["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", *["tool"] * 5, "user"]
    texts = [m["content"] for m in sent[2:7]]
    assert [texts[0], texts[4]] == ["plain", ""]
    assert "said" in texts[1] and "page" in texts[2] and "hit" in texts[2] and "later" in texts[3]
    last = json.dumps(sent[-1])
    assert "iVBORw0KGgo=" in last and "and?" in last and "page" in last
    contents_ = asks(Format.ANTHROPIC, Format.GEMINI, asked, model="gemini-3-pro").document["contents"]
    responses = [p for p in contents_[2]["parts"] if "functionResponse" in p]
    assert len(responses) == 5
    assert contents_[2]["parts"][-2:] == [{"text": "and?"}, {"text": "page"}]
    items = asks(Format.ANTHROPIC, Format.OPENAI_RESPONSES, asked).document["input"]
    assert [i["type"] for i in items[2 + len(calls) - 1 :]][:5] == ["function_call_output"] * 5


@pytest.mark.parametrize("ttl", [{}, {"ttl": "5m"}, {"ttl": "1h"}])
def test_18_cache_marks_stand_on_everything_and_at_the_top(ttl: dict[str, str]) -> None:
    mark = {"cache_control": {"type": "ephemeral", **ttl}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    asked = messages(
        ("user", [{"type": "text", "text": "go", **mark}, {**image, **mark}]),
        ("assistant", [{**CALL, **mark}]),
        ("user", [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x", **mark}]),
        system=[{"type": "text", "text": "s", **mark}],
        tools=[{"name": "f", "input_schema": {"type": "object"}, **mark}],
        **mark,
    )
    for upstream in (Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI):
        translated = asks(Format.ANTHROPIC, upstream, asked)
        assert "cache_control" not in json.dumps(translated.document)
        assert "cache_control" in translated.dropped()
    kept = asks(Format.ANTHROPIC, Format.OPENAI_CHAT, asked, quirks=frozenset({"cache_control"})).document
    assert "cache_control" in json.dumps(kept)


@each_client
def test_19_a_message_that_begins_again_leaves_no_half_call(client: Format) -> None:
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
    assert (answer.text, answer.calls) == ("one two", [("f", {"whole": 1})])


@each_client
def test_20_unknown_blocks_and_deltas_break_no_bookkeeping(client: Format) -> None:
    cited = {
        "type": "char_location",
        "cited_text": "b",
        "document_index": 0,
        "document_title": "D",
        "start_char_index": 0,
        "end_char_index": 1,
    }
    answer = read(
        client,
        start(),
        *block(0, {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}),
        *block(1, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"}),
        *block(2, TEXT, said("a"), {"type": "citations_delta", "citation": cited}, {"type": "new_delta"}),
        *block(3, {"type": "new_block", "x": 1}, {"type": "new_delta", "y": 2}),
        *block(4, tool("toolu_1"), given('{"x": 1}')),
        *end("tool_use"),
    )
    assert (answer.text, answer.calls) == ("a", [("f", {"x": 1})])
