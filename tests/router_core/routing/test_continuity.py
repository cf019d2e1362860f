"""What requests carry of an account's state, and what is left without it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.formats.placeholder import PLACEHOLDER
from router_core.routing.continuity import carried, without_state

THINKING = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
REDACTED = {"type": "redacted_thinking", "data": "x"}
TEXT = {"type": "text", "text": "hi"}
CALL = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}


def anthropic(*contents: Any, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)], **more}


@pytest.mark.parametrize(
    ("format", "document", "kinds", "open_turn"),
    [
        (Format.ANTHROPIC, anthropic("a", [TEXT], "b"), set(), False),
        (Format.ANTHROPIC, anthropic("a", [THINKING, TEXT], "b"), {"thinking"}, False),
        (Format.ANTHROPIC, anthropic("a", [UNSIGNED, TEXT], "b"), set(), False),
        (Format.ANTHROPIC, anthropic("a", [REDACTED, CALL], [RESULT]), {"thinking"}, True),
        (Format.ANTHROPIC, anthropic("a", container="c_1"), {"container"}, False),
        (Format.ANTHROPIC, anthropic("a", thread={"type": "create"}), set(), False),
        (Format.ANTHROPIC, anthropic([RESULT], thread={"type": "continue", "previous_message_id": "m"}), {"thread"}, True),
        (Format.OPENAI_RESPONSES, {"previous_response_id": "r"}, {"previous_response_id"}, False),
        (Format.OPENAI_RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, {"item_reference"}, False),
        (Format.OPENAI_RESPONSES, {"input": [{"type": "reasoning", "encrypted_content": "g"}, {"type": "function_call_output"}]}, {"encrypted_reasoning"}, True),
        (Format.OPENAI_RESPONSES, {"input": [{"type": "reasoning", "summary": []}]}, set(), False),
        (Format.GEMINI, {"contents": [{"role": "model", "parts": [{"text": "x", "thoughtSignature": "s"}]}]}, {"thought_signature"}, False),
        (Format.GEMINI, {"contents": [{"parts": [{"functionResponse": {}}]}]}, set(), True),
        (Format.OPENAI_CHAT, {"messages": [{"role": "assistant", "reasoning_details": [{}]}, {"role": "tool"}]}, {"reasoning_details"}, True),
        (Format.OLLAMA, {"messages": []}, set(), False),
        (Format.ANTHROPIC, None, set(), False),
    ],
)  # fmt: skip
def test_what_is_carried(format: Format, document: Any, kinds: set[str], open_turn: bool) -> None:
    found = carried(document, format)
    assert (found.kinds, found.open_turn) == (kinds, open_turn)


@pytest.mark.parametrize(
    ("format", "document", "expected"),
    [
        (
            Format.ANTHROPIC,
            anthropic("a", [THINKING, TEXT], "b", thinking={"type": "enabled"}),
            anthropic("a", [TEXT], "b", thinking={"type": "enabled"}),
        ),
        # A message of nothing but thinking goes as a whole.
        (
            Format.ANTHROPIC,
            anthropic("a", [THINKING], "b"),
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        ),
        # In a turn that uses tools, thinking cannot go on without its beginning.
        (
            Format.ANTHROPIC,
            anthropic("a", [THINKING, CALL], [RESULT], thinking={"type": "enabled"}, max_tokens=5),
            anthropic("a", [CALL], [RESULT], max_tokens=5),
        ),
        (
            Format.OPENAI_RESPONSES,
            {"input": [{"type": "message", "id": "msg_1", "role": "user"}, {"type": "reasoning", "id": "rs_1", "encrypted_content": "g"}, {"type": "function_call", "id": "fc_1", "call_id": "c"}]},
            {"input": [{"type": "message", "role": "user"}, {"type": "function_call", "call_id": "c"}]},
        ),
        (
            Format.GEMINI,
            {"contents": [{"role": "model", "parts": [{"text": "x", "thoughtSignature": "s"}, {"functionCall": {"name": "n"}, "thoughtSignature": "s"}]}]},
            {"contents": [{"role": "model", "parts": [{"text": "x"}, {"functionCall": {"name": "n"}, "thoughtSignature": PLACEHOLDER}]}]},
        ),
        (
            Format.OPENAI_CHAT,
            {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.encrypted"}]}]},
            {"messages": [{"role": "assistant", "content": "x"}]},
        ),
    ],
)  # fmt: skip
def test_what_is_left_without_it(format: Format, document: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    found = without_state(document, format)
    assert found == expected
    assert document == before
    # What is left carries nothing more that can be taken out.
    assert without_state(found, format) == found


@pytest.mark.parametrize("format", list(Format))
def test_a_request_without_state_is_the_very_same(format: Format) -> None:
    document = {
        "messages": [{"role": "assistant", "content": "x"}],
        "input": [],
        "contents": [{"parts": [{}]}],
    }
    assert without_state(document, format) is document


ANY = st.recursive(
    st.none() | st.text(max_size=5) | st.booleans(),
    lambda i: (
        st.lists(i, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "input",
                    "contents",
                    "role",
                    "content",
                    "parts",
                    "type",
                    "signature",
                    "encrypted_content",
                    "thoughtSignature",
                    "functionCall",
                    "reasoning_details",
                    "container",
                    "id",
                ]
            ),
            i | st.sampled_from(["assistant", "user", "thinking", "redacted_thinking", "reasoning", "model"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(ANY, st.sampled_from(Format))
def test_any_document_can_be_read(document: Any, format: Format) -> None:
    found = carried(document, format)
    assert found.fixed in (True, False)
    without_state(document, format)
