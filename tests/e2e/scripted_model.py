"""A model at a fake upstream that follows a script: it thinks, speaks, calls the client's own tools, and ends.

It is strict: each request must be of the types that the provider's official library declares, must hold the
invariants of `tests.router_core.formats.invariants`, and must bring back the proof of the reasoning that the
model gave before. What it misses is kept in `complaints` and refused with 400, as the provider would.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import Call, compact
from detour.fakes.steps import Reply, Step
from router_core.fold import fold
from router_core.formats import Format
from router_core.formats.carrier import MARK
from router_core.formats.compaction import ASK
from router_core.sse import EventReader
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds

SUMMARY = "The files were read: quince, medlar. The lines are still to be counted."

type Use = tuple[str, dict[str, Any] | str]
"""A tool's name and its arguments; a string is a custom tool's free text."""
type Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model."""

    text: str = ""
    reasoning: str = ""
    calls: list[Use] = field(default_factory=list)
    tokens: int = 1000
    """Of the whole prompt, as the model counts it; tools compact a conversation that has many."""


@dataclass(slots=True, eq=False)
class Answer:
    """A turn made ready for one request."""

    number: int
    turn: Turn
    proof: str
    """What of its reasoning the next request must hold."""
    model: str

    def id(self, prefix: str, call: int) -> str:
        return f"{prefix}{self.number:02}{call:02}{'x' * 16}"


@dataclass(eq=False)
class ScriptedModel:
    """Answers at `fake` in `format` with `turns`, chosen by how many turns with calls the request holds.

    Requests that offer none of the `tools` are of the client's own housekeeping (titles, classifiers) and get
    `aside`.
    """

    fake: FakeUpstream
    format: Format
    turns: list[Turn]
    tools: set[str]
    aside: str = '{"title": "A title", "isNewTopic": false}'
    further: str | None = None
    """What the user says after the first answer; the turns after it are of the second one."""
    until: int = 99
    """Turns from this one on are answered with `failure`."""
    failure: Fault = field(default_factory=lambda: Fault.status(529))
    complaints: list[str] = field(default_factory=list)
    asked: list[Wire] = field(default_factory=list)
    """The requests of the conversation itself that were answered."""
    given: list[Answer] = field(default_factory=list)
    summaries: int = 0
    """How often the conversation was compacted."""
    _before: int = 0
    """Turns that only a summary tells of."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.fake.script.rules.clear()
        self.fake.script.add(Fault("scripted", self._build))

    def _build(self, call: Call, reply: Reply) -> list[Step]:
        if call.operation != "generate":
            return reply.steps()
        with self._lock:
            try:
                answer = self._answer(call.document, call.model or "")
            except (AssertionError, KeyError, ValueError) as problem:
                self.complaints.append(
                    f"{type(problem).__name__}: {problem}\n{json.dumps(call.document)[:3000]}"
                )
                return call.wire.error(call, 400, f"not of the format: {problem}").steps()
            if answer is None:
                return self.failure.build(call, reply)
        parts = [_frame(self.format, event) for event in _STREAMS[self.format](answer)]
        if self.format is Format.OPENAI_CHAT:
            parts.append(b"data: [DONE]\n\n")
        if call.stream:
            return Fault.raw_answer(200, "text/event-stream", *parts).build(call, reply)
        reader = EventReader()
        body, error = fold(self.format, [*reader.feed(b"".join(parts)), *reader.close()])
        assert error is None
        return Fault.raw_answer(200, "application/json", compact(body).encode()).build(call, reply)

    def _answer(self, document: Wire, model: str) -> Answer | None:
        assert_conforms(self.format, _documented(self.format, document))
        assert_holds(self.format, document)
        offered = set(_offered(document))
        if not offered & self.tools:
            return Answer(98, Turn(self.aside), "", model)
        text = json.dumps(document, ensure_ascii=False)
        number = _TURNS[self.format](document) + (self._before if SUMMARY in text else 0)
        number += self.further is not None and self.further in text
        if ASK in text:
            self.summaries += 1
            self._before = number
            return Answer(97, Turn(SUMMARY), "", model)
        if number >= self.until:
            return None
        assert MARK not in text, "a carrier of another format's reasoning"
        for before in self.given:
            told = before.number < self._before or before.number >= number
            assert not before.proof or told or before.proof in text, (
                f"the proof of turn {before.number} is gone"
            )
        turn = self.turns[min(number, len(self.turns) - 1)]
        missing = {name for name, _ in turn.calls} - offered
        assert not missing, f"{missing} are not offered, but {sorted(offered)}"
        if self.format is Format.ANTHROPIC and "thinking" not in document:
            turn = replace(turn, reasoning="")
        answer = Answer(number, turn, _proof(self.format, number, turn), model)
        self.asked.append(document)
        self.given.append(answer)
        return answer


def _documented(format: Format, document: Wire) -> Wire:
    """The request without what only compatible hosts take."""
    document = {key: value for key, value in document.items() if key not in ("stream", "stream_options")}
    if format is Format.OPENAI_CHAT:
        undocumented = ("reasoning_content", "reasoning", "reasoning_details")
        document["messages"] = [
            {key: value for key, value in message.items() if key not in undocumented}
            for message in document["messages"]
        ]
    return document


def _proof(format: Format, number: int, turn: Turn) -> str:
    if not turn.reasoning:
        return ""
    if format is Format.OPENAI_CHAT:
        return turn.reasoning
    return {
        Format.ANTHROPIC: f"EpwCCkYIBxgCKkB{number:02}signature+of/Claude==",
        Format.OPENAI_RESPONSES: f"gAAAAABqx{number:02}" + "B" * 60 + "==",
        Format.GEMINI: f"CiQBjz1r{number:02}ThoughtSignatureOfGemini+/AA==",
    }[format]


def _offered(document: Wire) -> Iterator[str]:
    """Names of the functions that the request offers, in any format."""
    for tool in document.get("tools") or ():
        if "functionDeclarations" in tool:
            yield from (function["name"] for function in tool["functionDeclarations"])
        else:
            yield tool.get("function", tool).get("name", "")


def _anthropic_turns(document: Wire) -> int:
    return sum(
        any(block["type"] == "tool_use" for block in message["content"])
        for message in document["messages"]
        if message["role"] == "assistant" and isinstance(message["content"], list)
    )


def _chat_turns(document: Wire) -> int:
    return sum(bool(message.get("tool_calls")) for message in document["messages"])


def _responses_turns(document: Wire) -> int:
    """Calls come before their results, so each row of results stands for one turn."""
    rows = groupby(item.get("type", "message").endswith("_call_output") for item in document["input"])
    return sum(is_results for is_results, _ in rows)


def _gemini_turns(document: Wire) -> int:
    return sum(any("functionCall" in part for part in content["parts"]) for content in document["contents"])


_TURNS: dict[Format, Callable[[Wire], int]] = {
    Format.ANTHROPIC: _anthropic_turns,
    Format.OPENAI_CHAT: _chat_turns,
    Format.OPENAI_RESPONSES: _responses_turns,
    Format.GEMINI: _gemini_turns,
}


def _frame(format: Format, event: Wire) -> bytes:
    name = f"event: {event['type']}\n" if format in (Format.ANTHROPIC, Format.OPENAI_RESPONSES) else ""
    end = "\r\n\r\n" if format is Format.GEMINI else "\n\n"
    return f"{name}data: {compact(event)}{end}".encode()


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def _json(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _anthropic(answer: Answer) -> Iterator[Wire]:
    turn = answer.turn
    start = {"id": answer.id("msg_", 0), "type": "message", "role": "assistant", "model": answer.model}
    start |= {"content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = {
        "input_tokens": turn.tokens - 50,
        "output_tokens": 3,
        "cache_read_input_tokens": 50,
    }
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    index = 0

    def block(opening: Wire, *deltas: Wire) -> Iterator[Wire]:
        nonlocal index
        yield {"type": "content_block_start", "index": index, "content_block": opening}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        index += 1

    if turn.reasoning:
        thoughts = ({"type": "thinking_delta", "thinking": piece} for piece in _pieces(turn.reasoning))
        signed = {"type": "signature_delta", "signature": answer.proof}
        yield from block({"type": "thinking", "thinking": "", "signature": ""}, *thoughts, signed)
    if turn.text:
        yield from block(
            {"type": "text", "text": ""}, *({"type": "text_delta", "text": p} for p in _pieces(turn.text))
        )
    for number, (name, arguments) in enumerate(turn.calls):
        opening = {"type": "tool_use", "id": answer.id("toolu_", number), "name": name, "input": {}}
        pieces = ({"type": "input_json_delta", "partial_json": p} for p in ["", *_pieces(_json(arguments))])
        yield from block(opening, *pieces)
    stop = "tool_use" if turn.calls else "end_turn"
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 77}}
    yield {"type": "message_stop"}


def _chat(answer: Answer) -> Iterator[Wire]:
    turn = answer.turn
    head = {"id": answer.id("chatcmpl-", 0), "object": "chat.completion.chunk", "created": 1762300000}
    head["model"] = answer.model

    def chunk(delta: Wire, finish: str | None = None) -> Wire:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(turn.reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in _pieces(turn.text):
        yield chunk({"content": piece})
    for number, (name, arguments) in enumerate(turn.calls):
        opening = {"index": number, "id": answer.id("call_", number), "type": "function"}
        yield chunk({"tool_calls": [{**opening, "function": {"name": name, "arguments": ""}}]})
        for piece in _pieces(_json(arguments)):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if turn.calls else "stop")
    usage = {"prompt_tokens": turn.tokens, "completion_tokens": 77, "total_tokens": turn.tokens + 77}
    yield {**head, "choices": [], "usage": usage}


def _responses(answer: Answer) -> Iterator[Wire]:
    for number, event in enumerate(_responses_events(answer)):
        yield {**event, "sequence_number": number}


def _responses_events(answer: Answer) -> Iterator[Wire]:
    turn = answer.turn
    output: list[Wire] = []
    base: Wire = {"id": answer.id("resp_", 0), "object": "response", "created_at": 1762300000}
    base |= {"model": answer.model, "error": None, "incomplete_details": None, "store": False}
    base |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "instructions": None}
    base |= {"metadata": {}, "temperature": 1.0, "top_p": 1.0}
    begun = {**base, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}

    def added(item: Wire) -> Wire:
        return {"type": "response.output_item.added", "output_index": len(output), "item": item}

    def done(item: Wire) -> Wire:
        output.append(item)
        return {"type": "response.output_item.done", "output_index": len(output) - 1, "item": item}

    if turn.reasoning:
        item: Wire = {"id": answer.id("rs_", 0), "type": "reasoning", "summary": []}
        where = {"item_id": item["id"], "output_index": len(output), "summary_index": 0}
        # What comes at the beginning is not what counts at the end.
        yield added({**item, "encrypted_content": "gAAAAABearly"})
        empty = {"type": "summary_text", "text": ""}
        yield {"type": "response.reasoning_summary_part.added", **where, "part": empty}
        for piece in _pieces(turn.reasoning):
            yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
        full = {"type": "summary_text", "text": turn.reasoning}
        yield {"type": "response.reasoning_summary_text.done", **where, "text": turn.reasoning}
        yield {"type": "response.reasoning_summary_part.done", **where, "part": full}
        yield done({**item, "summary": [full], "encrypted_content": answer.proof})
    if turn.text:
        item = {"id": answer.id("msg_", 0), "type": "message", "role": "assistant", "content": []}
        where = {"item_id": item["id"], "output_index": len(output), "content_index": 0}
        yield added({**item, "status": "in_progress"})
        part = {"type": "output_text", "text": "", "annotations": []}
        yield {"type": "response.content_part.added", **where, "part": part}
        for piece in _pieces(turn.text):
            yield {"type": "response.output_text.delta", **where, "delta": piece}
        part = {**part, "text": turn.text}
        yield {"type": "response.output_text.done", **where, "text": turn.text}
        yield {"type": "response.content_part.done", **where, "part": part}
        yield done({**item, "status": "completed", "content": [part]})
    for number, (name, arguments) in enumerate(turn.calls):
        text = _json(arguments)
        item = {"id": answer.id("fc_", number), "type": "function_call", "name": name}
        item |= {"call_id": answer.id("call_", number), "arguments": ""}
        where = {"item_id": item["id"], "output_index": len(output)}
        yield added({**item, "status": "in_progress"})
        for piece in _pieces(text):
            yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **where, "arguments": text}
        yield done({**item, "status": "completed", "arguments": text})
    usage = {"input_tokens": turn.tokens, "output_tokens": 77, "total_tokens": turn.tokens + 77}
    usage["input_tokens_details"] = {"cached_tokens": 50}
    usage["output_tokens_details"] = {"reasoning_tokens": 9}
    completed = {**base, "status": "completed", "output": output, "usage": usage}
    yield {"type": "response.completed", "response": completed}


def _gemini(answer: Answer) -> Iterator[Wire]:
    turn = answer.turn
    usage = {"promptTokenCount": turn.tokens, "totalTokenCount": turn.tokens}
    proof = answer.proof

    def chunk(*parts: Wire, finish: str | None = None) -> Wire:
        candidate: Wire = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        counted = {
            **usage,
            "candidatesTokenCount": 68,
            "thoughtsTokenCount": 9,
            "totalTokenCount": turn.tokens + 77,
        }
        return {
            "candidates": [candidate],
            "usageMetadata": counted if finish else usage,
            "modelVersion": answer.model,
            "responseId": answer.id("r", 0),
        }

    for piece in _pieces(turn.reasoning):
        yield chunk({"text": piece, "thought": True})
    for piece in _pieces(turn.text):
        yield chunk({"text": piece})
    for number, (name, arguments) in enumerate(turn.calls):
        # Only the first of parallel calls is signed, and none has an id.
        signed = {"thoughtSignature": proof} if proof and not number else {}
        yield chunk({"functionCall": {"name": name, "args": arguments}, **signed})
    last = {"text": "", **({"thoughtSignature": proof} if proof and not turn.calls else {})}
    yield chunk(last, finish="STOP")


_STREAMS: dict[Format, Callable[[Answer], Iterator[Wire]]] = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}
