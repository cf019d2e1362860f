"""Answers and conversations made up at random, and such with one odd value, translated between all formats."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from router_core.errors import Code
from router_core.formats import Format, Operation
from router_core.formats.answer import AnswerEvents
from router_core.formats.context import Context
from router_core.formats.translate import TranslatedRequest, request
from router_core.sse import Event
from tests.router_core.formats import clients
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import CLIENTS, UPSTREAMS, translated

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
MODELS = {A: "claude-sonnet-4-5", C: "kimi-k2", R: "gpt-5.2", G: "gemini-3-pro-preview"}
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS if client is not upstream]
DOCUMENTED = [pair for pair in PAIRS if pair[0] is not Format.OLLAMA]
"""Pairs whose client's requests are made up here."""

# Visible text: what is white space alone, some formats leave out. Tags of reasoning are another test's.
words = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<"), min_size=1, max_size=12
)
texts = words.map(lambda text: f"a{text}b")
names = st.from_regex(r"[a-z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.just("") | st.just(0.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(texts, values, max_size=3)


@dataclass(frozen=True)
class Said:
    """A model's answer: parts in any order, thinking first as all formats have it."""

    thinking: str
    parts: list[tuple[str, Any]]
    """("text", str) or ("call", (name, arguments))."""

    @property
    def text(self) -> str:
        return "".join(value for kind, value in self.parts if kind == "text")

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [value for kind, value in self.parts if kind == "call"]


parts = st.tuples(st.just("text"), texts) | st.tuples(st.just("call"), st.tuples(names, arguments))
answers = st.builds(Said, st.just("") | texts, st.lists(parts, min_size=1, max_size=5))


def pieces(data: st.DataObject, text: str) -> list[str]:
    """`text` cut at random."""
    found = []
    while text:
        size = data.draw(st.integers(1, len(text)))
        found.append(text[:size])
        text = text[size:]
    return found


def stream(upstream: Format, said: Said, data: st.DataObject) -> bytes:
    events = _STREAMS[upstream](said, data)
    named = upstream in (A, R)
    lines = [(f"event: {e['type']}\n" if named else "") + f"data: {json.dumps(e)}\n\n" for e in events]
    return "".join([*lines, "data: [DONE]\n\n" if upstream is C else ""]).encode()


def _anthropic(said: Said, data: st.DataObject) -> list[dict[str, Any]]:
    usage = {"input_tokens": 5, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, "usage": usage}}]
    index = 0

    def block(opening: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        nonlocal index
        events.append({"type": "content_block_start", "index": index, "content_block": opening})
        for delta in deltas:
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
            if data.draw(st.booleans()):
                events.append({"type": "ping"})
        events.append({"type": "content_block_stop", "index": index})
        index += 1

    if said.thinking:
        deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(data, said.thinking)]
        block(
            {"type": "thinking", "thinking": ""}, [*deltas, {"type": "signature_delta", "signature": "Ep=="}]
        )
    for number, (kind, value) in enumerate(said.parts):
        if kind == "text":
            block(
                {"type": "text", "text": ""}, [{"type": "text_delta", "text": p} for p in pieces(data, value)]
            )
        else:
            cut = pieces(data, json.dumps(value[1])) if value[1] or data.draw(st.booleans()) else []
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in cut]
            block({"type": "tool_use", "id": f"toolu_{number}", "name": value[0], "input": {}}, deltas)
    delta = {"stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


def _chat(said: Said, data: st.DataObject) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": p} for p in pieces(data, said.thinking)]
    count = 0
    for kind, value in said.parts:
        if kind == "text":
            deltas += [{"content": p} for p in pieces(data, value)]
        else:
            head = {"index": count, "id": f"call_{count}", "type": "function"}
            cut = pieces(data, json.dumps(value[1]))
            whole = data.draw(st.booleans())
            first = "".join(cut) if whole else ""
            deltas.append({"tool_calls": [{**head, "function": {"name": value[0], "arguments": first}}]})
            for piece in [] if whole else cut:
                deltas.append({"tool_calls": [{"index": count, "function": {"arguments": piece}}]})
            count += 1
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [{**base, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    finish = "tool_calls" if count else "stop"
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    end = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    return [*chunks, end, {**base, "choices": [], "usage": usage}]


def _responses(said: Said, data: st.DataObject) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = []
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
    events.append(
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    )

    def item(opening: dict[str, Any], done: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        where = {"output_index": len(output), "item_id": opening["id"]}
        events.append({"type": "response.output_item.added", "output_index": len(output), "item": opening})
        events.extend({**delta, **where} for delta in deltas)
        events.append({"type": "response.output_item.done", "output_index": len(output), "item": done})
        output.append(done)

    if said.thinking:
        opening = {"id": "rs_1", "type": "reasoning", "summary": []}
        done = {**opening, "summary": [{"type": "summary_text", "text": said.thinking}]}
        name = "response.reasoning_summary_text.delta"
        deltas = [{"type": name, "delta": p, "summary_index": 0} for p in pieces(data, said.thinking)]
        item(opening, {**done, "encrypted_content": "gAAAAAB"}, deltas if data.draw(st.booleans()) else [])
    for number, (kind, value) in enumerate(said.parts):
        if kind == "text":
            opening = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": []}
            part = {"type": "output_text", "text": value, "annotations": []}
            deltas = [
                {"type": "response.output_text.delta", "delta": p, "content_index": 0}
                for p in pieces(data, value)
            ]
            item(opening, {**opening, "content": [part]}, deltas if data.draw(st.booleans()) else [])
        else:
            opening = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}"}
            opening |= {"name": value[0], "arguments": ""}
            text = json.dumps(value[1])
            name = "response.function_call_arguments.delta"
            deltas = [{"type": name, "delta": p} for p in pieces(data, text)]
            item(opening, {**opening, "arguments": text}, deltas if data.draw(st.booleans()) else [])
    usage = {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}
    done = {**response, "status": "completed", "output": output, "usage": usage}
    return [*events, {"type": "response.completed", "response": done}]


def _gemini(said: Said, data: st.DataObject) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": p, "thought": True} for p in pieces(data, said.thinking)]
    for kind, value in said.parts:
        if kind == "text":
            parts += [{"text": p} for p in pieces(data, value)]
        else:
            parts.append({"functionCall": {"name": value[0], **({"args": value[1]} if value[1] else {})}})
    chunks: list[list[dict[str, Any]]] = []
    while parts:
        size = data.draw(st.integers(1, len(parts)))
        chunks.append(parts[:size])
        parts = parts[size:]
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14}
    events: list[dict[str, Any]] = [
        {"candidates": [{"content": {"role": "model", "parts": chunk}}], "usageMetadata": usage}
        for chunk in chunks
    ]
    events[-1]["candidates"][0]["finishReason"] = "STOP"
    return events


_STREAMS = {A: _anthropic, C: _chat, R: _responses, G: _gemini}


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(pair=st.sampled_from(PAIRS), said=answers, data=st.data(), streaming=st.booleans())
def test_an_answer(pair: tuple[Format, Format], said: Said, data: st.DataObject, streaming: bool) -> None:
    client, upstream = pair
    body = stream(upstream, said, data)
    status, out = translated(client, upstream, body, streamed=True, streaming=streaming, step=7)
    assert status == 200
    if client is Format.OLLAMA:
        lines = [json.loads(line) for line in out.split(b"\n") if line]
        assert "".join(line["message"]["content"] for line in lines) == said.text
        return
    read = clients.read(client, out, streaming=streaming)
    assert read.text == said.text
    assert read.calls == said.calls
    assert read.reasoning == said.thinking
    assert read.stop == ("tools" if said.calls else "end")
    assert (read.prompt, read.output) == (5, 9)


@dataclass(frozen=True)
class Talk:
    system: str
    turns: list[tuple[str, Said, list[str]]]
    """(what the user says, what the model answers, the results of its calls)."""
    last: str


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    turns = []
    for _ in range(draw(st.integers(0, 3))):
        said = draw(answers)
        turns.append((draw(texts), said, [draw(texts | st.just("")) for _ in said.calls]))
    return Talk(draw(texts | st.just("")), turns, draw(texts))


def document(client: Format, talk: Talk) -> dict[str, Any]:
    return _DOCUMENTS[client](talk)


def _names(talk: Talk) -> list[str]:
    return list(dict.fromkeys(name for _, said, _ in talk.turns for name, _ in said.calls))


def _anthropic_document(talk: Talk) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for n, (asked, said, results) in enumerate(talk.turns):
        messages.append({"role": "user", "content": asked})
        blocks = [
            {"type": "text", "text": value}
            if kind == "text"
            else {"type": "tool_use", "id": f"t{n}_{i}", "name": value[0], "input": value[1]}
            for i, (kind, value) in enumerate(said.parts)
        ]
        messages.append({"role": "assistant", "content": blocks})
        ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
        found = [
            {"type": "tool_result", "tool_use_id": id, "content": text}
            for id, text in zip(ids, results, strict=True)
        ]
        if found:
            messages.append({"role": "user", "content": found})
            messages.append({"role": "assistant", "content": "Done."})
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in _names(talk)]
    messages.append({"role": "user", "content": talk.last})
    return {
        "max_tokens": 99,
        "system": talk.system,
        "messages": messages,
        **({"tools": tools} if tools else {}),
    }


def _chat_document(talk: Talk) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": talk.system}] if talk.system else []
    for n, (asked, said, results) in enumerate(talk.turns):
        messages.append({"role": "user", "content": asked})
        calls = [
            {
                "id": f"t{n}_{i}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for i, (name, given) in enumerate(said.calls)
        ]
        message = {"role": "assistant", "content": said.text or None}
        messages.append({**message, **({"tool_calls": calls} if calls else {})})
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": text}
            for call, text in zip(calls, results, strict=True)
        ]
        if calls:
            messages.append({"role": "assistant", "content": "Done."})
    tools = [{"type": "function", "function": {"name": name}} for name in _names(talk)]
    messages.append({"role": "user", "content": talk.last})
    return {"messages": messages, **({"tools": tools} if tools else {})}


def _responses_document(talk: Talk) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for n, (asked, said, results) in enumerate(talk.turns):
        items.append({"role": "user", "content": asked})
        ids = []
        for i, (kind, value) in enumerate(said.parts):
            if kind == "text":
                content = [{"type": "output_text", "text": value}]
                items.append({"type": "message", "role": "assistant", "content": content})
            else:
                ids.append(f"t{n}_{i}")
                call = {"type": "function_call", "call_id": ids[-1], "name": value[0]}
                items.append({**call, "arguments": json.dumps(value[1])})
        items += [
            {"type": "function_call_output", "call_id": id, "output": text}
            for id, text in zip(ids, results, strict=True)
        ]
        if ids:
            items.append({"role": "assistant", "content": "Done."})
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in _names(talk)]
    items.append({"role": "user", "content": talk.last})
    return {"instructions": talk.system, "input": items, **({"tools": tools} if tools else {})}


def _gemini_document(talk: Talk) -> dict[str, Any]:
    contents: list[dict[str, Any]] = []
    for asked, said, results in talk.turns:
        contents.append({"role": "user", "parts": [{"text": asked}]})
        parts = [
            {"text": value} if kind == "text" else {"functionCall": {"name": value[0], "args": value[1]}}
            for kind, value in said.parts
        ]
        contents.append({"role": "model", "parts": parts})
        found = [
            {"functionResponse": {"name": name, "response": {"output": text}}}
            for (name, _), text in zip(said.calls, results, strict=True)
        ]
        if found:
            contents.append({"role": "user", "parts": found})
            contents.append({"role": "model", "parts": [{"text": "Done."}]})
    declarations = [{"name": name, "description": name} for name in _names(talk)]
    contents.append({"role": "user", "parts": [{"text": talk.last}]})
    tools = {"tools": [{"functionDeclarations": declarations}]} if declarations else {}
    system = {"systemInstruction": {"parts": [{"text": talk.system}]}} if talk.system else {}
    return {"contents": contents, **system, **tools}


_DOCUMENTS = {A: _anthropic_document, C: _chat_document, R: _responses_document, G: _gemini_document}


def meant(format: Format, document: dict[str, Any]) -> Any:
    """What is said in `document`, in order and whatever its format: (who, what)."""
    return _MEANT[format](document)


def _anthropic_meant(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for message in document["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match block["type"]:
                case "text":
                    found.append((message["role"], block["text"]))
                case "tool_use":
                    found.append(("call", block["name"], block["input"]))
                case "tool_result":
                    found.append(("result", block["content"]))
    return found


def _chat_meant(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for message in document["messages"]:
        match message["role"]:
            case "tool":
                found.append(("result", message["content"]))
            case "user" | "assistant":
                content = message["content"] or []
                texts = [content] if isinstance(content, str) else [part["text"] for part in content]
                found += [(message["role"], text) for text in texts]
                for call in message.get("tool_calls", ()):
                    function = call["function"]
                    found.append(("call", function["name"], json.loads(function["arguments"])))
    return found


def _responses_meant(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for item in document["input"]:
        match item.get("type", "message"):
            case "message":
                content = item["content"]
                texts = [content] if isinstance(content, str) else [part["text"] for part in content]
                found += [(item["role"], text) for text in texts]
            case "function_call":
                found.append(("call", item["name"], json.loads(item["arguments"])))
            case "function_call_output":
                found.append(("result", item["output"]))
    return found


def _gemini_meant(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for content in document["contents"]:
        role = "assistant" if content["role"] == "model" else "user"
        for part in content["parts"]:
            if "text" in part:
                found.append((role, part["text"]))
            elif "functionCall" in part:
                found.append(("call", part["functionCall"]["name"], part["functionCall"]["args"]))
            else:
                found.append(("result", part["functionResponse"]["response"]["output"]))
    return found


_MEANT = {A: _anthropic_meant, C: _chat_meant, R: _responses_meant, G: _gemini_meant}


def normal(said: list[Any]) -> list[Any]:
    """Texts of one speaker joined, and calls after the texts of their turn, as Chat Completions have it."""
    found: list[Any] = []
    for entry in said:
        if entry[0] in ("user", "assistant"):
            place = len(found)
            while place and entry[0] == "assistant" and found[place - 1][0] == "call":
                place -= 1
            if place and found[place - 1][0] == entry[0]:
                found[place - 1] = (entry[0], found[place - 1][1] + entry[1])
            else:
                found.insert(place, entry)
        else:
            found.append(entry)
    return [
        (who, *((text.replace("\n", ""),) if who in ("user", "assistant") else (text,)), *rest)
        for who, text, *rest in found
    ]


def asks(client: Format, upstream: Format, given: dict[str, Any]) -> dict[str, Any]:
    found = request(client, upstream, Operation.GENERATE, given, model=MODELS[upstream], stream=False)
    assert isinstance(found, TranslatedRequest), found
    return found.document


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(pair=st.sampled_from(DOCUMENTED), talk=talks())
def test_a_conversation_there_and_back(pair: tuple[Format, Format], talk: Talk) -> None:
    client, upstream = pair
    asked = document(client, talk)
    there = asks(client, upstream, asked)
    assert_conforms(upstream, there)
    assert_holds(upstream, there)
    assert normal(meant(upstream, there)) == normal(meant(client, asked))
    back = asks(upstream, client, there)
    assert_holds(client, back)
    assert normal(meant(client, back)) == normal(meant(client, asked))


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value inside of `value`."""
    found = [place] if place else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [way for key, item in inner for way in places(item, (*place, key))]


odd = st.sampled_from(
    [None, True, 0, -1, 0.5, "", "odd", [], {}, [None], [1], ["odd"], {"type": "odd"}, [{}]]
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(pair=st.sampled_from(DOCUMENTED), talk=talks(), data=st.data(), value=odd)
def test_a_request_with_one_odd_value_is_valid_for_the_upstream_or_refused(
    pair: tuple[Format, Format], talk: Talk, data: st.DataObject, value: Any
) -> None:
    client, upstream = pair
    asked = document(client, talk)
    *way, last = data.draw(st.sampled_from(places(asked)))
    inner: Any = asked
    for key in way:
        inner = inner[key]
    inner[last] = value
    found = request(client, upstream, Operation.GENERATE, asked, model=MODELS[upstream], stream=False)
    if isinstance(found, TranslatedRequest):
        assert_conforms(upstream, found.document)
        assert_holds(upstream, found.document)
    else:
        assert found.code in (Code.INVALID_REQUEST, Code.UNSUPPORTED)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(pair=st.sampled_from(PAIRS), said=answers, data=st.data(), value=odd)
def test_an_answer_with_one_odd_value_ends(
    pair: tuple[Format, Format], said: Said, data: st.DataObject, value: Any
) -> None:
    client, upstream = pair
    sent = _STREAMS[upstream](said, data)
    *way, last = data.draw(st.sampled_from(places(sent)))
    inner: Any = sent
    for key in way:
        inner = inner[key]
    inner[last] = value
    answer = AnswerEvents(client, upstream, Context("m", "m"))
    raw = [json.dumps(event).encode() for event in sent]
    written = [out for one in raw for out in answer.feed(Event(b"data: " + one + b"\n\n", None, one))]
    assert [*written, *answer.close()]
