"""A Codex conversation that is compacted by a model of another format, and goes on anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.fold import unfold
from router_core.formats import Format, Operation, compaction
from router_core.formats.answer import Answer
from router_core.formats.carried import without_carriers
from router_core.formats.translate import request
from router_core.routing.continuity import carried
from tests.router_core.formats import turns
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import UPSTREAMS, asks

R = Format.OPENAI_RESPONSES
OTHERS = [format for format in UPSTREAMS if format is not R]
MODELS = {
    Format.ANTHROPIC: "claude-opus-4-5",
    Format.OPENAI_CHAT: "kimi-k2",
    Format.GEMINI: "gemini-3-pro-preview",
}
OPENING = turns.first(R)
TRIGGER = {**OPENING, "input": [*OPENING["input"], {"type": "compaction_trigger"}]}
SUMMARY = "Let me look."
"""What the upstreams' answer says in words."""


def compacted(upstream: Format, *, streaming: bool) -> dict[str, Any]:
    """The response that the client gets."""
    asked = asks(R, upstream, TRIGGER, model=MODELS[upstream])
    assert_holds(upstream, asked.document)
    text = json.dumps(asked.document)
    assert compaction.ASK in text
    assert "read_file" in text, "tools stay defined, for the calls in the history and the prompt cache"
    answer = Answer(R, upstream, asked.context)
    body = turns.answer(upstream)
    if not streaming:
        return dict(answer.body(body))
    events = answer.events()
    written = [out for event in unfold(upstream, body) for out in events.feed(event)] + events.close()
    documents = [json.loads(event.data or b"") for event in written]
    assert [d["sequence_number"] for d in documents] == list(range(len(documents)))
    done = [d["item"] for d in documents if d["type"] == "response.output_item.done"]
    assert done == documents[-1]["response"]["output"]
    return dict(documents[-1]["response"])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("upstream", OTHERS)
def test_one_compaction_item_and_nothing_else(upstream: Format, streaming: bool) -> None:
    response = compacted(upstream, streaming=streaming)
    assert response["status"] == "completed"
    (item,) = response["output"]
    assert item["type"] == "compaction"
    assert compaction.unpack(item) == compaction.SUMMARY + SUMMARY
    assert response["usage"]["output_tokens"] == 20


@pytest.mark.parametrize("upstream", OTHERS)
def test_the_summary_is_what_the_next_model_reads(upstream: Format) -> None:
    (item,) = compacted(upstream, streaming=False)["output"]
    following = {**OPENING, "input": [item, *OPENING["input"]]}
    assert not carried(following, R).fixed
    for other in OTHERS:
        document = asks(R, other, following, model=MODELS[other]).document
        assert_holds(other, document)
        assert SUMMARY in json.dumps(document)
        assert item["encrypted_content"] not in json.dumps(document)
    native = without_carriers(R, following)
    said = {"type": "input_text", "text": compaction.SUMMARY + SUMMARY}
    assert native["input"] == [{"type": "message", "role": "user", "content": [said]}, *OPENING["input"]]


def test_openais_own_compaction_goes_to_openai_only() -> None:
    item = {"type": "compaction", "encrypted_content": turns.ENCRYPTED}
    following = {**OPENING, "input": [item, *OPENING["input"]]}
    refusal = request(R, Format.ANTHROPIC, Operation.GENERATE, following, model="m", stream=False)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, "only OpenAI can read" in refusal.message) == (Code.UNSUPPORTED, True)
    assert carried(following, R).fixed
    assert without_carriers(R, following) is following


def test_a_model_that_says_nothing_compacts_nothing() -> None:
    asked = asks(R, Format.OPENAI_CHAT, TRIGGER, model="m")
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}
    read = Answer(R, Format.OPENAI_CHAT, asked.context).body({"id": "c", "model": "m", "choices": [choice]})
    assert "no summary" in read["error"]["message"]


@pytest.mark.parametrize("upstream", OTHERS)
def test_messages_between_agents_are_read(upstream: Format) -> None:
    content = [{"type": "input_text", "text": "FINAL_ANSWER: 42"}, {"type": "encrypted_content", "data": "x"}]
    item = {"type": "agent_message", "author": "/root/a", "recipient": "/root", "content": content}
    document = asks(
        R, upstream, {**OPENING, "input": [*OPENING["input"], item]}, model=MODELS[upstream]
    ).document
    assert_holds(upstream, document)
    assert "FINAL_ANSWER: 42" in json.dumps(document)
