"""Tools and media that one provider alone has: kept, turned into functions, dropped by name, or refused."""

import json
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.translate import request
from tests.router_core.formats import clients
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import MINIMAL, UPSTREAMS, asks, translated
from tests.router_core.formats.wire import openai_chat

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
MODELS = {A: "claude-sonnet-4-5", C: "gpt-4o", R: "gpt-5.2", G: "gemini-3-pro-preview"}
HI: dict[str, Any] = {"role": "user", "content": "hi"}
IMAGE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def sent(client: Format, upstream: Format, document: dict[str, Any]) -> Any:
    """The request for the upstream, valid by its library's types; or the refusal."""
    found = request(client, upstream, Operation.GENERATE, document, model=MODELS[upstream], stream=False)
    if not isinstance(found, Refusal):
        assert_conforms(upstream, found.document)
        assert_holds(upstream, found.document)
    return found


def messages(*turns: Any, **fields: Any) -> dict[str, Any]:
    return {"max_tokens": 99, "messages": list(turns), **fields}


def model_said(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def contents(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}], **fields}


REFUSED = [
    pytest.param(A, messages({"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}), "file id", id="Anthropic's container upload"),
    pytest.param(C, {"messages": [HI, {"role": "assistant", "audio": {"id": "audio_1"}}, HI]}, "audio.id", id="a stored recording of OpenAI's"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "computer_use_preview"}]}, "computer tool", id="OpenAI's computer"),
    pytest.param(R, {"input": [HI, {"type": "computer_call_output", "call_id": "c", "output": {}}]}, "computer tool", id="OpenAI's computer's screen"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "file_search"}], "tool_choice": "required"}, "forced file_search", id="a file search in vain"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "mcp"}], "tool_choice": {"type": "mcp"}}, "forced mcp", id="a forced MCP server"),
    pytest.param(G, contents({"text": "hi"}, cachedContent="cachedContents/x"), "cachedContent", id="Google's cached content"),
    pytest.param(G, contents({"fileData": {"fileUri": "https://youtu.be/x"}}), "video", id="a video by its page"),
    pytest.param(G, contents({"text": "hi"}, generationConfig={"responseModalities": ["AUDIO"]}), "answers in audio", id="speech"),
    pytest.param(G, contents({"text": "hi"}, generationConfig={"responseModalities": ["TEXT", "IMAGE"]}), "answers in text, image", id="pictures"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "document", "reason"), REFUSED)
def test_what_must_not_be_lost_is_refused(client: Format, document: dict[str, Any], reason: str) -> None:
    for upstream in UPSTREAMS:
        if upstream is not client:
            answer = sent(client, upstream, document)
            assert isinstance(answer, Refusal)
            assert answer.code is Code.UNSUPPORTED
            assert reason in answer.message


DROPPED = [
    pytest.param(A, messages(HI, mcp_servers=[{"type": "url", "name": "m"}], tools=[{"type": "mcp_toolset"}]), {"mcp_servers", "tools[mcp_toolset]"}, id="Anthropic's MCP servers"),
    pytest.param(A, messages(HI, tools=[{"type": "tool_search_tool_bm25_20251119", "name": "s"}]), {"tools[tool_search_tool_bm25_20251119]"}, id="Anthropic's search for tools"),
    pytest.param(C, {"messages": [HI], "prediction": {"type": "content", "content": "x"}}, {"prediction"}, id="predicted output"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "mcp", "server_label": "m"}]}, {"tools[mcp]"}, id="OpenAI's MCP servers"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "image_generation"}]}, {"tools[image_generation]"}, id="OpenAI's pictures"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "file_search"}]}, {"tools[file_search]"}, id="OpenAI's file search"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "tool_search"}]}, {"tools[tool_search]"}, id="OpenAI's search for tools"),
    pytest.param(R, {"input": "hi", "tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, {"tools[shell]"}, id="a shell that OpenAI runs"),
    pytest.param(G, contents({"text": "hi"}, tools=[{"urlContext": {}}, {"googleMaps": {}}]), {"tools[urlContext]", "tools[googleMaps]"}, id="Google's pages and maps"),
    pytest.param(G, contents({"text": "hi"}, safetySettings=[{"category": "x"}]), {"safetySettings"}, id="Google's filters"),
    pytest.param(G, contents({"text": "hi"}, generationConfig={"responseMimeType": "text/x.enum"}), {"responseMimeType"}, id="one of several words"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "document", "names"), DROPPED)
def test_what_has_no_counterpart_is_dropped_by_name(
    client: Format, document: dict[str, Any], names: set[str]
) -> None:
    for upstream in UPSTREAMS:
        if upstream is not client:
            assert set(sent(client, upstream, document).dropped()) == names


SERVER_TURNS = [
    pytest.param(A, messages(HI, model_said({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}})), id="pause_turn"),
    pytest.param(A, messages(HI, model_said({"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "m", "input": {}}, {"type": "mcp_tool_result", "tool_use_id": "m", "content": []})), id="Anthropic's MCP"),
    pytest.param(R, {"input": [HI, {"type": "web_search_call", "id": "w", "status": "completed"}, {"type": "file_search_call", "id": "f", "queries": []}, {"type": "code_interpreter_call", "id": "c", "code": "1"}]}, id="OpenAI's searches and code"),
    pytest.param(R, {"input": [HI, {"type": "image_generation_call", "id": "i", "result": "iVBORw0KGgo="}]}, id="OpenAI's pictures"),
    pytest.param(R, {"input": [HI, {"type": "mcp_list_tools", "id": "l", "tools": []}, {"type": "mcp_call", "id": "m", "name": "x"}]}, id="OpenAI's MCP"),
    pytest.param(G, {"contents": [*contents({"text": "hi"})["contents"], {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}]}]}, id="Google's code"),
]  # fmt: skip


@pytest.mark.parametrize(("client", "document"), SERVER_TURNS)
def test_turns_of_a_providers_tools_alone_leave_no_prefill(client: Format, document: dict[str, Any]) -> None:
    """A model that is shown ``[empty]`` as its own last words goes on from there."""
    for upstream in UPSTREAMS:
        if upstream is not client:
            found = sent(client, upstream, document)
            turns = next(
                found.document[key] for key in ("messages", "input", "contents") if key in found.document
            )
            assert [turn["role"] for turn in turns] == ["user"]
            assert "left out" in " ".join(found.notes)


def test_pictures_of_a_model_are_not_shown_as_its_own() -> None:
    document = {
        "contents": [
            *contents({"text": "draw"})["contents"],
            {"role": "model", "parts": [{"text": "Here."}, IMAGE]},
            *contents({"text": "thanks"})["contents"],
        ]
    }
    for upstream in (A, C, R):
        found = sent(G, upstream, document)
        assert "iVBORw0KGgo=" not in json.dumps(found.document)
        assert found.notes == ["image of the model: left out, only users show them"]


CALLS = {
    "local_shell": ({"command": ["ls"]}, "action", {"type": "exec", "command": ["ls"], "env": {}}),
    "shell": ({"commands": ["ls", "pwd"]}, "action", {"commands": ["ls", "pwd"]}),
    "apply_patch": (
        {"type": "delete_file", "path": "a"},
        "operation",
        {"type": "delete_file", "path": "a", "diff": ""},
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("streaming", [True, False])
def test_openais_tools_that_the_client_runs_are_functions_elsewhere(name: str, streaming: bool) -> None:
    arguments, field, expected = CALLS[name]
    body = openai_chat.stream(
        openai_chat.delta(tool_calls=[openai_chat.call(0, "call_1", name, json.dumps(arguments))]),
        openai_chat.delta("tool_calls"),
    )
    tools = [{"type": name}]
    _, out = translated(R, C, body, streamed=True, streaming=streaming, tools=tools)
    clients.read(R, out, streaming=streaming)
    if streaming:
        lines = [json.loads(line[6:]) for line in out.decode().split("\n") if line.startswith("data: ")]
        (item,) = lines[-1]["response"]["output"]
    else:
        (item,) = json.loads(out)["output"]
    assert (item["type"], item["call_id"], item[field]) == (f"{name}_call", "call_1", expected)
    history = {"input": [HI, item, {"type": f"{name}_call_output", "call_id": "call_1", "output": "done"}]}
    for upstream in (A, C, G):
        for document in (history, {**history, "tools": tools}):
            text = json.dumps(sent(R, upstream, document).document)
            assert f'"name": "{name}"' in text and "done" in text


def test_a_function_of_the_same_name_stays_a_function() -> None:
    body = openai_chat.stream(
        openai_chat.delta(tool_calls=[openai_chat.call(0, "call_1", "shell", "{}")]),
        openai_chat.delta("tool_calls"),
    )
    tools = [{"type": "function", "name": "shell", "parameters": {"type": "object"}}]
    _, out = translated(R, C, body, streamed=True, streaming=False, tools=tools)
    assert [item["type"] for item in json.loads(out)["output"]] == ["function_call"]


def test_anthropics_computer_is_a_function_and_its_screen_an_image() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    shown = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    call = {"type": "tool_use", "id": "t", "name": "computer", "input": {"action": "screenshot"}}
    document = messages(
        HI,
        model_said(call),
        {"role": "user", "content": [shown]},
        tools=[
            {"type": "computer_20250124", "name": "computer", "display_width_px": 9, "display_height_px": 9}
        ],
    )
    for upstream in (C, R, G):
        text = json.dumps(sent(A, upstream, document).document)
        assert "left_click_drag" in text and "iVBORw0KGgo=" in text


def test_answer_schemas_in_all_their_dialects() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    google = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}
    asked = {
        A: messages(HI, output_config={"format": {"type": "json_schema", "schema": schema}}),
        C: {"messages": [HI], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        R: {"input": "hi", "text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}},
        G: contents({"text": "hi"}, generationConfig={"responseSchema": google}),
    }  # fmt: skip
    for client, document in asked.items():
        for upstream in UPSTREAMS:
            if upstream is client:
                continue
            written = sent(client, upstream, document).document
            found = {
                A: lambda d: d["output_config"]["format"]["schema"],
                C: lambda d: d["response_format"]["json_schema"]["schema"],
                R: lambda d: d["text"]["format"]["schema"],
                G: lambda d: d["generationConfig"]["responseJsonSchema"],
            }[upstream](written)
            assert (found["properties"], found["required"]) == (schema["properties"], ["a"])


def test_pictures_are_asked_of_hosts_that_may_make_them() -> None:
    document = contents({"text": "hi"}, generationConfig={"responseModalities": ["TEXT", "IMAGE"]})
    assert asks(G, C, document, model="google/gemini-image").document["modalities"] == ["text", "image"]
    assert isinstance(sent(C, R, {**MINIMAL[C], "modalities": ["text", "audio"]}), Refusal)


def test_an_image_that_a_chat_client_was_given_goes_back_to_google() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    drawn = {"role": "assistant", "content": "A cat.", "images": [image]}
    asked = {"messages": [HI, drawn, HI]}
    google = sent(C, G, asked)
    text, picture = google.document["contents"][1]["parts"]
    assert text == {"text": "A cat."}
    assert picture == {**IMAGE, "thoughtSignature": "skip_thought_signature_validator"}
    assert google.dropped() == []
    claude = sent(C, A, asked)
    assert claude.document["messages"][1]["content"] == [{"type": "text", "text": "A cat."}]
    assert claude.notes == ["image of the model: left out, only users show them"]
