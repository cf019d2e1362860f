"""How hooks reach their handlers."""

import asyncio
from collections.abc import Awaitable

import pytest
from mitmproxy import exceptions
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.test import tflow

from addons.master import LeanMaster
from addons.options import Options


class Addon:
    def __init__(self, name: str, called: list[str]) -> None:
        self.name, self.called = name, called


class Plain(Addon):
    def request(self, flow) -> None:
        self.called.append(self.name)


class Declared(Addon):
    async def request(self, flow) -> None:
        await asyncio.sleep(0)
        self.called.append(self.name)


class Undeclared(Addon):
    """Declares nothing asynchronous, and returns something to wait for all the same."""

    def request(self, flow) -> Awaitable[None]:
        return Declared.request(self, flow)  # type: ignore[arg-type]


class Failing(Addon):
    async def request(self, flow) -> None:
        await asyncio.sleep(0)
        raise ValueError(self.name)


class Halting(Addon):
    def request(self, flow) -> None:
        raise exceptions.AddonHalt


async def test_a_hook_that_nobody_waits_in_is_through_at_once() -> None:
    called: list[str] = []
    master = LeanMaster(Options(), Plain("a", called), Plain("b", called))
    assert master.addons.start(HttpRequestHook(tflow.tflow())) is None
    assert called == ["a", "b"]


@pytest.mark.parametrize("kind", [Declared, Undeclared])
async def test_whatever_a_handler_returns_is_waited_for(kind: type[Addon]) -> None:
    called: list[str] = []
    master = LeanMaster(Options(), Plain("a", called), kind("b", called), Plain("c", called))
    rest = master.addons.start(HttpRequestHook(tflow.tflow()))
    assert rest is not None and called == ["a"]
    await rest
    assert called == ["a", "b", "c"]


async def test_an_error_in_one_handler_leaves_the_others_alone(caplog) -> None:
    called: list[str] = []
    master = LeanMaster(Options(), Failing("a", called), Plain("b", called))
    await master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))
    assert called == ["b"]
    assert "Addon error in Failing.request" in caplog.text


async def test_a_halt_ends_the_hook() -> None:
    called: list[str] = []
    master = LeanMaster(Options(), Halting("a", called), Plain("b", called))
    assert master.addons.start(HttpRequestHook(tflow.tflow())) is None
    assert called == []


async def test_a_flow_that_a_person_stopped_waits() -> None:
    flow = tflow.tflow()
    master = LeanMaster(Options())
    flow.intercept()
    rest = master.addons.start(HttpRequestHook(flow))
    assert rest is not None
    waiting = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    assert not waiting.done()
    flow.resume()
    await waiting
