"""Routing state as plain JSON values, for disk and for other processes, and back."""

from __future__ import annotations

from typing import Any

from router_core.routing.affinity import Binding
from router_core.routing.allowances import Seen
from router_core.routing.breaker import Circuit, Opening
from router_core.routing.cooldown import Cooldown, CredentialState, Key, Over
from router_core.routing.windows import Count, Window
from router_core.state.store import Change

type Record = dict[str, Any]


def cooldown_record(cooldown: Cooldown, fingerprint: str) -> Record:
    """`fingerprint` tells apart what was learned with another secret of the same credential."""
    return {
        "kind": str(cooldown.kind),
        "reason": cooldown.reason,
        "since": cooldown.since,
        "until": cooldown.until,
        "stated": cooldown.stated,
        "level": cooldown.level,
        "of": fingerprint,
    }


def cooldown_of(record: Record) -> Cooldown:
    """Raises KeyError, TypeError or ValueError for anything that `cooldown_record` did not write."""
    return Cooldown(
        kind=str(record["kind"]),
        reason=str(record["reason"])[:200],
        since=float(record["since"]),
        until=float(record["until"]),
        stated=bool(record["stated"]),
        level=max(0, min(30, int(record["level"]))),
    )


def over_record(over: Over) -> Record:
    return {"over": over.at, "until": over.until}


def over_of(record: Record) -> Over:
    return Over(float(record["over"]), float(record["until"]))


def binding_record(binding: Binding) -> Record:
    return {"credential": binding.credential_id, "provider": binding.provider, "model": binding.model}


def binding_of(record: Record) -> Binding:
    model = record["model"]
    return Binding(str(record["credential"]), str(record["provider"]), None if model is None else str(model))


def switch_of(record: Record) -> Record:
    return {"off": bool(record["off"]), "at": float(record["at"])}


def window_record(window: Window) -> Record:
    return {
        "used": window.used,
        "reset": window.reset,
        "source": window.source,
        "allowed": window.allowed,
        "shared": window.shared,
        "model": window.model,
    }


def window_of(name: str, record: Record) -> Window:
    reset = record["reset"]
    return Window(
        name,
        float(record["used"]),
        None if reset is None else float(reset),
        str(record["source"]),
        bool(record["allowed"]),
        bool(record["shared"]),
        None if (model := record.get("model")) is None else str(model),
    )


def count_record(count: Count) -> Record:
    return {"start": count.start, "end": count.end, "tokens": count.tokens, "requests": count.requests}


def count_of(record: Record) -> Count:
    return Count(float(record["start"]), float(record["end"]), int(record["tokens"]), int(record["requests"]))


def cooldown_change(state: CredentialState, key: Key, known: Cooldown | Over) -> Change:
    record = over_record(known) if isinstance(known, Over) else cooldown_record(known, state.fingerprint)
    return Change("cooldown", state.credential.id, record, key)


def circuit_change(circuit: Circuit, known: Opening | Over) -> Change:
    record = over_record(known) if isinstance(known, Over) else {"since": known.since, "until": known.until}
    return Change("circuit", circuit[0], record, circuit[1])


def opening_of(record: Record) -> Opening:
    return Opening(float(record["since"]), float(record["until"]))


def switch_change(credential_id: str, switch: Record) -> Change:
    return Change("switch", credential_id, dict(switch))


def windows_change(credential_id: str, seen: Seen) -> Change:
    windows = {w.name: window_record(w) for w in seen.windows.values()}
    return Change("windows", credential_id, {"at": seen.at, "windows": windows})


def seen_of(record: Record) -> Seen:
    return Seen(float(record["at"]), {n: window_of(n, r) for n, r in record["windows"].items()})


def binding_change(key: str, binding: Binding) -> Change:
    return Change("binding", key, binding_record(binding))
