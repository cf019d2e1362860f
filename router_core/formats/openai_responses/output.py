"""The response that is being written: its events are numbered without gaps, its items follow each other."""

from __future__ import annotations

from io import StringIO
from typing import Any

from router_core.formats.writing import Documents


class OpenItem:
    """The output item under way."""

    __slots__ = ("item", "part", "said", "text")

    def __init__(self, item: dict[str, Any]):
        self.item = item
        self.part: int | None = None
        """The part under way in a message, which may hold several."""
        self.said = StringIO()
        """What the item or content part under way holds by now."""
        self.text: dict[str, Any] = {}
        """The content part under way."""


class Output:
    def __init__(self, model: str, created: int, echo: dict[str, Any]):
        """`echo`: fields of the request, which every response repeats."""
        self.id = ""
        self.model = model
        self.created = created
        self.usage: dict[str, Any] | None = None
        self.open: OpenItem | None = None
        self._echo = echo
        self.items: Documents = []
        """Those that are complete."""
        self._sequence = 0

    def __len__(self) -> int:
        """Items that are complete."""
        return len(self.items)

    def event(self, type_: str, **fields: Any) -> dict[str, Any]:
        event = {"type": type_, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def response(self, status: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.model,
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            **self._echo,
            "output": list(self.items) if status != "in_progress" else [],
            "usage": self.usage,
        }

    def where(self) -> dict[str, Any]:
        """What places an event in the item under way."""
        assert self.open is not None
        return {"item_id": self.open.item["id"], "output_index": len(self.items)}

    def where_in_content(self) -> dict[str, Any]:
        """What places an event in the content part under way."""
        assert self.open is not None
        return {**self.where(), "content_index": len(self.open.item["content"])}

    def add(self, item: dict[str, Any]) -> dict[str, Any]:
        """The event of an item that begins."""
        self.open = OpenItem(item)
        return self.event("response.output_item.added", output_index=len(self.items), item=_shown(item))

    def whole(self, item: dict[str, Any]) -> Documents:
        """The events of an item that is complete at once."""
        return [self.add(item), *self.close()]

    def close(self) -> Documents:
        """Ends the item under way."""
        state = self.open
        if state is None:
            return []
        events = self.close_content(state) if state.part is not None else []
        if "status" in state.item:
            state.item["status"] = "completed"
        index = len(self.items)
        events.append(self.event("response.output_item.done", output_index=index, item=state.item))
        self.items.append(state.item)
        self.open = None
        return events

    def open_content(self, state: OpenItem, index: int, *, refusal: bool) -> Documents:
        """Begins the content part `index`, if it is not the one under way."""
        if state.part == index:
            return []
        state.part, state.said = index, StringIO()
        if refusal:
            state.text = {"type": "refusal", "refusal": ""}
        else:
            state.text = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return [self.event("response.content_part.added", **self.where_in_content(), part=_shown(state.text))]

    def close_content(self, state: OpenItem) -> Documents:
        """Ends the content part under way; the message stays open for another."""
        text = state.said.getvalue()
        where = self.where_in_content()
        block = state.text
        if block["type"] == "refusal":
            block["refusal"] = text
            events = [self.event("response.refusal.done", **where, refusal=text)]
        else:
            block["text"] = text
            events = [self.event("response.output_text.done", **where, text=text, logprobs=block["logprobs"])]
        state.item["content"].append(block)
        state.part = None
        return [*events, self.event("response.content_part.done", **where, part=block)]


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` as they are now: what is appended later must not show in an event that was written before."""
    return {key: list(value) if isinstance(value, list) else value for key, value in fields.items()}
