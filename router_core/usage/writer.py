"""The process that keeps the ledger for a proxy: prices what the proxy reports and writes it.

It reads from its standard input, in the frames of `router_core.frames` and pickled (both ends are one
program): ("open", URL, spool folder, UsageConfig) first, then ("apply", generation, UsageConfig, what the
budgets have counted) and ("take", a `router_core.usage.batch`). It answers in lines of JSON, see `LedgerPump`;
the first is said when it begins to read. It outlives a proxy that is killed for as long as it takes to write what
it was told.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import selectors
import sys
import threading
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import orjson

from router_core.child import give_way
from router_core.config.schema import Config, UsageConfig
from router_core.frames import decode
from router_core.usage.batch import unpack
from router_core.usage.entry import Entry
from router_core.usage.ledger import Ledger

NICE: Final = 5
"""Less than other children are: it has little to do, and a proxy that ends waits for it."""
REPORT: Final = 1.0
"""Seconds between two looks at whether there is news without a batch."""
CLOSE: Final = 60.0
"""Seconds that a database may take for the last batch."""


class Writer:
    """Methods named like messages are called with their arguments."""

    def __init__(self, sink: int) -> None:
        self._sink = sink
        self._writing = threading.Lock()
        self._ledger: Ledger | None = None
        self._generation = 0
        self._said: dict[str, Any] = {}

    def greet(self) -> None:
        """From now on messages are read, and the database may be touched."""
        self._send()
        self._said = {}

    def open(self, url: str, spool_folder: str, usage: UsageConfig) -> None:
        self._ledger = Ledger.configured(url, Path(spool_folder), usage, priced=self._priced)
        self._ledger.start()
        # Not before: a proxy that ends waits until what it has told is written.
        give_way(NICE)

    def apply(self, generation: int, usage: UsageConfig, used: list[tuple[str, int]]) -> None:
        assert self._ledger
        self._ledger.apply(Config(version=1, usage=usage))
        assert self._ledger.budgets is not None
        self._ledger.budgets.assume(used)
        self._generation = generation
        self.report()

    def take(self, batch: bytes) -> None:
        assert self._ledger
        for unpriced in unpack(batch):
            self._ledger.take(unpriced)
        while not self._ledger.flush(REPORT):
            self.report()
        self._send(done=True)

    def report(self) -> None:
        """Says how the ledger is doing, where that has changed."""
        news = self._news()
        if news != self._said:
            self._send()

    def close(self) -> None:
        if self._ledger:
            self._ledger.close(CLOSE)
            self.report()

    def log(self, level: int, text: str) -> None:
        """What is logged here is for the proxy's log."""
        self._send(log=(level, text))

    def _priced(self, entries: list[Entry]) -> None:
        # Before they are written: whoever finds an exchange in the ledger may expect that budgets know of it.
        self._send(prices=[(e.id, e.cost, e.notional, e.cost_source) for e in entries if e.cost_source])

    def _news(self) -> dict[str, Any]:
        if self._ledger is None:
            return {"status": ("starting", "", 0, 0, 0, 0)}
        news: dict[str, Any] = {"status": astuple(self._ledger.status())}
        generation = self._generation
        if self._ledger.budgets:
            news["budgets"] = (generation, self._ledger.budgets.used())
        return news

    def _send(self, **more: Any) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._said = self._news()
            data = memoryview(orjson.dumps(self._said | more) + b"\n")
            while data:
                data = data[os.write(self._sink, data) :]


class _Forwarding(logging.Handler):
    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.log(record.levelno, self.format(record))


def serve(source: int, sink: int) -> None:
    """Keeps the ledger until the end of `source`."""
    writer = Writer(sink)
    logging.basicConfig(handlers=[_Forwarding(writer)], format="%(message)s", level=logging.WARNING)
    writer.greet()
    pending = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if selector.select(REPORT):
                data = os.read(source, 1 << 20)
                if not data:
                    break
                pending += data
                for message in decode(pending):
                    name, *arguments = pickle.loads(message)
                    getattr(writer, name)(*arguments)
            else:
                writer.report()
    writer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.stdin.fileno(), sys.stdout.fileno())
