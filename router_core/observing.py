"""Whoever wants to look at an answer while the response pipeline reads it, so that nothing is read twice."""

from __future__ import annotations

from typing import Protocol

from router_core.json_document import Json
from router_core.sse import Event


class Observer(Protocol):
    """Sees the upstream's answer before anything of it is changed. Never raises, changes nothing."""

    def event(self, event: Event) -> None:
        """An event of a stream."""
        ...

    def passes_over(self, events: bytes) -> bool:
        """Whether it need not see any of these whole events."""
        ...

    def document(self, document: Json) -> None:
        """A whole JSON body."""
        ...

    def data(self, data: bytes) -> None:
        """Decoded bytes of an answer that nobody reads."""
        ...

    def end(self) -> None:
        """The answer is complete."""
        ...


class Nobody:
    """Looks at nothing."""

    def event(self, event: Event) -> None: ...

    def passes_over(self, events: bytes) -> bool:
        return True

    def document(self, document: Json) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class Show:
    """Holds the observer of one answer, who comes when the pipeline has been made already."""

    __slots__ = ("to",)

    def __init__(self) -> None:
        self.to: Observer = Nobody()

    def end(self) -> None:
        """The last that the observer sees. It may hold the answer, which must not hold it for longer."""
        observer, self.to = self.to, Nobody()
        observer.end()
