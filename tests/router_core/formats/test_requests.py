"""What becomes of each thing that a request may ask for, by client and upstream."""

import json
import re
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.anthropic import cache_marks
from router_core.formats.translate import request, translatable
from router_core.providers.model import ModelInfo
from tests.router_core.formats.invariants import assert_holds, blocks_of
from tests.router_core.formats.translated import MINIMAL, UPSTREAMS, asks

A, C, R, G, L = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI, Format.OLLAMA
PNG = "iVBORw0KGgo="


def refused(
    client: Format, upstream: Format, document: dict[str, Any], model: str = "m", **more: Any
) -> Refusal:
    answer = request(client, upstream, Operation.GENERATE, document, model=model, stream=False, **more)
    assert isinstance(answer, Refusal), answer
    return answer


def user(client: Format, *parts: Any) -> dict[str, Any]:
    """A request of one user turn."""
    content = list(parts)
    match client:
        case Format.OPENAI_RESPONSES:
            return {"input": [{"type": "message", "role": "user", "content": content}]}
        case Format.GEMINI:
            return {"contents": [{"role": "user", "parts": content}]}
    return {**MINIMAL[client], "messages": [{"role": "user", "content": content}]}


IMAGES = {
    A: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    C: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    R: {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    G: {"inlineData": {"mimeType": "image/png", "data": PNG}},
}
PDFS = {
    A: {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "a.pdf",
    },
    C: {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    R: {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    G: {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
}


def unmarked(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without cache marks."""
    return [{key: value for key, value in block.items() if key != "cache_control"} for block in blocks]


def first_part(upstream: Format, document: dict[str, Any]) -> Any:
    match upstream:
        case Format.OPENAI_RESPONSES:
            return document["input"][0]["content"][0]
        case Format.GEMINI:
            return document["contents"][0]["parts"][0]
    return document["messages"][0]["content"][0]


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", UPSTREAMS)
@pytest.mark.parametrize("media", [IMAGES, PDFS], ids=["image", "pdf"])
def test_media_keep_their_type_and_bytes(client: Format, upstream: Format, media: dict[Format, Any]) -> None:
    if client is upstream:
        return
    written = first_part(upstream, asks(client, upstream, user(client, media[client])).document)
    expected = media[upstream]
    if client is G and media is PDFS:
        # Gemini has no file names.
        expected = json.loads(json.dumps(expected).replace("a.pdf", "file.pdf"))
        expected.pop("title", None)
    assert written == expected


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_images_by_url(upstream: Format) -> None:
    url = "https://a.test/cat.png?x=1"
    written = {
        A: {"type": "image", "source": {"type": "url", "url": url}},
        C: {"type": "image_url", "image_url": {"url": url}},
        R: {"type": "input_image", "image_url": url, "detail": "auto"},
        G: {"fileData": {"mimeType": "image/png", "fileUri": url}},
    }
    for client in UPSTREAMS:
        if client is not upstream:
            assert (
                first_part(upstream, asks(client, upstream, user(client, written[client])).document)
                == written[upstream]
            )


def test_what_cannot_be_expressed_is_refused() -> None:
    audio = user(C, {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}})
    for upstream in (A, R):
        assert refused(C, upstream, audio).code is Code.UNSUPPORTED
    part = first_part(G, asks(C, G, audio).document)
    assert part == {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}
    for upstream in (A, R):
        assert "n)" in refused(C, upstream, {**MINIMAL[C], "n": 2}).message
    assert asks(C, G, {**MINIMAL[C], "n": 2}).document["generationConfig"]["candidateCount"] == 2
    assert asks(G, C, {**MINIMAL[G], "generationConfig": {"candidateCount": 2}}).document["n"] == 2
    assert "logprobs" in refused(C, A, {**MINIMAL[C], "logprobs": True}).message
    for field in ("previous_response_id", "conversation", "prompt"):
        assert field in refused(R, A, {**MINIMAL[R], field: "x"}).message
    assert "background" in refused(R, A, {**MINIMAL[R], "background": True}).message
    assert "cachedContent" in refused(G, C, {**MINIMAL[G], "cachedContent": "cachedContents/x"}).message
    file_id = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    for upstream in (C, R, G):
        assert "file id" in refused(A, upstream, user(A, file_id)).message
    item = {"input": [{"type": "item_reference", "id": "msg_1"}]}
    assert refused(R, A, item).code is Code.UNSUPPORTED


def test_a_model_that_cannot_see_is_not_shown_images() -> None:
    blind = ModelInfo("m", capabilities=frozenset({"tools"}))
    unknown = ModelInfo("m")
    for client in UPSTREAMS:
        for upstream in UPSTREAMS:
            if client is not upstream:
                document = user(client, IMAGES[client])
                assert "image" in refused(client, upstream, document, model_info=blind).message
                asks(client, upstream, document, model_info=unknown)


@pytest.mark.parametrize(
    ("client", "document", "place"),
    [
        (A, {"messages": "hi"}, "messages: expected an array"),
        (A, {"messages": [{"role": "user", "content": "a"}, 5]}, "messages[1]: expected an object"),
        (A, {"messages": [{"role": "nobody", "content": "a"}]}, "messages[0].role"),
        (A, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text: expected a string"),
        (A, {**MINIMAL[A], "tools": [{"input_schema": {}}]}, "tools[0].name: expected a string"),
        (A, {**MINIMAL[A], "max_tokens": "9"}, "max_tokens: expected a number"),
        (C, {}, "messages: expected an array"),
        (C, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (C, {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        (C, {**MINIMAL[C], "tools": [{"type": "function"}]}, "tools[0].function"),
        (R, {"input": 5}, "input: expected an array"),
        (R, {"input": [{"type": "function_call", "call_id": "a"}]}, "input[0].name: expected a string"),
        (G, {"contents": "hi"}, "contents: expected an array"),
        (G, {"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (G, {"contents": [{"parts": [{"unheard": 1}]}]}, "contents[0].parts[0]: no known kind of part"),
        (L, {"messages": [{"role": "x"}]}, "messages[0].role"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(client: Format, document: dict[str, Any], place: str) -> None:
    for upstream in UPSTREAMS:
        if upstream is not client:
            answer = refused(client, upstream, document)
            assert answer.code is Code.INVALID_REQUEST
            assert place in answer.message


CHOICES = {
    "auto": ({"type": "auto"}, "auto", "auto", None),
    "none": ({"type": "none"}, "none", "none", {"mode": "NONE"}),
    "any": ({"type": "any"}, "required", "required", {"mode": "ANY"}),
    "one": (
        {"type": "tool", "name": "f"},
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f"},
        {"mode": "ANY", "allowedFunctionNames": ["f"]},
    ),
}


def with_tools(client: Format, choice: Any = None) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    if client is A:
        tools: list[Any] = [{"name": name, "input_schema": schema} for name in ("f", "g")]
    elif client is G:
        tools = [
            {"functionDeclarations": [{"name": name, "parametersJsonSchema": schema} for name in ("f", "g")]}
        ]
    elif client is R:
        tools = [
            {"type": "function", "name": name, "parameters": schema, "strict": False} for name in ("f", "g")
        ]
    else:
        tools = [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name in ("f", "g")
        ]
    document = {**MINIMAL[client], "tools": tools}
    if choice is None:
        return document
    if client is G:
        return {**document, "toolConfig": {"functionCallingConfig": choice}}
    return {**document, "tool_choice": choice}


@pytest.mark.parametrize("kind", CHOICES)
@pytest.mark.parametrize("client", UPSTREAMS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_tool_choice_in_all_dialects(client: Format, upstream: Format, kind: str) -> None:
    if client is upstream:
        return
    words = dict(zip(UPSTREAMS, CHOICES[kind], strict=True))
    written = asks(client, upstream, with_tools(client, words[client])).document
    if upstream is G:
        found = written.get("toolConfig", {}).get("functionCallingConfig")
    else:
        found = written.get("tool_choice")
    assert found == words[upstream] or (kind == "auto" and found is None)


def test_parallel_calls_can_be_forbidden() -> None:
    document = with_tools(A, {"type": "auto", "disable_parallel_tool_use": True})
    assert asks(A, C, document).document["parallel_tool_calls"] is False
    assert asks(A, R, document).document["parallel_tool_calls"] is False
    assert asks(A, G, document).dropped() == ["parallel_tool_calls"]
    written = asks(C, A, {**with_tools(C), "parallel_tool_calls": False}).document
    assert written["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_list_of_allowed_tools() -> None:
    allowed = {"mode": "auto", "tools": [{"type": "function", "name": "g"}]}
    document = with_tools(R, {"type": "allowed_tools", **allowed})
    assert [tool["name"] for tool in asks(R, A, document).document["tools"]] == ["g"]
    assert [tool["function"]["name"] for tool in asks(R, C, document).document["tools"]] == ["g"]
    (tools,) = asks(R, G, document).document["tools"]
    assert [tool["name"] for tool in tools["functionDeclarations"]] == ["g"]
    chat = with_tools(C, {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
        {"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}]}})  # fmt: skip
    assert asks(C, R, chat).document["tool_choice"]["mode"] == "auto"


def test_responses_tools_say_that_they_are_not_strict() -> None:
    """Left out, strict would be true, and the schema refused."""
    for client in (A, C, G):
        assert all(tool["strict"] is False for tool in asks(client, R, with_tools(client)).document["tools"])


@pytest.mark.parametrize("upstream", [A, C, G])
def test_custom_tools_become_functions_with_one_input(upstream: Format) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    tool = {"type": "custom", "name": "apply_patch", "description": "Edits files", "format": grammar}
    call = {
        "type": "custom_tool_call",
        "call_id": "call_1",
        "name": "apply_patch",
        "input": "*** Begin Patch",
    }
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"}
    document = {"input": [{"role": "user", "content": "hi"}, call, output], "tools": [tool]}
    text = json.dumps(asks(R, upstream, document).document).replace('\\"', '"')
    assert "start: /.+/" in text
    assert re.search(r'{"input": ?"\*\*\* Begin Patch"}', text)
    assert re.search(r'"input": {"(type|description)": "', text)


def test_namespaces_are_flattened_and_restored() -> None:
    inner = {
        "type": "function",
        "name": "search",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    tools = [
        {"type": "namespace", "name": name, "description": name, "tools": [inner]} for name in ("crm", "erp")
    ]
    call = {"type": "function_call", "call_id": "c1", "name": "search", "namespace": "erp", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    translated = asks(R, A, {"input": [{"role": "user", "content": "hi"}, call, output], "tools": tools})
    assert [tool["name"] for tool in translated.document["tools"]] == ["crm__search", "erp__search"]
    assert translated.document["messages"][1]["content"][0]["name"] == "erp__search"
    back = translated.context.tools["erp__search"]
    assert (back.name, back.namespace) == ("search", "erp")


@pytest.mark.parametrize("upstream", [C, R, G])
def test_a_text_that_was_cut_by_its_sources_is_one_again(upstream: Format) -> None:
    source = {"type": "web_search_result_location", "url": "https://a.test", "title": "A", "cited_text": "c"}
    pieces = [
        {"type": "text", "text": "According to the survey, "},
        {"type": "text", "text": "most do", "citations": [source | {"encrypted_index": "e"}]},
        {"type": "text", "text": ", and some do not."},
        {"type": "text", "text": "Shall I go on?"},
    ]
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": pieces}]
    translated = asks(A, upstream, {**MINIMAL[A], "messages": [*said, {"role": "user", "content": "yes"}]})
    document = json.dumps(translated.document)
    assert "According to the survey, most do, and some do not." in document
    assert "not.Shall" not in document
    assert translated.dropped() == ["messages[].content[text].citations"]


def test_a_computer_tool_says_how_large_its_display_is() -> None:
    tool = {
        "type": "computer_20250124",
        "name": "computer",
        "display_width_px": 1024,
        "display_height_px": 768,
        "display_number": 1,
    }
    translated = asks(A, C, {**MINIMAL[A], "tools": [tool]})
    function = translated.document["tools"][0]["function"]
    assert function["description"].endswith("The display is 1024 pixels wide and 768 high")
    assert translated.dropped() == ["tools[computer_20250124].display_number"]


def test_fields_that_nobody_reads_are_listed_by_their_places_once_and_in_order() -> None:
    tool = {"name": "look", "input_examples": [{}], "defer_loading": True, "eager_input_streaming": False}
    document = {"type": "document", "citations": {"enabled": True}, "title": "Sizes"}
    document["source"] = {
        "type": "content",
        "content": [
            {"type": "text", "text": "one"},
            {"type": "text", "text": "two", "citations": [{}]},
        ],
    }
    said = [{"role": "user", "content": [document, document]}]
    translated = asks(A, C, {**MINIMAL[A], "tools": [tool, tool | {"name": "seek"}], "messages": said})
    assert translated.dropped() == [
        "messages[].content[document].citations",
        "messages[].content[document].source.content[text].citations",
        "tools[].input_examples",
        "tools[].defer_loading",
    ]
    assert translated.document["messages"][-1]["content"].startswith("Sizes\none\ntwo\n\nSizes")


@pytest.mark.parametrize("within", ["message", "result"])
@pytest.mark.parametrize("upstream", [C, R, G])
def test_a_document_of_texts_and_images_is_carried_whole(upstream: Format, within: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    words = [{"type": "text", "text": text} for text in ("before", "it", "after")]
    pages = {"type": "content", "content": [*words[:2], image, words[2]]}
    document = {"type": "document", "title": "Sizes", "source": pages}
    said: list[dict[str, Any]] = [{"role": "user", "content": [document, words[0]]}]
    if within == "result":
        call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [document, words[0]]}
        said = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    translated = asks(A, upstream, {**MINIMAL[A], "messages": said})
    written = json.dumps(translated.document)
    places = [written.index(text) for text in ("Sizes\\nbefore\\nit", PNG, "after")]
    assert places == sorted(places) or (within == "result" and upstream in (C, G))
    assert [written.count(text) for text in ("Sizes", PNG, "after")] == [1, 1, 1]
    assert translated.dropped() == []


@pytest.mark.parametrize(
    ("model", "thinks", "kept"),
    [
        ("claude-sonnet-4-5", False, True),
        ("claude-sonnet-4-5", True, False),
        ("claude-opus-4-6", False, False),
        ("minimax-m2", False, True),
    ],
)
def test_a_beginning_of_the_answer_is_for_models_that_take_it(model: str, thinks: bool, kept: bool) -> None:
    said = [{"role": "user", "content": "List them."}, {"role": "assistant", "content": "1. "}]
    more = {"reasoning_effort": "low"} if thinks else {}
    translated = asks(C, A, {"messages": said, **more}, model=model)
    *_, before, last = translated.document["messages"]
    if kept:
        assert last == {"role": "assistant", "content": "1."}
        assert translated.notes == []
    else:
        assert before["role"] == "assistant"
        assert last["role"] == "user"
        assert translated.notes == ["prefill: the model takes none and is asked to go on"]


MIDDLE = {
    "messages": [*[{"role": role, "content": role} for role in ("user", "assistant", "system", "user")]]
}
LIST = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
FUNCTIONS = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in "fg"]


@pytest.mark.parametrize(
    ("client", "document", "noted"),
    [
        (C, MIDDLE, {A: "system turns in the conversation: reminders in the user's turns", R: None}),
        (C, {"messages": MIDDLE["messages"][:2]}, {R: "prefill: an ordinary turn of the model's", A: None}),
        (
            R,
            {"input": "hi", "tools": FUNCTIONS, "tool_choice": LIST},
            dict.fromkeys((A, C, G), "allowed tools: only these are offered"),
        ),
        (
            R,
            {"input": [{"type": "compaction_trigger"}]},
            dict.fromkeys((A, C, G), "compaction: a summary in words"),
        ),
    ],
)
def test_what_is_approximated_is_noted(
    client: Format, document: dict[str, Any], noted: dict[Format, str | None]
) -> None:
    for upstream, note in noted.items():
        assert asks(client, upstream, document).notes == ([note] if note else [])


def test_what_a_file_by_url_says_beside_it_is_listed() -> None:
    source = {"type": "url", "url": "https://a.test/x.pdf"}
    document = {"type": "document", "source": source, "title": "T", "context": "C"}
    assert asks(A, R, user(A, document)).dropped() == ["context", "file name"]


def test_a_search_that_google_cannot_be_made_to_do_is_noted() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    forced = {"tools": [search], "tool_choice": {"type": "tool", "name": "web_search"}}
    written = asks(A, G, {**MINIMAL[A], **forced}, model="gemini-3-pro-preview")
    assert written.document["tools"] == [{"googleSearch": {}}]
    assert written.notes == ["tool choice: Google's own tools are not forced"]


def test_a_source_of_another_kind_is_refused() -> None:
    document = {"type": "document", "source": {"type": "vault", "key": "x"}}
    refusal = refused(A, C, user(A, document))
    assert refusal.code is Code.UNSUPPORTED
    assert "a document whose source is of type vault" in refusal.message


def test_tools_that_a_client_of_anthropic_runs_become_functions() -> None:
    tools = [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    ]
    translated = asks(A, C, {**MINIMAL[A], "tools": tools})
    names = [tool["function"]["name"] for tool in translated.document["tools"]]
    assert names == ["bash", "str_replace_based_edit_tool"]
    assert translated.dropped() == [
        "tools[web_search_20250305]",
        "tools[text_editor_20250728].max_characters",
    ]
    assert "command" in translated.document["tools"][0]["function"]["parameters"]["properties"]


def test_web_search_is_web_search_where_the_provider_has_one() -> None:
    document = {
        **MINIMAL[A],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.test"]}],
    }
    assert asks(A, R, document).document["tools"] == [
        {"type": "web_search", "filters": {"allowed_domains": ["a.test"]}}
    ]
    assert asks(A, G, document).document["tools"] == [{"googleSearch": {}}]
    back = {**MINIMAL[R], "tools": [{"type": "web_search"}]}
    written = asks(R, A, back, model="claude-sonnet-4-5").document
    assert unmarked(written["tools"]) == [{"type": "web_search_20250305", "name": "web_search"}]
    assert asks(R, A, back, model="glm-4.7").dropped() == ["tools[web_search]"]
    forced = {**document, "tool_choice": {"type": "any"}}
    assert "runs at another provider" in refused(A, C, forced).message


@pytest.mark.parametrize(
    ("first", "kept"),
    [
        ({"type": "web_search_preview"}, {"type": "web_search_20250305", "name": "web_search"}),
        (
            {"type": "function", "name": "web_search", "parameters": {}},
            {"name": "web_search", "input_schema": {"type": "object", "properties": {}}},
        ),
    ],
)
def test_anthropic_takes_each_name_of_a_tool_once(first: dict[str, Any], kept: dict[str, Any]) -> None:
    written = asks(R, A, {"input": "hi", "tools": [first, {"type": "web_search"}]}, model="claude-opus-4-5")
    [tool] = written.document["tools"]
    assert {key: tool[key] for key in kept} == kept
    assert written.dropped() == ["tools[web_search]"]


def test_anthropic_wants_the_tools_of_earlier_calls_defined() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]  # fmt: skip
    written = asks(C, A, {"messages": messages}).document
    assert unmarked(written["tools"]) == [{"name": "f", "input_schema": {"type": "object"}}]
    assert written["tool_choice"] == {"type": "none"}


SYSTEM = {
    A: {"system": [{"type": "text", "text": "Be brief."}], **MINIMAL[A]},
    C: {"messages": [{"role": "developer", "content": "Be brief."}, *MINIMAL[C]["messages"]]},
    R: {"instructions": "Be brief.", **MINIMAL[R]},
    G: {"system_instruction": {"parts": [{"text": "Be brief."}]}, **MINIMAL[G]},
    L: {"messages": [{"role": "system", "content": "Be brief."}, *MINIMAL[L]["messages"]]},
}


@pytest.mark.parametrize("client", SYSTEM)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_system_text_is_where_the_upstream_wants_it(client: Format, upstream: Format) -> None:
    if client is upstream:
        return
    written = asks(client, upstream, SYSTEM[client]).document
    match upstream:
        case Format.ANTHROPIC:
            assert written["system"] == [{"type": "text", "text": "Be brief."}]
        case Format.OPENAI_CHAT:
            assert written["messages"][0] == {"role": "system", "content": "Be brief."}
        case Format.OPENAI_RESPONSES:
            assert written["instructions"] == "Be brief."
        case Format.GEMINI:
            assert written["systemInstruction"] == {"parts": [{"text": "Be brief."}]}


def test_a_system_turn_in_the_middle_keeps_its_place() -> None:
    turns = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "system", "content": "From now on in French."},
        {"role": "user", "content": "three"},
    ]
    written = asks(C, A, {"messages": turns}).document["messages"]
    assert [m["role"] for m in written] == ["user", "assistant", "user"]
    assert "From now on in French." in written[2]["content"][0]["text"]
    assert written[2]["content"][1]["text"] == "three"
    written = asks(C, G, {"messages": turns}).document["contents"]
    assert "From now on in French." in written[2]["parts"][0]["text"]
    items = asks(A, R, {"max_tokens": 99, "messages": turns}).document["input"]
    assert [item["role"] for item in items] == ["user", "assistant", "developer", "user"]
    assert [m["role"] for m in asks(A, C, {"max_tokens": 9, "messages": turns}).document["messages"]] == [
        "user",
        "assistant",
        "system",
        "user",
    ]


def test_claude_codes_billing_header_stays_with_anthropic() -> None:
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc=1"},
        {"type": "text", "text": "You are."},
    ]
    for upstream in (C, R, G):
        text = json.dumps(asks(A, upstream, {**MINIMAL[A], "system": system}).document)
        assert "billing" not in text
        assert "You are." in text


def test_empty_turns_and_texts_do_not_reach_anthropic() -> None:
    messages = [
        {"role": "assistant", "content": "earlier"},
        {"role": "user", "content": ""},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "three \n"},
    ]
    written = asks(C, A, {"messages": messages}).document["messages"]
    assert [m["role"] for m in written] == ["user", "assistant", "user", "assistant"]
    assert [b["text"] for b in written[2]["content"]] == ["one", "two"]
    assert blocks_of(written[3])[-1]["text"] == "three"


def test_white_space_between_texts_keeps_words_apart_at_anthropic() -> None:
    texts = ["The first.", " ", "The second.", "\n\n"]
    message = {"type": "message", "role": "assistant"}
    content = [{"type": "output_text", "text": text} for text in texts]
    user = {"role": "user", "content": "hi"}
    document = asks(R, A, {"input": [user, {**message, "content": content}, user]}).document
    assert "".join(b["text"] for b in document["messages"][1]["content"]) == "The first. The second.\n\n"
    assert all(b["text"].strip() for b in document["messages"][1]["content"])


def test_a_conversation_of_system_text_alone_has_a_users_turn() -> None:
    written = asks(C, A, {"messages": [{"role": "system", "content": "Say hi."}]}).document
    assert written["messages"][0]["role"] == "user"


RESULTS = [
    pytest.param("plain", False, id="text"),
    pytest.param("it broke", True, id="error"),
    pytest.param('{"a": [1, 2]}', False, id="JSON"),
    pytest.param("", False, id="nothing"),
]


@pytest.mark.parametrize(("text", "error"), RESULTS)
@pytest.mark.parametrize("upstream", [C, R, G])
def test_tool_results_there_and_back(upstream: Format, text: str, error: bool) -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": text,
        **({"is_error": True} if error else {}),
    }
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}],
        },
        {"role": "user", "content": [result, {"type": "text", "text": "and?"}]},
    ]
    there = asks(A, upstream, {**with_tools(A), "messages": messages}, model="gemini-3-pro").document
    back = asks(upstream, A, there, model="claude-opus-4-5").document["messages"]
    assert [{**message, "content": unmarked(blocks_of(message))} for message in back] == messages


@pytest.mark.parametrize("upstream", [C, R, G])
def test_images_in_tool_results_are_not_lost(upstream: Format) -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "a screenshot"}, IMAGES[A]],
    }
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    for model in ("gemini-2.5-flash", "gemini-3-pro"):
        document = asks(A, upstream, {**with_tools(A), "messages": messages}, model=model).document
        assert PNG in json.dumps(document)
    if upstream is C:
        assert [m["role"] for m in document["messages"]] == ["user", "assistant", "tool", "user"]
        assert isinstance(document["messages"][2]["content"], str)
    if upstream is G:
        assert document["contents"][2]["parts"][0]["functionResponse"]["parts"] == [IMAGES[G]]


def test_limits_and_sampling() -> None:
    chat = {
        **MINIMAL[C],
        "max_tokens": 100,
        "temperature": 1.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop": "X",
        "seed": 7,
        "presence_penalty": 1,
    }
    claude = asks(C, A, chat, model="claude-sonnet-4-5")
    assert claude.document["max_tokens"] == 100
    assert claude.document["temperature"] == 1
    assert "top_p" not in claude.document
    assert claude.document["top_k"] == 5
    assert claude.document["stop_sequences"] == ["X"]
    assert set(claude.dropped()) == {"top_p", "seed", "presence_penalty"}
    new = asks(C, A, chat, model="claude-opus-4-8")
    assert not {"temperature", "top_p", "top_k"} & new.document.keys()
    assert asks(C, G, chat).document["generationConfig"] == {
        "temperature": 1.5, "topP": 0.9, "topK": 5, "seed": 7, "presencePenalty": 1, "maxOutputTokens": 100, "stopSequences": ["X"],
    }  # fmt: skip
    responses = asks(C, R, chat, model="gpt-4o")
    assert responses.document["max_output_tokens"] == 100
    assert responses.context.stop == ["X"]
    assert asks(C, R, {**chat, "max_tokens": 5}).document["max_output_tokens"] == 16


FORMATS: dict[str, Any] = {
    "json": {"type": "json_object"},
    "schema": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
}


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    ("model", "choice", "in_words"),
    [
        ("gemini-2.5-flash", "auto", True),
        ("gemini-3-pro-preview", "auto", False),
        ("gemini-3-pro-preview", "required", True),
        ("gemini-2.5-flash", None, False),
    ],
)
def test_google_takes_functions_and_a_format_of_the_answer_apart(
    model: str, choice: str | None, in_words: bool, format_: Any
) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    tools = {"tools": [function], "tool_choice": choice} if choice else {}
    system = {"role": "system", "content": "Be kind."}
    asked = {"messages": [system, *MINIMAL[C]["messages"]], "response_format": format_, **tools}
    written = asks(C, G, asked, model=model)
    told = [part["text"] for part in written.document["systemInstruction"]["parts"]]
    assert ("responseMimeType" in written.document.get("generationConfig", {})) is not in_words
    assert told[0] == "Be kind."
    assert (len(told) == 2 and "JSON" in told[1]) is in_words
    assert written.notes == (["response format: asked for in words"] if in_words else [])


@pytest.mark.parametrize(("model", "kept"), [("gemini-2.0-flash", True), ("gemini-2.5-pro", False)])
def test_google_takes_no_penalties_any_more(model: str, kept: bool) -> None:
    written = asks(C, G, {**MINIMAL[C], "presence_penalty": 0.5, "frequency_penalty": 0}, model=model)
    assert ("presencePenalty" in written.document.get("generationConfig", {})) is kept
    assert written.dropped() == ([] if kept else ["presence_penalty"])


def test_mistrals_seed_is_a_seed() -> None:
    written = asks(C, G, {**MINIMAL[C], "random_seed": 7})
    assert written.document["generationConfig"]["seed"] == 7
    assert written.dropped() == []


def test_the_token_limit_is_named_as_the_host_knows_it() -> None:
    for model, field in (
        ("gpt-5.2", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("kimi-k2", "max_tokens"),
        ("openai/gpt-oss-20b", "max_tokens"),
    ):
        assert asks(A, C, MINIMAL[A], model=model).document[field] == 99
    limited = ModelInfo("m", max_output_tokens=50)
    assert asks(A, C, MINIMAL[A], model="m", model_info=limited).document["max_tokens"] == 50


@pytest.mark.parametrize(
    ("model", "info", "limit"),
    [
        ("claude-sonnet-4-5", None, 32000),
        ("claude-3-5-haiku-20241022", None, 8192),
        ("claude-3-haiku-20240307", None, 4096),
        ("claude-sonnet-4-5", ModelInfo("m", max_output_tokens=64000), 64000),
        ("glm-4.7", None, 8192),
    ],
)
def test_anthropic_needs_a_token_limit(model: str, info: ModelInfo | None, limit: int) -> None:
    assert asks(C, A, MINIMAL[C], model=model, model_info=info).document["max_tokens"] == limit


def test_openai_reasoning_models_take_no_sampling_and_no_stops() -> None:
    translated = asks(A, C, {**MINIMAL[A], "temperature": 0.5, "stop_sequences": ["X"]}, model="gpt-5.2")
    assert not {"temperature", "stop"} & translated.document.keys()
    assert "temperature" in translated.dropped()
    assert translated.context.stop == ["X"]


@pytest.mark.parametrize("upstream", [C, R])
def test_openais_models_that_are_not_to_reason_take_sampling(upstream: Format) -> None:
    thinking = {"thinking": {"type": "disabled"}, "temperature": 0.5, "top_p": 0.9}
    translated = asks(A, upstream, {**MINIMAL[A], **thinking}, model="gpt-5.2")
    assert (translated.document["temperature"], translated.document["top_p"]) == (0.5, 0.9)
    assert translated.dropped() == []
    # This one always reasons.
    assert asks(A, upstream, {**MINIMAL[A], **thinking}, model="o3").dropped() == ["temperature", "top_p"]


def test_openai_fields_pass_between_its_formats_and_end_elsewhere() -> None:
    fields = {"prompt_cache_key": "k", "metadata": {"a": "b"}, "safety_identifier": "s"}
    assert fields.items() <= asks(C, R, {**MINIMAL[C], **fields}).document.items()
    assert fields.items() <= asks(R, C, {**MINIMAL[R], **fields}).document.items()
    assert set(fields) <= set(asks(C, A, {**MINIMAL[C], **fields}).dropped())


def test_fields_that_nobody_knows_are_listed() -> None:
    assert asks(A, C, {**MINIMAL[A], "diagnostics": {}, "context_management": {"edits": []}}).dropped() == [
        "diagnostics",
        "context_management",
    ]
    named = {"messages": [{"role": "user", "content": "hi", "name": "Ann"}], "logit_bias": {"1": 2}}
    assert set(asks(C, A, named).dropped()) == {"logit_bias", "messages[].name"}


def test_streaming_upstreams_are_asked_for_usage() -> None:
    written = request(A, C, Operation.GENERATE, MINIMAL[A], model="m", stream=True)
    assert not isinstance(written, Refusal)
    assert written.document["stream"] is True
    assert written.document["stream_options"] == {"include_usage": True}


def test_token_counts_are_asked_for_without_what_belongs_to_an_answer() -> None:
    counted = request(G, A, Operation.COUNT_TOKENS, MINIMAL[G], model="claude-opus-4-5", stream=False)
    assert not isinstance(counted, Refusal)
    assert counted.document.keys() == {"model", "messages"}
    counted = request(A, G, Operation.COUNT_TOKENS, MINIMAL[A], model="gemini-2.5-pro", stream=False)
    assert not isinstance(counted, Refusal)
    assert counted.document["generateContentRequest"]["model"] == "models/gemini-2.5-pro"
    wrapped = {"generateContentRequest": {"model": "models/m", **MINIMAL[G]}}
    assert not isinstance(request(G, A, Operation.COUNT_TOKENS, wrapped, model="m", stream=False), Refusal)


def test_what_can_be_translated() -> None:
    assert all(
        translatable(c, u, Operation.GENERATE) is (c is not u) for c in (*UPSTREAMS, L) for u in UPSTREAMS
    )
    assert not any(translatable(client, L, Operation.GENERATE) for client in (*UPSTREAMS, L))
    assert translatable(A, G, Operation.COUNT_TOKENS)
    assert not translatable(A, C, Operation.COUNT_TOKENS)
    assert translatable(C, G, Operation.EMBEDDINGS)
    assert not translatable(C, A, Operation.EMBEDDINGS)
    assert not translatable(R, A, Operation.COMPACT)


def test_of_too_many_cache_marks_those_go_that_cover_least() -> None:
    """The last of system and tools cover all before them."""
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [{"text": "a"} | mark, {"text": "b"} | mark]
    tools = [{"name": name} | mark for name in "fg"]
    messages = [{"role": "user", "content": [{"text": text} | mark]} for text in "cde"]
    said = [block for message in messages for block in message["content"]]
    cache_marks.limit_marks({"tools": tools}, system, messages, list(said))
    assert ["cache_control" in block for block in (*system, *tools, *said)] == [
        False, True, False, True, False, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("upstream", [A, R, G])
def test_a_system_text_alone_is_a_whole_request(upstream: Format) -> None:
    translated = asks(C, upstream, {"messages": [{"role": "developer", "content": "Say hello."}]})
    assert_holds(upstream, translated.document)
    assert "Say hello." in str(translated.document)
