"""Names that clients ask for, and how targets and credentials are picked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from router_core.config.sections.base import Section
from router_core.config.units import Duration


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
