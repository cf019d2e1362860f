"""The live routing state as changes, for disk and for other processes, and what they know taken over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from router_core.routing.live import Live
from router_core.routing.records import (
    binding_change,
    binding_of,
    circuit_change,
    cooldown_change,
    cooldown_of,
    count_of,
    count_record,
    opening_of,
    over_of,
    seen_of,
    switch_change,
    switch_of,
    windows_change,
)
from router_core.state.store import Change


def snapshot(live: Live) -> list[Change]:
    """All state that outlives the process."""
    changes = [switch_change(name, switch) for name, switch in live.switches.items()]
    changes += [
        cooldown_change(state, key, known)
        for state in live.credentials.values()
        for periods in (state.over, state.cooldowns)
        for key, known in periods.items()
    ]
    changes += [circuit_change(circuit, known) for circuit, known in live.breakers.known()]
    changes += [windows_change(name, seen) for name, seen in live.allowances.seen()]
    changes += [
        Change("count", owner, count_record(count), key)
        for owner, key, count in live.allowances.quotas.items()
    ]
    changes += [binding_change(key, binding) for key, binding in live.affinity.items()]
    return changes


def adopt(live: Live, changes: Iterable[Change]) -> None:
    """What a file or other processes know. What does not fit this configuration is ignored."""
    for change in changes:
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            _adopt(live, change)
    live.wake()


def _adopt(live: Live, change: Change) -> None:
    match change.kind:
        case "switch":
            live.adopt_switch(change.name, switch_of(change.value))
        case "cooldown":
            state = live.credentials[change.name]
            if "over" in change.value:
                state.scheduler.health.adopt_end(state, change.key, over_of(change.value))
            elif change.value["of"] == state.fingerprint:
                state.scheduler.health.adopt(state, change.key, cooldown_of(change.value))
        case "circuit":
            circuit = (change.name, None if change.key is None else str(change.key))
            if "over" in change.value:
                live.breakers.adopt_end(circuit, over_of(change.value))
            else:
                live.breakers.adopt(circuit, opening_of(change.value))
        case "windows":
            live.allowances.adopt(live.credentials[change.name], seen_of(change.value))
        case "count":
            live.allowances.adopt_count(change.name, change.key, count_of(change.value))
        case "binding":
            binding = binding_of(change.value)
            if binding.credential_id in live.credentials:
                live.affinity.adopt(change.name, binding)
        case "turn":
            model, priority = change.key
            for credential_id in change.value:
                live.schedulers[change.name].count_turn(model, int(priority), str(credential_id))
