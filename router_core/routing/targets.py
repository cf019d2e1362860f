"""Which targets of a name can take a request, at which endpoint; and the words for when none can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from router_core.errors import Code, Refusal
from router_core.exchange import Exchange
from router_core.formats import Format, Operation
from router_core.providers.model import Endpoint, Provider
from router_core.routing.conditions import Needs, incapable, unmet
from router_core.routing.live import Live
from router_core.routing.names import Branch, Leaf, Tree, UnknownModel, leaves
from router_core.routing.scheduler import Scheduler

UPGRADE_REQUIRED = 426
"""Codex goes on with HTTP at once when its WebSocket handshake is answered with it."""

type Translatable = Callable[[Format, Format, Operation], bool]
"""Whether a request of the client's format can be expressed in an upstream's, for an operation."""


def same_format(client: Format, upstream: Format, operation: Operation) -> bool:
    return client is upstream


@dataclass(frozen=True, slots=True)
class Target:
    """A leaf that can take the request, and the endpoint that it would take it at."""

    leaf: Leaf
    endpoint: Endpoint

    @property
    def name(self) -> str:
        return self.leaf.name


class Why(Enum):
    """Why a target is passed over."""

    DISABLED = "disabled"
    NO_CREDENTIAL = "no credential"
    EXCLUDED = "excluded"
    CONDITION = "condition"
    INCAPABLE = "incapable"
    FORMAT = "format"
    WEBSOCKET = "websocket"
    HTTP = "http"
    """Of another format: over HTTP it would serve."""
    STATE = "state"
    """Something that was found out while attempts were taken."""


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    reason: str
    why: Why = Why.STATE


def told(targets: Iterable[Target], skipped: Iterable[Skipped]) -> list[dict[str, str]]:
    """The targets in order, then what was passed over with the reason, as plain values for records."""
    names = dict.fromkeys(target.name for target in targets)
    return [
        *({"target": name} for name in names),
        *({"target": entry.name, "skipped": entry.reason} for entry in skipped),
    ]


def tree_of(live: Live, exchange: Exchange) -> Tree | Refusal:
    """What the request's model name stands for."""
    surface = exchange.surface
    provider = surface.provider
    if exchange.model is None:
        if provider is not None:
            return Leaf(live.registry.providers.get(provider.name, provider), None)
        if exchange.websocket and (able := _websocket_leaves(live, surface.format)):
            return Branch("websocket", "fallback", able)
        return Refusal(
            Code.INVALID_REQUEST, "The request names no model, so there is nothing to route it by."
        )
    try:
        return live.names.resolve(
            exchange.model, provider if surface.pinned or surface.via == "proxy" else None
        )
    except UnknownModel as e:
        message = str(e)
        return Refusal(Code.MODEL_NOT_FOUND, f"{message[:1].upper()}{message[1:]}.")


def _websocket_leaves(live: Live, format: Format) -> tuple[Leaf, ...]:
    """Who can take a session whose model is only named in its messages, by their credentials' priority."""
    highest: dict[str, int] = {}
    for state in live.credentials.values():
        config = state.credential.config
        highest[config.provider] = max(config.priority, highest.get(config.provider, config.priority))
    ranked = [live.registry.providers[name] for name in sorted(highest, key=lambda n: -highest[n])]
    return tuple(Leaf(p, None) for p in ranked if (endpoint := p.endpoint(format)) and endpoint.websocket)


def serving(
    live: Live, exchange: Exchange, tree: Tree, translatable: Translatable
) -> tuple[dict[int, Target], list[Skipped]]:
    """The targets of `tree` that can serve the request, by the identity of their leaf, and the others.

    A WebSocket whose first target is of another format has none, so that the client goes there over HTTP.
    """
    needs = Needs(exchange.document)
    now = live.wall()
    targets: dict[int, Target] = {}
    skipped: list[Skipped] = []
    over_http = False
    for leaf, reason, among_others in _weighed(tree, needs, now):
        if reason is not None:
            skipped.append(Skipped(leaf.name, reason, Why.CONDITION))
            continue
        # Where there is nothing else to choose, the provider itself knows best what it can do.
        found = _target(live, exchange, leaf, needs if among_others else None, translatable)
        if isinstance(found, Target):
            targets[id(leaf)] = found
        else:
            over_http |= found.why is Why.HTTP and not targets
            skipped.append(found)
    return ({} if over_http else targets), skipped


def _weighed(
    node: Tree, needs: Needs, now: float, among_others: bool = False
) -> Iterator[tuple[Leaf, str | None, bool]]:
    """The leaves below `node`, which condition of theirs does not hold, and whether there are others."""
    reason = unmet(node.when, needs, now)
    if reason is not None:
        yield from ((leaf, reason, among_others) for leaf in leaves(node))
    elif isinstance(node, Branch):
        for child in node.children:
            yield from _weighed(child, needs, now, True)
    else:
        yield node, None, among_others


def _target(
    live: Live, exchange: Exchange, leaf: Leaf, needs: Needs | None, translatable: Translatable
) -> Target | Skipped:
    provider = leaf.provider
    if not provider.enabled:
        return Skipped(leaf.name, "its provider is disabled", Why.DISABLED)
    scheduler = live.schedulers.get(provider.name)
    if scheduler is None:
        return Skipped(leaf.name, "it has no active credential", Why.NO_CREDENTIAL)
    if not scheduler.members(leaf.model, leaf.prefix):
        weightless = scheduler.weightless(leaf.model)
        reason = "its credentials have weight 0" if weightless else "none of its credentials serves the model"
        return Skipped(leaf.name, reason, Why.EXCLUDED)
    if needs is not None:
        lacking = incapable(provider.model(leaf.model) if leaf.model else None, needs)
        if lacking is not None:
            return Skipped(leaf.name, lacking, Why.INCAPABLE)
    endpoint = _endpoint(exchange, provider, scheduler, translatable)
    if endpoint is not None:
        return Target(leaf, endpoint)
    surface = exchange.surface
    if exchange.websocket:
        if provider.endpoint(surface.format) is None:
            return Skipped(leaf.name, "WebSockets are not translated to its format", Why.HTTP)
        return Skipped(leaf.name, "it takes no WebSockets", Why.WEBSOCKET)
    return Skipped(
        leaf.name, f"it does not take {surface.operation} requests of format {surface.format}", Why.FORMAT
    )


def _endpoint(
    exchange: Exchange, provider: Provider, scheduler: Scheduler, translatable: Translatable
) -> Endpoint | None:
    """The endpoint of the client's own format where there is one, else the first that can be translated to."""
    surface = exchange.surface
    operation = surface.operation
    own = provider.endpoint(surface.format)
    if (
        surface.endpoint is not None
        and surface.provider is not None
        and surface.provider.name == provider.name
    ):
        own = surface.endpoint
    if own is not None and (operation in own.operations or surface.endpoint is own):
        return own if not exchange.websocket or scheduler.websocket(own.websocket) else None
    if exchange.websocket:
        return None
    for endpoint in provider.endpoints:
        takes = endpoint is not own and operation in endpoint.operations
        if takes and translatable(surface.format, endpoint.format, operation):
            return endpoint
    return None


def disabled(provider: Provider) -> Refusal:
    return Refusal(
        Code.PROVIDER_DISABLED,
        f"The provider {provider.name} is disabled; providers.{provider.name}.enabled: true turns it on.",
    )


def nothing(exchange: Exchange, tree: Tree, skipped: list[Skipped]) -> Refusal:
    """Why none of the targets can take the request."""
    found = list(leaves(tree))
    whys = {s.why for s in skipped}
    if whys == {Why.DISABLED}:
        return disabled(found[0].provider)
    reasons = "; ".join(f"{s.name}: {s.reason}" for s in skipped)
    if whys & {Why.WEBSOCKET, Why.HTTP}:
        return Refusal(Code.UNSUPPORTED, f"Use HTTP: {reasons}.", status=UPGRADE_REQUIRED)
    if whys == {Why.NO_CREDENTIAL}:
        names = ", ".join(dict.fromkeys(leaf.provider.name for leaf in found))
        return Refusal(
            Code.NO_CREDENTIAL,
            f"No credential is active for {names}. Add one to credentials, or set the variable that one of them names.",
        )
    code = Code.UNSUPPORTED if whys & {Why.FORMAT, Why.INCAPABLE, Why.CONDITION} else Code.MODEL_NOT_FOUND
    return Refusal(code, f"No target can take this request for {exchange.model!r}: {reasons}.")
