"""What a provider is: plain values, filled from ``configs/providers/*.yaml`` and the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from router_core.config.sections.routing import Breaker
from router_core.formats import PATHS, Format, Operation, Route
from router_core.rewrite.schema import RuleConfig


@dataclass(frozen=True, slots=True)
class AuthHeader:
    """One header that carries the credential, e.g. ``authorization: Bearer KEY`` or ``x-api-key: KEY``."""

    header: str
    scheme: Literal["bearer", "raw"] = "raw"

    def value(self, secret: str) -> str:
        return f"Bearer {secret}" if self.scheme == "bearer" else secret


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One wire format of a provider and where it lives.

    ``base_url`` is where attempts go (the configuration may override it); ``root`` is the path under
    which the surfaces stand on the provider's *intercepted* hosts, which an override never moves.
    """

    format: Format
    base_url: str
    root: str
    operations: tuple[Operation, ...]
    """The operations that are routed; any other path of the host is passed through."""
    websocket: bool = False
    """Whether GENERATE also answers a WebSocket handshake."""
    path: str = ""
    """What `base_url` adds to the provider's own base URL; stands between the two on gateway paths."""
    paths: dict[Operation, tuple[Route, ...]] = field(default_factory=dict, hash=False)
    """Where the provider departs from the paths of its format, e.g. ``/v1internal:generateContent``."""

    def routes(self, operation: Operation) -> tuple[Route, ...]:
        """(method, path below `base_url`) of `operation`, the provider's own or the format's."""
        return self.paths.get(operation) or PATHS[self.format].get(operation, ())

    def under(self, base_url: str | None) -> Endpoint:
        """This endpoint below a credential's own base URL; itself where the credential has none."""
        return self if base_url is None else replace(self, base_url=base_url.rstrip("/") + self.path)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    id: str
    max_output_tokens: int | None = None
    context_length: int | None = None
    aliases: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    """Of: tools, images, thinking, pdf, audio. Empty means unknown, which excludes nothing."""
    hidden: bool = False
    """Left out of lists; it can be asked for all the same."""
    provider: dict[str, object] = field(default_factory=dict, hash=False)
    """Who is to host it, where the provider hands requests on: `provider` of a request to OpenRouter."""


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    """Unique; also the route prefix of the gateway (``/{name}/...``). ``[a-z0-9]+(-[a-z0-9]+)*``"""
    display_name: str
    hosts: tuple[str, ...]
    """Exact host names (lower case) whose TLS connections are decrypted."""
    endpoints: tuple[Endpoint, ...]
    """In order of preference; the first is the provider's main format."""
    auth: tuple[AuthHeader, ...]
    """Headers for an API key."""
    oauth: tuple[AuthHeader, ...]
    """Headers for an OAuth access token; the same as ``auth`` where the provider makes no difference."""
    passthrough: tuple[str, ...] = ()
    """Gateway paths below ``/{name}`` that are forwarded as they are (``*`` at the end matches a rest)."""
    models: tuple[ModelInfo, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    """Set on each routed request unless the client sent its own (e.g. ``anthropic-version``)."""
    rules: tuple[RuleConfig, ...] = ()
    """The provider's own rewrite rules, compiled by ``router_core.rewrite``."""
    quirks: frozenset[str] = frozenset()
    """Named deviations that rewrite rules test for, e.g. ``force_stream``, ``ensure_system``."""
    enabled: bool = True
    hidden: bool = False
    """Its models are left out of lists; they can be asked for all the same."""
    insecure: bool = False
    """Allows credentials over ``http://`` to a host that is not loopback."""
    base_url: str = ""
    """What passthrough paths are appended to; the common beginning of its endpoints' base URLs."""
    breaker: Breaker | None = None
    """Its circuit breaker, where it is not that of ``routing``."""
    aliases: tuple[str, ...] = ()
    """Other names by which gateway paths know it, e.g. ``google`` for ``gemini`` in Amp's paths."""
    lineage: tuple[str, ...] = ()
    """The providers that it extends, the nearest first: what holds of their hosts holds of its own."""

    @property
    def kin(self) -> tuple[str, ...]:
        return (self.name, *self.lineage)

    def endpoint(self, format: Format) -> Endpoint | None:
        """The endpoint that speaks `format`, or None."""
        return next((e for e in self.endpoints if e.format is format), None)

    def model(self, name: str) -> ModelInfo | None:
        return next((m for m in self.models if name == m.id or name in m.aliases), None)
