"""What Gemini really streams, as clients of other formats get it."""

import json
from typing import Any

import pytest

from router_core.fold import fold
from router_core.formats import Format, carrier
from router_core.sse import Event
from tests.router_core.formats import clients
from tests.router_core.formats.translated import events, translated
from tests.router_core.formats.wire.gemini import OTHERS, call, chunk, read, stream


@pytest.mark.parametrize("client", OTHERS)
def test_calls_of_one_name_without_ids_stay_apart(client: Format) -> None:
    answer = read(client, chunk(call("f", {"x": 1}), call("f", {"x": 2}), call("g"), reason="STOP"))
    assert answer.calls == [("f", {"x": 1}), ("f", {"x": 2}), ("g", {})]
    assert answer.stop == "tools"


def test_made_up_ids_are_unique_and_the_same_each_time() -> None:
    body = stream(chunk(call("f"), call("f"), reason="STOP"))
    first, second = (events(Format.OPENAI_CHAT, Format.GEMINI, body) for _ in range(2))
    assert first == second
    lines = [json.loads(line[6:]) for line in first.decode().split("\n") if line.startswith("data: {")]
    ids = [
        c["id"]
        for line in lines
        for choice in line["choices"]
        for c in choice["delta"].get("tool_calls", ())
        if "id" in c
    ]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("client", OTHERS)
def test_usage_is_of_the_last_chunk_and_thoughts_are_output(client: Format) -> None:
    answer = read(
        client,
        chunk({"text": "a"}, promptTokenCount=9, totalTokenCount=9),
        chunk(
            {"text": "b"},
            reason="STOP",
            promptTokenCount=87,
            cachedContentTokenCount=80,
            toolUsePromptTokenCount=13,
            candidatesTokenCount=2,
            thoughtsTokenCount=30,
            totalTokenCount=132,
        ),
    )
    assert (answer.prompt, answer.cached, answer.output) == (100, 80, 32)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("chunks", "stop"),
    [
        ([chunk({"text": "a"}, reason="STOP")], "end"),
        ([{"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]}], "length"),
        ([{"candidates": [{"content": {}, "finishReason": "SAFETY"}]}], "filter"),
        ([{"candidates": [{"finishReason": "MODEL_ARMOR"}]}], "filter"),
        ([{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}], "filter"),
        ([chunk({"text": "a"}, reason="UNEXPECTED_TOOL_CALL")], "end"),
        ([chunk({"text": "a"}, reason=2)], "length"),
        ([chunk({"text": "a"}, reason=1)], "end"),
        ([chunk({"text": "a"})], "end"),
    ],
)
def test_endings(client: Format, chunks: list[Any], stop: str) -> None:
    assert read(client, *chunks).stop == stop


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("MALFORMED_FUNCTION_CALL", []),
        ("MALFORMED_FUNCTION_CALL", [{"text": "I will read it."}]),
        (9, []),
        ("TOO_MANY_TOOL_CALLS", [call("f", {})]),
        ("MISSING_THOUGHT_SIGNATURE", []),
        ("UNEXPECTED_TOOL_CALL", []),
        ("UNEXPECTED_TOOL_CALL", [{"text": "hm", "thought": True}]),
        ("NO_IMAGE", []),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_an_answer_that_is_given_up_is_an_error(
    client: Format, reason: Any, said: list[Any], streaming: bool
) -> None:
    last = chunk(reason=reason)
    last["candidates"][0]["finishMessage"] = "print(f())"
    body = stream(*([chunk(*said)] if said else []), last)
    status, out = translated(client, Format.GEMINI, body, streamed=True, streaming=streaming)
    with pytest.raises(clients.STREAM_ERRORS, match=r"gave the answer up: [A-Z_]+ \(print"):
        clients.read(client, out, streaming=streaming, status=status)


@pytest.mark.parametrize("client", OTHERS)
@pytest.mark.parametrize(
    "chunks",
    [
        [chunk({"text": "a"}), chunk({"text": "b"})],
        [chunk({"functionCall": {"name": "f", "willContinue": True}})],
    ],
)
def test_an_answer_without_an_ending_was_cut(client: Format, chunks: list[Any]) -> None:
    with pytest.raises(clients.STREAM_ERRORS, match="before it was complete"):
        read(client, *chunks)


@pytest.mark.parametrize("reason", ["SAFETY", "LANGUAGE", "ESCALATION", 12])
def test_a_filter_is_named(reason: Any) -> None:
    written = events(Format.ANTHROPIC, Format.GEMINI, stream(chunk(reason=reason)))
    assert b'"stop_reason":"refusal"' in written
    assert f'"explanation":"blocked: {reason}"'.encode() in written


@pytest.mark.parametrize("client", OTHERS)
def test_signatures_on_texts_calls_and_empty_parts_are_kept(client: Format) -> None:
    for parts in (
        [call("f", {}, thoughtSignature="c2lnMQ=="), call("f", {})],
        [{"text": "a", "thoughtSignature": "c2lnMQ=="}],
        [{"text": "a"}, {"text": "", "thoughtSignature": "c2lnMQ=="}],
        [{"text": "hm", "thought": True}, {"text": "a"}, {"thoughtSignature": "c2lnMQ=="}],
    ):
        written = events(client, Format.GEMINI, stream(chunk(*parts, reason="STOP"))).decode()
        found = carrier.unpack(written[written.index(carrier.MARK) :].split('"')[0])
        assert found is not None
        assert (found[0].origin, found[0].data) == (Format.GEMINI, "c2lnMQ==")


@pytest.mark.parametrize("client", OTHERS)
def test_arguments_that_are_streamed(client: Format) -> None:
    def piece(path: str, more: bool = False, **value: Any) -> dict[str, Any]:
        arg = {"jsonPath": path, **value, **({"willContinue": True} if more else {})}
        return {"functionCall": {"partialArgs": [arg], "willContinue": True}}

    answer = read(
        client,
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk(piece("$.city", True, stringValue="Bos")),
        chunk(piece("$.city", stringValue="ton")),
        chunk(piece("$.days", numberValue=3)),
        chunk(piece("$.deep.list[1].x", boolValue=True)),
        chunk(piece("$['odd key']", nullValue="NULL_VALUE")),
        chunk({"functionCall": {}}),
        chunk({"functionCall": {"name": "g"}}, reason="STOP"),
    )
    (first, arguments), second = answer.calls
    assert (first, second) == ("f", ("g", {}))
    assert arguments["city"] == "Boston"
    assert arguments["days"] == 3
    assert arguments["deep"]["list"][1] == {"x": True}
    assert arguments["odd key"] is None


def test_arguments_that_are_streamed_are_whole_in_a_json_answer() -> None:
    def piece(call: dict[str, Any], **more: Any) -> Event:
        data = json.dumps(chunk({"functionCall": call, **more})).encode()
        return Event(b"data: " + data + b"\r\n\r\n", None, data)

    city = {"jsonPath": "$.city", "stringValue": "Bos", "willContinue": True}
    events = [
        piece({"name": "f", "id": "f1", "willContinue": True}, thoughtSignature="c2ln"),
        piece({"partialArgs": [city], "willContinue": True}),
        piece({"partialArgs": [{"jsonPath": "$.city", "stringValue": "ton"}], "willContinue": True}),
        piece({}),
        piece({}),
        piece({"name": "g", "args": {"a": 1}}),
    ]
    body, _ = fold(Format.GEMINI, events)
    assert body["candidates"][0]["content"]["parts"] == [
        {"functionCall": {"name": "f", "id": "f1", "args": {"city": "Boston"}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g", "args": {"a": 1}}},
    ]


@pytest.mark.parametrize("client", OTHERS)
def test_what_google_runs_itself_is_no_call_for_the_client(client: Format) -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}],
        "groundingSupports": [{"segment": {"text": "b"}, "groundingChunkIndices": [0]}],
    }
    last = chunk({"text": "b"}, reason="STOP")
    last["candidates"][0]["groundingMetadata"] = grounding
    answer = read(
        client,
        chunk(
            {"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"output": "1"}}
        ),
        chunk({"text": "a"}),
        last,
    )
    assert (answer.calls, answer.text) == ([], "ab")
    assert b"https://a.test" in events(client, Format.GEMINI, stream(chunk({"text": "a"}), last))


@pytest.mark.parametrize("client", OTHERS)
def test_errors(client: Format) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    with pytest.raises(clients.STREAM_ERRORS, match="overloaded"):
        read(client, chunk({"text": "a"}), error)
    with pytest.raises(clients.STREAM_ERRORS):
        read(client)


@pytest.mark.parametrize("client", OTHERS)
def test_an_answer_in_the_envelope_of_code_assist(client: Format) -> None:
    answer = read(client, {"response": chunk({"text": "a"}, reason="STOP")})
    assert answer.text == "a"


def test_snake_case_is_read_too() -> None:
    part = {"function_call": {"name": "f", "args": {}}, "thought_signature": "c2ln"}
    candidate = {"content": {"parts": [part]}, "finish_reason": "STOP"}
    answer = read(
        Format.OPENAI_CHAT, {"candidates": [candidate], "usage_metadata": {"prompt_token_count": 3}}
    )
    assert answer.calls == [("f", {})]
    assert answer.signatures == 1


def test_an_array_of_chunks_is_read_like_a_stream() -> None:
    body = json.dumps([chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")], indent=1).encode()
    _, written = translated(Format.ANTHROPIC, Format.GEMINI, body, streamed=False, streaming=True, step=7)
    assert clients.read(Format.ANTHROPIC, written, streaming=True).text == "ab"
