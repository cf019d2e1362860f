"""``detour explain``: where a request would go, and how it would look there, without sending it."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from detour.commands.options import FAILED, USAGE, ConfigOption, JsonOption, fail, load, print_json

if TYPE_CHECKING:
    from router_core.exchange import Headers, Request
    from router_core.explain import Explanation, Step
    from router_core.prepare import Outgoing

COLOURS = {"-": "\033[31m", "+": "\033[32m", "@": "\033[36m"}


def explain(
    file: Annotated[
        Path, typer.Argument(metavar="REQUEST.json", help="The request's body; - for standard input.")
    ],
    path: Annotated[str, typer.Option(help="Path and query of the request, e.g. /v1/messages.")],
    host: Annotated[
        str | None,
        typer.Option(help="Host that the tool calls, e.g. api.anthropic.com; the gateway without."),
    ] = None,
    method: Annotated[str, typer.Option(help="Method of the request.")] = "POST",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header; repeatable."),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the surface, the targets in order with the reason, and the rewritten request as a diff. Sends nothing.

    Exit 1 if Detour would refuse the request.
    """
    from router_core.core import Core
    from router_core.exchange import Request
    from router_core.explain import explain as explained

    core = Core(load(config))
    request = Request(method.upper(), _path(path), _headers(header or []), _body(file))
    found = explained(core, _host(host), request)
    if json:
        print_json(_document(found, request))
    else:
        # https://no-color.org
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in _lines(found, request, host):
            line = _printable(line)
            print(_coloured(line) if colour else line)
    if found.refusal or found.kind in ("not_found", "disabled"):
        raise typer.Exit(FAILED)


def _body(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise fail(f"{file}: {error.strerror}", USAGE) from None


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise fail(f"--path {path}: write a path that begins with /, and the host with --host", USAGE)
    return path


def _host(host: str | None) -> str | None:
    if host is not None and not re.fullmatch(r"[^/\s?#@]+", host):
        raise fail(f"--host {host}: write the name alone, e.g. api.anthropic.com", USAGE)
    return host


def _headers(written: list[str]) -> Headers:
    found: Headers = [("content-type", "application/json")]
    for line in written:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise fail(f"--header {line!r}: write NAME: VALUE", USAGE)
        if name.strip().lower() == "content-type":
            found.pop(0)
        found.append((name.strip(), value.strip()))
    return found


def _lines(found: Explanation, request: Request, host: str | None) -> Iterator[str]:
    where = f"{request.method} {host or 'the gateway'}{request.path.partition('?')[0]}"
    match found.kind:
        case "tunnel":
            yield f"{where}: no provider's host, so its connection is tunnelled and never decrypted"
        case "passthrough":
            yield f"{where}: belongs to {found.provider} but is no surface, so it is forwarded as it is"
        case "disabled":
            yield f"{where}: the provider {found.provider} is disabled, which is what the client is told"
        case "not_found":
            yield f"{where}: the gateway has no such path"
        case "surface":
            yield f"surface   {found.format} {found.operation}, {found.provider or 'routed by model'}"
            yield f"model     {found.model or '-'}{', streaming' if found.stream else ''}"
            if found.refusal:
                yield f"refused   {found.refusal.status} {found.refusal.code}: {found.refusal.message}"
    for number, step in enumerate(found.steps, 1):
        yield ""
        yield f"{number}. {step.target}, {f'with {step.credential}' if step.credential else 'unchanged'}: {step.reason}"
        yield from _step(step, request)
    if found.skipped:
        yield ""
        yield "passed over"
        yield from (f"   {target}: {reason}" for target, reason in found.skipped)


def _step(step: Step, request: Request) -> Iterator[str]:
    from router_core.errors import Refusal

    sends = step.sends
    if isinstance(sends, Refusal):
        yield f"   cannot take it: {sends.message}"
        return
    yield f"   {sends.method} {sends.url}"
    yield from (f"   rule {name}: {sends.reasons.get(name, '')}" for name in sends.fired)
    yield from (f"   note: {note}" for note in sends.notes)
    difference = _difference(request, sends)
    yield from (f"   {line}" for line in difference or ["the request is sent as it came"])


def _difference(request: Request, sends: Outgoing) -> list[str]:
    """Headers and pretty body, before and after, as a unified diff without its file names."""
    before, after = _text(request.headers, request.body), _text(sends.headers, sends.body)
    return [line.rstrip("\n") for line in difflib.unified_diff(before, after, n=3)][2:]


def _text(headers: Headers, body: bytes) -> list[str]:
    shown = _pretty(body)
    # The length says nothing that the body does not show.
    kept = [(name.lower(), value) for name, value in headers if name.lower() != "content-length"]
    return [*sorted(f"{name}: {_masked(name, value)}" for name, value in kept), "", *shown]


_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def _pretty(body: bytes) -> list[str]:
    """The lines of a body, each member of JSON on its own, spelled as it is: what stays the same looks the same."""
    from router_core.json_document import parse

    text = body.decode(errors="replace")
    try:
        parse(body)
    except ValueError:
        return text.splitlines()
    lines: list[str] = []
    line, depth, opened = "", 0, False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("}", "]"):
            depth -= 1
            if not opened:
                lines.append(line)
                line = "  " * depth
        elif opened:
            lines.append(line)
            line = "  " * depth
        line += ": " if token == ":" else token
        opened = token in ("{", "[")
        if opened:
            depth += 1
        elif token == ",":
            lines.append(line)
            line = "  " * depth
    return [*lines, line]


def _printable(line: str) -> str:
    """`line` without anything that a terminal would act on, or could not show."""
    return "".join(
        [c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in line]
    )


def _masked(name: str, value: str) -> str:
    from router_core.capture.names import SECRET_HEADER

    secret = name == "cookie" or SECRET_HEADER.search(name)
    return "[the client's own]" if secret and "[secret of " not in value else value


def _coloured(line: str) -> str:
    colour = COLOURS.get(line[3:4]) if line.startswith("   ") else None
    return f"{colour}{line}\033[0m" if colour else line


def _document(found: Explanation, request: Request) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "kind": found.kind,
        "provider": found.provider,
        "format": found.format,
        "operation": found.operation,
        "model": found.model,
        "stream": found.stream,
        "refusal": asdict(found.refusal) if found.refusal else None,
        "steps": [_step_document(step, request) for step in found.steps],
        "skipped": [{"target": target, "reason": reason} for target, reason in found.skipped],
    }


def _step_document(step: Step, request: Request) -> dict[str, Any]:
    from dataclasses import asdict

    from router_core.errors import Refusal

    head = {"target": step.target, "credential": step.credential, "reason": step.reason}
    if isinstance(step.sends, Refusal):
        return {**head, "refusal": asdict(step.sends)}
    return {
        **head,
        "method": step.sends.method,
        "url": step.sends.url,
        "headers": [(name, _masked(name.lower(), value)) for name, value in step.sends.headers],
        "body": step.sends.body.decode(errors="replace"),
        "fired": [{"rule": name, "reason": step.sends.reasons.get(name)} for name in step.sends.fired],
        "notes": step.sends.notes,
        "diff": _difference(request, step.sends),
    }
