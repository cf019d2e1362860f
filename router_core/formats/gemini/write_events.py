"""generateContent chunks, written: text as it comes, calls whole, usage cumulative."""

from __future__ import annotations

from io import StringIO
from typing import Any

from router_core.formats import carrier, failures, ir, stops, writing
from router_core.formats.context import Context
from router_core.formats.gemini.logprobs import write_logprobs
from router_core.formats.ir import Format
from router_core.formats.shape import arguments_object
from router_core.formats.usage import write_gemini
from router_core.formats.writing import Documents


class _Part:
    __slots__ = ("choice", "part", "said")

    def __init__(self, part: ir.Part, choice: int):
        self.part = part
        self.choice = choice
        self.said = StringIO()
        """Arguments, or reasoning that a signature will need."""


class EventWriter(writing.EventWriter):
    def __init__(self, context: Context):
        super().__init__(context)
        self._id: str | None = None
        self._model = context.model
        self._parts: dict[int, _Part] = {}
        self._carried: dict[int, list[str]] = {}
        """Opaque reasoning of each candidate that waits for the part that it stands on."""
        self._citations: dict[int, list[ir.Citation]] = {}
        self._probabilities: dict[int, list[dict[str, Any]]] = {}
        """Of the tokens of each candidate that were said; they go with its next chunk."""
        self._usage: dict[str, Any] | None = None
        self._finishes: list[ir.Finish] = []

    def _start(self, event: ir.Start) -> Documents:
        self._id = self._id or event.id or self._context.id("")
        self._model = self._model or event.model or ""
        return []

    def _cite(self, event: ir.Cite) -> Documents:
        state = self._parts.get(event.index)
        if state is not None and event.citation.url:
            self._citations.setdefault(state.choice, []).append(event.citation)
        return []

    def _logprobs(self, event: ir.Logprobs) -> Documents:
        self._probabilities.setdefault(event.choice, []).extend(event.content)
        return []

    def _report(self, event: ir.UsageReport) -> None:
        self._usage = write_gemini(event.usage)

    def _finished(self, event: ir.Finish) -> Documents:
        self._finishes.append(event)
        return []

    def _fail(self, failure: ir.Failure) -> Documents:
        return [failures.document(Format.GEMINI, failure)]

    def _part_start(self, event: ir.PartStart) -> Documents:
        part = event.part
        self._parts[event.index] = _Part(part, event.choice)
        match part:
            case ir.Thinking() if part.redacted and part.signature is not None:
                self._carry(event.choice, part.signature, None)
            case ir.ToolCall() if part.signature is not None:
                self._carry(event.choice, part.signature, None)
            case ir.Media() if part.data is not None:
                inline = {"mimeType": part.media_type or "image/png", "data": part.data}
                return [self._chunk(event.choice, [{"inlineData": inline}])]
        return []

    def _carry(self, choice: int, signature: ir.Signature, text: str | None) -> None:
        # Without data there is only a text to carry, which only compatible hosts want back.
        wanted = signature.data or signature.origin is Format.OPENAI_CHAT
        if self._context.carry_reasoning and wanted:
            # Gemini's clients drop thoughts and keep signatures, so the text travels inside. A signature of
            # Gemini's own, from a host of its compatible surface, needs none.
            own = signature.origin is Format.GEMINI
            value = signature.data if own else carrier.pack(signature, text)
            self._carried.setdefault(choice, []).append(value)

    def _delta(self, event: ir.Delta) -> Documents:
        state = self._parts.get(event.index)
        if state is None:
            return []
        match state.part:
            case ir.Text() | ir.Refused():
                return [self._chunk(state.choice, self._signed(state.choice, {"text": event.text}))]
            case ir.ToolCall():
                state.said.write(event.text)
            case ir.Thinking():
                state.said.write(event.text)
                if not self._context.hide_reasoning:
                    return [self._chunk(state.choice, [{"text": event.text, "thought": True}])]
        return []

    def _part_end(self, event: ir.PartEnd) -> Documents:
        state = self._parts.pop(event.index, None)
        if state is None:
            return []
        part = state.part
        text = state.said.getvalue()
        match part:
            case ir.ToolCall():
                call = {"id": part.id, "name": part.name, "args": arguments_object(text)}
                return [self._chunk(state.choice, self._signed(state.choice, {"functionCall": call}))]
            case ir.Thinking() if not part.redacted:
                signature = event.signature or part.signature
                if signature is not None:
                    self._carry(state.choice, signature, text)
            case ir.Text() if event.signature is not None:
                self._carry(state.choice, event.signature, None)
        return []

    def _signed(self, choice: int, part: dict[str, Any]) -> list[dict[str, Any]]:
        """`part` with the reasoning that came before it; what is more than one goes on empty texts."""
        carried = self._carried.pop(choice, None)
        if not carried:
            return [part]
        *before, last = carried
        return [
            *({"text": "", "thoughtSignature": value} for value in before),
            {**part, "thoughtSignature": last},
        ]

    def _end(self) -> Documents:
        chunks: Documents = []
        for finish in self._finishes or [ir.Finish(ir.Stop.END)]:
            carried = self._carried.pop(finish.choice, [])
            parts = [{"text": "", "thoughtSignature": value} for value in carried]
            chunk = self._chunk(finish.choice, parts or [{"text": ""}])
            candidate = chunk["candidates"][0]
            candidate["finishReason"] = stops.WRITE[Format.GEMINI][finish.stop]
            if finish.detail:
                candidate["finishMessage"] = finish.detail
            grounding = _grounding(self._citations.get(finish.choice, []))
            if grounding:
                candidate["groundingMetadata"] = grounding
            chunks.append(chunk)
        return chunks

    def _chunk(self, choice: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": choice}
        probabilities = self._probabilities.pop(choice, None)
        if probabilities:
            candidate["logprobsResult"] = write_logprobs(probabilities)
        chunk: dict[str, Any] = {
            "candidates": [candidate],
            "modelVersion": self._model,
            "responseId": self._id or self._context.id(""),
        }
        if self._usage is not None:
            chunk["usageMetadata"] = self._usage
        return chunk


def _grounding(citations: list[ir.Citation]) -> dict[str, Any] | None:
    if not citations:
        return None
    urls = list(dict.fromkeys(citation.url for citation in citations))
    titles = {citation.url: citation.title or "" for citation in citations}
    supports = [
        {"segment": {"text": citation.cited}, "groundingChunkIndices": [urls.index(citation.url)]}
        for citation in citations
        if citation.cited
    ]
    grounding: dict[str, Any] = {
        "groundingChunks": [{"web": {"uri": url, "title": titles[url]}} for url in urls]
    }
    if supports:
        grounding["groundingSupports"] = supports
    return grounding
