"""Answers that clients of the Responses API refer to instead of sending them again.

A client that lets its answers be stored (``store``, which is on unless it says otherwise) may go on from one by its id
(``previous_response_id``), or put an ``item_reference`` in the place of an item, as Vercel's library does with each turn
of the model. No provider but OpenAI stores anything, so Detour keeps what it answered itself, for the client that was
told it and for as long as there is room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cachetools import LRUCache

STORE_BYTES: Final = 32 << 20
"""Of all clients together; what was not used for longest goes first."""
_ENTRY_BYTES: Final = 300
"""What an entry takes beside its text, its names included."""

type _Key = tuple[str, str]
"""(client, the id of an item or of a response)"""


class AnswerStore:
    """The answers of all clients of this process: each item, and for each response what it was an answer to."""

    def __init__(self, limit: int = STORE_BYTES) -> None:
        self._entries: LRUCache[_Key, bytes] = LRUCache(
            limit, getsizeof=lambda text: _ENTRY_BYTES + len(text)
        )

    def of(self, client: str) -> StoredAnswers:
        """Those of `client`, which is a name or an address."""
        return StoredAnswers(self._entries, client)


@dataclass(frozen=True, slots=True)
class StoredAnswers:
    """One client's view of an `AnswerStore`."""

    _entries: LRUCache[_Key, bytes]
    _client: str

    def resolved(self, document: dict[str, Any]) -> dict[str, Any]:
        """`document` with the turns before it and the items that it refers to, as far as they are known."""
        before = self._before(document.get("previous_response_id"))
        items = [*(before or ()), *_items(document)]
        if before is None or not (before or any(map(_is_reference, items))):
            return document
        document = {name: value for name, value in document.items() if name != "previous_response_id"}
        return {**document, "input": [self._item(item) for item in items]}

    def answering(self, document: dict[str, Any]) -> Answering | None:
        """What keeps the answer to `document`, as the client sent it; None where the client wants none kept."""
        if document.get("store") is False:
            return None
        return Answering(self, document.get("previous_response_id"), _items(document))

    def keep(self, id: str, value: dict[str, Any]) -> None:
        text = orjson.dumps(value)
        if _ENTRY_BYTES + len(text) <= self._entries.maxsize // 4:
            self._entries[self._client, id] = text

    def _found(self, id: str) -> dict[str, Any] | None:
        text = self._entries.get((self._client, id))
        return None if text is None else orjson.loads(text)

    def _before(self, id: Any) -> list[Any] | None:
        """The items of the conversation that ends with the response `id`; None where not all of it is known."""
        turns: list[list[Any]] = []
        while isinstance(id, str) and id:
            turn = self._found(id)
            if turn is None or "answers" not in turn:
                return None
            turns.append([*turn["answers"], *turn["output"]])
            id = turn["previous"]
        return [item for turn in reversed(turns) for item in turn]

    def _item(self, item: Any) -> Any:
        return (self._found(item["id"]) or item) if _is_reference(item) else item


@dataclass(frozen=True, slots=True)
class Answering:
    """Keeps the answer to one request."""

    _stored: StoredAnswers
    _previous: Any
    _asked: list[Any]

    def keep(self, response: str, items: Iterable[dict[str, Any]]) -> None:
        """`items` are the output of the response of that id."""
        output = []
        for item in items:
            self._stored.keep(item["id"], item)
            output.append({"type": "item_reference", "id": item["id"]})
        self._stored.keep(response, {"previous": self._previous, "answers": self._asked, "output": output})


def _items(document: dict[str, Any]) -> list[Any]:
    given = document.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return given if isinstance(given, list) else []


def _is_reference(item: Any) -> bool:
    # The type may be left out.
    return (
        isinstance(item, dict)
        and item.get("type") in ("item_reference", None)
        and isinstance(item.get("id"), str)
        and "role" not in item
    )
