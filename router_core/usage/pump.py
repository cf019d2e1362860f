"""The proxy's side of the ledger: brings finished exchanges to the process that prices and writes them.

Prices and SQL are work that would hold the interpreter's lock for longer than the traffic can spare, and the
libraries for them take more memory than the rest of Detour. So `router_core.usage.writer` does it, and here a
thread that sleeps most of the time hands over what has come, a batch at a time. A batch is kept until the
writer says that it is in the database or in the spool, and goes to the next writer should this one die;
entries are idempotent by their id.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from router_core import child
from router_core.child import Child
from router_core.config.schema import Config
from router_core.usage.batch import pack
from router_core.usage.budgets import Budgets
from router_core.usage.entry import Unpriced, subscriptions
from router_core.usage.intake import Intake
from router_core.usage.status import LedgerStatus
from router_core.usage.tally import Tally

if TYPE_CHECKING:
    from router_core.usage.ledger import Ledger

logger = logging.getLogger(__name__)

BATCH: Final = 500
INTERVAL: Final = 0.5
"""Seconds that entries are gathered before they are handed over: a batch has its own cost, whatever its size."""
RESTART: Final = 2.0
"""Seconds between two starts of a writer that dies."""
TRIES: Final = 3
"""Writers that may die of a batch before it is given up, or before they say a word until none is started again."""


def command() -> list[str]:
    """How the writer is started."""
    return child.command("router_core.usage.writer")


class LedgerPump(Intake):
    """One for each process. Call `start` once, and `close` in the end; `record` is for any thread."""

    def __init__(
        self,
        url: str,
        spool_folder: Path,
        config: Config,
        *,
        command: Callable[[], list[str]] = command,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(subscriptions(config))
        self.url = url
        self.budgets = Budgets(config.usage.budgets)
        self._config = config
        self._spool_folder = spool_folder
        self._command = command
        self._clock = clock
        self._sent: list[Unpriced] = []
        """The batch that the writer works on."""
        self._tries = 0
        """Writers that have died of it."""
        self._generation = 0
        """Which configuration is in force; what the writer says of the budgets of an earlier one is late."""
        self._told = 0
        """The generation that the writer knows."""
        self._process: Child | None = None
        self._mute = 0
        """Writers in a row that died without a word."""
        self._next_start = 0.0
        self._tally = Tally(clock)
        self._own: Ledger | None = None
        """In this process, where no writer can be started."""
        self._deadline: float | None = None
        """When `close` loses its patience."""

    @property
    def pid(self) -> int | None:
        """The writer's, while there is one."""
        process = self._process
        return process.pid if process else None

    def apply(self, config: Config) -> None:
        """Take over prices, budgets and subscriptions of another configuration.

        The database, and how long it keeps what, stay as they were at the start.
        """
        with self._idle:
            self._config = config
            self.subscriptions = subscriptions(config)
            # What was used of new ones is read from the ledger in a moment.
            earlier, self.budgets = self.budgets, Budgets(config.usage.budgets)
            self.budgets.inherit(earlier)
            self._generation += 1
            if self._own:
                self._own.apply(config)
                self._own.budgets = self.budgets

    def status(self) -> LedgerStatus:
        """Counters since the start, over all writers."""
        current = self._own.status() if self._own else self._tally.last
        return self._tally.total(current, len(self._queue), len(self._sent), self._dropped)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything recorded until now is in the database or in the spool."""
        end = time.monotonic() + timeout
        with self._idle:
            self._wake.set()
            done = self._idle.wait_for(lambda: not self._queue and not self._sent, timeout)
        return done and (self._own is None or self._own.flush(max(0.0, end - time.monotonic())))

    def close(self, timeout: float = 10.0) -> None:
        """Hand over what is waiting, and wait until it is written; what the database does not take is spooled."""
        self._deadline = time.monotonic() + timeout
        self._wake.set()
        if self._thread:
            self._thread.join(timeout + INTERVAL)
        if self._own:
            self._own.close(max(1.0, self._deadline - time.monotonic()))
        if left := len(self._queue) + len(self._sent):
            logger.warning("the ledger did not take %d entries within %g s", left, timeout)
        self._tally.stopped()

    # -- the thread -----------------------------------------------------------------------------------

    @property
    def _patient(self) -> bool:
        return self._deadline is None or time.monotonic() < self._deadline

    def _run(self) -> None:
        while True:
            last = self._deadline is not None
            try:
                self._turn()
            except Exception:
                logger.exception("the way to the ledger's writer failed")
            if last and (not (self._queue or self._sent) or not self._patient):
                break
            if len(self._queue) < BATCH or not self._process:
                self._wake.wait(INTERVAL)
                self._wake.clear()
        self._end()

    def _turn(self) -> None:
        if self._own is None and self._process is None and self._clock() >= self._next_start:
            self._begin()
        if self._own is not None:
            self._pass_on(self._own)
        elif self._process is not None:
            try:
                self._listen(0)
                self._hand_over()
            except (OSError, ValueError, EOFError) as error:
                self._lost(error)
        self._tally.say(self.status().dropped)

    def _hand_over(self) -> None:
        """Gives the writer one batch, and waits until it has put it where it is safe. Raises OSError, EOFError."""
        assert self._process
        if self._told != self._generation:
            self._configure()
        with self._idle:
            if not self._sent:
                self._sent = self._take_batch(BATCH)
                self._tries = 0
        if self._sent:
            _tell(self._process, "take", pack(self._sent))
        while self._sent and self._patient:
            self._listen(INTERVAL)

    def _begin(self) -> None:
        self._next_start = self._clock() + RESTART
        try:
            if self._mute >= TRIES:
                raise OSError("it ends as soon as it is started")
            process = Child(self._command())
        except OSError as error:
            logger.warning(
                "the ledger is written by the proxy itself, which makes it slower: no writer: %s", error
            )
            self._fall_back()
            return
        self._process = process
        try:
            _tell(process, "open", self.url, str(self._spool_folder), self._config.usage)
            self._configure()
        except OSError as error:
            self._lost(error)

    def _configure(self) -> None:
        assert self._process
        with self._idle:
            generation, usage, used = self._generation, self._config.usage, self.budgets.used()
        _tell(self._process, "apply", generation, usage, used)
        self._told = generation

    def _lost(self, error: Exception) -> None:
        """The writer died. The batch that it had goes to the next one."""
        process, self._process = self._process, None
        assert process
        # The first line is its greeting.
        code, spoke = process.kill(), process.lines > 1
        self._mute = 0 if spoke else self._mute + 1
        if spoke:
            logger.error(
                "the ledger's writer ended with %d; another one is started (%s)", code, error or "no answer"
            )
        self._tally.died()
        self._tries += spoke
        if self._sent and self._tries >= TRIES:
            self._tally.given_up(len(self._sent))
            self._settled()

    def _listen(self, timeout: float) -> None:
        """Takes in what the writer says, waiting for it. Raises EOFError when it is gone."""
        assert self._process
        for said in self._process.heard(timeout):
            self._hear(**said)

    def _hear(
        self,
        status: list[Any],
        prices: Iterable[tuple[str, int | None, int | None, str]] = (),
        budgets: tuple[int, list[tuple[str, int]]] | None = None,
        log: tuple[int, str] | None = None,
        done: bool = False,
    ) -> None:
        self._tally.hear(status)
        if log:
            logger.log(*log)
        if budgets:
            generation, used = budgets
            with self._idle:
                if generation == self._generation:
                    self.budgets.assume(used)
        if prices:
            entries = {unpriced.entry.id: unpriced.entry for unpriced in self._sent}
            for id, cost, notional, source in prices:
                if entry := entries.get(id):
                    entry.cost, entry.notional, entry.cost_source = cost, notional, source
        if done:
            self._tally.settled()
            self._settled()

    def _settled(self) -> None:
        with self._idle:
            self._sent = []
            self._idle.notify_all()

    def _end(self) -> None:
        """The writer ends with its input, and writes what it has before."""
        process = self._process
        if process is None:
            return
        try:
            self._listen(0)
            if not (process.lines or self._sent):
                # It holds nothing that is not known here, and to wait for its start would take seconds.
                process.kill()
                self._process = None
                return
            process.finish()
            while self._patient:
                self._listen(INTERVAL)
            logger.warning("the ledger's writer is not done yet; it ends by itself")
        except (OSError, ValueError, EOFError):
            process.wait()
        self._process = None

    # -- without a writer -----------------------------------------------------------------------------

    def _fall_back(self) -> None:
        from router_core.usage.ledger import Ledger

        own = Ledger.configured(self.url, self._spool_folder, self._config.usage, budgets=self.budgets)
        own.start()
        self._own = own

    def _pass_on(self, own: Ledger) -> None:
        with self._idle:
            for unpriced in self._sent:
                own.take(unpriced)
            while self._queue:
                own.take(self._queue.popleft())
        self._settled()


def _tell(process: Child, *message: Any) -> None:
    """Raises OSError when it is gone."""
    process.tell(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
