"""What the ledger keeps of one exchange: figures and names, never content and never a secret."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from router_core.exchange import Attempt, Exchange, Headers, Outcome, Usage
from router_core.formats import Operation

if TYPE_CHECKING:
    from router_core.config.schema import Config

type Result = Literal["ok", "error", "cancelled", "refused"]
"""Answered; answered with an error or cut off; the client went away; refused by Detour itself."""

MAX_NAME = 200
"""Characters of a name that a client or an upstream chose; what is longer is cut."""

BILLED = frozenset({Operation.GENERATE, Operation.EMBEDDINGS, Operation.COMPACT})
"""Operations that use tokens, whether the answer says so or not."""

OAUTH_TOKENS = ("sk-ant-oat", "eyJ", "ya29.", "gho_", "ghu_", "tid=")
"""How the access tokens of subscriptions begin, which clients send for themselves: Anthropic, JWT, Google, GitHub."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that came to nothing."""

    number: int
    provider: str
    credential: str
    model: str
    phase: str
    status: int | None
    timeout: bool
    duration_ms: int | None
    input: int | None
    output: int | None


@dataclass(slots=True)
class Entry:
    """One exchange. Names are empty where there is none, figures None where they are unknown."""

    id: str
    at: int
    """Milliseconds since the epoch, when the request came."""
    provider: str
    credential: str
    model: str
    """The upstream's name for it."""
    asked: str
    """The model that the client asked for."""
    client: str
    tool: str
    session: str
    format: str
    operation: str
    stream: bool
    websocket: bool
    result: Result
    status: int | None
    error: str
    attempts: int
    first_byte_ms: int | None
    duration_ms: int | None
    input: int | None
    output: int | None
    reasoning: int | None
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    input_audio: int | None
    output_audio: int | None
    input_image: int | None
    output_image: int | None
    server_tools: dict[str, int]
    notes: tuple[str, ...]
    subscription: bool
    cost: int | None = None
    """Billionths of a dollar that are owed."""
    notional: int | None = None
    """Billionths of a dollar that a subscription covers."""
    cost_source: str = ""
    failures: tuple[Failure, ...] = ()

    @property
    def tokens(self) -> int:
        """Input, cached input and output together."""
        return (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0) + (self.output or 0)

    @property
    def unpriced(self) -> bool:
        """Whether something was used and nobody knows what it cost: there is no price, or not even a count."""
        if self.cost is not None or self.notional is not None:
            return False
        return self.tokens > 0 or (self.input is None and self.output is None and self._was_served)

    @property
    def _was_served(self) -> bool:
        # What an error answer used, it says, or it used nothing; so do the turns of a WebSocket.
        refused = not self.attempts or (self.status is not None and self.status >= 400)
        return self.operation in BILLED and not refused and not self.websocket


@dataclass(slots=True)
class Unpriced:
    """An entry on its way to the ledger, with what its price depends on."""

    entry: Entry
    usage: Usage
    base_url: str | None


def entry_of(exchange: Exchange, subscriptions: Collection[str] = frozenset()) -> Unpriced:
    """A snapshot of a finished exchange. `subscriptions` are the ids of credentials that owe no money."""
    attempt, usage = exchange.attempt, exchange.usage
    surface = exchange.surface
    provider = attempt.provider if attempt else surface.provider
    credential = attempt.credential_id if attempt else None
    entry = Entry(
        id=exchange.id,
        at=int(exchange.created * 1000),
        provider=provider.name if provider else "",
        credential=credential or "",
        model=_name((attempt.model if attempt else None) or exchange.model),
        asked=_name(exchange.model),
        client=_name(exchange.client.name),
        tool=_name(exchange.client.tool),
        session=_name(exchange.session),
        format=str(surface.format),
        operation=str(surface.operation),
        stream=exchange.stream,
        websocket=exchange.websocket,
        result=_result(exchange),
        status=_number(exchange.status),
        error=_name(exchange.error),
        attempts=len(exchange.attempts),
        first_byte_ms=_elapsed(exchange.started, exchange.first_byte),
        duration_ms=_elapsed(exchange.started, exchange.ended),
        input=usage.input,
        output=usage.output,
        reasoning=usage.reasoning,
        cache_read=usage.cache_read,
        cache_write=usage.cache_write,
        cache_write_1h=usage.cache_write_1h,
        input_audio=usage.input_audio,
        output_audio=usage.output_audio,
        input_image=usage.input_image,
        output_image=usage.output_image,
        server_tools=dict(usage.server_tools),
        notes=usage.notes,
        subscription=credential in subscriptions if credential else _brings_subscription(exchange),
        failures=tuple(_failure(a) for a in exchange.attempts if _failed(a.outcome)),
    )
    return Unpriced(entry, usage, attempt.endpoint.base_url if attempt else None)


def subscriptions(config: Config) -> frozenset[str]:
    """Ids of the credentials whose use owes no money."""
    return frozenset(
        c.id
        for c in config.credentials
        if c.billing == "subscription"
        or (c.billing is None and (c.oauth is not None or c.token_file is not None))
    )


def day_of(at: int) -> str:
    """The local date of milliseconds since the epoch."""
    return time.strftime("%Y-%m-%d", time.localtime(at / 1000))


def _result(exchange: Exchange) -> Result:
    outcome = exchange.attempt.outcome if exchange.attempt else None
    if outcome is not None and outcome.cancelled:
        return "cancelled"
    if not exchange.error and exchange.status is not None and exchange.status < 400:
        return "ok"
    return "error" if exchange.attempt else "refused"


def _failed(outcome: Outcome | None) -> bool:
    if outcome is None or outcome.cancelled:
        return False
    return outcome.phase != "done" or outcome.status is None or outcome.status >= 400


def _failure(attempt: Attempt) -> Failure:
    outcome, usage = attempt.outcome, attempt.usage or Usage()
    assert outcome
    return Failure(
        number=attempt.number,
        provider=attempt.provider.name,
        credential=attempt.credential_id or "",
        model=_name(attempt.model),
        phase=outcome.phase,
        status=_number(outcome.status),
        timeout=outcome.timeout,
        duration_ms=_elapsed(attempt.started, attempt.ended),
        input=usage.prompt,
        output=usage.output,
    )


def _brings_subscription(exchange: Exchange) -> bool:
    """Whether the client's own credential is a subscription's access token."""
    headers: Headers = exchange.request.headers
    for name, value in headers:
        if name.lower() == "authorization":
            return value[:7].lower() == "bearer " and value[7:].lstrip().startswith(OAUTH_TOKENS)
    return False


def _name(value: str | None) -> str:
    # PostgreSQL's text cannot hold NUL, and a lone surrogate cannot be written as UTF-8.
    return (value or "")[:MAX_NAME].replace("\0", "").encode("utf-8", "replace").decode()


def _number(status: int | None) -> int | None:
    # Without the name that an HTTPStatus has besides.
    return None if status is None else int(status)


def _elapsed(start: float, end: float | None) -> int | None:
    return None if end is None else max(0, round((end - start) * 1000))


def to_json(entry: Entry) -> dict[str, Any]:
    """The entry as JSON values; `from_json` reads it back."""
    return asdict(entry)


def from_json(document: Any) -> Entry:
    """Raises ValueError for anything that `to_json` did not write."""
    try:
        values = {f.name: document[f.name] for f in fields(Entry)}
        values["failures"] = tuple(Failure(**f) for f in values["failures"])
        values["notes"] = tuple(values["notes"])
        entry = Entry(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a ledger entry: {error}") from error
    if (
        not isinstance(entry.id, str)
        or not isinstance(entry.at, int)
        or entry.result not in get_args(Result.__value__)
    ):
        raise ValueError("not a ledger entry: id, at or result")
    return entry
