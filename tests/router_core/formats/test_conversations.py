"""Conversations of several turns with tools and thinking, over every pair of formats."""

import json
from typing import Any

import pytest

from router_core.formats import Format, Operation
from router_core.formats.answer import Answer
from router_core.formats.memory import SessionStore
from router_core.formats.translate import TranslatedRequest, request
from tests.router_core.formats import turns
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import CLIENTS, UPSTREAMS, asks, translated
from tests.router_core.wire import exchange, prepared

MODELS = {
    Format.ANTHROPIC: "claude-opus-4-5",
    Format.OPENAI_CHAT: "kimi-k2-thinking",
    Format.OPENAI_RESPONSES: "gpt-5.2",
    Format.GEMINI: "gemini-3-pro-preview",
}
PAIRS = [
    pytest.param(client, upstream, id=f"{client}-{upstream}")
    for client in CLIENTS
    for upstream in UPSTREAMS
    if client is not upstream
]


def sent(client: Format, upstream: Format, document: dict[str, Any], **more: Any) -> TranslatedRequest:
    translated = request(
        client, upstream, Operation.GENERATE, document, model=MODELS[upstream], stream=False, **more
    )
    assert isinstance(translated, TranslatedRequest), translated
    assert_conforms(
        upstream, {k: v for k, v in translated.document.items() if k != "messages"} | messages(translated)
    )
    assert_holds(upstream, translated.document)
    return translated


def messages(translated: TranslatedRequest) -> dict[str, Any]:
    """The messages without what compatible hosts add to them."""
    found = translated.document.get("messages")
    if found is None:
        return {}
    return {"messages": [{k: v for k, v in m.items() if k != "reasoning_content"} for m in found]}


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_model_gets_its_own_reasoning_back(client: Format, upstream: Format, forgetful: bool) -> None:
    session = SessionStore().session("me", "s1")
    opening = turns.first(client)
    asked = sent(client, upstream, opening, session=session)
    read = Answer(client, upstream, asked.context).body(turns.answer(upstream))
    following = turns.follow(client, opening, read, forgetful=forgetful)
    document = sent(client, upstream, following, session=session).document
    assert returned(upstream, document) == expected(upstream)


@pytest.mark.parametrize("upstream", [Format.ANTHROPIC, Format.OPENAI_RESPONSES, Format.GEMINI])
def test_also_where_a_client_returns_the_words_alone(upstream: Format) -> None:
    """Those of Chat know ``reasoning_content``; what proves it stands in ``reasoning_details``."""
    session = SessionStore().session("me", "s1")
    opening = turns.first(Format.OPENAI_CHAT)
    asked = sent(Format.OPENAI_CHAT, upstream, opening, session=session)
    read = Answer(Format.OPENAI_CHAT, upstream, asked.context).body(turns.answer(upstream))
    following = turns.follow(Format.OPENAI_CHAT, opening, read)
    for message in following["messages"]:
        message.pop("reasoning_details", None)
    assert any("reasoning_content" in message for message in following["messages"])
    document = sent(Format.OPENAI_CHAT, upstream, following, session=session).document
    assert returned(upstream, document) == expected(upstream)


def test_what_a_model_says_after_a_conversation_changed_accounts_is_kept() -> None:
    """Then nothing goes back that the other account left, but what this one says will."""
    client, upstream = Format.OPENAI_CHAT, Format.ANTHROPIC
    session = SessionStore().session("me", "s1")
    opening = turns.first(client)
    asked = sent(client, upstream, opening, session=session, restores=False)
    read = Answer(client, upstream, asked.context).body(turns.answer(upstream))
    following = turns.follow(client, opening, read, forgetful=True)
    for restores in (False, True):
        document = sent(client, upstream, following, session=session, restores=restores).document
        back = [block for block in document["messages"][1]["content"] if "thinking" in block["type"]]
        assert back == (expected(upstream) if restores else [])


def returned(upstream: Format, document: dict[str, Any]) -> Any:
    """What an upstream gets back of its reasoning, and where."""
    match upstream:
        case Format.ANTHROPIC:
            assert document["thinking"]["type"] == "enabled"
            return [b for b in document["messages"][1]["content"] if "thinking" in b["type"]]
        case Format.OPENAI_CHAT:
            return document["messages"][1].get("reasoning_content")
        case Format.OPENAI_RESPONSES:
            return [item for item in document["input"] if item["type"] == "reasoning"]
    parts = document["contents"][1]["parts"]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


def expected(upstream: Format) -> Any:
    match upstream:
        case Format.ANTHROPIC:
            return [turns.answer(upstream)["content"][0]]
        case Format.OPENAI_CHAT:
            return turns.REASONING
        case Format.OPENAI_RESPONSES:
            return [turns.answer(upstream)["output"][0]]
    return [turns.THOUGHT, None]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_goes_on_at_every_other_upstream(client: Format, upstream: Format) -> None:
    opening = turns.first(client)
    asked = sent(client, upstream, opening)
    read = Answer(client, upstream, asked.context).body(turns.answer(upstream))
    following = turns.follow(client, opening, read)
    for other in UPSTREAMS:
        if other in (client, upstream):
            continue
        text = json.dumps(sent(client, other, following).document)
        # What only the first model can read stays with the client.
        for proof in (turns.SIGNATURE, turns.ENCRYPTED, turns.THOUGHT):
            assert proof not in text
        assert "ZGV0b3Vy" not in text
        assert "alpha" in text
        assert "Let me look." in text


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_tool_calls_keep_their_order_names_and_arguments(client: Format, upstream: Format) -> None:
    opening = turns.first(client)
    asked = sent(client, upstream, opening)
    read = Answer(client, upstream, asked.context).body(turns.answer(upstream))
    assert [(name, arguments) for name, arguments in calls(client, read)] == turns.CALLS


def calls(client: Format, read: dict[str, Any]) -> list[tuple[str, Any]]:
    match client:
        case Format.ANTHROPIC:
            return [(b["name"], b["input"]) for b in read["content"] if b["type"] == "tool_use"]
        case Format.OPENAI_CHAT:
            found = read["choices"][0]["message"]["tool_calls"]
            return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in found]
        case Format.OPENAI_RESPONSES:
            items = [item for item in read["output"] if item["type"] == "function_call"]
            return [(item["name"], json.loads(item["arguments"])) for item in items]
        case Format.GEMINI:
            parts = read["candidates"][0]["content"]["parts"]
            return [
                (p["functionCall"]["name"], p["functionCall"]["args"]) for p in parts if "functionCall" in p
            ]
    return [(c["function"]["name"], c["function"]["arguments"]) for c in read["message"]["tool_calls"]]


@pytest.mark.parametrize("own_credential", [False, True])
@pytest.mark.parametrize(("client", "upstream"), [p for p in PAIRS if p.values[0] is not Format.OLLAMA])
def test_goes_back_to_the_provider_of_the_clients_own_format(
    client: Format, upstream: Format, own_credential: bool
) -> None:
    """What translated turns left in it is taken out; what they said stays."""
    opening = turns.first(client) | ({} if client is Format.GEMINI else {"model": MODELS[client]})
    asked = sent(client, upstream, opening)
    read = Answer(client, upstream, asked.context).body(turns.answer(upstream))
    following = json.dumps(turns.follow(client, opening, read)).encode()
    path = f"/v1beta/models/{MODELS[client]}:generateContent" if client is Format.GEMINI else None
    outgoing = prepared(exchange(client, following, path=path), own=own_credential)
    assert "carried-reasoning" in outgoing.fired
    body = outgoing.body.decode()
    assert "ZGV0b3Vy" not in body
    assert "Let me look." in body
    assert "alpha" in body
    if client is Format.ANTHROPIC:
        # The calls under way were not made with Claude's thinking, which it would miss.
        assert "thinking" not in json.loads(body)
    if client is Format.OPENAI_CHAT:
        assert "reasoning" not in body.replace("reasoning_effort", "")


def test_a_conversation_that_carries_nothing_keeps_its_bytes() -> None:
    document = {"model": "claude-opus-4-5", **turns.first(Format.ANTHROPIC)}
    following = turns.follow(Format.ANTHROPIC, document, turns.answer(Format.ANTHROPIC))
    body = json.dumps(following, indent=1).encode()
    assert prepared(exchange(Format.ANTHROPIC, body)).body == body


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("body", [b"<html>Busy</html>", b"", b'{"id": "half'])
def test_an_answer_that_is_no_json_is_an_error(body: bytes, streaming: bool) -> None:
    status, written = translated(
        Format.ANTHROPIC, Format.OPENAI_CHAT, body, streamed=False, streaming=streaming
    )
    assert b'"type":"error"' in written
    assert streaming or status == 502


def test_the_proof_of_a_last_text_is_kept_for_the_session() -> None:
    """Gemini signs its last text at the end; Claude Code would take a block after the text for the answer."""
    session = SessionStore().session("me", "s1")
    opening = turns.first(Format.ANTHROPIC)
    asked = sent(Format.ANTHROPIC, Format.GEMINI, opening, session=session)
    parts = [{"text": "Both are empty."}, {"text": "", "thoughtSignature": turns.THOUGHT}]
    answer = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    read = Answer(Format.ANTHROPIC, Format.GEMINI, asked.context).body(answer)
    assert [block["type"] for block in read["content"]] == ["text"]
    said = [{"role": "assistant", "content": read["content"]}, {"role": "user", "content": "And c.txt?"}]
    following = {**opening, "messages": [*opening["messages"], *said]}
    document = sent(Format.ANTHROPIC, Format.GEMINI, following, session=session).document
    assert document["contents"][1]["parts"] == [
        {"text": "Both are empty.", "thoughtSignature": turns.THOUGHT}
    ]


@pytest.mark.parametrize("client", [Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI])
def test_thinking_that_shows_nothing_is_no_redacted_thinking(client: Format) -> None:
    """Claude shows none of its thinking where it is not asked to, and takes it back as it was."""
    answer = turns.answer(Format.ANTHROPIC)
    shown, *rest = answer["content"]
    thoughts = [{**shown, "thinking": ""}, {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}, shown]
    opening = turns.first(client)
    asked = sent(client, Format.ANTHROPIC, opening)
    read = Answer(client, Format.ANTHROPIC, asked.context).body({**answer, "content": [*thoughts, *rest]})
    document = sent(client, Format.ANTHROPIC, turns.follow(client, opening, read)).document
    assert [b for b in document["messages"][1]["content"] if "thinking" in b["type"]] == thoughts


def test_a_turn_that_is_kept_in_the_pieces_it_was_streamed_in_is_whole_again() -> None:
    """Google's libraries keep one content for each chunk of a stream."""
    opening = turns.first(Format.GEMINI)
    asked = sent(Format.GEMINI, Format.ANTHROPIC, opening)
    read = Answer(Format.GEMINI, Format.ANTHROPIC, asked.context).body(turns.answer(Format.ANTHROPIC))
    whole = turns.follow(Format.GEMINI, opening, read)
    asks_first, said, results = whole["contents"]
    pieces = []
    for part in said["parts"]:
        text = part.get("text")
        cut = [{**part, "text": text[:7]}, {**part, "text": text[7:]}] if text else [part]
        if "thoughtSignature" in part:
            # A signature stands on one chunk alone.
            cut[1:] = [{k: v for k, v in piece.items() if k != "thoughtSignature"} for piece in cut[1:]]
        pieces += [{"role": "model", "parts": [piece]} for piece in cut]
    assert len(pieces) > len(said["parts"])
    streamed = {**whole, "contents": [asks_first, *pieces, results]}
    document = sent(Format.GEMINI, Format.ANTHROPIC, streamed).document
    assert document["messages"][1]["content"] == turns.answer(Format.ANTHROPIC)["content"]
    chat = sent(Format.GEMINI, Format.OPENAI_CHAT, streamed).document
    assert chat["messages"][1]["content"] == "Let me look."


@pytest.mark.parametrize(
    ("made_by", "asked_next", "returned"),
    [
        ("claude-opus-4-5", "claude-sonnet-4-5", True),
        ("MiniMax-M2", "MiniMax-M2", True),
        ("MiniMax-M2", "claude-opus-4-5", False),
        ("claude-opus-4-5", "MiniMax-M2", False),
    ],
)
def test_claude_is_not_given_the_signatures_of_others_that_speak_its_format(
    made_by: str, asked_next: str, returned: bool
) -> None:
    opening = turns.first(Format.OPENAI_RESPONSES)
    first = asks(Format.OPENAI_RESPONSES, Format.ANTHROPIC, opening, model=made_by)
    read = Answer(Format.OPENAI_RESPONSES, Format.ANTHROPIC, first.context).body(
        turns.answer(Format.ANTHROPIC)
    )
    following = turns.follow(Format.OPENAI_RESPONSES, opening, read)
    document = asks(Format.OPENAI_RESPONSES, Format.ANTHROPIC, following, model=asked_next).document
    assert (turns.SIGNATURE in json.dumps(document)) is returned
    # A budget without a signed beginning of the tool loop would be refused.
    assert ("thinking" in document) is returned
