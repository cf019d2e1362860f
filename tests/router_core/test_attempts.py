"""How many wrong keys an address may show, and who is not held back by them."""

from __future__ import annotations

import pytest

from router_core.attempts import BURST, INTERVAL, MAX_SOURCES, Attempts, source
from tests.router_core.conftest import Clock


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(clock)


def guess(attempts: Attempts, address: str = "192.0.2.7", times: int = BURST) -> list[float]:
    return [attempts.judge(address, None) for _ in range(times)]


def test_after_so_many_wrong_keys_any_is_refused_for_a_while(attempts):
    assert guess(attempts) == [0.0] * BURST

    assert attempts.judge("192.0.2.7", None) == INTERVAL
    assert attempts.judge("192.0.2.7", "laptop") == INTERVAL
    assert attempts.judge("192.0.2.8", "laptop") == 0.0


def test_refused_attempts_do_not_make_the_wait_longer(attempts):
    guess(attempts, times=BURST + 100)

    assert attempts.judge("192.0.2.7", None) == INTERVAL


def test_one_more_is_allowed_as_time_passes(attempts, clock):
    guess(attempts)
    clock.now += INTERVAL

    assert attempts.judge("192.0.2.7", None) == 0.0
    assert attempts.judge("192.0.2.7", None) == INTERVAL
    clock.now += BURST * INTERVAL
    assert guess(attempts) == [0.0] * BURST


def test_a_process_that_begins_learns_what_another_knows(attempts, clock):
    assert attempts.judge("192.0.2.7", "laptop") == 0.0
    guess(attempts)
    guess(attempts, "192.0.2.8", times=3)
    begun = Attempts(clock)
    begun.judge("192.0.2.8", None)

    begun.learn(*attempts.known())

    assert begun.judge("192.0.2.7", None) == INTERVAL
    assert begun.judge("192.0.2.7", "laptop") == 0.0
    assert guess(begun, "192.0.2.8", times=BURST - 3) == [0.0] * (BURST - 3)
    assert begun.judge("192.0.2.8", None) == INTERVAL


def test_who_has_shown_a_right_key_keeps_it(attempts):
    assert attempts.judge("192.0.2.7", "laptop") == 0.0
    guess(attempts, times=BURST + 5)

    assert attempts.judge("192.0.2.7", "laptop") == 0.0
    assert attempts.judge("192.0.2.7", "phone") == INTERVAL


def test_the_addresses_of_one_ipv6_network_are_one_source(attempts):
    for number in range(BURST):
        assert attempts.judge(f"2001:db8::{number:x}", None) == 0.0

    assert attempts.judge("2001:db8::ffff:1", None) == INTERVAL
    assert attempts.judge("2001:db8:0:1::1", None) == 0.0


def test_a_mapped_address_is_the_ipv4_one():
    assert source("::ffff:192.0.2.7") == source("192.0.2.7") == "192.0.2.7"
    assert source("fe80::1%eth0") == "fe80::/64"
    assert source("a-socket") == "a-socket"


def test_only_so_many_sources_are_remembered(attempts):
    for number in range(MAX_SOURCES + 50):
        attempts.judge(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", None)

    assert len(attempts._spent) == MAX_SOURCES
