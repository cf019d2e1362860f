"""``detour capture replay``: send a recorded request again, and compare what comes back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape

from detour.commands.capture.compare import lines
from detour.commands.capture.place import Captures, IdArgument, SideOption, captures, console, hop_of
from detour.commands.capture.rows import seconds, size
from detour.commands.capture.show import as_conversation
from detour.commands.options import FAILED, USAGE, ConfigOption, JsonOption, fail, print_json
from detour.commands.terminal import visible
from detour.upstream import client
from router_core.capture import diff, transcript
from router_core.capture.diff import Change
from router_core.capture.record import Body, Hop, Received, Record
from router_core.capture.replay import Prepared, Refused, prepare
from router_core.credentials.model import CredentialError
from router_core.credentials.pool import Pool
from router_core.exchange import Headers
from router_core.paths import paths

TIMEOUT = 300.0
"""Seconds without a byte."""
CHANGING = frozenset(
    {
        *("date", "server", "cf-ray", "x-request-id", "request-id", "openai-processing-ms"),
        *("connection", "content-encoding", "content-length", "transfer-encoding", "x-detour-id"),
    }
)
"""Headers that differ in any two answers."""


@dataclass(slots=True)
class Answer:
    """One answer to a replay."""

    response: Received | None
    error: str | None
    first_byte: float | None
    total: float
    changes: list[Change]


def replay(
    id: IdArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="CREDENTIAL|URL",
            help="With this credential, or to this address; may be given for both.",
        ),
    ] = None,
    times: Annotated[int, typer.Option(min=1, max=1000, help="One after the other.")] = 1,
    side: SideOption = None,
    with_placeholders: Annotated[
        bool, typer.Option("--with-placeholders", help="Send the body although secrets in it were replaced.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Fold and shorten nothing.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Send a recorded request again with the credential that is configured now.

    Exit 1 if it could not be sent or no answer came.
    """
    place = captures(config)
    record = place.record(id)
    hop = hop_of(record, side)
    base, credential = _targets(place, to or [])
    try:
        answers = asyncio.run(_replay(place, record, hop, base, credential, times, with_placeholders, json))
    except (Refused, CredentialError, OSError, ValueError) as error:
        raise fail(str(error)) from None
    if json:
        print_json([_values(answer) for answer in answers])
    else:
        _print(record, hop, answers, full)
    if any(answer.error for answer in answers):
        raise typer.Exit(FAILED)


def _targets(place: Captures, to: list[str]) -> tuple[str | None, str | None]:
    """(base URL, credential id) of the values of ``--to``."""
    base: str | None = None
    credential: str | None = None
    known = {c.id for c in place.loaded.config.credentials}
    for value in to:
        if value.startswith(("http://", "https://")):
            base = value
        elif value in known:
            credential = value
        else:
            raise fail(
                f"--to: {value!r} is neither a URL nor a credential; there are {', '.join(sorted(known)) or 'none'}",
                USAGE,
            )
    return base, credential


async def _replay(
    place: Captures,
    record: Record,
    hop: Hop,
    base: str | None,
    credential: str | None,
    times: int,
    with_placeholders: bool,
    quiet: bool,
) -> list[Answer]:
    config, registry = place.loaded.config, place.loaded.registry
    pool = Pool(config, registry, folder=paths(config).credentials)
    recorded = hop.about.get("credential")
    provider = hop.about.get("provider") or record.opening.provider
    # A credential belongs to its provider's hosts: it goes to another address only if it is named.
    wanted = credential or (recorded if base is None and recorded in pool.credentials else None)
    if base is None:
        _same_place(record, hop, pool, credential, provider)
    await pool.start()
    try:
        auth = await _auth(pool, wanted) if wanted else None
        remedy = _remedy(record, [c.id for c in pool.active(provider)] if provider else [])
        prepared = prepare(hop, auth, base, remedy, with_placeholders)
        own = pool.credentials[wanted].config.proxy if wanted else None
        async with client(config, own, TIMEOUT) as http:
            return [await _send(http, prepared, hop, quiet or times > 1) for _ in range(times)]
    finally:
        await pool.close()


def _same_place(record: Record, hop: Hop, pool: Pool, credential: str | None, provider: str | None) -> None:
    """Raises Refused where the request's own address would not do."""
    if hop.number == 0 and record.opening.via == "gateway":
        raise Refused("the client asked Detour's gateway; add --to URL, or replay --side upstream")
    other = pool.credentials[credential].provider if credential else provider
    if provider and other != provider:
        raise Refused(
            f"{credential} belongs to {other} and the request went to {provider}; name an address too: --to URL"
        )


async def _auth(pool: Pool, id: str) -> Headers:
    """The headers that carry a credential."""
    credential = pool.credentials[id]
    if credential.inactive:
        raise Refused(f"the credential {id} cannot be used: {credential.inactive}")
    token = await credential.source.token()
    provider = pool.registry.providers[credential.provider]
    carriers = provider.oauth if token.oauth else provider.auth
    return [*token.headers, *((carrier.header, carrier.value(token.secret)) for carrier in carriers)]


def _remedy(record: Record, ids: list[str]) -> str:
    if ids:
        return f"name one: --to {ids[0]}" + (f" (or {', '.join(ids[1:])})" if ids[1:] else "")
    host = record.opening.provider or record.opening.host
    return f"configure one for {host} and name it with --to CREDENTIAL, or send it elsewhere with --to URL"


async def _send(http: httpx.AsyncClient, prepared: Prepared, hop: Hop, quiet: bool) -> Answer:
    began = time.perf_counter()
    try:
        async with http.stream(
            prepared.method, prepared.url, headers=prepared.headers, content=prepared.body
        ) as response:
            received = Received(
                time.perf_counter() - began, response.status_code, response.headers.multi_items()
            )
            pieces: list[bytes] = []
            async for data in response.aiter_bytes():
                pieces.append(data)
                received.body.chunks.append((time.perf_counter() - began, len(data)))
            received.body.data = b"".join(pieces)
    except httpx.HTTPError as error:
        what = f"{httpx.URL(prepared.url).host}: {error or type(error).__name__}"
        return Answer(None, what, None, time.perf_counter() - began, [])
    changes = [
        c for c in diff.responses(hop.response, received) if c.where.removeprefix("header ") not in CHANGING
    ]
    first = received.body.chunks[0][0] if received.body.chunks else received.at
    return Answer(received, None, first, time.perf_counter() - began, changes)


def _print(record: Record, hop: Hop, answers: list[Answer], full: bool) -> None:
    out = console()
    for number, answer in enumerate(answers, 1):
        prefix = f"{number:>3}  " if len(answers) > 1 else ""
        if answer.response is None:
            out.print(f"{prefix}[red]{escape(visible(answer.error or ''))}[/red]")
            continue
        body = answer.response.body
        same = "as recorded" if not answer.changes else f"{len(answer.changes)} differences"
        out.print(
            f"{prefix}{answer.response.status}  first byte {seconds(answer.first_byte)}  total {seconds(answer.total)}"
            f"  {size(len(body.data))}  {same}"
        )
    last = answers[-1]
    if last.response is None:
        return
    shown = Hop(hop.number, None, last.response, about=hop.about)
    text = as_conversation(record, shown, None if full else transcript.LONG) or _text(last.response.body)
    out.print()
    out.print(visible(text), markup=False, end="" if text.endswith("\n") else "\n")
    if last.changes:
        out.print("\n[bold]recorded -> now[/bold]")
        for change in last.changes if full else last.changes[:20]:
            for line in lines(change, full):
                out.print("  " + line)
        if not full and len(last.changes) > 20:
            out.print(f"  ... {len(last.changes) - 20} more, with --full")


def _text(body: Body) -> str:
    return body.data.decode("utf-8", "replace")


def _values(answer: Answer) -> dict[str, Any]:
    response = answer.response
    return {
        "status": response.status if response else None,
        "error": answer.error,
        "first_byte": answer.first_byte,
        "total": answer.total,
        "same": response is not None and not answer.changes,
        "changes": [asdict(change) for change in answer.changes],
        "headers": response.headers if response else None,
        "body": _text(response.body) if response else None,
    }
