"""The quirks of Gemini's wire, one by one: 45 to 55, each as clients of the other formats see it."""

import json
from typing import Any

import pytest

from router_core.formats import Format, carrier
from tests.router_core.formats import clients
from tests.router_core.formats.translated import asks, events, translated
from tests.router_core.formats.wire.gemini import OTHERS, call, chunk, read, stream

each_client = pytest.mark.parametrize("client", OTHERS)


@each_client
def test_45_calls_end_with_stop(client: Format) -> None:
    last = chunk(call("f", {"x": 1}), reason="STOP")
    last["candidates"][0]["finishMessage"] = "Model generated function call(s)."
    answer = read(client, last)
    assert (answer.calls, answer.stop) == ([("f", {"x": 1})], "tools")


@each_client
def test_46_calls_without_ids_get_some_and_keep_their_order(client: Format) -> None:
    parts = [call("f", {"x": 1}), call("f", {"x": 2}), call("g", {"x": 3})]
    answer = read(client, chunk(*parts, reason="STOP"))
    assert answer.calls == [("f", {"x": 1}), ("f", {"x": 2}), ("g", {"x": 3})]
    written = events(client, Format.GEMINI, stream(chunk(*parts, reason="STOP")))
    assert b'"id":""' not in written and b'"call_id":""' not in written
    named = {"functionCall": {"name": "f", "id": "fc-7", "args": {}}}
    assert b"fc-7" in events(client, Format.GEMINI, stream(chunk(named, reason="STOP")))


@each_client
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [chunk(call("f", {}, thoughtSignature="c2lnMQ=="), call("g", {}), reason="STOP")],
            id="on the first of two calls",
        ),
        pytest.param([chunk({"text": "a", "thoughtSignature": "c2lnMQ=="}, reason="STOP")], id="on a text"),
        pytest.param(
            [chunk({"text": "a"}), chunk({"text": "", "thoughtSignature": "c2lnMQ=="}, reason="STOP")],
            id="on an empty text",
        ),
    ],
)
def test_47_signatures_stand_on_calls_texts_and_empty_parts(client: Format, chunks: list[Any]) -> None:
    written = events(client, Format.GEMINI, stream(*chunks)).decode()
    assert written.count(carrier.MARK) >= 1
    found = carrier.unpack(written[written.index(carrier.MARK) :].split('"')[0])
    assert found is not None and (found[0].origin, found[0].data) == (Format.GEMINI, "c2lnMQ==")


@each_client
@pytest.mark.parametrize("step", [1, 5, 0])
def test_48_streams_have_crlf_and_no_end_or_are_an_array(client: Format, step: int) -> None:
    chunks = [chunk({"text": "über "}), chunk({"text": "alles"}, reason="STOP")]
    body = stream(*chunks)
    assert b"\r\n\r\n" in body
    whole = clients.read(client, events(client, Format.GEMINI, body, step=step), streaming=True)
    assert whole.text == "über alles"
    array = json.dumps(chunks, indent=2, ensure_ascii=False).encode()
    _, written = translated(client, Format.GEMINI, array, streamed=False, streaming=True, step=step)
    assert clients.read(client, written, streaming=True).text == "über alles"


@each_client
@pytest.mark.parametrize(("first", "last"), [(9, 87), (169, 79)])
def test_49_usage_is_cumulative_and_the_last_holds(client: Format, first: int, last: int) -> None:
    answer = read(
        client,
        chunk({"text": "a"}, promptTokenCount=first, candidatesTokenCount=1, totalTokenCount=first + 1),
        chunk({"text": "b"}, reason="STOP", promptTokenCount=last, candidatesTokenCount=4),
    )
    assert (answer.prompt, answer.output) == (last, 4)


@each_client
def test_50_thoughts_and_tool_prompts_are_counted_apart(client: Format) -> None:
    figures = {"promptTokenCount": 3520, "cachedContentTokenCount": 3512, "toolUsePromptTokenCount": 30}
    answer = read(
        client, chunk({"text": "a"}, reason="STOP", **figures, candidatesTokenCount=7, thoughtsTokenCount=20)
    )
    assert (answer.prompt, answer.cached, answer.output) == (3550, 3512, 27)
    spent = read(client, chunk({"text": "a"}, reason="STOP", promptTokenCount=5, thoughtsTokenCount=20))
    assert (spent.prompt, spent.output) == (5, 20)


@each_client
@pytest.mark.parametrize(
    ("answer", "stop"),
    [
        pytest.param({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}, "length", id="no parts"),
        pytest.param({"content": {}, "finishReason": "SAFETY"}, "filter", id="empty content"),
        pytest.param({"finishReason": "MODEL_ARMOR"}, "filter", id="no content"),
        pytest.param(None, "filter", id="no candidates"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_51_answers_without_content(
    client: Format, answer: dict[str, Any] | None, stop: str, streamed: bool
) -> None:
    body: dict[str, Any] = {"usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}
    if answer is None:
        body["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
    else:
        body["candidates"] = [answer]
    raw = stream(body) if streamed else json.dumps(body).encode()
    status, written = translated(client, Format.GEMINI, raw, streamed=streamed, streaming=streamed)
    got = clients.read(client, written, streaming=streamed)
    assert (status, got.text, got.calls, got.stop) == (200, "", [], stop)


@each_client
@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("UNEXPECTED_TOOL_CALL", "end"),
        ("MODEL_ARMOR", "filter"),
        ("OTHER", "end"),
        (1, "end"),
        (2, "length"),
        ("INVENTED_LATER", "end"),
    ],
)
def test_52_finish_reasons_beyond_the_known(client: Format, reason: Any, stop: str) -> None:
    assert read(client, chunk({"text": "a"}, reason=reason)).stop == stop


@each_client
def test_53_arguments_are_missing_or_streamed(client: Format) -> None:
    assert read(client, chunk(call("f"), call("g", {}), reason="STOP")).calls == [("f", {}), ("g", {})]
    city = {"jsonPath": "$.city", "stringValue": "Bos", "willContinue": True}
    answer = read(
        client,
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"partialArgs": [city], "willContinue": True}}),
        chunk(
            {
                "functionCall": {
                    "partialArgs": [{"jsonPath": "$.city", "stringValue": "ton"}],
                    "willContinue": True,
                }
            }
        ),
        chunk({"functionCall": {}}, reason="STOP"),
    )
    assert answer.calls == [("f", {"city": "Boston"})]


@pytest.mark.parametrize("upstream", OTHERS)
@pytest.mark.parametrize("style", ["camel", "snake"])
def test_54_requests_in_camel_case_and_in_snake_case(upstream: Format, style: str) -> None:
    def named(name: str) -> str:
        return "".join(f"_{c.lower()}" if c.isupper() and style == "snake" else c for c in name)

    declarations = [
        {"name": "typed", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}},
        {
            "name": "plain",
            named("parametersJsonSchema"): {"type": "object", "properties": {"x": {"type": "string"}}},
        },
        {"name": "bare"},
    ]
    results: list[Any] = [{"output": "fine"}, {"error": "broke"}, [1, 2]]
    inline = {named("inlineData"): {named("mimeType"): "image/png", "data": "iVBORw0KGgo="}}
    replies: list[dict[str, Any]] = [
        {named("functionResponse"): {"name": name, "response": response}}
        for name, response in zip(("typed", "plain", "bare"), results, strict=True)
    ]
    replies[0][named("functionResponse")]["parts"] = [inline]
    asked = {
        named("systemInstruction"): {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "go"}]},
            {"role": "model", "parts": [{named("functionCall"): {"name": d["name"]}} for d in declarations]},
            {"role": "user", "parts": replies},
        ],
        "tools": [{named("functionDeclarations"): declarations}],
        named("generationConfig"): {named("maxOutputTokens"): 50},
    }
    sent = json.dumps(asks(Format.GEMINI, upstream, asked).document)
    for word in ("Be brief.", "typed", "plain", "bare", "fine", "broke", "[1,2]", "iVBORw0KGgo=", "50"):
        assert word in sent
    assert '"STRING"' not in sent


def test_54_results_for_gemini_are_objects() -> None:
    answered = [("a", "[1, 2]", False), ("b", "3", False), ("c", "broke", True)]
    turns = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id, _, _ in answered],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": error}
                for id, text, error in answered
            ],
        },
    ]
    for model in ("gemini-2.5-pro", "gemini-3-pro-preview"):
        sent = asks(
            Format.ANTHROPIC, Format.GEMINI, {"max_tokens": 9, "messages": turns}, model=model
        ).document
        responses = [part["functionResponse"]["response"] for part in sent["contents"][2]["parts"]]
        assert responses == [{"output": "[1, 2]"}, {"output": "3"}, {"error": "broke"}]


@each_client
def test_55_what_google_runs_is_no_call_and_its_sources_come_late(client: Format) -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}}
    output = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}
    search = {"toolCall": {"toolType": "GOOGLE_SEARCH", "args": {"q": "x"}, "id": "t1"}}
    found = {"toolResponse": {"toolType": "GOOGLE_SEARCH", "response": {}, "id": "t1"}}
    sources = {
        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}],
        "groundingSupports": [{"segment": {"text": "two"}, "groundingChunkIndices": [0]}],
    }
    late = {"candidates": [{"groundingMetadata": sources}], "modelVersion": "another-model"}
    for chunks in (
        [chunk(code, output), chunk(search, found), chunk({"text": "two"}), late, chunk(reason="STOP")],
        [chunk(code, output), chunk(search, found), chunk({"text": "two"}, reason="STOP"), late],
    ):
        written = events(client, Format.GEMINI, stream(*chunks))
        answer = clients.read(client, written, streaming=True)
        assert (answer.text, answer.calls, answer.stop) == ("two", [], "end")
        assert b"https://a.test" in written
        assert b"another-model" not in written
