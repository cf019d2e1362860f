"""When hosts are asked for again, and what becomes of the answers; the clock is the test's."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from detour.gateway.nft import NftError, NoTable
from detour.gateway.refresh import LATEST, LOOK, SOONEST, Refresher
from detour.gateway.resolve import Answer
from detour.gateway.ruleset import addition
from router_core.config.schema import Config

V4, V6 = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")


class Bench:
    """A refresher with everything around it in the test's hands."""

    def __init__(self, *hosts: str) -> None:
        self.now = 1000.0
        self.answers: dict[str, Answer] = {host: Answer(host, frozenset({V4}), ttl=60.0) for host in hosts}
        self.asked: list[list[str]] = []
        self.applied: list[str] = []
        self.refusal: NftError | None = None
        self.core: Any = SimpleNamespace(
            config=Config(), registry=SimpleNamespace(hosts=dict.fromkeys(hosts))
        )
        self.refresher = Refresher(self.core, (4, 6), self._ask, self._apply, lambda: self.now)

    async def _ask(self, hosts: Iterable[str], families: Sequence[int]) -> list[Answer]:
        assert families == (4, 6)
        self.asked.append(list(hosts))
        return [self.answers[host] for host in self.asked[-1]]

    async def _apply(self, script: str) -> None:
        if self.refusal:
            raise self.refusal
        self.applied.append(script)

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.refresher.refresh()


async def test_each_host_is_asked_for_before_its_answer_runs_out() -> None:
    bench = Bench("a.test", "b.test")
    bench.answers["b.test"] = Answer("b.test", frozenset({V6}), ttl=200.0)
    await bench.after(0)
    assert bench.asked == [["a.test", "b.test"]]
    assert bench.applied == [addition([V4, V6])]
    assert bench.refresher.pause() == LOOK
    await bench.after(53)
    assert len(bench.asked) == 1
    await bench.after(1)
    assert bench.asked[1:] == [["a.test"]]
    await bench.after(126)
    assert bench.asked[2:] == [["a.test", "b.test"]]


@pytest.mark.parametrize(("ttl", "again"), [(0.0, SOONEST), (1.0, SOONEST), (86400.0, LATEST)])
async def test_neither_too_often_nor_too_seldom(ttl: float, again: float) -> None:
    bench = Bench("a.test")
    bench.answers["a.test"] = Answer("a.test", frozenset({V4}), ttl=ttl)
    await bench.after(0)
    await bench.after(again - 0.1)
    assert len(bench.asked) == 1
    await bench.after(0.1)
    assert len(bench.asked) == 2


async def test_what_a_host_had_stays_when_the_dns_fails(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("a.test")
    await bench.after(0)
    bench.answers["a.test"] = Answer("a.test", error="no DNS server answers")
    await bench.after(60)
    await bench.after(60)
    assert len(bench.applied) == 1  # and nothing that removes it
    assert caplog.text.count("no address of a.test: no DNS server answers") == 1
    bench.answers["a.test"] = Answer("a.test", frozenset({V4}), ttl=60.0)
    with caplog.at_level(logging.INFO):
        await bench.after(60)
    assert "there are addresses again of a.test" in caplog.text
    assert len(bench.applied) == 2


async def test_hosts_that_fail_alike_are_named_together(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench("a.test", "b.test")
    bench.answers = {host: Answer(host, error="no DNS server answers") for host in bench.answers}
    await bench.after(0)
    assert [r.message for r in caplog.records] == [
        "no address of a.test, b.test: no DNS server answers; what there was stays"
    ]


async def test_missing_rules_are_said_once_and_filled_when_they_are_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench("a.test")
    bench.refusal = NoTable("the rules are not in force")
    await bench.after(0)
    await bench.after(60)
    assert caplog.text.count("the rules are not in force") == 1
    bench.refusal = None
    await bench.after(60)
    assert bench.applied == [addition([V4])]


async def test_a_reload_changes_the_hosts() -> None:
    bench = Bench("a.test", "b.test")
    await bench.after(0)
    bench.core.registry = SimpleNamespace(hosts={"b.test": (), "c.test": ()})
    bench.answers["c.test"] = Answer("c.test", frozenset({V6}), ttl=60.0)
    await bench.after(LOOK)
    assert bench.asked[1:] == [["c.test"]]
