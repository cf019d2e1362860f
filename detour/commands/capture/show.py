"""``detour capture show``: one record for a person to read."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.markup import escape
from rich.rule import Rule
from rich.syntax import Syntax

from detour.commands.capture.place import IdArgument, SideOption, captures, console, hop_of
from detour.commands.capture.rows import seconds, size
from detour.commands.options import USAGE, ConfigOption, JsonOption, fail, print_json
from detour.commands.terminal import visible
from router_core.capture import conversation, timeline, transcript
from router_core.capture.record import Body, Hop, Received, Record, Sent
from router_core.formats import Format

type Section = Literal["headers", "body", "conversation", "timeline"]

FOLDED = 60
"""Lines of a body or a timeline that are shown without --full."""
LONG_LINE = 4000
"""Characters of a line of a body that are shown without --full."""
LONG_GAP = 1.0
"""Seconds without an event that are worth a colour."""


def show(
    id: IdArgument = "last",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="SECTION", help="headers, body, conversation or timeline; may be repeated."),
    ] = None,
    side: SideOption = None,
    full: Annotated[bool, typer.Option("--full", help="Fold nothing.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a record: headers, bodies, the conversation, and the stream as it arrived."""
    sections = ("headers", "body", "conversation", "timeline")
    if unknown := set(only or ()) - set(sections):
        raise fail(
            f"--only: there is no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}",
            USAGE,
        )
    record = captures(config).record(id)
    if json:
        print_json(document(record))
        return
    view = _View(record, full)
    hops = [hop_of(record, side)] if side else [record.client, *record.attempts]
    if not only:
        view.overview()
    for section in sections:
        if section in (only or sections):
            view.section(section, hops if section in ("headers", "body") else [hop_of(record, side)])
    for problem in record.problems:
        view.out.print(f"[yellow]{escape(visible(problem))}[/yellow]")


class _View:
    def __init__(self, record: Record, full: bool) -> None:
        self.record = record
        self.full = full
        self.out = console()

    def section(self, name: str, hops: list[Hop]) -> None:
        for hop in hops:
            match name:
                case "headers":
                    self.headers(hop)
                case "body":
                    self.bodies(hop)
                case "conversation":
                    self.conversation(hop)
                case _:
                    self.timeline(hop)

    def overview(self) -> None:
        opening, end = self.record.opening, self.record.end or {}
        rows: list[tuple[str, Any]] = [
            ("id", opening.id),
            ("time", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(opening.created))),
            ("client", " ".join(x for x in (opening.tool, opening.client, f"by {opening.via}") if x)),
            ("request", f"{opening.method} {opening.url}"),
            (
                "surface",
                f"{opening.format}/{opening.operation}" if opening.operation else "none, passed through",
            ),
            ("model", opening.model),
            ("status", end.get("status") if self.record.end else "no end was recorded"),
            ("error", end.get("error")),
            ("first byte", seconds(end.get("first_byte"))),
            ("total", seconds(end.get("t"))),
            ("usage", ", ".join(f"{k} {v}" for k, v in (end.get("usage") or {}).items())),
        ]
        for name, value in rows:
            if value not in (None, "", "-"):
                self.out.print(f"{name:<11}{escape(visible(str(value)))}")
        for target in self.record.plan:
            self.line("plan", ", ".join(f"{v}" if k == "target" else f"{k}: {v}" for k, v in target.items()))
        for hop in self.record.attempts:
            self.line(f"attempt {hop.number}", self.about(hop))
            for rule, reason in (hop.about.get("reasons") or {}).items():
                self.line("rule", f"{rule}: {reason}")
            for note in hop.about.get("notes") or ():
                self.line("note", note)
        told = {rule for hop in self.record.attempts for rule in hop.about.get("reasons") or ()}
        for rule, reason in (end.get("reasons") or {}).items():
            if rule not in told:
                self.line("rule", f"{rule}, of the answer: {reason}")

    def about(self, hop: Hop) -> str:
        about = hop.about
        target = "/".join(str(about[k]) for k in ("provider", "model") if about.get(k))
        parts = [target, f"[{about.get('credential') or 'the client’s own credential'}]"]
        if about.get("rules"):
            parts.append(f"rules: {', '.join(about['rules'])}")
        if hop.timings:
            parts.append(", ".join(f"{name} {seconds(at)}" for name, at in hop.timings.items()))
        if hop.response:
            parts.append(f"status {hop.response.status} after {seconds(hop.response.at)}")
        if error := (about.get("outcome") or {}).get("error"):
            parts.append(f"failed: {error}")
        if about.get("reason"):
            parts.append(f"chosen because {about['reason']}")
        return "; ".join(p for p in parts if p)

    def line(self, name: str, text: str) -> None:
        self.out.print(f"{name:<11}{escape(visible(text))}")

    def title(self, text: str) -> None:
        self.out.print()
        if self.out.is_terminal:
            self.out.print(Rule(escape(text), align="left", style="dim"))
        else:
            self.out.print(f"--- {escape(text)}")

    def headers(self, hop: Hop) -> None:
        for message, name in ((hop.request, "request"), (hop.response, "response")):
            if message is None:
                continue
            self.title(f"{_name(hop)}: {name} headers")
            first = f"{message.method} {message.url}" if isinstance(message, Sent) else str(message.status)
            self.out.print(f"[bold]{escape(visible(first))}[/bold]")
            for key, value in message.headers:
                self.out.print(f"[cyan]{escape(visible(key))}[/cyan]: {escape(visible(value))}")

    def bodies(self, hop: Hop) -> None:
        upstream = self.record.client if hop.number else None
        for message, name in ((hop.request, "request"), (hop.response, "response")):
            if message is None or not message.body.data:
                if message is not None and message.body.unreadable:
                    self.title(f"{_name(hop)}: {name} body could not be recorded: {message.body.unreadable}")
                continue
            self.title(f"{_name(hop)}: {name} body, {size(len(message.body.data))}")
            other = upstream and (upstream.request if name == "request" else upstream.response)
            if other and other.body.data == message.body.data:
                self.out.print("the same as the client's")
                continue
            self.body(message)

    def body(self, message: Sent | Received) -> None:
        text, language = pretty(message.body)
        lines = visible(text).splitlines()
        if not self.full:
            lines = [_folded(line) for line in lines]
        if not self.full and len(lines) > FOLDED:
            half = FOLDED // 2
            lines = [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
        text = "\n".join(lines)
        if self.out.is_terminal and language:
            self.out.print(Syntax(text, language, background_color="default", word_wrap=True))
        else:
            self.out.print(text, markup=False)

    def conversation(self, hop: Hop) -> None:
        text = as_conversation(self.record, hop, None if self.full else transcript.LONG)
        if text:
            self.title("conversation")
            self.out.print(visible(text), markup=False, end="")

    def timeline(self, hop: Hop) -> None:
        response = hop.response
        moments = timeline.of_frames(self.record, hop.number)
        if not moments and response and response.is_stream:
            moments = timeline.of_body(response.body, response.at)
        if not moments:
            return
        longest = max(moments, key=lambda m: m.gap)
        self.title(
            f"timeline: {len(moments)} events, longest gap {seconds(longest.gap)} before {seconds(longest.at)}"
        )
        half = FOLDED // 2
        folded = not self.full and len(moments) > FOLDED
        for number, moment in enumerate(moments):
            if folded and number == half:
                self.out.print(f"... {len(moments) - 2 * half} events ...")
            if folded and half <= number < len(moments) - half and moment.gap < max(LONG_GAP, longest.gap):
                continue
            gap = f"+{seconds(moment.gap)}"
            colour = "red" if moment.gap >= LONG_GAP else "dim"
            gist = visible(moment.gist.replace("\n", "\\n"))
            gist = gist if self.full or len(gist) <= 100 else f"{gist[:100]}..."
            row = f"{seconds(moment.at):>9} [{colour}]{gap:>9}[/{colour}] {moment.size:>6} B  "
            self.out.print(row + f"{escape(visible(moment.name))}  {escape(gist)}")


def _folded(line: str) -> str:
    half = LONG_LINE // 2
    hidden = len(line) - 2 * half
    return f"{line[:half]} ... {hidden} characters ... {line[-half:]}" if hidden > 0 else line


def _name(hop: Hop) -> str:
    return f"attempt {hop.number}" if hop.number else "client"


def pretty(body: Body) -> tuple[str, str | None]:
    """A body as text, JSON indented, and the language for its colours."""
    if body.data.lstrip()[:1] in (b"{", b"["):
        try:
            return orjson.dumps(orjson.loads(body.data), option=orjson.OPT_INDENT_2).decode(), "json"
        except ValueError:
            pass
    try:
        return body.data.decode(), None
    except UnicodeDecodeError:
        return f"({len(body.data)} bytes that are no text)\n{body.data[:256].hex(' ', -4)}", None


def as_conversation(record: Record, hop: Hop, limit: int | None) -> str:
    """Request and answer of a hop as a conversation; empty where the format is not known."""
    name = hop.about.get("format") or record.opening.format
    if name not in set(Format):
        return ""
    format, parts = Format(name), []
    if hop.request:
        with suppress(ValueError):
            asked = conversation.read_request(format, orjson.loads(hop.request.body.data))
            parts.append(transcript.render(asked, limit))
    if hop.response and hop.response.body.data:
        try:
            parts.append(transcript.render(conversation.read_body(format, hop.response.body.data), limit))
        except ValueError:
            parts.append(hop.response.body.data[:2000].decode("utf-8", "replace") + "\n")
    messages = [(f.from_client, f.data) for f in record.messages(hop.number) if f.opcode == "text"]
    parts += (transcript.render(turn, limit) for turn in conversation.read_messages(format, messages))
    return "\n".join(parts)


def document(record: Record) -> dict[str, Any]:
    """A record as JSON: everything that is in its file, put together."""
    return {
        **asdict(record.opening),
        "status": record.status,
        "end": record.end,
        "plan": record.plan,
        "client": _hop(record.client),
        "attempts": [_hop(hop) for hop in record.attempts],
        "messages": [
            {
                "t": f.at,
                "attempt": f.number or None,
                "from": "client" if f.from_client else "server",
                "opcode": f.opcode,
                "data": f.data.decode("utf-8", "replace"),
            }
            for f in record.frames
        ],
        "problems": record.problems,
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "number": hop.number,
        **hop.about,
        "timings": hop.timings,
        "request": _message(hop.request),
        "response": _message(hop.response),
    }


def _message(message: Sent | Received | None) -> dict[str, Any] | None:
    if message is None:
        return None
    head = (
        {"method": message.method, "url": message.url}
        if isinstance(message, Sent)
        else {"status": message.status}
    )
    body = message.body
    return {
        **head,
        "t": message.at,
        "headers": message.headers,
        "body": body.data.decode("utf-8", "replace"),
        "chunks": body.chunks,
        "unreadable": body.unreadable,
    }
