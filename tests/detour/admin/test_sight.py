"""What several processes show together."""

from __future__ import annotations

from dataclasses import replace

from detour.admin.sight import merged, sight_of
from router_core.capture.writer import Stats
from router_core.connections import Connections
from router_core.core import Core
from router_core.usage.status import LedgerStatus


def test_one_process_is_shown_as_it_is(core: Core) -> None:
    sight = sight_of(core)
    assert merged([sight]) is sight


def test_exchanges_and_counters_are_added(core: Core) -> None:
    here = replace(sight_of(core), connections=Connections(decrypted=3), recorder=Stats(recorded=1, bytes=10))
    older = {**here.running[0], "id": "older", "at": here.running[0]["at"] - 1}
    there = replace(
        here,
        running=[older],
        finished=5,
        connections=Connections(decrypted=1, ech=2),
        recorder=Stats(recorded=2),
    )
    both = merged([here, there])
    assert [e["id"] for e in both.running] == ["older", here.running[0]["id"]]
    assert both.finished == here.finished + 5
    assert (both.connections.decrypted, both.connections.ech) == (4, 2)
    assert both.recorder == Stats(recorded=3, bytes=10)


def test_a_credential_is_in_the_gravest_of_its_states(core: Core) -> None:
    here = sight_of(core)
    ready = replace(here.credentials[0], state="ready", reason="", in_flight=2, last_error=None)
    cooling = replace(
        ready,
        state="cooling",
        reason="rate limit",
        until=9e9,
        in_flight=1,
        last_error="429",
        last_error_at=5.0,
    )
    both = merged([replace(here, credentials=[ready]), replace(here, credentials=[cooling])])
    (found,) = both.credentials
    assert (found.state, found.until, found.in_flight) == ("cooling", 9e9, 3)
    assert found.reason == "rate limit (in 1 of 2 workers)"
    assert found.last_error == "429"
    (alike,) = merged([replace(here, credentials=[cooling])] * 2).credentials
    assert alike.reason == "rate limit"


def test_a_ledger_is_as_well_as_the_one_that_fares_worst(core: Core) -> None:
    here = sight_of(core)
    well = replace(here, ledger=LedgerStatus("ok", "", 1, 10, 50, 0))
    ill = replace(here, ledger=LedgerStatus("waiting", "no answer", 2, 5, 50, 1))
    assert merged([well, ill]).ledger == LedgerStatus("waiting", "no answer", 3, 15, 50, 1)
    assert merged([replace(here, ledger=None)] * 2).ledger is None


def test_the_highest_use_of_a_budget_counts(core: Core) -> None:
    here = sight_of(core)
    more = replace(here, budgets=[replace(here.budgets[0], used=here.budgets[0].used + 7)])
    assert merged([here, more]).budgets == more.budgets
