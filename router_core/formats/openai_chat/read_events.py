"""Chat Completions answers, read: chunks of a stream, or a whole completion as one chunk."""

from __future__ import annotations

from typing import Any

import orjson

from router_core.formats import failures, ir, media as media_types, stops
from router_core.formats.context import Context
from router_core.formats.ir import Format
from router_core.formats.openai_chat import reasoning
from router_core.formats.openai_chat.endings import given_up
from router_core.formats.openai_chat.open_choice import OpenChoice, broken, citation, sources
from router_core.formats.openai_chat.think_tags import ThinkTags, may_tag
from router_core.formats.openai_chat.tool_calls import google_signature
from router_core.formats.usage import UsageReader


class EventReader:
    def __init__(self, context: Context):
        self._model = context.upstream_model
        self._may_tag = may_tag(self._model)
        self._choices: dict[int, OpenChoice] = {}
        self._next = 0
        self._usage = UsageReader(Format.OPENAI_CHAT)
        self._started = False
        self._ended = False

    def read(self, chunk: dict[str, Any]) -> list[ir.Event]:
        error = chunk.get("error")
        if error:
            self._ended = True
            return [failures.read(error)]
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        if usage is not None:
            self._usage.merge(usage)
        if not choices:
            if chunk.get("type") == "error" or chunk.get("object") == "error":
                self._ended = True
                return [failures.read(chunk)]
            return []
        events: list[ir.Event] = []
        if not self._started:
            self._started = True
            events.append(ir.Start(chunk.get("id") or None, chunk.get("model") or None, chunk.get("created")))
        for item in choices:
            if isinstance(item, dict):
                self._choice(item, events)
                if item.get("usage"):
                    self._usage.merge(item["usage"])  # Moonshot
                failure = broken(item)
                if failure is not None:
                    self._ended = True
                    return [*events, failure]
        found = sources(chunk)
        if found and 0 in self._choices:
            # They are repeated on every chunk.
            self._choices[0].sources = found
        return events

    def done(self) -> list[ir.Event]:
        """``[DONE]``, or the end of a JSON body."""
        if self._ended:
            return []
        self._ended = True
        if not self._started:
            return [ir.Failure("api", "the upstream's answer was empty")]
        events: list[ir.Event] = []
        for choice in self._choices.values():
            self._close(choice, events)
            events += choice.calls.end()
        usage = self._usage.take()
        if usage is not None:
            events.append(ir.UsageReport(usage))
        if not self._next and any(choice.finish is ir.Stop.TOOL_CALLS for choice in self._choices.values()):
            return [ir.Failure("api", "the upstream's answer ends with tool calls and holds none")]
        for number, choice in self._choices.items():
            events.append(ir.Finish(choice.finish or ir.Stop.END, number, choice.sequence))
        if not self._choices:
            events.append(ir.Finish(ir.Stop.END))
        return [*events, ir.End()]

    def close(self) -> list[ir.Event]:
        """The end of a stream without ``[DONE]``: whole if it gave a finish reason, cut off if not."""
        if self._ended:
            return []
        if any(choice.finish for choice in self._choices.values()):
            return self.done()
        self._ended = True
        return [ir.Failure("api", "the upstream's answer ended before it was complete")]

    def _choice(self, item: dict[str, Any], events: list[ir.Event]) -> None:
        number = item.get("index")
        number = number if isinstance(number, int) else 0
        choice = self._choices.get(number)
        if choice is None:
            tags = ThinkTags() if self._may_tag else None
            choice = self._choices[number] = OpenChoice(number, tags)
        delta = item.get("delta") or item.get("message")
        if delta:
            self._delta(choice, delta, item, events)
        reason = item.get("finish_reason")
        if reason:
            failed = given_up(item, said=choice.said) if number == 0 else None
            if failed is not None:
                self._ended = True
                events.append(ir.Failure("api", failed["message"], code=failed["code"]))
                return
            choice.finish = stops.read(Format.OPENAI_CHAT, reason)
            if isinstance(item.get("stop_reason"), str) and choice.finish is ir.Stop.END:
                # vLLM names the sequence that was met; numbers are token ids.
                choice.finish, choice.sequence = ir.Stop.STOP_SEQUENCE, item["stop_reason"]
            # A text stays open: its sources may come in a chunk after this.
            self._flush(choice, events)
            events += choice.calls.end()

    def _delta(
        self, choice: OpenChoice, delta: dict[str, Any], item: dict[str, Any], events: list[ir.Event]
    ) -> None:
        self._reasoning(choice, delta, events)
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                self._text(choice, content, events)
            elif isinstance(content, list):
                self._blocks(choice, content, events)
            elif isinstance(content, dict):
                # Cloudflare's JSON mode answers with the object itself.
                self._text(choice, orjson.dumps(content).decode(), events)
            logprobs = item.get("logprobs")
            if isinstance(logprobs, dict) and logprobs.get("content"):
                events.append(ir.Logprobs(logprobs["content"], choice.number))
        if delta.get("refusal"):
            self._flush(choice, events)
            self._open(choice, "refusal", ir.Refused(""), events)
            events.append(ir.Delta(choice.open or 0, delta["refusal"]))
        for annotation in delta.get("annotations") or ():
            cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
            if isinstance(cited, dict):
                choice.sources.append(citation(cited))
        signature = google_signature(delta)
        if signature is not None:
            choice.signature = signature
        self._media(choice, delta, events)
        calls = delta.get("tool_calls")
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and not calls:
            calls = [{"index": 0, "function": legacy}]
        if calls:
            self._close(choice, events)
            choice.said = True
            more, self._next = choice.calls.read(calls, self._next)
            events += more

    def _reasoning(self, choice: OpenChoice, delta: dict[str, Any], events: list[ir.Event]) -> None:
        found = reasoning.plain_text(delta)
        details = delta.get(reasoning.DETAILS)
        if details:
            for entry in details:
                if isinstance(entry, dict):
                    self._detail(choice, entry, found is None, events)
        if found is not None:
            name, text = found
            self._flush(choice, events)
            self._think(choice, text, name, events)
        opaque = delta.get(reasoning.OPAQUE)
        if isinstance(opaque, str) and opaque:
            if choice.kind != "thinking":
                self._open(choice, "thinking", ir.Thinking(""), events)
            choice.signature = reasoning.opaque_signature(opaque, self._model)

    def _think(self, choice: OpenChoice, text: str, dialect: str, events: list[ir.Event]) -> None:
        if choice.kind != "thinking":
            self._open(choice, "thinking", ir.Thinking(""), events)
            choice.signature = ir.Signature(Format.OPENAI_CHAT, "", dialect=dialect, model=self._model)
        events.append(ir.Delta(choice.open or 0, text))

    def _detail(
        self, choice: OpenChoice, entry: dict[str, Any], speaks: bool, events: list[ir.Event]
    ) -> None:
        """One entry of ``reasoning_details``; `speaks` where its text stands nowhere else."""
        if entry.get("type") == "reasoning.encrypted":
            self._close(choice, events)
            signature = reasoning.detail_signature(entry, self._model)
            events.append(ir.PartStart(self._next, ir.Thinking("", signature, redacted=True), choice.number))
            events.append(ir.PartEnd(self._next))
            self._next += 1
            return
        known = choice.entry
        if choice.kind != "thinking" or (known and known.get("index") != entry.get("index")):
            if choice.kind == "thinking":
                self._close(choice, events)
            self._open(choice, "thinking", ir.Thinking(""), events)
            known = None
        fields = {key: value for key, value in entry.items() if value is not None}
        choice.entry = {**(known or {}), **fields}
        choice.signature = None
        text = reasoning.detail_text(entry)
        if speaks and text:
            events.append(ir.Delta(choice.open or 0, text))

    def _text(self, choice: OpenChoice, text: str, events: list[ir.Event]) -> None:
        if choice.tags is None:
            self._say(choice, text, events)
            return
        pieces = choice.tags.feed(text)
        if choice.tags.over:
            choice.tags = None
        self._tell(choice, pieces, events)

    def _tell(self, choice: OpenChoice, pieces: list[tuple[bool, str]], events: list[ir.Event]) -> None:
        for inside, piece in pieces:
            if inside:
                self._think(choice, piece, reasoning.TAGS, events)
            else:
                self._say(choice, piece, events)

    def _say(self, choice: OpenChoice, text: str, events: list[ir.Event]) -> None:
        choice.said = True
        if choice.kind != "text":
            self._open(choice, "text", ir.Text(""), events)
        events.append(ir.Delta(choice.open or 0, text))

    def _blocks(self, choice: OpenChoice, blocks: list[Any], events: list[ir.Event]) -> None:
        """Mistral's content as an array."""
        for block in blocks:
            if not isinstance(block, dict):
                continue
            if block.get("type") == "thinking":
                texts = [t.get("text", "") for t in block.get("thinking") or () if isinstance(t, dict)]
                for text in filter(None, texts):
                    self._think(choice, text, reasoning.MISTRAL, events)
            elif isinstance(block.get("text"), str) and block["text"]:
                self._text(choice, block["text"], events)

    def _media(self, choice: OpenChoice, delta: dict[str, Any], events: list[ir.Event]) -> None:
        audio = delta.get("audio")
        found: list[ir.Media] = []
        if isinstance(audio, dict):
            if audio.get("transcript"):
                self._text(choice, audio["transcript"], events)
            if audio.get("data") and "message" not in delta and audio.get("expires_at"):
                found.append(ir.Media("audio", "audio/wav", data=audio["data"]))
        for image in delta.get("images") or ():
            url = image.get("image_url") if isinstance(image, dict) else None
            url = url.get("url") if isinstance(url, dict) else url
            if isinstance(url, str):
                found.append(media_types.from_url(url))
        for media in found:
            self._close(choice, events)
            events += [ir.PartStart(self._next, media, choice.number), ir.PartEnd(self._next)]
            self._next += 1

    def _open(self, choice: OpenChoice, kind: str, part: ir.Part, events: list[ir.Event]) -> None:
        if choice.kind == kind:
            return
        self._end(choice, events)
        choice.open, choice.kind = self._next, kind
        self._next += 1
        events.append(ir.PartStart(choice.open, part, choice.number))

    def _flush(self, choice: OpenChoice, events: list[ir.Event]) -> None:
        """What comes next is no text: what was held of one is all of it."""
        tags, choice.tags = choice.tags, None
        if tags is not None:
            self._tell(choice, tags.end(), events)

    def _close(self, choice: OpenChoice, events: list[ir.Event]) -> None:
        self._flush(choice, events)
        self._end(choice, events)

    def _end(self, choice: OpenChoice, events: list[ir.Event]) -> None:
        if choice.open is None:
            return
        signature = choice.signature
        if choice.kind == "thinking":
            if choice.entry is not None:
                signature = reasoning.detail_signature(choice.entry, self._model)
        elif choice.kind == "text":
            events += [ir.Cite(choice.open, source) for source in choice.sources]
            choice.sources = []
        events.append(ir.PartEnd(choice.open, signature))
        choice.open, choice.kind, choice.entry, choice.signature = None, "", None, None
