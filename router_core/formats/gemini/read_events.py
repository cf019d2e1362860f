"""generateContent answers, read: chunks of a stream, or a whole answer as one chunk.

A stream has no mark of its end but the candidate's finish reason. An answer in one chunk needs none: compatible
servers leave it out.
"""

from __future__ import annotations

from typing import Any

import orjson

from router_core.formats import failures, ir, stops
from router_core.formats.context import Context
from router_core.formats.gemini.endings import given_up
from router_core.formats.gemini.fields import get
from router_core.formats.gemini.logprobs import read_logprobs
from router_core.formats.gemini.partial import PartialCall
from router_core.formats.ir import Format
from router_core.formats.media import kind_of
from router_core.formats.usage import UsageReader


class _Candidate:
    __slots__ = ("call", "detail", "kind", "number", "open", "said", "signature", "stop")

    def __init__(self, number: int):
        self.number = number
        self.open: int | None = None
        self.kind = ""
        self.signature: str | None = None
        self.call: PartialCall | None = None
        self.stop: ir.Stop | None = None
        self.detail: str | None = None
        self.said = False
        """Whether it said anything but thoughts."""


class EventReader:
    def __init__(self, context: Context):
        self._candidates: dict[int, _Candidate] = {}
        self._next = 0
        self._usage = UsageReader(Format.GEMINI)
        self._blocked: ir.Finish | None = None
        self._started = False
        self._chunks = 0
        self._ended = False

    def read(self, chunk: dict[str, Any]) -> list[ir.Event]:
        wrapped = chunk.get("response")
        if isinstance(wrapped, dict) and "candidates" not in chunk:
            chunk = wrapped  # Code Assist
        if chunk.get("error"):
            self._ended = True
            return [failures.read(chunk["error"])]
        self._usage.merge(get(chunk, "usageMetadata"))
        events: list[ir.Event] = []
        feedback = get(chunk, "promptFeedback")
        reason = get(feedback, "blockReason") if isinstance(feedback, dict) else None
        if reason:
            detail = get(feedback, "blockReasonMessage") or f"blocked: {reason}"
            self._blocked = ir.Finish(ir.Stop.CONTENT_FILTER, detail=detail)
        candidates = chunk.get("candidates")
        self._chunks += bool(candidates)
        if not self._started and (candidates or reason or self._usage.changed):
            self._started = True
            events.append(ir.Start(get(chunk, "responseId"), get(chunk, "modelVersion")))
        for position, item in enumerate(candidates or ()):
            if isinstance(item, dict):
                number = item.get("index")
                self._candidate(item, number if isinstance(number, int) else position, events)
        return events

    def done(self) -> list[ir.Event]:
        return self.close()

    def close(self) -> list[ir.Event]:
        if self._ended:
            return []
        self._ended = True
        if not self._started:
            return [ir.Failure("api", "the upstream's answer was empty")]
        if self._is_cut():
            return [ir.Failure("api", "the upstream's answer ended before it was complete")]
        events: list[ir.Event] = []
        for candidate in self._candidates.values():
            self._end_call(candidate, events)
            self._close(candidate, events)
        usage = self._usage.take()
        if usage is not None:
            events.append(ir.UsageReport(usage))
        for number, candidate in self._candidates.items():
            stop = candidate.stop or ir.Stop.END
            if number == 0 and self._blocked is not None and candidate.stop is None:
                events.append(self._blocked)
            else:
                events.append(ir.Finish(stop, number, detail=candidate.detail))
        if not self._candidates:
            events.append(self._blocked or ir.Finish(ir.Stop.END))
        return [*events, ir.End()]

    def _is_cut(self) -> bool:
        candidates = self._candidates.values()
        if self._blocked is not None or any(candidate.stop for candidate in candidates):
            return False
        return self._chunks > 1 or any(candidate.call for candidate in candidates)

    def _candidate(self, item: dict[str, Any], number: int, events: list[ir.Event]) -> None:
        candidate = self._candidates.get(number)
        if candidate is None:
            candidate = self._candidates[number] = _Candidate(number)
        content = item.get("content")
        for part in (content.get("parts") if isinstance(content, dict) else None) or ():
            if isinstance(part, dict):
                self._part(candidate, part, events)
        grounding = get(item, "groundingMetadata")
        if isinstance(grounding, dict) and candidate.kind == "text":
            events += [ir.Cite(candidate.open or 0, source) for source in _sources(grounding)]
        self._logprobs(candidate, item, events)
        reason = get(item, "finishReason")
        if reason:
            candidate.stop = stops.read(Format.GEMINI, reason)
            candidate.detail = get(item, "finishMessage")
            if candidate.stop is ir.Stop.CONTENT_FILTER and not candidate.detail:
                candidate.detail = f"blocked: {reason}"
            failed = given_up(item, said=candidate.said) if number == 0 else None
            if failed is not None:
                self._fail(failed["message"], events, failed["code"])
                return
            # A text stays open: its sources may come in a chunk after this.
            self._end_call(candidate, events)

    def _part(self, candidate: _Candidate, part: dict[str, Any], events: list[ir.Event]) -> None:
        signature = get(part, "thoughtSignature")
        text = part.get("text")
        if isinstance(text, str):
            self._text(candidate, text, bool(part.get("thought")), signature, events)
            return
        call = get(part, "functionCall")
        if isinstance(call, dict):
            self._call(candidate, call, signature, events)
            return
        inline = get(part, "inlineData")
        if isinstance(inline, dict) and not part.get("thought"):
            type_ = get(inline, "mimeType")
            media = ir.Media(kind_of(type_), type_, data=inline.get("data") or "")  # type: ignore[arg-type]
            self._whole(candidate, media, events)
            return
        code = get(part, "executableCode")
        if isinstance(code, dict):
            given = {"code": code.get("code") or ""}
            part_ = ir.ServerTool("code_execution", "", given, native=(Format.GEMINI, part))
            self._whole(candidate, part_, events)
        elif signature and not part.keys() - {"thoughtSignature", "thought_signature", "thought"}:
            self._text(candidate, "", False, signature, events)

    def _text(
        self, candidate: _Candidate, text: str, thought: bool, signature: Any, events: list[ir.Event]
    ) -> None:
        kind = "thought" if thought else "text"
        if not text and not signature:
            return
        if candidate.kind != kind or candidate.signature:
            # A signature ends a part; the next text is a part of its own.
            if not text and candidate.kind == kind and candidate.signature:
                return
            self._close(candidate, events)
            candidate.open, candidate.kind = self._new(), kind
            part: ir.Part = ir.Thinking("") if thought else ir.Text("")
            events.append(ir.PartStart(candidate.open, part, candidate.number))
        if text:
            candidate.said |= not thought
            events.append(ir.Delta(candidate.open or 0, text))
        if signature:
            candidate.signature = signature

    def _call(
        self, candidate: _Candidate, native: dict[str, Any], signature: Any, events: list[ir.Event]
    ) -> None:
        partial = get(native, "partialArgs")
        name = native.get("name")
        more = bool(get(native, "willContinue"))
        if candidate.call is not None and name:
            self._end_call(candidate, events)
        if candidate.call is None:
            if not name:
                if partial:
                    self._fail("a tool call of the upstream's answer came without its name", events)
                return
            self._close(candidate, events)
            candidate.call = PartialCall(native.get("id") or "", name)
        call = candidate.call
        call.signature = signature or call.signature
        call.add(native.get("args"), partial)
        if not more:
            self._end_call(candidate, events)

    def _end_call(self, candidate: _Candidate, events: list[ir.Event]) -> None:
        call, candidate.call = candidate.call, None
        if call is None:
            return
        candidate.said = True
        index = self._new()
        proof = ir.Signature(Format.GEMINI, call.signature) if call.signature else None
        part = ir.ToolCall(call.id, call.name, "", signature=proof)
        events += [
            ir.PartStart(index, part, candidate.number),
            ir.Delta(index, orjson.dumps(call.arguments).decode()),
            ir.PartEnd(index),
        ]

    def _whole(self, candidate: _Candidate, part: ir.Part, events: list[ir.Event]) -> None:
        self._close(candidate, events)
        candidate.said = True
        index = self._new()
        events += [ir.PartStart(index, part, candidate.number), ir.PartEnd(index)]

    def _close(self, candidate: _Candidate, events: list[ir.Event]) -> None:
        if candidate.open is None:
            return
        signature = candidate.signature
        proof = ir.Signature(Format.GEMINI, signature) if signature else None
        events.append(ir.PartEnd(candidate.open, proof))
        candidate.open, candidate.kind, candidate.signature = None, "", None

    def _logprobs(self, candidate: _Candidate, item: dict[str, Any], events: list[ir.Event]) -> None:
        content = read_logprobs(get(item, "logprobsResult"))
        if content:
            events.append(ir.Logprobs(content, candidate.number))

    def _fail(self, message: str, events: list[ir.Event], code: str | None = None) -> None:
        self._ended = True
        events.append(ir.Failure("api", message, code=code))

    def _new(self) -> int:
        self._next += 1
        return self._next - 1


def _sources(grounding: dict[str, Any]) -> list[ir.Citation]:
    """What the text rests on: each supported segment with its source, or the sources alone."""
    chunks = []
    for chunk in get(grounding, "groundingChunks") or ():
        web = chunk.get("web") if isinstance(chunk, dict) else None
        chunks.append(
            ir.Citation(web.get("uri"), web.get("title")) if isinstance(web, dict) else ir.Citation()
        )
    found: list[ir.Citation] = []
    for support in get(grounding, "groundingSupports") or ():
        segment = support.get("segment") or {}
        for number in get(support, "groundingChunkIndices") or ():
            if isinstance(number, int) and 0 <= number < len(chunks):
                # Google counts bytes, the other formats characters, so the offsets are left out.
                source = chunks[number]
                found.append(ir.Citation(source.url, source.title, segment.get("text")))
    return found or [chunk for chunk in chunks if chunk.url]
