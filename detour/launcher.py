"""`detour run`: from a configuration to an instance that serves, and to its end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from detour import instance, listeners, logs, private, runtime
from detour.ca import CAError, ensure_ca
from detour.gateway import marks
from detour.instance import StartError
from detour.lifecycle import Lifecycle
from detour.listeners import Listener, ListenError
from detour.notify import Notifier
from detour.paths import paths
from router_core.config.loader import ConfigError, Loaded, load
from router_core.credentials import aside

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureRun:
    """What `detour capture run` changes of the configuration: everything is recorded, marked with `label`."""

    label: str
    hosts: tuple[str, ...] = ()
    """To be decrypted besides those of the providers."""

    def apply(self, loaded: Loaded) -> Loaded:
        capture = loaded.config.capture
        hosts = tuple(dict.fromkeys((*capture.hosts, *self.hosts)))
        capture = capture.model_copy(update={"mode": "all", "rules": (), "hosts": hosts})
        return replace(loaded, config=loaded.config.model_copy(update={"capture": capture}))


def serve(
    config_path: Path | None = None,
    log_format: logs.Form = "human",
    private_to: int | None = None,
    recorded: CaptureRun | None = None,
    drain: float | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code: 0 done, 1 could not start, 2 bad configuration.

    `drain` replaces the configuration's `listen.drain`.

    With `private_to` the instance listens on free loopback ports, is not announced to other commands, and
    ends with the process of that number.
    """
    try:
        loaded = load(config_path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if recorded:
        loaded = recorded.apply(loaded)
    try:
        with logs.configured(log_format, loaded.config.log):
            for warning in loaded.warnings:
                logger.warning("%s", warning)
            return _run(_serve(loaded, private_to, recorded, drain), marks.of(loaded.config))
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


async def _serve(
    loaded: Loaded, private_to: int | None, recorded: CaptureRun | None, drain: float | None
) -> int:
    if not private_to and (problem := marks.problem(loaded.config)):
        print(problem, file=sys.stderr)
        return 1
    life = Lifecycle(Notifier())
    try:
        opened = listeners.open_listeners(
            listeners.private() if private_to else listeners.configured(loaded.config)
        )
        ca = ensure_ca(loaded.config, loaded.registry)
        async with AsyncExitStack() as stack:
            running = await instance.start(stack, loaded, opened, ca, recorded.label if recorded else None)
            if private_to:
                ended = asyncio.create_task(private.ended(private_to))
                ended.add_done_callback(lambda _: life.give_up())
            else:
                _announce(loaded, opened)
                stack.callback(runtime.remove, paths(loaded.config).runtime)
            print(listeners.ready_line(opened), flush=True)
            running.serving.add_done_callback(lambda _: life.give_up())
            await life.serve("serving", running.core.read_again)
            limit = running.core.config.listen.drain if drain is None else drain
            if limit and not life.at_once.is_set():
                await life.drained(running.drain(limit), limit)
    except (ListenError, CAError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _announce(loaded: Loaded, opened: dict[str, Listener]) -> None:
    bound = {name: str(listener.bound) for name, listener in opened.items()}
    runtime.write(
        paths(loaded.config).runtime,
        runtime.Runtime(
            proxy=bound.get("proxy"),
            gateway=bound.get("gateway"),
            admin=bound.get("admin"),
            transparent=bound.get("transparent"),
            config=str(loaded.path.resolve()) if loaded.path else None,
        ),
    )
