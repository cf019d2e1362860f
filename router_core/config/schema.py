"""The configuration as typed, frozen values. ``docs/configuration.md`` describes every key.

The loader (`router_core.config.loader`) reads YAML into these and turns every mistake into FILE:LINE. What a
section holds stands in `router_core.config.sections`, by what it speaks of.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router_core.config.sections.base import (
    PathText,
    SecretRef,
    Section,
    parse_secret_ref,
)
from router_core.config.sections.credentials import CredentialConfig, ModelFilter, OAuth, QuotaLimit
from router_core.config.sections.providers import (
    AuthHeaderConfig,
    EndpointConfig,
    HostChoice,
    ModelConfig,
    ProviderConfig,
)
from router_core.config.sections.recording import (
    Capture,
    CaptureRule,
    Retain,
)
from router_core.config.sections.routing import (
    Breaker,
    Condition,
    ModelEntry,
    Routing,
    TargetConfig,
    VirtualModel,
)
from router_core.config.sections.serving import (
    CA,
    Access,
    AccessKey,
    Limits,
    Listen,
    Log,
    Transparent,
    Upstream,
    WireGuard,
)
from router_core.config.sections.usage import Budget, Price, RetainUsage, UsageConfig
from router_core.rewrite.schema import RuleConfig, RuleName

__all__ = [
    "CA",
    "Access",
    "AccessKey",
    "AuthHeaderConfig",
    "Breaker",
    "Budget",
    "Capture",
    "CaptureRule",
    "Condition",
    "Config",
    "CredentialConfig",
    "EndpointConfig",
    "HostChoice",
    "Limits",
    "Listen",
    "Log",
    "ModelConfig",
    "ModelEntry",
    "ModelFilter",
    "OAuth",
    "Price",
    "ProviderConfig",
    "QuotaLimit",
    "Retain",
    "RetainUsage",
    "Routing",
    "SecretRef",
    "TargetConfig",
    "Transparent",
    "Upstream",
    "UsageConfig",
    "VirtualModel",
    "WireGuard",
    "parse_secret_ref",
]


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
    providers: dict[str, ProviderConfig] = Field({})
    """Providers by name: changes to built-in ones, and new ones."""
    credentials: tuple[CredentialConfig, ...] = ()
    """What requests are sent with."""
    models: dict[str, ModelEntry] = Field({})
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
