"""The configuration as typed, frozen values. ``docs/configuration.md`` describes every key.

The loader (`router_core.config.loader`) reads YAML into these and turns every mistake into FILE:LINE.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from router_core.config.problems import shown
from router_core.config.units import Duration, Size
from router_core.config.values import parse_address
from router_core.formats import Format, Operation
from router_core.rewrite.schema import RuleConfig, RuleName


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def expand_path(value: str, info: ValidationInfo) -> str:
    """A path with ``~`` replaced; a relative one begins at the folder of the file that it stands in.

    The loader gives ``home`` and ``folder`` as context; without them only ``~`` is known.
    """
    if not value.strip() or "\0" in value:
        raise ValueError("is no path; write a path, or leave the key out")
    context = info.context or {}
    path = Path(value)
    if path.parts[:1] == ("~",):
        path = Path(context.get("home") or Path.home(), *path.parts[1:])
    return str(Path(context.get("folder", ""), path))


PathText = Annotated[str, AfterValidator(expand_path)]


class SecretRef(Section):
    """``env:NAME``, ``file:PATH``, ``{command: [...]}`` or a literal; resolved by `router_core.config.secrets`."""

    kind: Literal["env", "file", "command", "literal"]
    name: str = ""
    """The variable's name or the file's path."""
    argv: tuple[str, ...] = ()
    literal: SecretStr | None = None

    def __str__(self) -> str:
        return {"command": f"command:{self.argv[0] if self.argv else ''}", "literal": "literal"}.get(
            self.kind, f"{self.kind}:{self.name}"
        )


def parse_secret_ref(value: object) -> object:
    """A SecretRef from what stands in the file. Raises ValueError for an empty or misshapen reference."""
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, dict):
        argv = value.get("command")
        if (
            set(value) != {"command"}
            or not isinstance(argv, list)
            or not argv
            or not all(isinstance(a, str) for a in argv)
        ):
            raise ValueError("a command reference is written as {command: [PROGRAM, ARG, ...]}")
        return SecretRef(kind="command", argv=tuple(argv))
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write env:NAME, file:PATH or {command: [...]}")
    kind, _, rest = value.partition(":")
    if kind in ("env", "file"):
        if not rest:
            raise ValueError(f"{value!r} names nothing; write {kind}:{'NAME' if kind == 'env' else 'PATH'}")
        return SecretRef(kind="env" if kind == "env" else "file", name=rest)
    return SecretRef(kind="literal", literal=SecretStr(value))


def _secret(value: object, info: ValidationInfo) -> object:
    ref = parse_secret_ref(value)
    if isinstance(ref, SecretRef) and ref.kind == "file":
        return ref.model_copy(update={"name": expand_path(ref.name, info)})
    return ref


Secret = Annotated[
    SecretRef,
    BeforeValidator(_secret),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "examples": ["env:NAME", "file:PATH"]},
                {
                    "type": "object",
                    "properties": {"command": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
                    "required": ["command"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def parse_listener(value: object) -> object:
    """``HOST:PORT`` as it is. Raises ValueError with the remedy for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{value} is a port without a host; write 127.0.0.1:{value}")
    if isinstance(value, str) and parse_address(value) is None:
        raise ValueError(
            f"{shown(value)} is not an address; write HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080"
        )
    return value


Address = Annotated[str, BeforeValidator(parse_listener)]


class Listen(Section):
    proxy: Address | None = "127.0.0.1:8080"
    """Address of the HTTPS_PROXY listener, ``HOST:PORT``; null switches it off. Port 0 lets the system choose."""
    gateway: Address | None = "127.0.0.1:8317"
    """Address of the base-URL gateway: ``/v1/...``, ``/{provider}/...``."""
    admin: Address | None = "127.0.0.1:8318"
    """Address of the dashboard, ``/api``, ``/metrics`` and ``/healthz``."""
    transparent: Address | None = None
    """Address to which a gateway box redirects connections; ``[::]:PORT`` takes IPv4 and IPv6."""
    wireguard: Address | None = None
    """Address of the WireGuard server (UDP), ``0.0.0.0:51820``; its peers' keys let them in."""
    drain: Duration = 30.0
    """How long requests and streams may go on after SIGTERM; what is open then is cut. 0 cuts at once."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that serve; above 1 another one starts them and answers on the admin port for all."""


class QuotaLimit(Section):
    """A limit that the user sets on a credential or a client key."""

    window: Literal["5h", "day", "week", "month"]
    """Length of the window."""
    tokens: int | None = Field(None, gt=0)
    """Input and output tokens together."""
    requests: int | None = Field(None, gt=0)
    """Number of requests."""
    reset_at: str | None = None
    """HH:MM local time, for ``day``."""


class AccessKey(Section):
    name: str
    """The client's name in logs, usage and budgets."""
    key: Secret
    """What the client presents."""
    limits: tuple[QuotaLimit, ...] = ()
    """Limits on its use, kept as quota windows."""


def parse_network(value: object) -> object:
    """``ADDRESS/LENGTH`` as it is, or one address. Raises ValueError with the remedy for anything else."""
    text = str(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a network; write e.g. 192.168.1.0/24 or fd00::/8") from None
    raise ValueError(f"{shown(text)} is an address inside a network; write {meant} to mean the network")


Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    BeforeValidator(parse_network),
    WithJsonSchema({"type": "string", "examples": ["192.168.1.0/24", "fd00::/8"]}),
]


class Access(Section):
    keys: tuple[AccessKey, ...] = ()
    """Keys that clients must present, needed as soon as a listener is not loopback."""
    networks: tuple[Network, ...] = ()
    """Networks that clients may come from, all others are cut off; `listen.transparent` has no keys and needs them."""


class Transparent(Section):
    """How a gateway box finds the connections that belong to providers. ``docs/gateway.md`` is its recipe."""

    addresses: Literal["resolve", "dnsmasq"] = "resolve"
    """Who puts the providers' addresses into the rules: Detour, which asks the DNS itself, or the box's dnsmasq."""
    grace: Duration = Field(86400.0, ge=3600.0)
    """How long an address stays in the rules after it was last in an answer or last used; at least an hour."""
    local: bool = True
    """Whether the connections of the box's own programs are redirected too."""
    mark: int | None = Field(0xDE70, ge=1, le=0xFFFFFFFF)
    """Mark of Detour's own connections, by which the rules leave them alone; null to go by `user` alone."""
    user: str | None = None
    """User, by name or number, whose connections are left alone: the one that Detour runs as."""


class WireGuard(Section):
    """The tunnel to which laptops and phones connect; `detour gateway peer` keeps who they are."""

    endpoint: str | None = None
    """``HOST:PORT`` or ``HOST`` by which peers reach this machine; the address of the listener when absent."""
    network4: Network = ipaddress.ip_network("10.87.0.0/24")
    """Addresses in the tunnel: the first is Detour's own, the others are its peers'."""
    network6: Network = ipaddress.ip_network("fd87:de70:a1::/64")
    """The same for IPv6."""


class Upstream(Section):
    connect_timeout: Duration = 10.0
    """For the TCP and TLS handshakes with an upstream."""
    first_byte_timeout: Duration = 120.0
    """From the request to the first byte of the answer; 0 waits for ever."""
    idle_timeout: Duration = 300.0
    """Between two reads of an answer; 0 waits for ever."""
    proxy: str | None = Field(None, repr=False)
    """Outbound proxy for all upstream traffic: ``http://user:pass@host:port``, https, socks5 or socks5h."""
    ca_bundle: PathText | None = None
    """PEM file of authorities that are trusted for upstreams besides the system's."""
    http2: Literal["mirror", "always", "never"] = "mirror"
    """What is offered to upstreams: what the client offered, or HTTP/2 always or never."""


class EndpointConfig(Section):
    format: Format
    """The wire format that is spoken there."""
    base_url: str | None = None
    """Where the endpoint lives; the provider's `base_url` when absent."""
    operations: tuple[Operation, ...] = ()
    """The operations that are routed; all of the format when empty."""
    websocket: bool = False
    """Whether the endpoint also answers WebSocket handshakes."""
    paths: dict[Operation, tuple[str, ...]] = {}
    """Where the provider departs from its format's paths: ``generate: ["POST /v1internal:generateContent"]``."""


class AuthHeaderConfig(Section):
    header: str
    """Name of the header."""
    scheme: Literal["bearer", "raw"] = "raw"
    """``bearer`` writes ``Bearer KEY``, ``raw`` the key alone."""


class HostChoice(Section):
    """Who is to host a model, in OpenRouter's words; only what is written is asked for."""

    order: tuple[str, ...] = ()
    """Hosts to try, the first one first."""
    allow_fallbacks: bool = True
    """false keeps to `order`, or to the first host."""
    only: tuple[str, ...] = ()
    """Hosts of which one must serve."""
    ignore: tuple[str, ...] = ()
    """Hosts that must not."""


class ModelConfig(Section):
    id: str
    """The provider's name for the model."""
    max_output_tokens: int | None = Field(None, gt=0)
    """Fills in a missing limit where the format demands one."""
    context_length: int | None = Field(None, gt=0)
    """Tokens of input and output together; requests that cannot fit pass the model over."""
    aliases: tuple[str, ...] = ()
    """Other names by which the provider knows it."""
    capabilities: frozenset[Literal["tools", "images", "thinking", "pdf", "audio"]] = frozenset()
    """What it can take or do; empty means unknown, which excludes nothing."""
    hidden: bool = False
    """true leaves it out of lists; it can be asked for all the same."""
    provider: HostChoice | None = None
    """Who is to host it, where the provider hands requests on as OpenRouter does."""


class ProviderConfig(Section):
    """A provider file, or a provider of the configuration; there every key is optional over the built-in one."""

    name: str | None = None
    """The provider's name, where a file is not called like it: ``[a-z0-9]+(-[a-z0-9]+)*``."""
    display_name: str | None = None
    """The name for people."""
    aliases: tuple[str, ...] | None = None
    """Other names by which gateway paths know the provider."""
    extends: str | None = None
    """Another provider whose values hold where this one is silent, e.g. ``openai-compatible``."""
    enabled: bool = True
    """false answers ``provider_disabled`` on every path and host of the provider."""
    hidden: bool = False
    """true leaves its models out of lists; they can be asked for all the same."""
    insecure: bool = False
    """Allows credentials over ``http://`` to a host that is not this machine."""
    hosts: tuple[str, ...] | None = None
    """Exact host names whose TLS connections are decrypted and whose surfaces are routed."""
    format: Format | None = None
    """The wire format of a provider that speaks one; short for `endpoints` with one entry."""
    base_url: str | None = None
    """What paths are appended to: OpenAI-style URLs include ``/v1``, Anthropic's and Google's do not."""
    endpoints: tuple[EndpointConfig, ...] | None = None
    """The formats that the provider speaks, its main one first."""
    operations: tuple[Operation, ...] | None = None
    """The operations that are routed; all of the format when absent."""
    websocket: bool = False
    """Whether WebSocket handshakes are answered too."""
    auth: tuple[AuthHeaderConfig, ...] | None = None
    """Headers that carry an API key."""
    oauth: tuple[AuthHeaderConfig, ...] | None = None
    """Headers that carry an OAuth access token."""
    passthrough: tuple[str, ...] | None = None
    """Gateway paths below ``/{name}`` that are forwarded as they are; ``*`` at the end matches any rest."""
    models: tuple[ModelConfig, ...] | None = None
    """Models and their limits; merged with the built-in ones by `id`."""
    headers: dict[str, str] | None = None
    """Set on each request unless the client sent its own; merged with the built-in ones."""
    rules: tuple[RuleConfig, ...] | None = None
    """The provider's own rewrite rules, written like `rewrites`."""
    quirks: frozenset[str] | None = None
    """Named deviations that built-in rewrite rules act upon."""


class ModelFilter(Section):
    include: tuple[str, ...] = ()
    """Model names that the credential serves; ``*`` stands for any run of characters. All when empty."""
    exclude: tuple[str, ...] = ()
    """Model names that it does not serve; goes before `include`."""


class OAuth(Section):
    """An OAuth 2 refresh token (RFC 6749 section 6)."""

    token_url: str
    """The token endpoint."""
    client_id: str | None = None
    """Identifier of the client, where the endpoint asks for one."""
    client_secret: Secret | None = None
    """Secret of the client, where it has one."""
    scope: str | None = None
    """Scopes to ask for, separated by blanks."""
    encoding: Literal["form", "json"] = "form"
    """How the request to the token endpoint is written."""
    token_file: PathText | None = None
    """JSON file that holds and receives access_token, refresh_token and expires_at; mode 0600."""
    refresh_token: Secret | None = None
    """The refresh token, where no `token_file` holds it."""
    lead: Duration = 300.0
    """How long before its expiry a token is refreshed."""


class CredentialConfig(Section):
    id: str
    """Unique name in logs, metrics and commands."""
    provider: str
    """Name of the provider that it belongs to."""
    api_key: Secret | None = None
    """The key."""
    oauth: OAuth | None = None
    """A refresh token that Detour keeps fresh."""
    token_file: PathText | None = None
    """A token file that the user's own tool keeps (Claude Code, Codex, Gemini CLI)."""
    priority: int = 0
    """Higher is used first."""
    weight: int = Field(1, ge=0)
    """Share among credentials of the same priority with ``strategy: weighted``; 0 is never picked."""
    prefix: str | None = None
    """``PREFIX/MODEL`` pins a request to the credentials with that prefix."""
    models: ModelFilter = ModelFilter()
    """Which models it serves."""
    proxy: str | None = Field(None, repr=False)
    """Outbound proxy for this credential, or ``direct`` for none."""
    headers: dict[str, str] = Field({}, repr=False)
    """Extra headers on its requests."""
    websocket: bool | None = None
    """Whether it takes WebSockets; the provider's endpoint decides when absent."""
    concurrency: int | None = Field(None, gt=0)
    """Most requests at the same time."""
    limits: tuple[QuotaLimit, ...] = ()
    """Limits that are kept as quota windows."""
    base_url: str | None = None
    """Where its requests go instead of the provider's `base_url`."""
    billing: Literal["metered", "subscription"] | None = None
    """Whether its cost is money or notional; subscriptions are what OAuth and token files stand for when absent."""
    enabled: bool = True
    """false leaves it out."""

    @field_validator("id")
    @classmethod
    def _safe_id(cls, value: str) -> str:
        # Ids become file names, metric labels and URL segments.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}", value) or ".." in value:
            raise ValueError(
                "an id is made of letters, digits and . _ @ + - (no separators, no '..', at most 128)"
            )
        return value


class Condition(Section):
    """When a target can serve a request; what is not stated does not matter."""

    max_context: int | None = None
    """Most tokens that the request may need."""
    min_context: int | None = None
    """Fewest tokens that the request must need."""
    tools: bool | None = None
    """Whether the request has tools."""
    images: bool | None = None
    """Whether it has images."""
    thinking: bool | None = None
    """Whether it asks for thinking."""
    time: str | None = None
    """``HH:MM-HH:MM`` local time."""


class TargetConfig(Section):
    target: str
    """``PROVIDER/MODEL``, ``PREFIX/MODEL`` or the name of another model."""
    weight: int = Field(1, ge=0)
    """Share with ``strategy: weighted``."""
    tier: int = 0
    """Lower tiers are used first."""
    when: Condition = Condition()
    """What the request must be like."""


def _whole_target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


Target = Annotated[TargetConfig, BeforeValidator(_whole_target, json_schema_input_type=str | TargetConfig)]
"""A target, or its name alone."""


class VirtualModel(Section):
    targets: tuple[Target, ...]
    """What serves the model; a text stands for ``{target: TEXT}``."""
    strategy: Literal["fallback", "round_robin", "weighted"] = "fallback"
    """How a target is picked."""


def _kind_of_model(value: object) -> str | None:
    if isinstance(value, str):
        return "alias"
    return "virtual" if isinstance(value, dict | VirtualModel) else None


# Told apart by what stands in the file, so that a mistake is reported for what was meant and not for both.
ModelEntry = Annotated[
    Annotated[str, Tag("alias")] | Annotated[VirtualModel, Tag("virtual")], Discriminator(_kind_of_model)
]


class Breaker(Section):
    failures: int = Field(5, gt=0)
    """Failures in a row that open it."""
    open: Duration = 30.0
    """How long it stays open."""
    half_open: int = Field(3, gt=0)
    """Requests that test the endpoint before it closes."""


class Routing(Section):
    strategy: Literal["round_robin", "weighted", "fill_first", "least_busy"] = "round_robin"
    """Among the credentials of one target in one priority."""
    unconfigured: Literal["passthrough", "reject"] = "passthrough"
    """What becomes of a provider's requests without a credential: on with the client's own, or refused."""
    max_attempts: int = Field(6, gt=0)
    """Attempts for one request."""
    max_wait: Duration = 30.0
    """Longest wait for a cooling credential before `all_cooling` is answered."""
    affinity_ttl: Duration = 3600.0
    """How long a conversation stays on its credential after its last request."""
    max_cooldown: Duration = 1800.0
    """Longest cooldown where the provider itself names no reset time."""
    probe_interval: Duration = 300.0
    """How often one request may test a credential during a long cooldown."""
    reserve: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of a quota window that is kept back."""
    breaker: Breaker = Breaker()
    """Circuit breaker per endpoint and model."""
    expose_headers: bool = False
    """Tell clients in ``x-detour-*`` headers which provider and credential answered."""
    failures: tuple[dict[str, Any], ...] = ()
    """The user's own rows for the failure table; tried before the built-in ones."""


class Retain(Section):
    days: int = Field(7, gt=0)
    """Older captures are removed."""
    size: Size = 1 << 30
    """The oldest captures are removed beyond it."""


def parse_capture_mode(value: object) -> object:
    """YAML 1.1 reads a bare `off` as False."""
    return "off" if value is False else value


CaptureMode = Annotated[Literal["off", "errors", "all"], BeforeValidator(parse_capture_mode)]


class CaptureRule(Section):
    """A mode for a part of the traffic. What is not stated does not matter; ``*`` stands for any characters."""

    mode: CaptureMode
    """What is recorded of it."""
    provider: str | None = None
    """Name of the provider."""
    model: str | None = None
    """As the client asks for it."""
    client: str | None = None
    """Name of a client key, address, or tool (``claude-code``)."""
    host: str | None = None
    """Host that the client called."""
    path: str | None = None
    """Without its query."""


def parse_pattern(value: str) -> str:
    """A regular expression. Raises ValueError with the place of its mistake."""
    try:
        re.compile(value.encode())
    except re.error as error:
        raise ValueError(
            f"is no regular expression: {error}; put a \\ before . * + ? ( ) [ ] to mean them"
        ) from None
    return value


class Capture(Section):
    mode: CaptureMode = "off"
    """What is recorded; ``errors`` keeps exchanges in which an attempt or the answer failed."""
    rules: tuple[CaptureRule, ...] = ()
    """Modes for parts of the traffic; the first that fits counts, before `mode`."""
    hosts: tuple[str, ...] = ()
    """Further hosts that are decrypted in order to be recorded; their traffic passes through unchanged."""
    dir: PathText | None = None
    """Folder of the captures; below the data folder when absent."""
    retain: Retain = Retain()
    """How long captures are kept."""
    redact: tuple[Annotated[str, AfterValidator(parse_pattern)], ...] = ()
    """Regular expressions for what else is never written; the first group of one, if it has groups."""
    redact_names: tuple[str, ...] = ()
    """Further headers, query parameters, form fields and JSON keys whose values are never written."""


class CA(Section):
    dir: PathText | None = None
    """Folder of the certificate authority; below the data folder when absent."""
    name_constrained: bool = True
    """Limit the authority to the intercepted hosts."""
    refusals: int = Field(3, ge=0)
    """Times in a row that a client may refuse the certificate of a host before its connections there are tunnelled; 0 never tunnels."""
    tunnel_for: Duration = 600.0
    """How long they are tunnelled before the client is tried again."""


class Price(Section):
    """US dollars per million tokens; goes before the price catalogue. Cached input costs `input` unless stated."""

    model: str
    """The upstream's model name; ``*`` stands for any run of characters."""
    provider: str | None = None
    """Name of the provider; any when absent."""
    input: Decimal = Field(ge=0)
    """Per million tokens."""
    output: Decimal = Field(ge=0)
    """Per million tokens."""
    cache_read: Decimal | None = Field(None, ge=0)
    """Per million tokens."""
    cache_write: Decimal | None = Field(None, ge=0)
    """Per million tokens."""
    cache_write_1h: Decimal | None = Field(None, ge=0)
    """Per million tokens that live an hour."""
    request: Decimal = Field(Decimal(0), ge=0)
    """US dollars per request."""


class Budget(Section):
    """A limit on what may be used; it holds for what matches all of `client`, `credential` and `model`."""

    name: str | None = None
    """For messages."""
    client: str | None = None
    """Name of a client key."""
    credential: str | None = None
    """Id of a credential."""
    model: str | None = None
    """The upstream's model name; ``*`` stands for any run of characters."""
    per: Literal["day", "month"]
    """Calendar days and months, local time."""
    tokens: int | None = Field(None, gt=0)
    """Input, cached input and output together."""
    cost: Decimal | None = Field(None, gt=0)
    """US dollars, the notional cost of subscriptions left out."""
    action: Literal["warn", "pass_over", "refuse"] = "warn"
    """``pass_over`` goes on to the next target; ``refuse`` answers with an error."""

    @model_validator(mode="after")
    def _one_limit(self) -> Budget:
        if (self.tokens is None) == (self.cost is None):
            raise ValueError("a budget has either tokens or cost")
        if self.action == "pass_over" and self.credential is None and self.model is None:
            raise ValueError("pass_over needs a credential or a model to pass over; write action: refuse")
        return self


class RetainUsage(Section):
    """How long the ledger keeps what; 0 keeps it for good."""

    exchanges: Duration = 90 * 86400.0
    """Single exchanges."""
    hourly: Duration = 400 * 86400.0
    """Sums by hour."""
    daily: Duration = 0.0
    """Sums by day."""


class UsageConfig(Section):
    ledger: str | None = Field("sqlite", repr=False)
    """``sqlite`` (in the data folder), a SQLAlchemy URL, ``env:NAME`` or ``file:PATH`` that holds one, or null."""
    spool: Size = 64 << 20
    """Largest size on disk of what waits for a database that does not answer."""
    retain: RetainUsage = RetainUsage()
    """How long the ledger keeps what."""
    prices: tuple[Price, ...] = ()
    """The user's own prices; go before the catalogue."""
    budgets: tuple[Budget, ...] = ()
    """Limits on use."""

    @model_validator(mode="after")
    def _counted(self) -> UsageConfig:
        if self.budgets and self.ledger is None:
            raise ValueError("budgets count by the ledger; remove ledger: null")
        return self


class Limits(Section):
    body: Size = 64 << 20
    """Largest request body on a routed surface."""
    connections: int = Field(512, gt=0)
    """Concurrent upstream connections per client connection and address."""
    backlog: int = Field(4096, gt=0)
    """Connections that wait to be accepted, per listener."""
    hold_bytes: Size = 64 << 10
    """Most of an answer that is held back while a failover is possible."""
    hold_events: int = Field(200, gt=0)
    """Most events that are held back."""
    hold_time: Duration = 2.0
    """Longest time that content is held back."""
    error_body: Size = 1 << 20
    """Most of an error answer that is read."""
    json_answer: Size = 2 << 20
    """Largest JSON answer that is rewritten; larger ones pass as they are."""


class Log(Section):
    """What is logged, and where besides standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    file: PathText | None = None
    """JSON lines are appended to it."""
    size: Size = 10 << 20
    """At which the file is set aside."""
    keep: int = Field(5, ge=1)
    """How many files that were set aside are kept."""


class Config(Section):
    version: Literal[1] = 1
    """Version of this format."""
    listen: Listen = Listen()
    """Where Detour listens."""
    access: Access = Access()
    """Who may use it."""
    transparent: Transparent = Transparent()
    """Transparent mode on a gateway box."""
    wireguard: WireGuard = WireGuard()
    """The WireGuard tunnel."""
    upstream: Upstream = Upstream()
    """How upstreams are reached."""
    providers: dict[str, ProviderConfig] = {}
    """Providers by name: changes to built-in ones, and new ones."""
    credentials: tuple[CredentialConfig, ...] = ()
    """What requests are sent with."""
    models: dict[str, ModelEntry] = {}
    """Names that a client may ask for: ``PROVIDER/MODEL``, or a virtual model."""
    routing: Routing = Routing()
    """How targets and credentials are picked."""
    rewrites: tuple[RuleConfig, ...] = ()
    """The user's rewrite rules, after the built-in ones."""
    disable_rewrites: tuple[RuleName, ...] = ()
    """Names of built-in rules that are switched off."""
    capture: Capture = Capture()
    """Recording of traffic."""
    ca: CA = CA()
    """The certificate authority."""
    limits: Limits = Limits()
    """Sizes and numbers that bound the memory."""
    usage: UsageConfig = UsageConfig()
    """Token counts and cost."""
    log: Log = Log()
    """Logging."""
    state: str = Field("memory", repr=False)
    """Where routing state lives: ``memory``, or ``redis://...`` to share it."""
    data_dir: PathText | None = None
    """Folder for everything that Detour keeps; XDG folders when absent."""
