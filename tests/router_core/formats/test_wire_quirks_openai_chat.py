"""The quirks of Chat Completions and its look-alikes, one by one: 21 to 33, as other formats' clients see them."""

import json
from typing import Any

import pytest

from router_core.formats import Format, carrier
from tests.router_core.formats import clients
from tests.router_core.formats.translated import asks, events, translated
from tests.router_core.formats.wire.openai_chat import OTHERS, call, delta, read, stream

each_client = pytest.mark.parametrize("client", OTHERS)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
EARLY = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}


@each_client
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [delta(content="a"), delta("stop"), {**delta(), "choices": [], "usage": USAGE}],
            id="after the finish, without choices",
        ),
        pytest.param([delta(content="a"), {**delta("stop"), "usage": USAGE}], id="with the finish"),
        pytest.param(
            [{**delta(content="a"), "usage": EARLY}, {**delta("stop"), "usage": USAGE}], id="on every chunk"
        ),
        pytest.param(
            [delta(content="a"), delta("stop"), {**delta(content=""), "usage": USAGE}],
            id="after the finish, with a choice",
        ),
    ],
)
def test_21_usage_comes_after_with_or_before_the_finish(client: Format, chunks: list[Any]) -> None:
    answer = read(client, *chunks)
    assert (answer.prompt, answer.output, answer.text) == (10, 5, "a")


@each_client
def test_22_azures_first_chunk_has_no_id_and_ids_vary(client: Format) -> None:
    azure = {"id": "", "model": "", "created": 0, "object": "", "choices": [], "prompt_filter_results": [{}]}
    body = stream(azure, {**delta(content="a"), "id": "chatcmpl-1"}, {**delta("stop"), "id": "chatcmpl-2"})
    written = events(client, Format.OPENAI_CHAT, body)
    assert clients.read(client, written, streaming=True).text == "a"
    assert b'"id":""' not in written


@each_client
def test_23_openrouter_comments_and_says_the_finish_twice(client: Format) -> None:
    native = delta("tool_calls", content="")
    native["choices"][0]["native_finish_reason"] = "tool_use"
    first = delta(tool_calls=[call(0, "a", "f", '{"x":1}')])
    body = b": OPENROUTER PROCESSING\n\n" * 2 + stream(first, native, {**native, "usage": USAGE})
    answer = clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)
    assert (answer.calls, answer.stop, answer.output) == ([("f", {"x": 1})], "tools", 5)


@each_client
def test_24_padding_fields_are_ignored(client: Format) -> None:
    padded = [
        {**delta(content="a"), "obfuscation": "x9"},
        {**delta(content="b"), "p": "abcdef"},
        delta("stop"),
    ]
    body = stream(*padded)
    written = events(client, Format.OPENAI_CHAT, body)
    assert clients.read(client, written, streaming=True).text == "ab"
    assert b"x9" not in written and b"abcdef" not in written


@each_client
@pytest.mark.parametrize(
    ("calls", "ids"),
    [
        pytest.param(
            [[call(0, "g6fVbXS8K", "one", '{"x":1}'), call(1, "hh7", "two", '{"y":2}')]],
            ("g6fVbXS8K", "hh7"),
            id="whole, side by side",
        ),
        pytest.param(
            [[call(None, "fc_1", "one", '{"x":1}')], [call(None, "fc_2", "two", '{"y":2}')]],
            ("fc_1", "fc_2"),
            id="without index",
        ),
        pytest.param(
            [
                [call(1, "toolu_bdrk_1", "one", "")],
                [call(1, text='{"x":1}')],
                [call(2, "toolu_bdrk_2", "two", '{"y":2}')],
            ],
            ("toolu_bdrk_1", "toolu_bdrk_2"),
            id="from index 1",
        ),
        pytest.param(
            [[call(0, "c1", "one", '{"x":1}')], [call(0, "c2", "two", '{"y":2}')]],
            ("c1", "c2"),
            id="two ids under one index",
        ),
    ],
)
def test_25_calls_come_whole_with_any_id_and_index(
    client: Format, calls: list[list[Any]], ids: tuple[str, str]
) -> None:
    body = stream(*(delta(tool_calls=piece) for piece in calls), delta("tool_calls"))
    written = events(client, Format.OPENAI_CHAT, body)
    assert clients.read(client, written, streaming=True).calls == [("one", {"x": 1}), ("two", {"y": 2})]
    assert all(f'"{id}"'.encode() in written for id in ids)


@each_client
def test_26_the_finish_chunk_has_calls_and_text(client: Format) -> None:
    answer = read(client, delta("tool_calls", tool_calls=[call(0, "a", "f", '{"x":1}')]))
    assert (answer.calls, answer.stop) == ([("f", {"x": 1})], "tools")
    assert read(client, delta("stop", content="44")).text == "44"


@each_client
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"reasoning_content": "I think"}, id="reasoning_content"),
        pytest.param({"reasoning": "I think"}, id="reasoning"),
        pytest.param(
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "I think", "signature": "s", "index": 0}
                ]
            },
            id="reasoning_details",
        ),
        pytest.param(
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "I think", "index": 0}]},
            id="a summary",
        ),
        pytest.param(
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]}]},
            id="Mistral",
        ),
    ],
)
def test_27_reasoning_in_all_its_dialects(client: Format, fields: dict[str, Any]) -> None:
    answer = read(client, delta(**fields), delta(content="so"), delta("stop"))
    assert (answer.reasoning, answer.text) == ("I think", "so")


@each_client
def test_27_encrypted_reasoning_is_carried(client: Format) -> None:
    entry = {"type": "reasoning.encrypted", "data": "b3BhcXVl", "format": "openai-responses-v1", "id": "rs_1"}
    answer = read(client, delta(reasoning_details=[entry]), delta(content="so"), delta("stop"))
    assert (answer.reasoning, answer.text, answer.signatures) == ("", "so", 1)


@each_client
@pytest.mark.parametrize(
    ("usage", "output"),
    [
        pytest.param((331, 11, 613, 271), 282, id="xAI leaves reasoning out"),
        pytest.param((35, 12, 109, None), 74, id="Gemini's surface does not name it"),
        pytest.param((20, 30, 50, 25), 30, id="OpenAI includes it"),
        pytest.param((20, 30, 50, 40), 70, id="more reasoning than output"),
    ],
)
def test_28_reasoning_tokens_are_output(
    client: Format, usage: tuple[int, int, int, int | None], output: int
) -> None:
    prompt, completion, total, reasoning = usage
    figures: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
    }
    if reasoning is not None:
        figures["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    answer = read(client, delta(content="a"), {**delta("stop"), "usage": figures})
    assert (answer.prompt, answer.output) == (prompt, output)


@each_client
@pytest.mark.parametrize("host", ["Groq", "OpenRouter", "OpenAI"])
def test_29_errors_inside_a_stream(client: Format, host: str) -> None:
    error = {"error": {"message": "too busy", "type": "server_error", "code": 502}}
    body = {
        "Groq": stream(delta(content="a"), done=False) + b"event: error\n" + stream(error, done=False),
        "OpenRouter": stream(delta(content="a"), {**delta("error", content=""), **error}),
        "OpenAI": stream(delta(content="a"), error, done=False),
    }[host]
    with pytest.raises(clients.STREAM_ERRORS, match="too busy"):
        clients.read(client, events(client, Format.OPENAI_CHAT, body), streaming=True)


@each_client
@pytest.mark.parametrize("content", [{"content": ""}, {"content": None}, {}])
def test_30_fields_that_are_empty_or_absent(client: Format, content: dict[str, Any]) -> None:
    message = {"role": "assistant", **content, "tool_calls": [call(None, "a", "f"), call(None, "b", "g")]}
    message["tool_calls"][0]["function"]["arguments"] = None
    message["tool_calls"][1]["function"]["arguments"] = "{}"
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    _, out = translated(client, Format.OPENAI_CHAT, body, streamed=False, streaming=False)
    answer = clients.read(client, out, streaming=False)
    assert (answer.text, answer.calls) == ("", [("f", {}), ("g", {})])
    snowflake = read(client, delta("", content="a", tool_calls=[]), delta("length"))
    assert (snowflake.text, snowflake.calls, snowflake.stop) == ("a", [], "length")


@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}])
def test_31_a_history_of_calls_without_text_has_no_empty_text(content: dict[str, Any]) -> None:
    asked = {
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                **content,
                "tool_calls": [{**call(None, "a", "f", "{}"), "type": "function"}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "x"},
        ]
    }
    for upstream in OTHERS:
        sent = asks(Format.OPENAI_CHAT, upstream, asked).document
        assert '"text": ""' not in json.dumps(sent)
    blocks = asks(Format.OPENAI_CHAT, Format.ANTHROPIC, asked).document["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["tool_use"]


@each_client
@pytest.mark.parametrize(
    "cached",
    [
        {"prompt_tokens_details": {"cached_tokens": 4012}},
        {"prompt_cache_hit_tokens": 4012, "prompt_cache_miss_tokens": 8},
        {"cached_tokens": 4012},
    ],
)
def test_32_cached_tokens_are_part_of_the_prompt(client: Format, cached: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 4020, "completion_tokens": 5, "total_tokens": 4025, **cached}
    answer = read(client, delta(content="a"), {**delta("stop"), "usage": usage})
    assert (answer.prompt, answer.cached) == (4020, 4012)


def test_32_tokens_written_to_a_cache_are_part_of_the_prompt() -> None:
    details = {"cached_tokens": 100, "cache_write_tokens": 50}
    usage = {
        "prompt_tokens": 200,
        "completion_tokens": 5,
        "total_tokens": 205,
        "prompt_tokens_details": details,
    }
    body = stream(delta(content="a"), {**delta("stop"), "usage": usage})
    written = events(Format.ANTHROPIC, Format.OPENAI_CHAT, body)
    assert b'"input_tokens":50,"cache_creation_input_tokens":50,"cache_read_input_tokens":100' in written


@each_client
def test_33_gemini_behind_the_surface_signs_calls_and_gives_no_ids(client: Format) -> None:
    extra = {"google": {"thought_signature": "c2lnMQ=="}}
    calls = [{**call(0, "", "f", '{"x":1}'), "extra_content": extra}, call(1, "", "f", '{"x":2}')]
    body = stream(delta("tool_calls", tool_calls=calls))
    written = events(client, Format.OPENAI_CHAT, body).decode()
    answer = clients.read(client, written.encode(), streaming=True)
    assert answer.calls == [("f", {"x": 1}), ("f", {"x": 2})]
    if client is Format.GEMINI:
        assert '"thoughtSignature":"c2lnMQ=="' in written
        return
    found = carrier.unpack(written[written.index(carrier.MARK) :].split('"')[0])
    assert found is not None and (found[0].origin, found[0].data) == (Format.GEMINI, "c2lnMQ==")
