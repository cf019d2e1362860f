"""What ``detour top`` shows."""

from __future__ import annotations

from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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


def screen(found: dict[str, Any], now: float, height: int) -> RenderableType:
    """The state, credentials and exchanges that the admin API told, in at most `height` lines."""
    credentials = found["credentials"]
    running, finished = found["running"], found["finished"]
    room = max(6, height - len(credentials) - 12)
    return Group(
        _headline(found["state"], running, finished, now),
        _credentials(credentials, now),
        _running(running[: room // 2]),
        _finished(finished[: max(3, room - min(len(running), room // 2))]),
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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for column in columns:
        right = column in ("first byte", "total", "tokens", "tok/s", "elapsed", "attempts", "under way")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    return table


def _state(name: str) -> str:
    colour = COLOURS.get(name)
    return f"[{colour}]{name.replace('_', ' ')}[/]" if colour else name


def _credentials(credentials: list[dict[str, Any]], now: float) -> Table:
    table = _table("Credentials", "credential", "provider", "state", "back in", "under way", "windows")
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
        table.add_row(
            escape(c["id"]),
            c["provider"],
            _state(c["state"]),
            back,
            str(c["in_flight"]),
            escape(windows + models) or "-",
        )
    return table


def _running(running: list[dict[str, Any]]) -> Table:
    table = _table("Running", "state", "model", "credential", "client", "attempts", "elapsed", "tok/s")
    for e in running:
        table.add_row(
            _state(e["state"]),
            escape(e["model"] or e["asked"] or e["operation"]),
            escape(e["credential"] or "client's own"),
            escape(e["tool"] or e["client"]),
            str(e["attempts"]),
            f"{e['elapsed_ms'] / 1000:.1f} s",
            f"~{e['tokens_per_second']:g}" if e["tokens_per_second"] is not None else "-",
        )
    return table


def _finished(finished: list[dict[str, Any]]) -> Table:
    table = _table(
        "Finished", "state", "model", "credential", "client", "first byte", "total", "tokens", "tok/s"
    )
    for e in finished:
        table.add_row(
            _state(e["state"]),
            escape(e["model"] or e["asked"] or e["operation"]),
            escape(e["credential"] or "client's own"),
            escape(e["tool"] or e["client"] or "-"),
            _ms(e["first_byte_ms"]),
            _ms(e["duration_ms"]),
            str(e["tokens"]),
            f"{e['tokens_per_second']:g}" if e["tokens_per_second"] else "-",
        )
    return table


def _ms(value: int | None) -> str:
    return "-" if value is None else f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"
