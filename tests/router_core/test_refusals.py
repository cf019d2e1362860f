"""When a client that refuses the certificate is let through, and when it is tried again."""

from __future__ import annotations

import pytest

from router_core import refusals
from router_core.processes import Process
from router_core.refusals import Client, Refusals, remedy
from tests.router_core.conftest import Clock

CLIENT = Client("192.0.2.7", "api.anthropic.com", "9c1f03ab")
OTHERS = [
    Client("192.0.2.8", "api.anthropic.com", "9c1f03ab"),
    Client("192.0.2.7", "api.openai.com", "9c1f03ab"),
    Client("192.0.2.7", "api.anthropic.com", "00000000"),
]


@pytest.fixture
def known(clock: Clock) -> Refusals:
    return Refusals(clock)


def refuse(known: Refusals, client: Client = CLIENT, times: int = 1, limit: int = 3) -> None:
    for _ in range(times):
        known.refused(client, "TLS alert: unknown ca", limit=limit, tunnel_for=600)


def test_the_limit_has_the_client_tunnelled(known):
    refuse(known, times=2)
    assert not known.is_tunnelled(CLIENT)

    refuse(known)

    assert known.is_tunnelled(CLIENT)
    assert not any(known.is_tunnelled(other) for other in OTHERS)


def test_a_process_that_begins_learns_what_another_knows(known, clock):
    refuse(known, times=3)
    known.accepted(OTHERS[0])
    refuse(known, OTHERS[1])
    begun = Refusals(clock)
    begun.accepted(OTHERS[1])

    begun.learn(*known.known())

    assert begun.is_tunnelled(CLIENT)
    assert begun.has_trusted(OTHERS[0])
    # What it has seen itself is newer.
    assert begun.find(OTHERS[1]) is None


def test_when_the_time_is_over_one_refusal_is_enough(known, clock):
    refuse(known, times=3)
    clock.now += 601
    assert not known.is_tunnelled(CLIENT)

    refuse(known)

    assert known.is_tunnelled(CLIENT)


def test_acceptance_makes_up_for_all_refusals(known):
    refuse(known, times=2)
    assert known.accepted(CLIENT).count == 2

    refuse(known, times=2)

    assert not known.is_tunnelled(CLIENT)
    assert known.accepted(OTHERS[0]) is None


def test_who_has_accepted_is_known_to_trust_until_it_refuses(known):
    assert not known.has_trusted(CLIENT)
    known.accepted(CLIENT)
    assert known.has_trusted(CLIENT) and not known.has_trusted(OTHERS[0])

    refuse(known)

    assert not known.has_trusted(CLIENT)


def test_old_refusals_are_forgotten(known, clock):
    refuse(known, times=2)
    clock.now += refusals.FORGET + 1

    refuse(known)

    assert not known.is_tunnelled(CLIENT)
    assert [r.count for r in known.listed()] == [1]


def test_a_limit_of_zero_never_tunnels(known):
    refuse(known, times=50, limit=0)

    assert not known.is_tunnelled(CLIENT)


def test_only_so_many_clients_are_remembered(known):
    for number in range(refusals.MAX_CLIENTS + 10):
        refuse(known, Client(f"192.0.2.{number}", "api.anthropic.com", "9c1f03ab"))

    assert len(known.listed()) == refusals.MAX_CLIENTS


def test_the_list_begins_with_the_latest(known, clock):
    for client in OTHERS:
        refuse(known, client)
        clock.now += 1

    assert [r.client for r in known.listed()] == OTHERS[::-1]


def test_forgetting_tries_everybody_again(known):
    refuse(known, times=3)

    known.forget()

    assert known.listed() == []
    assert not known.is_tunnelled(CLIENT)


@pytest.mark.parametrize(
    "tool, process, words",
    [
        (None, Process(1, "node", "gemini"), "NODE_EXTRA_CA_CERTS"),
        (None, Process(1, "claude", "claude"), "NODE_EXTRA_CA_CERTS"),
        ("codex", None, "CODEX_CA_CERTIFICATE"),
        (None, Process(1, "python3.12", "ask.py"), "SSL_CERT_FILE"),
        ("curl", None, "CURL_CA_BUNDLE"),
        (None, Process(1, "java", "java"), "detour ca install java"),
        (None, Process(1, "firefox-bin", "firefox-bin"), "detour ca install nss"),
        (None, None, "detour exec"),
        ("something", Process(1, "something", "something"), "detour ca install"),
    ],
)
def test_the_remedy_is_that_of_the_program(tool, process, words):
    assert words in remedy(tool, process)
