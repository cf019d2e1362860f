"""The configuration as typed, frozen values. ``docs/configuration.md`` describes every key.

The loader (`router_core.config.loader`) reads YAML into these and turns every mistake into FILE:LINE.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from router_core.config.units import Duration, Size
from router_core.formats import Format, Operation


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


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


Secret = Annotated[
    SecretRef,
    BeforeValidator(parse_secret_ref),
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


class Listen(Section):
    proxy: str | None = "127.0.0.1:8080"
    gateway: str | None = "127.0.0.1:8317"
    admin: str | None = "127.0.0.1:8318"
    transparent: str | None = None


class AccessKey(Section):
    name: str
    key: Secret


class Access(Section):
    keys: tuple[AccessKey, ...] = ()


class Upstream(Section):
    connect_timeout: Duration = 10.0
    first_byte_timeout: Duration = 120.0
    idle_timeout: Duration = 300.0
    proxy: str | None = None
    ca_bundle: str | None = None
    http2: Literal["mirror", "always", "never"] = "mirror"
    """What is offered to upstreams: what the client offered, or HTTP/2 always or never."""


class EndpointConfig(Section):
    format: Format
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
    scheme: Literal["bearer", "raw"] = "raw"


class ModelConfig(Section):
    id: str
    max_output_tokens: int | None = Field(None, gt=0)
    context_length: int | None = Field(None, gt=0)
    aliases: tuple[str, ...] = ()
    capabilities: frozenset[Literal["tools", "images", "thinking", "pdf", "audio"]] = frozenset()


class ProviderConfig(Section):
    """A provider file, or a provider of the configuration; there every key is optional over the built-in one."""

    name: str | None = None
    display_name: str | None = None
    aliases: tuple[str, ...] | None = None
    """Other names by which gateway paths know the provider."""
    extends: str | None = None
    """Another provider whose values hold where this one is silent, e.g. ``openai-compatible``."""
    enabled: bool = True
    insecure: bool = False
    hosts: tuple[str, ...] | None = None
    format: Format | None = None
    base_url: str | None = None
    endpoints: tuple[EndpointConfig, ...] | None = None
    operations: tuple[Operation, ...] | None = None
    websocket: bool = False
    auth: tuple[AuthHeaderConfig, ...] | None = None
    oauth: tuple[AuthHeaderConfig, ...] | None = None
    passthrough: tuple[str, ...] | None = None
    models: tuple[ModelConfig, ...] | None = None
    headers: dict[str, str] | None = None
    rules: tuple[dict[str, Any], ...] | None = None
    quirks: frozenset[str] | None = None


class ModelFilter(Section):
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class OAuth(Section):
    """An OAuth 2 refresh token (RFC 6749 section 6)."""

    token_url: str
    client_id: str | None = None
    client_secret: Secret | None = None
    scope: str | None = None
    encoding: Literal["form", "json"] = "form"
    token_file: str | None = None
    """JSON file that holds and receives access_token, refresh_token and expires_at; mode 0600."""
    refresh_token: Secret | None = None
    lead: Duration = 300.0
    """How long before its expiry a token is refreshed."""


class QuotaLimit(Section):
    """A limit that the user sets on a credential or a client key."""

    window: Literal["5h", "day", "week", "month"]
    tokens: int | None = Field(None, gt=0)
    requests: int | None = Field(None, gt=0)
    reset_at: str | None = None
    """HH:MM local time, for ``day``."""


class CredentialConfig(Section):
    id: str
    provider: str
    api_key: Secret | None = None
    oauth: OAuth | None = None
    token_file: str | None = None
    """A token file that the user's own tool keeps (Claude Code, Codex, Gemini CLI)."""
    priority: int = 0
    weight: int = Field(1, ge=0)
    prefix: str | None = None
    models: ModelFilter = ModelFilter()
    proxy: str | None = None
    headers: dict[str, str] = {}
    websocket: bool | None = None
    concurrency: int | None = Field(None, gt=0)
    limits: tuple[QuotaLimit, ...] = ()
    base_url: str | None = None
    billing: Literal["metered", "subscription"] | None = None
    """Whether its cost is money or notional; subscriptions are what OAuth and token files stand for when absent."""
    enabled: bool = True

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
    min_context: int | None = None
    tools: bool | None = None
    images: bool | None = None
    thinking: bool | None = None
    time: str | None = None
    """``HH:MM-HH:MM`` local time."""


class TargetConfig(Section):
    target: str
    weight: int = Field(1, ge=0)
    tier: int = 0
    when: Condition = Condition()


def _whole_target(value: object) -> object:
    return {"target": value} if isinstance(value, str) else value


Target = Annotated[TargetConfig, BeforeValidator(_whole_target, json_schema_input_type=str | TargetConfig)]
"""A target, or its name alone."""


class VirtualModel(Section):
    targets: tuple[Target, ...]
    strategy: Literal["fallback", "round_robin", "weighted"] = "fallback"


class Breaker(Section):
    failures: int = Field(5, gt=0)
    open: Duration = 30.0
    half_open: int = Field(3, gt=0)


class Routing(Section):
    strategy: Literal["round_robin", "weighted", "fill_first", "least_busy"] = "round_robin"
    unconfigured: Literal["passthrough", "reject"] = "passthrough"
    max_attempts: int = Field(6, gt=0)
    max_wait: Duration = 30.0
    affinity_ttl: Duration = 3600.0
    max_cooldown: Duration = 1800.0
    """Longest cooldown where the provider itself names no reset time."""
    probe_interval: Duration = 300.0
    """How often one request may test a credential during a long cooldown."""
    reserve: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of a quota window that is kept back."""
    breaker: Breaker = Breaker()
    expose_headers: bool = False
    failures: tuple[dict[str, Any], ...] = ()
    """The user's own rows for the failure table; tried before the built-in ones."""


class Retain(Section):
    days: int = Field(7, gt=0)
    size: Size = 1 << 30


class Capture(Section):
    mode: Literal["off", "errors", "all"] = "off"
    dir: str | None = None
    retain: Retain = Retain()
    redact: tuple[str, ...] = ()


class CA(Section):
    dir: str | None = None
    name_constrained: bool = True


class Price(Section):
    """US dollars per million tokens; goes before the price catalogue. Cached input costs `input` unless stated."""

    model: str
    """The upstream's model name; ``*`` stands for any run of characters."""
    provider: str | None = None
    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)
    cache_read: Decimal | None = Field(None, ge=0)
    cache_write: Decimal | None = Field(None, ge=0)
    cache_write_1h: Decimal | None = Field(None, ge=0)
    request: Decimal = Field(Decimal(0), ge=0)
    """US dollars per request."""


class Budget(Section):
    """A limit on what may be used; it holds for what matches all of `client`, `credential` and `model`."""

    name: str | None = None
    client: str | None = None
    """Name of a client key."""
    credential: str | None = None
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
    hourly: Duration = 400 * 86400.0
    daily: Duration = 0.0


class UsageConfig(Section):
    ledger: str | None = "sqlite"
    """``sqlite`` (in the data folder), a SQLAlchemy URL, ``env:NAME`` or ``file:PATH`` that holds one, or null."""
    spool: Size = 64 << 20
    """Largest size on disk of what waits for a database that does not answer."""
    retain: RetainUsage = RetainUsage()
    prices: tuple[Price, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Limits(Section):
    body: Size = 64 << 20
    """Largest request body on a routed surface."""
    connections: int = Field(512, gt=0)
    """Concurrent upstream connections per client connection and address."""
    backlog: int = Field(4096, gt=0)
    hold_bytes: Size = 64 << 10
    hold_events: int = Field(200, gt=0)
    hold_time: Duration = 2.0
    error_body: Size = 1 << 20
    json_answer: Size = 2 << 20


class Log(Section):
    """What is logged, and where besides standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: str | None = None
    """JSON lines are appended to it."""
    size: Size = 10 << 20
    """At which the file is set aside."""
    keep: int = Field(5, ge=1)
    """How many files that were set aside are kept."""


class Config(Section):
    version: Literal[1] = 1
    listen: Listen = Listen()
    access: Access = Access()
    upstream: Upstream = Upstream()
    providers: dict[str, ProviderConfig] = {}
    credentials: tuple[CredentialConfig, ...] = ()
    models: dict[str, str | VirtualModel] = {}
    routing: Routing = Routing()
    rewrites: tuple[dict[str, Any], ...] = ()
    disable_rewrites: tuple[str, ...] = ()
    """Names of built-in rules that are switched off."""
    capture: Capture = Capture()
    ca: CA = CA()
    limits: Limits = Limits()
    usage: UsageConfig = UsageConfig()
    log: Log = Log()
    state: str = "memory"
    data_dir: str | None = None

    @field_validator("capture", mode="before")
    @classmethod
    def _yaml_off(cls, value: object) -> object:
        # YAML 1.1 reads a bare `off` as False.
        if isinstance(value, dict) and value.get("mode") is False:
            return {**value, "mode": "off"}
        return value
