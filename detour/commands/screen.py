"""What ``detour top`` shows."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from detour.commands.terminal import Column, fitted
from router_core.routing.status import describe

MINUTE: Final = 60.0
COLOURS: Final = {
    "ready": "green",
    "ok": "green",
    "streaming": "green",
    "cooling": "yellow",
    "half_open": "yellow",
    "busy": "yellow",
    "waiting": "yellow",
    "cancelled": "yellow",
    "exhausted": "red",
    "error": "red",
    "refused": "red",
}


def screen(found: dict[str, Any], now: float, width: int, height: int) -> RenderableType:
    """The state, credentials and exchanges that the admin API told, in at most `height` lines of `width` cells."""
    credentials = found["credentials"]
    running, finished = found["running"], found["finished"]
    room = max(6, height - len(credentials) - 12)
    return Group(
        _headline(found["state"], running, finished, now),
        _credentials(credentials, now, width),
        _running(running[: room // 2], width),
        _finished(finished[: max(3, room - min(len(running), room // 2))], width),
    )


def speed(running: list[dict[str, Any]]) -> float:
    """Tokens a second of all answers that come now, estimated."""
    return sum(e["tokens_per_second"] or 0 for e in running)


def average(finished: list[dict[str, Any]], now: float) -> float:
    """Output tokens a second over the last minute."""
    recent = [e for e in finished if e["at"] / 1000 + (e["duration_ms"] or 0) / 1000 > now - MINUTE]
    return sum(e["output"] or 0 for e in recent) / MINUTE


def _headline(
    state: dict[str, Any], running: list[dict[str, Any]], finished: list[dict[str, Any]], now: float
) -> Text:
    recent = sum(e["at"] / 1000 > now - MINUTE for e in finished)
    ledger = state["ledger"]["state"]
    text = Text.assemble(
        (f"detour {state['version']}", "bold"),
        f"  up {describe(max(1, state['uptime']))}",
        f"  running {state['exchanges']['running']} at ~{speed(running):.0f} tokens/s",
        f"  {recent} requests and {average(finished, now):.1f} tokens/s in the last minute",
    )
    if ledger not in ("ok", "off"):
        text.append(f"  ledger {ledger}", "red")
    return text


def _state(name: str) -> str:
    colour = COLOURS.get(name)
    return f"[{colour}]{name.replace('_', ' ')}[/]" if colour else name


CREDENTIALS: Final = (
    Column("credential", name=True),
    Column("provider", 2, name=True),
    Column("state"),
    Column("back in", 4),
    Column("under way", 1, right=True),
    Column("windows", 3, name=True),
)
RUNNING: Final = (
    Column("state"),
    Column("model", name=True),
    Column("credential", 3, name=True),
    Column("client", 2, name=True),
    Column("attempts", 1, right=True),
    Column("elapsed", right=True),
    Column("tok/s", 4, right=True),
)
FINISHED: Final = (
    Column("state"),
    Column("model", name=True),
    Column("credential", 5, name=True),
    Column("client", 2, name=True),
    Column("first byte", 1, right=True),
    Column("total", 4, right=True),
    Column("tokens", right=True),
    Column("tok/s", 3, right=True),
)


def _credentials(credentials: list[dict[str, Any]], now: float, width: int) -> Table:
    lines = []
    for c in credentials:
        windows = ", ".join(
            f"{w['name']} {w['used']:.0%}"
            + (f" ({describe(w['reset'] - now)})" if (w["reset"] or 0) > now else "")
            for w in c["windows"]
        )
        models = "".join(
            f" {m['model']} {m['state']} ({describe(max(1, m['until'] - now))})" for m in c["models"]
        )
        back = describe(c["until"] - now) if c["until"] and c["until"] > now else "-"
        lines.append(
            [
                escape(c["id"]),
                escape(c["provider"]),
                _state(c["state"]),
                back,
                str(c["in_flight"]),
                escape((windows + models).strip()) or "-",
            ]
        )
    return fitted("Credentials", CREDENTIALS, lines, width, fold=False)[0]


def _running(running: list[dict[str, Any]], width: int) -> Table:
    lines = [
        [
            _state(e["state"]),
            escape(e["model"] or e["asked"] or e["operation"]),
            escape(e["credential"] or "client's own"),
            escape(e["tool"] or e["client"] or "-"),
            str(e["attempts"]),
            f"{e['elapsed_ms'] / 1000:.1f} s",
            f"~{e['tokens_per_second']:g}" if e["tokens_per_second"] is not None else "-",
        ]
        for e in running
    ]
    return fitted("Running", RUNNING, lines, width, fold=False)[0]


def _finished(finished: list[dict[str, Any]], width: int) -> Table:
    lines = [
        [
            _state(e["state"]),
            escape(e["model"] or e["asked"] or e["operation"]),
            escape(e["credential"] or "client's own"),
            escape(e["tool"] or e["client"] or "-"),
            _ms(e["first_byte_ms"]),
            _ms(e["duration_ms"]),
            str(e["tokens"]),
            f"{e['tokens_per_second']:g}" if e["tokens_per_second"] else "-",
        ]
        for e in finished
    ]
    return fitted("Finished", FINISHED, lines, width, fold=False)[0]


def _ms(value: int | None) -> str:
    return "-" if value is None else f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"
