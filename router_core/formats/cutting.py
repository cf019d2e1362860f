"""Stop sequences for upstreams that know none: the answer is cut where the upstream should have stopped."""

from __future__ import annotations

from router_core.formats import ir


class Cutter:
    """Ends the text of choice 0 before the first of `sequences` that it meets.

    Text that may be the beginning of one waits for more, so at most the longest sequence is held.
    """

    def __init__(self, sequences: list[str]):
        self._sequences = sequences
        self._held = ""
        self._index: int | None = None
        self._met: str | None = None

    def push(self, event: ir.Event) -> list[ir.Event]:
        if self._met is not None:
            return self._after(event)
        match event:
            case ir.PartStart():
                self._index = event.index if type(event.part) is ir.Text else None
                self._held = ""
            case ir.Delta() if event.index == self._index:
                return self._text(event)
            case ir.PartEnd() if event.index == self._index and self._held:
                held, self._held = self._held, ""
                return [ir.Delta(event.index, held), event]
        return [event]

    def _text(self, event: ir.Delta) -> list[ir.Event]:
        text = self._held + event.text
        places = [(text.find(sequence), sequence) for sequence in self._sequences]
        found = [place for place in places if place[0] >= 0]
        if found:
            position, self._met = min(found)
            self._held = ""
            end: list[ir.Event] = [ir.PartEnd(event.index)]
            return [ir.Delta(event.index, text[:position]), *end] if position else end
        keep = self._tail(text)
        self._held = text[len(text) - keep :]
        passed = text[: len(text) - keep]
        return [ir.Delta(event.index, passed)] if passed else []

    def _tail(self, text: str) -> int:
        """How many characters at the end may be the beginning of a sequence."""
        longest = max(len(sequence) for sequence in self._sequences) - 1
        for length in range(min(longest, len(text)), 0, -1):
            tail = text[-length:]
            if any(sequence.startswith(tail) for sequence in self._sequences):
                return length
        return 0

    def _after(self, event: ir.Event) -> list[ir.Event]:
        match event:
            case ir.Finish():
                return [ir.Finish(ir.Stop.STOP_SEQUENCE, event.choice, self._met)]
            case ir.UsageReport() | ir.End() | ir.Failure() | ir.KeepAlive():
                return [event]
        return []
