"""Clients of the Responses API that refer to answers which Detour gave them, and no provider has stored."""

from __future__ import annotations

from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.openai_responses.stored import AnswerStore
from router_core.formats.translate import TranslatedRequest, request
from tests.router_core.formats.translated import UPSTREAMS

CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "One.", "annotations": []}]}  # fmt: skip
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "two"}


def asked(
    store: AnswerStore, document: dict[str, Any], client: str = "me", upstream: Format = Format.OPENAI_CHAT
) -> Any:
    return request(
        Format.OPENAI_RESPONSES,
        upstream,
        Operation.GENERATE,
        document,
        model="m",
        stream=False,
        stored=store.of(client),
    )


def answered(store: AnswerStore, document: dict[str, Any], id: str, *items: dict[str, Any]) -> None:
    answering = store.of("me").answering(document)
    if answering is not None:
        answering.keep(id, items)


@pytest.mark.parametrize("upstream", [u for u in UPSTREAMS if u is not Format.OPENAI_RESPONSES])
def test_it_is_as_if_all_had_been_sent(upstream: Format) -> None:
    store = AnswerStore()
    first: dict[str, Any] = {"input": "Count."}
    second: dict[str, Any] = {"input": [RESULT], "previous_response_id": "resp_1"}
    answered(store, first, "resp_1", SAID, CALL)
    answered(store, second, "resp_2", {**SAID, "id": "msg_2"})
    items = [
        {"role": "user", "content": "Count."},
        SAID,
        CALL,
        RESULT,
        SAID,
        {"role": "user", "content": "On."},
    ]
    whole = asked(store, {"input": items}, upstream=upstream)
    assert isinstance(whole, TranslatedRequest)
    by_answer = asked(store, {"input": "On.", "previous_response_id": "resp_2"}, upstream=upstream)
    references = [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "fc_1"},
        RESULT,
        {"type": "item_reference", "id": "msg_2"},
    ]
    by_items = asked(store, {"input": [items[0], *references, items[-1]]}, upstream=upstream)
    assert by_answer.document == by_items.document == whole.document
    assert by_answer.dropped() == whole.dropped()


def test_what_is_not_known_is_refused() -> None:
    store = AnswerStore(limit=20_000)
    answered(store, {"input": "Count.", "store": False}, "resp_unstored", SAID)
    answered(store, {"input": "Count."}, "resp_1", SAID)
    assert isinstance(asked(store, {"input": "On.", "previous_response_id": "resp_1"}), TranslatedRequest)
    refused = [
        asked(store, {"input": "On.", "previous_response_id": "resp_unstored"}),
        asked(store, {"input": "On.", "previous_response_id": "msg_1"}),
        asked(store, {"input": "On.", "previous_response_id": "resp_1"}, client="you"),
        asked(store, {"input": [{"type": "item_reference", "id": "msg_1"}]}, client="you"),
    ]
    for number in range(40):
        answered(store, {"input": "x" * 200}, f"resp_of_another_{number}", {**SAID, "id": f"msg_{number}"})
    refused.append(asked(store, {"input": "On.", "previous_response_id": "resp_1"}))
    assert [type(answer) for answer in refused] == [Refusal] * 5
    assert {answer.code for answer in refused} == {Code.UNSUPPORTED}


def test_an_answer_that_takes_too_much_room_drives_no_other_out() -> None:
    store = AnswerStore(limit=20_000)
    answered(store, {"input": "Count."}, "resp_1", SAID)
    answered(store, {"input": "x" * 30_000}, "resp_long", {**SAID, "id": "msg_long"})
    assert isinstance(asked(store, {"input": "On.", "previous_response_id": "resp_1"}), TranslatedRequest)
    assert isinstance(asked(store, {"input": "On.", "previous_response_id": "resp_long"}), Refusal)
