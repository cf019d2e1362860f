"""What is held of a long stream: nothing but what the client's format says again at its end."""

from __future__ import annotations

import tracemalloc

import pytest

from router_core.formats import Format
from router_core.formats.answer import AnswerEvents
from router_core.formats.context import Context
from router_core.sse import Event, EventReader
from tests.router_core.formats.translated import UPSTREAMS
from tests.router_core.formats.wire import anthropic, gemini, openai_chat, openai_responses

A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
WORDS = "some words of an answer that goes on and on, " * 10
EVENTS = 60
"""More than 16 KiB, up to which a call of Anthropic's is held anyway."""

TEXTS = {
    A: anthropic.stream(
        anthropic.start(), *anthropic.block(0, anthropic.TEXT, anthropic.said(WORDS), open=True)
    ),
    C: openai_chat.stream(openai_chat.delta(content=WORDS), done=False),
    R: openai_responses.stream(
        openai_responses.created(),
        openai_responses.added(0, type="message"),
        openai_responses.text(0, WORDS),
        numbered=False,
    ),
    G: gemini.stream(gemini.chunk({"text": WORDS})),
}
_OPEN = '{"text": "'
_ADDED = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": ""}
_MORE = {"type": "response.function_call_arguments.delta", "output_index": 0}
CALLS = {
    A: anthropic.stream(
        anthropic.start(),
        *anthropic.block(0, anthropic.tool("t"), anthropic.given(_OPEN), anthropic.given(WORDS), open=True),
    ),
    C: openai_chat.stream(
        openai_chat.delta(tool_calls=[openai_chat.call(0, "c1", "f", _OPEN)]),
        openai_chat.delta(tool_calls=[openai_chat.call(0, text=WORDS)]),
        done=False,
    ),
    R: openai_responses.stream(
        openai_responses.created(),
        openai_responses.added(0, **_ADDED),
        {**_MORE, "delta": _OPEN},
        {**_MORE, "delta": WORDS},
        numbered=False,
    ),
}


def held(client: Format, upstream: Format, stream: bytes) -> float:
    """Bytes that are kept of each byte that the last event of `stream` says, when it comes again and again."""
    reader = EventReader()
    *opening, last = [event.raw for event in (*reader.feed(stream), *reader.close())]
    answer = AnswerEvents(client, upstream, Context("m", "m"))
    for raw in opening:
        answer.feed(Event(raw))
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(EVENTS):
                answer.feed(Event(last))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert answer.failure is None
    return (sizes[1] - sizes[0]) / (EVENTS * len(WORDS))


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_texts_are_held_for_responses_alone(upstream: Format) -> None:
    for client in UPSTREAMS:
        if client is not upstream:
            copies = held(client, upstream, TEXTS[upstream])
            assert copies < (1.5 if client is R else 0.1), client


@pytest.mark.parametrize("upstream", CALLS)
def test_arguments_are_held_once_where_they_are_needed_whole(upstream: Format) -> None:
    for client in UPSTREAMS:
        if client is not upstream:
            # Responses say them twice, so that both can be compared.
            needed = (client in (R, G)) + (upstream is R)
            assert held(client, upstream, CALLS[upstream]) < needed * 1.5 + 0.1, client
