"""What the writers of all formats share: an event goes to the method for its kind until the answer is over."""

from __future__ import annotations

from typing import Any

from router_core.formats import ir
from router_core.formats.context import Context

type Documents = list[dict[str, Any]]


class EventWriter:
    """Writes the events of one answer as a client's documents. A format overrides what it has a word for."""

    def __init__(self, context: Context):
        self._context = context
        self._finish = ir.Finish(ir.Stop.END)
        """How the first choice ended."""
        self._over = False

    def write(self, event: ir.Event) -> Documents:
        if self._over:
            return []
        match event:
            case ir.Delta():
                return self._delta(event)
            case ir.PartStart():
                return self._part_start(event)
            case ir.PartEnd():
                return self._part_end(event)
            case ir.Start():
                return self._start(event)
            case ir.Cite():
                return self._cite(event)
            case ir.Logprobs():
                return self._logprobs(event)
            case ir.UsageReport():
                self._report(event)
            case ir.Finish():
                return self._finished(event)
            case ir.End():
                # What `_end` writes may still begin the message.
                written = self._end()
                self._over = True
                return written
            case ir.KeepAlive():
                return self._keep_alive()
            case ir.Failure():
                written = self._fail(event)
                self._over = True
                return written
        return []

    def _start(self, event: ir.Start) -> Documents:
        return []

    def _part_start(self, event: ir.PartStart) -> Documents:
        raise NotImplementedError

    def _delta(self, event: ir.Delta) -> Documents:
        raise NotImplementedError

    def _part_end(self, event: ir.PartEnd) -> Documents:
        raise NotImplementedError

    def _cite(self, event: ir.Cite) -> Documents:
        return []

    def _logprobs(self, event: ir.Logprobs) -> Documents:
        return []

    def _report(self, event: ir.UsageReport) -> None:
        raise NotImplementedError

    def _finished(self, event: ir.Finish) -> Documents:
        if event.choice == 0:
            self._finish = event
        return []

    def _keep_alive(self) -> Documents:
        return []

    def _end(self) -> Documents:
        raise NotImplementedError

    def _fail(self, failure: ir.Failure) -> Documents:
        raise NotImplementedError
