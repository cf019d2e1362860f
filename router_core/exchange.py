"""One request and everything that became of it.

An `Exchange` follows a request from its surface to its last byte and is the only thing that the addons
hand around. It lives beside the mitmproxy flow, never inside `flow.metadata`, which is written to disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from router_core.errors import Refusal
from router_core.formats import Format, Operation
from router_core.providers.model import Endpoint, Provider
from router_core.verdict import Verdict

type Headers = list[tuple[str, str]]
"""In wire order, names as received; compare names in lower case."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What a path asks for: (host, method, path) resolved. See `router_core.surfaces`."""

    format: Format
    operation: Operation
    provider: Provider | None
    """None on a gateway path that routes by model alone."""
    endpoint: Endpoint | None
    """The endpoint that the path belongs to; None without a provider, and where it does not speak the format."""
    pinned: bool
    """True where the path or host names the provider, so that unlisted models go to it."""
    via: Literal["proxy", "gateway"]
    path_model: str | None = None
    """The model where the path carries it (Gemini), percent-decoded."""
    path_stream: bool | None = None
    """True/False where the path decides about streaming (Gemini), None where the body does."""
    url: str | None = None
    """Where a passed-through gateway path goes, query included; None for everything else."""


@dataclass(slots=True)
class ClientInfo:
    address: str
    name: str | None = None
    """The name of the client's access key, if it has one."""
    tool: str | None = None
    """The command-line tool by its User-Agent, e.g. ``claude-code``, ``codex``."""


@dataclass(frozen=True, slots=True)
class Request:
    """The client's request as it came. Never changed: each attempt starts from it again."""

    method: str
    path: str
    """Path and query as received."""
    headers: Headers
    body: bytes


@dataclass(slots=True)
class Outcome:
    """How one attempt ended, as the classifier sees it."""

    phase: Literal["connect", "headers", "opening", "body", "done"]
    """Where it ended: before a connection, before an answer, before content, inside it, or complete."""
    status: int | None = None
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    """The error body (decoded, bounded), or the data of an error event inside a 200 stream."""
    error: str | None = None
    """A transport failure in words: ``connection refused``, ``first byte timeout`` ..."""
    timeout: bool = False
    cancelled: bool = False
    """The client went away; says nothing about the upstream."""
    response_id: str | None = None
    """The id of a stored response (Responses API), by which follow-ups find their account."""


@dataclass(slots=True)
class Usage:
    """Token counts by one identity: `input` excludes both cache counts, `output` includes `reasoning`.

    None is unknown, which is never the same as 0. See `router_core.usage.count` for how each format is read.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    """All tokens written to a cache, whatever their lifetime."""
    cache_write_1h: int | None = None
    """The part of `cache_write` that lives for an hour."""
    input_audio: int | None = None
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    """The parts of `input` and `output` that are not text, in tokens."""
    server_tools: dict[str, int] = field(default_factory=dict)
    """Calls that the provider ran by itself, by name: web_search, web_fetch, code_execution ..."""
    others: dict[str, Usage] = field(default_factory=dict)
    """What further models used inside the answer (Anthropic's advisor), by model; not in the counts above."""
    tier: str | None = None
    """The service tier or speed that the provider reports, where it changes the price."""
    cost: Decimal | None = None
    """US dollars, as the provider itself reports them."""
    notes: tuple[str, ...] = ()
    """Figures that were rejected or contradict each other, as ``FIELD: why``."""

    @property
    def prompt(self) -> int | None:
        """All input tokens, cached ones included; None when nothing is known."""
        fresh, read, written = self.input, self.cache_read, self.cache_write
        if fresh is None and read is None and written is None:
            return None
        return (fresh or 0) + (read or 0) + (written or 0)


@dataclass(slots=True)
class Attempt:
    """One try at one upstream with one credential."""

    number: int
    """1 for the first."""
    provider: Provider
    endpoint: Endpoint
    model: str | None
    """The upstream's model name; None where the operation has no model."""
    credential_id: str | None
    """None: the client's own credential to its own host."""
    auth: Headers = field(default_factory=list, repr=False)
    """Headers that carry the secret; empty with the client's own credential."""
    headers: dict[str, str] = field(default_factory=dict)
    """Extra headers of the credential's configuration."""
    proxy: str | None = field(default=None, repr=False)
    """URL of the outbound proxy for this attempt (may hold a password), None for direct."""
    effort: str | None = None
    """Thinking effort or budget that the model's suffix or target asks for."""
    drop_state: bool = False
    """The conversation comes from another account, whose state `router_core.routing.continuity.without_state`
    takes out of the request."""
    reason: str = ""
    """Why this target and credential, in words, for `explain` and logs."""
    rewriting: Any = field(default=None, repr=False)
    """The `router_core.rewrite.context.Context` that its request left for its answer."""
    started: float = 0.0
    first_byte: float | None = None
    ended: float | None = None
    """Monotonic seconds."""
    outcome: Outcome | None = None
    usage: Usage | None = None
    """What the upstream reported before the attempt failed; the answer's own counts are the exchange's."""


class AttemptSource(Protocol):
    """Where an exchange's attempts come from: `router_core.routing` makes a `Plan` or a `Passthrough`."""

    @property
    def told(self) -> list[dict[str, str]]:
        """For records: the targets in order, and what was passed over with the reason."""
        ...

    async def next(self) -> Attempt | Refusal | None:
        """The next attempt; a refusal, or None, when there is none."""
        ...

    def answered(self, attempt: Attempt, headers: Headers | None = None, status: int = 200) -> None:
        """The upstream's answer has begun, and is the client's."""
        ...

    async def report(self, attempt: Attempt, outcome: Outcome) -> Verdict:
        """How `attempt` ended. Each is reported once."""
        ...

    def pass_over(self, attempt: Attempt, refusal: Refusal) -> None:
        """`attempt` was not sent."""
        ...

    def best_answer(self, attempts: list[Attempt] | None = None) -> Attempt | None:
        """Of the failed attempts that had an answer, the one that tells the client most."""
        ...

    def close(self) -> None:
        """Nothing more is asked or reported."""
        ...


@dataclass(slots=True)
class Exchange:
    id: str
    """Unique and sortable by time; sent back as ``x-detour-id``."""
    surface: Surface
    client: ClientInfo
    request: Request
    document: Any = None
    """The parsed JSON body, or None where the operation has none. Read it, never change it."""
    model: str | None = None
    """The model that the client asked for, exactly as written."""
    stream: bool = False
    websocket: bool = False
    session: str | None = None
    """The conversation's id, see `router_core.routing.affinity`."""
    plan: AttemptSource | None = None
    attempts: list[Attempt] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)
    """Names of the rewrite rules that changed something, in order."""
    usage: Usage = field(default_factory=Usage)
    pace: Any = field(default=None, repr=False)
    """The `router_core.usage.pace.Pace` of an answer that comes while somebody looks."""
    created: float = 0.0
    """Wall clock, seconds since the epoch."""
    started: float = 0.0
    """Monotonic seconds, like the next two."""
    first_byte: float | None = None
    ended: float | None = None
    status: int | None = None
    """What the client got."""
    error: str | None = None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt under way, or the last one."""
        return self.attempts[-1] if self.attempts else None
