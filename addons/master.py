"""A mitmproxy master with only what serving needs, and with hooks dispatched from a table."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from types import CoroutineType
from typing import Any

from mitmproxy import addonmanager, exceptions, flow, hooks, master, options
from mitmproxy.addons import core, next_layer
from mitmproxy.utils import asyncio_utils

from addons import headers, names
from addons.certificates import Certificates
from addons.listening import Proxyserver

logger = logging.getLogger(__name__)

type Handler = Callable[[Any], Awaitable[None] | None]


class DirectAddonManager(addonmanager.AddonManager):
    """`AddonManager` that looks up who handles a hook once, not at each event.

    The stock manager walks every addon for every hook, which costs more than Detour's own work on a
    request. Handlers are bound methods and do not change after an addon is registered.
    """

    def __init__(self, master) -> None:
        super().__init__(master)
        self._table: dict[str, list[Handler]] = {}
        self._names: dict[type[hooks.Hook], tuple[str, ...]] = {}

    def register(self, addon):
        self._table.clear()
        return super().register(addon)

    def remove(self, addon) -> None:
        self._table.clear()
        super().remove(addon)

    def clear(self) -> None:
        self._table.clear()
        super().clear()

    def handlers(self, event: hooks.Hook | type[hooks.Hook]) -> list[Handler]:
        found = self._table.get(event.name)
        if found is None:
            found = [func for addon in self.chain for _, func in self._iter_hooks(addon, event)]
            self._table[event.name] = found
        return found

    async def trigger_event(self, event: hooks.Hook) -> None:
        await _rest(_run(self.handlers(event), event.args()))

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        await _rest(self._steps(event))

    def start(self, event: hooks.Hook) -> Coroutine[Any, Any, None] | None:
        """Run `event` as far as it goes without waiting. None if it is through, else the rest of it."""
        steps = self._steps(event)
        first = next(steps, None)
        return None if first is None else _rest(steps, first)

    def _steps(self, event: hooks.Hook) -> Iterator[Awaitable[None]]:
        """The event, the news of what it has changed, and the wait for a person who has stopped the flow."""
        args = [getattr(event, name) for name in self._parameters(type(event))]
        yield from _run(self.handlers(event), args)
        if (updates := self.handlers(hooks.UpdateHook)) and isinstance(args[0], flow.Flow):
            yield from _run(updates, ([args[0]],))
        if getattr(args[0], "intercepted", False):
            yield args[0].wait_for_resume()

    def _parameters(self, kind: type[hooks.Hook]) -> tuple[str, ...]:
        found = self._names.get(kind)
        if found is None:
            found = self._names[kind] = tuple(f.name for f in dataclasses.fields(kind))  # type: ignore[arg-type]
        return found

    def _iter_hooks(self, addon, event):
        for each in addonmanager.traverse([addon]):
            func = getattr(each, event.name, None)
            if callable(func):
                yield each, func


def _run(handlers: list[Handler], args: Sequence[Any]) -> Iterator[Awaitable[None]]:
    """Call one handler after the other. Yields what a handler waits for, and goes on when that is done."""
    for handler in handlers:
        try:
            result = handler(*args)
            # What hooks return is nearly always a coroutine; `isawaitable` looks further.
            if result is not None and (type(result) is CoroutineType or inspect.isawaitable(result)):
                yield result
        except exceptions.AddonHalt:
            return
        except exceptions.OptionsError:
            raise
        except Exception:
            logger.exception("Addon error in %s", getattr(handler, "__qualname__", handler))


async def _rest(steps: Iterator[Awaitable[None]], first: Awaitable[None] | None = None) -> None:
    """Wait for `first`, and for all that `steps` still yields. What fails there is raised where it was yielded."""
    waits = first or next(steps, None)
    while waits is not None:
        try:
            await waits
        except Exception as error:
            try:
                waits = steps.throw(error)  # type: ignore[attr-defined]
            except StopIteration:
                return
        else:
            waits = next(steps, None)


class LeanMaster(master.Master):
    """Serves the proxy. `addons` come before mitmproxy's own, in the given order."""

    def __init__(self, opts: options.Options, *addons: object, server: Proxyserver | None = None) -> None:
        super().__init__(opts)
        # Nobody here listens to `add_log`, which mitmproxy would tell every addon of at every line.
        self._legacy_log_events.uninstall()
        headers.install()
        names.install()
        self.addons = DirectAddonManager(self)
        self.proxyserver = server or Proxyserver()
        self.certificates = Certificates()
        self.addons.add(
            core.Core(),
            *addons,
            self.proxyserver,
            next_layer.NextLayer(),
            self.certificates,
        )
        self.serving = asyncio.Event()
        """Set when all listeners are open."""

    async def run(self) -> None:
        """Serve until `shutdown`. Raises OSError if a listener cannot be opened."""
        loop = asyncio.get_running_loop()
        with asyncio_utils.install_exception_handler(self._asyncio_exception_handler):
            loop.set_task_factory(eager_tasks)
            try:
                await self.proxyserver.setup_servers()
                await self.running()
                self.serving.set()
                await self.should_exit.wait()
            finally:
                loop.set_task_factory(None)
                await self.done()


def eager_tasks(loop: asyncio.AbstractEventLoop, coro: Coroutine, **kwargs: Any) -> asyncio.Task:
    """asyncio's eager tasks, which mitmproxy relies on, also for a loop that passes newer arguments on."""
    kwargs.pop("eager_start", None)
    return asyncio.eager_task_factory(loop, coro, **kwargs)
