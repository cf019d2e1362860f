"""`detour run`: from a configuration to an instance that serves, and to its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detour import activation, instance, listeners, logs, private, runtime
from detour.ca import CAError, CAPaths, ensure_ca
from detour.capture_run import CaptureRun
from detour.gateway import marks
from detour.handover import HandoverError, Offer, Takeover
from detour.instance import Serving, StartError
from detour.lifecycle import Lifecycle
from detour.listeners import Listener, ListenError
from detour.notify import Notifier
from router_core.config.loader import ConfigError, Loaded, load
from router_core.credentials import aside
from router_core.paths import paths

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several processes this one is."""

    number: int
    """From 1."""
    channel: int
    """The descriptor of the socket to the process that started it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What `detour run` is told besides its configuration."""

    private_to: int | None = None
    """Listen on free loopback ports, be unknown to other commands, and end with the process of this number."""
    recorded: CaptureRun | None = None
    drain: float | None = None
    """Seconds, in the place of `listen.drain`."""
    replace: bool = False
    """Take the place of the instance that runs, if one does."""
    workers: int | None = None
    """In the place of `listen.workers`."""
    worker: Place | None = None
    local: bool = False
    """With `private_to`: capture that process, see `addons.local`."""


def serve(config_path: Path | None = None, log_format: logs.Form = "human", run: Run = Run()) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code: 0 done, 1 could not start, 2 bad configuration."""
    try:
        loaded = load(config_path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if run.recorded:
        loaded = run.recorded.apply(loaded)
    log = loaded.config.log
    if run.worker:
        # Whoever started it writes the file, and has said the warnings.
        log = log.model_copy(update={"file": None})
    try:
        with logs.configured(log_format, log):
            for warning in loaded.warnings if not run.worker else ():
                logger.warning("%s", warning)
            return _run(_serve(loaded, run), marks.of(loaded.config))
    except logs.LogError as error:
        print(error, file=sys.stderr)
        return 1


def _run(serving: Coroutine[Any, Any, int], mark: int | None) -> int:
    loop: Callable[[], asyncio.AbstractEventLoop] = marks.FastLoop
    if mark is not None:
        loop = partial(marks.MarkingLoop, mark)
        aside.new_loop = partial(marks.MarkingSelectorLoop, mark)
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(serving)


async def _serve(loaded: Loaded, run: Run) -> int:
    if not run.private_to and (problem := marks.problem(loaded.config)):
        print(problem, file=sys.stderr)
        return 1
    life = Lifecycle(Notifier(), quiet=run.worker is not None)
    try:
        if run.worker:
            await _work(loaded, run, run.worker, life)
        else:
            await _run_instance(loaded, run, life)
    except (ListenError, CAError, StartError, HandoverError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run_instance(loaded: Loaded, run: Run, life: Lifecycle) -> None:
    takeover = _takeover(loaded) if run.replace else None
    opened = _listeners(loaded, run, takeover.sockets if takeover else [])
    ca = ensure_ca(loaded.config, loaded.registry)
    async with AsyncExitStack() as stack:
        running = await _start(stack, loaded, run, opened, ca)
        if run.private_to:
            ended = asyncio.create_task(private.ended(run.private_to))
            ended.add_done_callback(lambda _: life.give_up())
        else:
            _announce(stack, loaded, opened)
            _offer(stack, loaded, running, opened, life)
        print(listeners.ready_line(opened), flush=True)
        if takeover:
            takeover.serving()
        await _until_the_end(running, run, life)


async def _start(
    stack: AsyncExitStack, loaded: Loaded, run: Run, opened: dict[str, Listener], ca: CAPaths
) -> Serving:
    count = 1 if run.private_to else run.workers or loaded.config.listen.workers
    if count == 1:
        return await instance.start(stack, loaded, opened, ca, run.recorded)
    from detour.workers.supervisor import Supervisor

    if loaded.config.state == "memory":
        logger.warning(
            "with `state: memory` each of the %d workers has cooldowns, quota windows, turns, session affinity and "
            "concurrency limits of its own; `state: redis://HOST:PORT/DB` lets them share these",
            count,
        )
    options = [] if run.drain is None else ["--drain", f"{run.drain:g}s" if run.drain else "0"]
    supervisor = Supervisor(loaded, opened, count, options)
    await supervisor.start(stack, opened.get("admin"))
    return supervisor


async def _work(loaded: Loaded, run: Run, place: Place, life: Lifecycle) -> None:
    """Serve as one of several processes, on the sockets of the one that started them."""
    from detour.workers.worker import Worker, receive_listeners

    channel = socket.socket(fileno=place.channel)
    opened = receive_listeners(channel)
    ca = ensure_ca(loaded.config, loaded.registry)
    async with AsyncExitStack() as stack:
        running = await instance.start(stack, loaded, opened, ca, worker=place.number)
        worker = Worker(running.core, life.end, running.close_tunnel)
        await worker.start(channel)
        await _until_the_end(running, run, life)
    await worker.stop()


async def _until_the_end(running: Serving, run: Run, life: Lifecycle) -> None:
    running.serving.add_done_callback(lambda _: life.give_up())
    await life.serve("serving", running.read_again)
    limit = running.config.listen.drain if run.drain is None else run.drain
    if limit and not life.at_once.is_set():
        await life.drained(running.drain(limit), limit)


def _takeover(loaded: Loaded) -> Takeover | None:
    where = paths(loaded.config)
    if runtime.read(where.runtime) is None:
        logger.info("there is no instance to replace")
        return None
    return Takeover(where.takeover)


def _listeners(loaded: Loaded, run: Run, offered: list[tuple[str, socket.socket]]) -> dict[str, Listener]:
    if run.private_to:
        opened = listeners.open_listeners(listeners.private())
        if run.local:
            opened["local"] = listeners.local(run.private_to)
        return opened
    try:
        return listeners.open_listeners(
            listeners.configured(loaded.config), [*offered, *activation.passed()], replacing=run.replace
        )
    except ListenError as error:
        if not run.replace and (found := runtime.read(paths(loaded.config).runtime)):
            hint = f"a Detour serves already (pid {found.pid}); detour run --replace takes its place"
            raise ListenError(f"{error}\n{hint}") from None
        raise


def _offer(
    stack: AsyncExitStack, loaded: Loaded, running: Serving, opened: dict[str, Listener], life: Lifecycle
) -> None:
    """Let another instance take this one's place."""

    async def taken() -> None:
        logger.info("another instance serves now")
        await running.supersede()
        life.end()

    where = paths(loaded.config).takeover
    sockets = {name: listener.sockets for name, listener in opened.items()}
    try:
        offer = Offer(where, sockets, running.keep, taken)
    except OSError as error:
        logger.warning("no other instance can take this one's place: %s: %s", where, error.strerror)
    else:
        stack.push_async_callback(offer.close)


def _announce(stack: AsyncExitStack, loaded: Loaded, opened: dict[str, Listener]) -> None:
    """Let other commands find this instance."""
    bound = {name: str(listener.bound) for name, listener in opened.items()}
    runtime.write(
        paths(loaded.config).runtime,
        runtime.Runtime(
            proxy=bound.get("proxy"),
            gateway=bound.get("gateway"),
            admin=bound.get("admin"),
            transparent=bound.get("transparent"),
            wireguard=bound.get("wireguard"),
            config=str(loaded.path.resolve()) if loaded.path else None,
        ),
    )
    stack.callback(runtime.remove, paths(loaded.config).runtime)
