"""A mitmproxy master with only what serving needs, and with hooks dispatched from a table."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mitmproxy import addonmanager, exceptions, flow, hooks, master, options
from mitmproxy.addons import core, next_layer
from mitmproxy.utils import asyncio_utils

from addons import headers
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
        self._asynchronous: dict[str, bool] = {}

    def _forget(self) -> None:
        self._table.clear()
        self._asynchronous.clear()

    def register(self, addon):
        self._forget()
        return super().register(addon)

    def remove(self, addon) -> None:
        self._forget()
        super().remove(addon)

    def clear(self) -> None:
        self._forget()
        super().clear()

    def handlers(self, event: hooks.Hook | type[hooks.Hook]) -> list[Handler]:
        found = self._table.get(event.name)
        if found is None:
            found = [func for addon in self.chain for _, func in self._iter_hooks(addon, event)]
            self._table[event.name] = found
        return found

    async def trigger_event(self, event: hooks.Hook) -> None:
        if handlers := self.handlers(event):
            await self._call(handlers, event.args())

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        if handlers := self.handlers(event):
            await self._call(handlers, event.args())
        if updates := self.handlers(hooks.UpdateHook):
            subject = event.args()[0]
            if isinstance(subject, flow.Flow):
                await self._call(updates, ([subject],))

    def run_now(self, event: hooks.Hook) -> bool:
        """Run `event` without a task if none of its handlers is asynchronous; False if one is."""
        if self._asynchronous.get(event.name) is None:
            handlers = [*self.handlers(event), *self.handlers(hooks.UpdateHook)]
            self._asynchronous[event.name] = any(inspect.iscoroutinefunction(h) for h in handlers)
        if self._asynchronous[event.name]:
            return False
        args = event.args()
        self._call_now(self.handlers(event), args)
        if (updates := self.handlers(hooks.UpdateHook)) and isinstance(args[0], flow.Flow):
            self._call_now(updates, ([args[0]],))
        return True

    def _call_now(self, handlers: list[Handler], args) -> None:
        for handler in handlers:
            try:
                handler(*args)
            except exceptions.AddonHalt:
                return
            except exceptions.OptionsError:
                raise
            except Exception:
                logger.exception("Addon error in %s", getattr(handler, "__qualname__", handler))

    def _iter_hooks(self, addon, event):
        for each in addonmanager.traverse([addon]):
            func = getattr(each, event.name, None)
            if callable(func):
                yield each, func

    async def _call(self, handlers: list[Handler], args) -> None:
        for handler in handlers:
            try:
                result = handler(*args)
                if result is not None and inspect.isawaitable(result):
                    await result
            except exceptions.AddonHalt:
                return
            except exceptions.OptionsError:
                raise
            except Exception:
                logger.exception("Addon error in %s", getattr(handler, "__qualname__", handler))


class LeanMaster(master.Master):
    """Serves the proxy. `addons` come before mitmproxy's own, in the given order."""

    def __init__(self, opts: options.Options, *addons: object, server: Proxyserver | None = None) -> None:
        super().__init__(opts)
        headers.install()
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
