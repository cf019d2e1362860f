"""Serves fake providers from one background thread, so that any kind of client may call them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

from detour.fakes import FakeUpstream, ThrowawayCA
from tests.upstream.connect_proxy import ConnectProxy

_START = 10.0


class FakeThread:
    """A context manager; every fake that `start` gave is closed at its end."""

    def __init__(self) -> None:
        self.ca = ThrowawayCA()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-providers", daemon=True)
        self._fakes: list[FakeUpstream] = []
        self._proxies: list[ConnectProxy] = []

    def start(self, name: str = "upstream", **options: Any) -> FakeUpstream:
        """A served `FakeUpstream(name, **options)` whose certificate `ca` signed."""
        fake = FakeUpstream(name, ca=self.ca, **options)
        asyncio.run_coroutine_threadsafe(fake.start(), self._loop).result(_START)
        self._fakes.append(fake)
        return fake

    def start_proxy(self, user: str, password: str) -> ConnectProxy:
        """A served outbound proxy."""
        proxy = ConnectProxy(user, password)
        asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result(_START)
        self._proxies.append(proxy)
        return proxy

    def stop(self, fake: FakeUpstream) -> None:
        """Close `fake` and everything that is connected to it."""
        self._fakes.remove(fake)
        asyncio.run_coroutine_threadsafe(fake.close(), self._loop).result(_START)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for fake in tuple(self._fakes):
            self.stop(fake)
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.close(), self._loop).result(_START)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START)
        self._loop.close()
