"""What a provider is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router_core.config.sections.base import Section
from router_core.config.sections.routing import Breaker
from router_core.formats import Format, Operation
from router_core.rewrite.schema import RuleConfig


class EndpointConfig(Section):
    format: Format
    """The wire format that is spoken there."""
    base_url: str | None = None
    """Where the endpoint lives; the provider's `base_url` when absent."""
    operations: tuple[Operation, ...] = ()
    """The operations that are routed; all of the format when empty."""
    websocket: bool = False
    """Whether the endpoint also answers WebSocket handshakes."""
    paths: dict[Operation, tuple[str, ...]] = Field({})
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
    breaker: Breaker | None = None
    """Its own circuit breaker in the place of `routing.breaker`."""
