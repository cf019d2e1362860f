"""A mitmproxy master with only what serving needs, and with hooks dispatched from a table."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import addonmanager, exceptions, flow, hooks, master, options
from mitmproxy.addons import core, disable_h2c, next_layer, proxyserver, tlsconfig

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

    def register(self, addon):
        self._table.clear()
        return super().register(addon)

    def remove(self, addon) -> None:
        self._table.clear()
        super().remove(addon)

    def clear(self) -> None:
        self._table.clear()
        super().clear()

    def handlers(self, event: hooks.Hook) -> list[Handler]:
        found = self._table.get(event.name)
        if found is None:
            found = [func for addon in self.chain for _, func in self._iter_hooks(addon, event)]
            self._table[event.name] = found
        return found

    async def trigger_event(self, event: hooks.Hook) -> None:
        handlers = self.handlers(event)
        if handlers:
            await self._call(handlers, event.args())

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        handlers = self.handlers(event)
        args = event.args() if handlers or "update" not in self._table or self._table["update"] else ()
        if handlers:
            await self._call(handlers, args)
        if args and isinstance(args[0], flow.Flow):
            await self.trigger_event(hooks.UpdateHook([args[0]]))

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

    def __init__(self, opts: options.Options, *addons: object) -> None:
        super().__init__(opts)
        self.addons = DirectAddonManager(self)
        self.addons.add(
            core.Core(),
            *addons,
            disable_h2c.DisableH2C(),
            proxyserver.Proxyserver(),
            next_layer.NextLayer(),
            tlsconfig.TlsConfig(),
        )
