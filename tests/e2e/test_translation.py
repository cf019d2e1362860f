"""The official SDKs at upstreams of other formats: conversations with tools and thinking, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google.genai import errors as google_errors, types

from detour.fakes import FakeUpstream, Fault
from router_core.fold import unfold
from router_core.formats import Format
from router_core.formats.placeholder import PLACEHOLDER
from tests import clients
from tests.e2e.instance import TIMEOUT, Detour, base_config
from tests.router_core.formats import turns
from tests.router_core.formats.invariants import assert_holds
from tests.upstream import FakeThread

UPSTREAMS = (Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI)
PAIRS = [
    pytest.param(client, upstream, id=f"{client}-{upstream}")
    for client in UPSTREAMS
    for upstream in UPSTREAMS
    if client is not upstream
]
MODELS = {
    Format.ANTHROPIC: "claude-opus-4-5",
    Format.OPENAI_CHAT: "kimi-k2-thinking",
    Format.OPENAI_RESPONSES: "gpt-5.2",
    Format.GEMINI: "gemini-3-pro-preview",
}
TOOL = turns.TOOL
JSON = {"content-type": "application/json"}
PROOFS = {
    Format.ANTHROPIC: turns.SIGNATURE,
    Format.OPENAI_CHAT: turns.REASONING,
    Format.OPENAI_RESPONSES: turns.ENCRYPTED,
    Format.GEMINI: turns.THOUGHT,
}
"""What tells that a model got its own reasoning back."""


class Lab:
    """A Detour whose models are at upstreams of one format each."""

    def __init__(self, detour: Detour, fakes: dict[Format, FakeUpstream]):
        self.detour = detour
        self.fakes = fakes

    def sdk(self, client: Format) -> Any:
        tls = self.detour.tls()
        match client:
            case Format.ANTHROPIC:
                return clients.anthropic_sdk(self.detour.gateway_url, ca=tls)
            case Format.GEMINI:
                return clients.google_sdk(self.detour.gateway_url, ca=tls)
        return clients.openai_sdk(self.detour.gateway_url + "/v1", ca=tls)


@pytest.fixture(scope="module")
def lab(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    upstreams = {format: fakes.start(f"up-{format}") for format in UPSTREAMS}
    config = base_config(ca_bundle)
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "30s", "idle_timeout": "30s"}
    config["providers"] = {
        f"up-{format}": {"format": format.value, "base_url": fake.base_url(format.value)}
        for format, fake in upstreams.items()
    }
    config["credentials"] = [
        {"id": f"key-{format}", "provider": f"up-{format}", "api_key": f"env:KEY_{number}"}
        for number, format in enumerate(UPSTREAMS)
    ]
    # Gemini CLI with a Google account asks for this one, at another host and in an envelope.
    config["models"] = {
        f"assist-{upstream}": f"up-{upstream}/{MODELS[upstream]}" for upstream in UPSTREAMS
    } | {
        name(client, upstream): f"up-{upstream}/{MODELS[upstream]}"
        for client in UPSTREAMS
        for upstream in UPSTREAMS
    }
    config["models"]["gemini-then-chat"] = {
        "targets": ["up-gemini/gemini-2.5-flash", f"up-openai-chat/{MODELS[Format.OPENAI_CHAT]}"],
        "strategy": "fallback",
    }
    env = {f"KEY_{number}": f"secret-{number}" for number in range(len(UPSTREAMS))}
    with Detour(config, tmp_path_factory.mktemp("lab"), env) as detour:
        yield Lab(detour, upstreams)


def name(client: Format, upstream: Format) -> str:
    return f"{client}-at-{upstream}"


def script(fake: FakeUpstream, upstream: Format, streaming: bool) -> None:
    """The next answer is the model's turn with two calls."""
    answer = turns.answer(upstream)
    if streaming:
        parts = [event.raw for event in unfold(upstream, answer)]
        fault = Fault.raw_answer(200, "text/event-stream", *parts)
    else:
        fault = Fault.raw_answer(200, "application/json", json.dumps(answer).encode())
    fake.script.rules.clear()
    fake.script.add(fault, times=1)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_conversation_with_tools(lab: Lab, client: Format, upstream: Format, streaming: bool) -> None:
    fake = lab.fakes[upstream]
    script(fake, upstream, streaming)
    final = _CONVERSATIONS[client](lab.sdk(client), name(client, upstream), streaming)
    assert final == fake.text
    document = fake.record.requests[-1].document
    assert "alpha" in json.dumps(document)
    assert PROOFS[upstream] in json.dumps(document, ensure_ascii=False)


@pytest.mark.parametrize("upstream", [u for u in UPSTREAMS if u is not Format.GEMINI])
def test_a_resumed_conversation_has_its_reasoning_and_a_client_that_has_none_is_served(
    lab: Lab, upstream: Format
) -> None:
    """As Gemini CLI resumes: with another system prompt, placeholders for signatures, and each result twice."""
    fake = lab.fakes[upstream]
    script(fake, upstream, streaming=False)
    url = f"{lab.detour.gateway_url}/v1beta/models/{name(Format.GEMINI, upstream)}:generateContent"
    opening = turns.first(Format.GEMINI)
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        read = client.post(url, json=opening).json()
        following = turns.follow(Format.GEMINI, opening, read, forgetful=True)
        parts = following["contents"][1]["parts"]
        for part in parts:
            part.pop("thoughtSignature", None)
        next(part for part in parts if "functionCall" in part)["thoughtSignature"] = PLACEHOLDER
        following["contents"][2]["parts"] *= 2
        following["systemInstruction"] = {"parts": [{"text": "This conversation is resumed."}]}
        assert client.post(url, json=following).status_code == 200
        resumed = fake.record.requests[-1].document
        # The same calls with other ids are of a conversation that Detour does not know, as after a restart.
        text = json.dumps(following)
        for number, part in enumerate(part for part in parts if "functionCall" in part):
            text = text.replace(part["functionCall"]["id"], f"call_unknown_{number}")
        assert client.post(url, content=text, headers=JSON).status_code == 200
        unknown = fake.record.requests[-1].document
    assert PROOFS[upstream] in json.dumps(resumed)
    assert PROOFS[upstream] not in json.dumps(unknown)
    for document in (resumed, unknown):
        assert PLACEHOLDER not in json.dumps(document)
        assert_holds(upstream, document)
    if upstream is Format.ANTHROPIC:
        # A budget for thinking wants the turns of a loop to begin with it.
        assert ("thinking" in resumed, "thinking" in unknown) == (True, False)


def _anthropic(client: Any, model: str, streaming: bool) -> str:
    fields = {**turns.first(Format.ANTHROPIC), "model": model}

    def ask() -> Any:
        if not streaming:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            return stream.get_final_message()

    with client:
        message = ask()
        assert message.stop_reason == "tool_use"
        calls = [block for block in message.content if block.type == "tool_use"]
        assert [(call.name, call.input) for call in calls] == turns.CALLS
        content = [block.model_dump(exclude_none=True) for block in message.content]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": text}
            for call, text in zip(calls, ["alpha", "beta"], strict=True)
        ]
        fields["messages"] += [
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]
        return "".join(block.text for block in ask().content if block.type == "text")


def _chat(client: Any, model: str, streaming: bool) -> str:
    fields = {**turns.first(Format.OPENAI_CHAT), "model": model}

    def ask() -> Any:
        if not streaming:
            return client.chat.completions.create(**fields)
        with client.chat.completions.stream(**fields) as stream:
            return stream.get_final_completion()

    with client:
        choice = ask().choices[0]
        assert choice.finish_reason == "tool_calls"
        calls = choice.message.tool_calls
        assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == turns.CALLS
        message = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in message["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": text}
            for call, text in zip(calls, ["alpha", "beta"], strict=True)
        ]
        fields["messages"] += [message, *results]
        return str(ask().choices[0].message.content)


def _responses(client: Any, model: str, streaming: bool) -> str:
    fields = {**turns.first(Format.OPENAI_RESPONSES), "model": model}

    def ask() -> Any:
        if not streaming:
            return client.responses.create(**fields)
        with client.responses.stream(**fields) as stream:
            return stream.get_final_response()

    with client:
        response = ask()
        calls = [item for item in response.output if item.type == "function_call"]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == turns.CALLS
        items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": text}
            for call, text in zip(calls, ["alpha", "beta"], strict=True)
        ]
        fields["input"] += [*items, *results]
        return str(ask().output_text)


def _gemini(client: Any, model: str, streaming: bool) -> str:
    function = {"name": "read_file", "description": "Reads a file", "parameters_json_schema": TOOL}
    config = {
        "tools": [{"function_declarations": [function]}],
        "thinking_config": {"include_thoughts": True},
        "automatic_function_calling": {"disable": True},
    }
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="Compare a.txt and b.txt.")])]

    def ask() -> list[Any]:
        fields = {"model": model, "contents": contents, "config": config}
        if not streaming:
            return [client.models.generate_content(**fields)]
        return list(client.models.generate_content_stream(**fields))

    parts = [part for chunk in ask() for part in chunk.candidates[0].content.parts or ()]
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.name, call.args) for call in calls] == turns.CALLS
    contents.append(types.Content(role="model", parts=parts))
    results = [
        types.Part(
            function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": text})
        )
        for call, text in zip(calls, ["alpha", "beta"], strict=True)
    ]
    contents.append(types.Content(role="user", parts=results))
    return "".join(chunk.text or "" for chunk in ask())


_CONVERSATIONS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}


def _ask(lab: Lab, client: Format, model: str) -> None:
    sdk = lab.sdk(client)
    match client:
        case Format.ANTHROPIC:
            sdk.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        case Format.OPENAI_CHAT:
            sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
        case Format.OPENAI_RESPONSES:
            sdk.responses.create(model=model, input="hi")
        case Format.GEMINI:
            sdk.models.generate_content(model=model, contents="hi")


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_wrong_request_is_told_in_the_clients_words(lab: Lab, client: Format, upstream: Format) -> None:
    fake = lab.fakes[upstream]
    fake.script.rules.clear()
    fake.script.add(Fault.status(400), times=1)
    with pytest.raises(
        (anthropic.BadRequestError, openai.BadRequestError, google_errors.ClientError)
    ) as raised:
        _ask(lab, client, name(client, upstream))
    error: Any = raised.value
    assert (error.code if client is Format.GEMINI else error.status_code) == 400


SPOILT = {"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}]}


FULL = {"error": {"code": 503, "message": "full", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    ("answer", "streamed", "streaming"),
    [
        (SPOILT, True, True),
        (SPOILT, True, False),
        (SPOILT, False, True),
        (SPOILT, False, False),
        # The last, because the model rests after it.
        (FULL, False, False),
    ],
)
def test_what_gemini_gives_up_another_answers(
    lab: Lab, answer: dict[str, Any], streamed: bool, streaming: bool
) -> None:
    gemini, chat = lab.fakes[Format.GEMINI], lab.fakes[Format.OPENAI_CHAT]
    body = json.dumps(answer).encode()
    media, body = (
        ("text/event-stream", b"data: %s\r\n\r\n" % body) if streamed else ("application/json", body)
    )
    for fake in (gemini, chat):
        fake.script.rules.clear()
    gemini.script.add(Fault.raw_answer(200, media, body), times=1)
    asked: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    seen = len(gemini.record.requests), len(chat.record.requests)
    with lab.sdk(Format.ANTHROPIC) as sdk:
        if streaming:
            with sdk.messages.stream(model="gemini-then-chat", **asked) as stream:
                message = stream.get_final_message()
        else:
            message = sdk.messages.create(model="gemini-then-chat", **asked)
    assert message.content[-1].text == chat.text
    assert (len(gemini.record.requests), len(chat.record.requests)) == (seen[0] + 1, seen[1] + 1)


@pytest.mark.parametrize("streaming", [True, False])
def test_what_gemini_gives_up_is_an_error_that_is_asked_again(lab: Lab, streaming: bool) -> None:
    gemini = lab.fakes[Format.GEMINI]
    gemini.script.rules.clear()
    gemini.script.add(Fault.raw_answer(200, "application/json", json.dumps(SPOILT).encode()), times=1)
    asked: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    with (
        lab.sdk(Format.ANTHROPIC) as sdk,
        pytest.raises(anthropic.InternalServerError, match="gave the answer up: MALFORMED_FUNCTION_CALL"),
    ):
        sdk.messages.create(model=name(Format.ANTHROPIC, Format.GEMINI), stream=streaming, **asked)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_stream_that_breaks_off_is_no_whole_answer(lab: Lab, client: Format, upstream: Format) -> None:
    fake = lab.fakes[upstream]
    fake.script.rules.clear()
    fake.script.add(Fault.close_mid_stream(after=2), times=1)
    sdk, model = lab.sdk(client), name(client, upstream)
    with pytest.raises(Exception) as raised:
        match client:
            case Format.ANTHROPIC:
                with sdk.messages.stream(
                    model=model, max_tokens=9, messages=[{"role": "user", "content": "hi"}]
                ) as stream:
                    stream.get_final_message()
            case Format.OPENAI_CHAT:
                list(
                    sdk.chat.completions.create(
                        model=model, stream=True, messages=[{"role": "user", "content": "hi"}]
                    )
                )
            case Format.OPENAI_RESPONSES:
                with sdk.responses.stream(model=model, input="hi") as stream:
                    stream.get_final_response()
            case Format.GEMINI:
                list(sdk.models.generate_content_stream(model=model, contents="hi"))
    # The library's own words would be of a stream that it cannot follow.
    assert type(raised.value) in (anthropic.APIStatusError, openai.APIError, google_errors.ServerError)


@pytest.mark.parametrize("upstream", [u for u in UPSTREAMS if u is not Format.GEMINI])
def test_lines_and_arrays_that_break_off_end_with_an_error_too(lab: Lab, upstream: Format) -> None:
    fake, model = lab.fakes[upstream], name(Format.GEMINI, upstream)
    fake.script.rules.clear()
    fake.script.add(Fault.close_mid_stream(after=2), times=2)
    with httpx.Client(base_url=lab.detour.gateway_url, timeout=TIMEOUT, trust_env=False) as client:
        asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        lines = client.post("/api/chat", json=asked).text.splitlines()
        contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        array = client.post(f"/v1beta/models/{model}:streamGenerateContent", json=contents).json()
    assert "peer closed connection" in json.loads(lines[-1])["error"]
    assert "peer closed connection" in array[-1]["error"]["message"]
    assert len(lines) > 1 and len(array) > 1


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_thread_that_anthropic_keeps_is_refused_elsewhere_as_anthropic_would(
    lab: Lab, upstream: Format
) -> None:
    """The providers here are none of Anthropic's own, whatever they speak."""
    seen = len(lab.fakes[upstream].record.requests)
    fields = {"model": name(Format.ANTHROPIC, upstream), "max_tokens": 9}
    going_on = {"type": "continue", "previous_message_id": "msg_1"}
    with lab.sdk(Format.ANTHROPIC) as client:

        def ask(thread: Any) -> Any:
            messages = [{"role": "user", "content": "hi"}]
            return client.messages.create(**fields, messages=messages, extra_body={"thread": thread})

        with pytest.raises(anthropic.BadRequestError) as unsupported:
            ask({"type": "create"})
        with pytest.raises(anthropic.NotFoundError) as lost:
            ask(going_on)
        assert len(lab.fakes[upstream].record.requests) == seen
        assert ask(None).stop_reason == "end_turn"
    codes = [error.value.body["error"]["details"]["error_code"] for error in (unsupported, lost)]
    assert codes == ["thread_unsupported_request", "thread_not_found"]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("upstream", [u for u in UPSTREAMS if u is not Format.OPENAI_RESPONSES])
def test_a_client_may_refer_to_what_it_was_answered(lab: Lab, upstream: Format, streaming: bool) -> None:
    fake, model = lab.fakes[upstream], name(Format.OPENAI_RESPONSES, upstream)
    script(fake, upstream, streaming)
    fields = {**turns.first(Format.OPENAI_RESPONSES), "model": model, "store": True}
    with lab.sdk(Format.OPENAI_RESPONSES) as client:
        if streaming:
            with client.responses.stream(**fields) as stream:
                answer = stream.get_final_response()
        else:
            answer = client.responses.create(**fields)
        calls = [item for item in answer.output if item.type == "function_call"]
        results = [{"type": "function_call_output", "call_id": c.call_id, "output": "alpha"} for c in calls]
        rest = {"model": model, "tools": fields["tools"]}
        said = [{"type": "item_reference", "id": item.id} for item in answer.output]
        client.responses.create(**rest, input=[*fields["input"], *said, *results])
        client.responses.create(**rest, input=results, previous_response_id=answer.id)
    by_items, by_answer = (request.document for request in list(fake.record.requests)[-2:])
    assert by_items == by_answer
    assert all(text in json.dumps(by_items) for text in ("Let me look.", "a.txt", "b.txt", "alpha"))


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_tokens_are_counted_by_the_upstream_or_estimated(lab: Lab, upstream: Format) -> None:
    counts = upstream is not Format.OPENAI_CHAT
    fake = lab.fakes[upstream]
    fake.script.rules.clear()
    seen = len(fake.record.requests)
    with lab.sdk(Format.ANTHROPIC) as client:
        answer = client.messages.with_raw_response.count_tokens(
            model=name(Format.OPENAI_CHAT, upstream), messages=[{"role": "user", "content": "hello " * 100}]
        )
    assert answer.parse().input_tokens > 10
    assert (answer.headers.get("x-detour-estimated") == "true") is not counts
    assert len(fake.record.requests) - seen == counts


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_tokens_are_counted_for_the_other_clients_too(lab: Lab, upstream: Format) -> None:
    fake = lab.fakes[upstream]
    fake.script.rules.clear()
    seen = len(fake.record.requests)
    with lab.sdk(Format.OPENAI_RESPONSES) as client:
        counted = client.responses.input_tokens.count(
            model=name(Format.OPENAI_CHAT, upstream), input="hello " * 100, instructions="Be brief."
        )
    assert (counted.object, counted.input_tokens > 100) == ("response.input_tokens", True)
    google = lab.sdk(Format.GEMINI)
    count = google.models.count_tokens(model=name(Format.OPENAI_CHAT, upstream), contents="hello " * 100)
    assert count.total_tokens > 100
    asked = list(fake.record.requests)[seen:]
    assert len(asked) == (0 if upstream is Format.OPENAI_CHAT else 2)
    assert all("stream" not in request.document for request in asked)


def test_embeddings_of_google_for_an_openai_client(lab: Lab) -> None:
    fake = lab.fakes[Format.GEMINI]
    fake.script.rules.clear()
    with lab.sdk(Format.OPENAI_CHAT) as client:
        # The library asks for base64 by itself.
        given = client.embeddings.create(
            model=name(Format.OPENAI_CHAT, Format.GEMINI), input=["one", "two"], dimensions=3
        )
    assert [(item.index, item.embedding) for item in given.data] == [(n, [0.25, -0.5, 1.0]) for n in (0, 1)]
    assert given.model == name(Format.OPENAI_CHAT, Format.GEMINI)
    assert given.usage.prompt_tokens == given.usage.total_tokens > 0
    seen = fake.record.requests[-1]
    assert seen.path == f"/v1beta/models/{MODELS[Format.GEMINI]}:batchEmbedContents"
    assert [request["content"]["parts"][0]["text"] for request in seen.document["requests"]] == ["one", "two"]
    assert {request["outputDimensionality"] for request in seen.document["requests"]} == {3}


def test_embeddings_of_openai_for_a_google_client(lab: Lab) -> None:
    fake = lab.fakes[Format.OPENAI_CHAT]
    fake.script.rules.clear()
    client = lab.sdk(Format.GEMINI)
    given = client.models.embed_content(
        model=name(Format.GEMINI, Format.OPENAI_CHAT),
        contents=["one"],
        config=types.EmbedContentConfig(output_dimensionality=3),
    )
    assert [embedding.values for embedding in given.embeddings] == [[0.25, -0.5, 1.0]]
    document = fake.record.requests[-1].document
    assert document["model"] == MODELS[Format.OPENAI_CHAT]
    assert (document["input"], document["dimensions"]) == (["one"], 3)


@pytest.mark.parametrize("upstream", [Format.ANTHROPIC, Format.OPENAI_RESPONSES])
def test_an_upstream_without_embeddings_is_named(lab: Lab, upstream: Format) -> None:
    with lab.sdk(Format.OPENAI_CHAT) as client, pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=name(Format.OPENAI_CHAT, upstream), input="one")
    assert refused.value.response.headers["x-detour-error"] == "unsupported"
    assert "does not take embeddings requests" in refused.value.message


def test_compaction_elsewhere_is_unsupported(lab: Lab) -> None:
    with lab.sdk(Format.OPENAI_RESPONSES) as client, pytest.raises(openai.BadRequestError) as refused:
        client.responses.compact(model=name(Format.OPENAI_RESPONSES, Format.ANTHROPIC), input="one")
    assert refused.value.response.headers["x-detour-error"] == "unsupported"
    assert "does not take compact requests" in refused.value.message


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("streaming", [True, False])
def test_code_assist_has_its_envelope_at_every_upstream(lab: Lab, upstream: Format, streaming: bool) -> None:
    """What Gemini CLI sends with a Google account; its answers come in an envelope too."""
    script(lab.fakes[upstream], upstream, streaming)
    action = "streamGenerateContent?alt=sse" if streaming else "generateContent"
    inner = {**turns.first(Format.GEMINI), "session_id": "s1"}
    body = {"model": f"assist-{upstream}", "project": "my-project", "user_prompt_id": "p", "request": inner}
    with lab.detour.client() as client:
        answer = client.post(
            f"https://cloudcode-pa.googleapis.com/v1internal:{action}",
            json=body,
            headers={"authorization": "Bearer ya29.clients-own"},
        )
    assert answer.status_code == 200, answer.text
    if streaming:
        lines = [
            line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")
        ]
        documents = [json.loads(line)["response"] for line in lines]
    else:
        documents = [answer.json()["response"]]
    parts = [part for d in documents for part in d["candidates"][0]["content"].get("parts", ())]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(call["name"], call["args"]) for call in calls] == turns.CALLS
    seen = lab.fakes[upstream].record.requests[-1]
    assert "my-project" not in seen.body.decode()
    assert "ya29" not in repr(seen.headers)
    assert "Compare a.txt and b.txt." in seen.body.decode()


def test_code_assist_is_told_an_error_in_googles_shape(lab: Lab) -> None:
    fake = lab.fakes[Format.ANTHROPIC]
    fake.script.rules.clear()
    fake.script.add(Fault.status(400), times=1)
    body = {"model": f"assist-{Format.ANTHROPIC}", "project": "p", "request": turns.first(Format.GEMINI)}
    with lab.detour.client() as client:
        answer = client.post("https://cloudcode-pa.googleapis.com/v1internal:generateContent", json=body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
