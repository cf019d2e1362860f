"""Answers whose parts overlap, put into a sequence: one part at a time in each choice."""

from __future__ import annotations

from collections import deque

from router_core.formats import ir


class _Lane:
    """One choice: the part under way, and those that wait for its end."""

    __slots__ = ("open", "waiting")

    def __init__(self) -> None:
        self.open: int | None = None
        self.waiting: deque[tuple[int, list[ir.Event], bool]] = deque()
        """(index, events, ended)"""


class Sequencer:
    """Passes events on so that the parts of a choice never overlap and every part has its end.

    A part that begins while another is open waits. What belongs to no open part is left out.
    """

    def __init__(self, *, choices: bool = True) -> None:
        """`choices`: the client's format has several choices side by side; else all parts are in one row."""
        self._choices = choices
        self._lanes: dict[int, _Lane] = {}
        self._lane_of: dict[int, _Lane] = {}
        self._over = False

    def push(self, event: ir.Event) -> list[ir.Event]:
        if self._over:
            return []
        match event:
            case ir.Delta() | ir.Cite():
                lane = self._lane_of.get(event.index)
                if lane is None:
                    return []
                if lane.open == event.index:
                    return [event]
                self._wait(lane, event.index, event)
                return []
            case ir.PartStart():
                return self._start(event)
            case ir.PartEnd():
                return self._end(event)
            case ir.Finish():
                lane = self._lanes.get(event.choice if self._choices else 0)
                return [*(self._flush(lane) if lane else []), event]
            case ir.End():
                self._over = True
                return [*(e for lane in self._lanes.values() for e in self._flush(lane)), event]
            case ir.Failure():
                self._over = True
        return [event]

    def _start(self, event: ir.PartStart) -> list[ir.Event]:
        number = event.choice if self._choices else 0
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane()
        if event.index in self._lane_of:
            return []
        self._lane_of[event.index] = lane
        if lane.open is None:
            lane.open = event.index
            return [event]
        lane.waiting.append((event.index, [event], False))
        return []

    def _wait(self, lane: _Lane, index: int, event: ir.Event) -> None:
        for number, (waiting, events, ended) in enumerate(lane.waiting):
            if waiting == index:
                if not ended:
                    events.append(event)
                    lane.waiting[number] = (index, events, type(event) is ir.PartEnd)
                return

    def _end(self, event: ir.PartEnd) -> list[ir.Event]:
        lane = self._lane_of.get(event.index)
        if lane is None:
            return []
        if lane.open != event.index:
            self._wait(lane, event.index, event)
            return []
        lane.open = None
        del self._lane_of[event.index]
        return [event, *self._promote(lane)]

    def _promote(self, lane: _Lane) -> list[ir.Event]:
        events: list[ir.Event] = []
        while lane.waiting and lane.open is None:
            index, held, ended = lane.waiting.popleft()
            events += held
            if ended:
                del self._lane_of[index]
            else:
                lane.open = index
        return events

    def _flush(self, lane: _Lane) -> list[ir.Event]:
        events: list[ir.Event] = []
        while lane.open is not None:
            end = ir.PartEnd(lane.open)
            self._lane_of.pop(lane.open, None)
            lane.open = None
            events += [end, *self._promote(lane)]
        return events
