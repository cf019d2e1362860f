"""A router on a clock of its own, and requests for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from router_core.config.schema import Config
from router_core.credentials.pool import Pool
from router_core.errors import Refusal
from router_core.exchange import Attempt, ClientInfo, Exchange, Headers, Outcome, Request, Surface
from router_core.formats import Format, Operation
from router_core.providers.model import AuthHeader, Endpoint, ModelInfo, Provider
from router_core.providers.registry import Registry
from router_core.routing.passthrough import Passthrough
from router_core.routing.plan import Plan
from router_core.routing.router import Router
from router_core.routing.targets import Translatable, same_format
from router_core.state.memory import MemoryStore
from router_core.state.store import Change
from router_core.verdict import Verdict

EPOCH = 1_800_000_000.0
"""Where the wall clock of the tests begins: 2027-01-15 08:00 UTC."""


@dataclass
class Time:
    """Both clocks, which only move when they are told to."""

    now: float = 1000.0
    skew: float = 0.0
    """Seconds by which somebody has put the wall clock forward."""

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now - 1000.0 + self.skew

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Recorder(MemoryStore):
    """A store that remembers what it heard."""

    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def changed(self, change: Change) -> None:
        self.changes.append(change)


def endpoint(format: Format, base_url: str, *, websocket: bool = False) -> Endpoint:
    operations = tuple(Operation)
    return Endpoint(format, base_url, "", operations, websocket)


def provider(name: str, format: Format = Format.OPENAI_CHAT, *formats: Format, **changes: Any) -> Provider:
    base = f"https://{name}.test"
    values: dict[str, Any] = {
        "display_name": name,
        "hosts": (f"{name}.test",),
        "endpoints": tuple(endpoint(f, base) for f in (format, *formats)),
        "auth": (AuthHeader("authorization", "bearer"),),
        "oauth": (AuthHeader("authorization", "bearer"),),
        "models": (),
    }
    return Provider(name, **{**values, **changes})


def models(*names: str, **limits: Any) -> tuple[ModelInfo, ...]:
    return tuple(ModelInfo(name, **limits) for name in names)


ANTHROPIC = provider(
    "anthropic",
    Format.ANTHROPIC,
    models=models("claude-a", "claude-b"),
    auth=(AuthHeader("x-api-key"),),
)
OPENAI = provider(
    "openai", Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, models=models("gpt-a", "gpt-b", "shared")
)
GEMINI = provider("gemini", Format.GEMINI, models=models("gemini-a", "shared"))
OPENROUTER = provider("openrouter", Format.OPENAI_CHAT, Format.ANTHROPIC)
CODEX = provider(
    "codex",
    Format.OPENAI_RESPONSES,
    endpoints=(endpoint(Format.OPENAI_RESPONSES, "https://codex.test", websocket=True),),
    models=models("gpt-codex"),
)
PROVIDERS = {p.name: p for p in (ANTHROPIC, OPENAI, GEMINI, OPENROUTER, CODEX)}


def registry(*providers: Provider) -> Registry:
    known = {**PROVIDERS, **{p.name: p for p in providers}}
    hosts: dict[str, tuple[Provider, ...]] = {h: (p,) for p in known.values() for h in p.hosts}
    names = {alias: p for p in known.values() for alias in (p.name, *p.aliases)}
    return Registry(known, hosts, names)


def credential(id: str, provider: str = "anthropic", **more: Any) -> dict[str, Any]:
    return {"id": id, "provider": provider, "api_key": f"key-of-{id}", **more}


class World:
    """A router, its time, and short words for what happens to it."""

    def __init__(
        self,
        *credentials: dict[str, Any],
        providers: tuple[Provider, ...] = (),
        translatable: Translatable = same_format,
        **config: Any,
    ):
        self.time = Time()
        self.registry = registry(*providers)
        self.store = Recorder()
        self.base = {"credentials": list(credentials), **config}
        self.config = Config.model_validate(self.base)
        self.router = Router(
            self.config,
            self.registry,
            self.pool(self.config),
            self.store,
            clock=self.time.clock,
            wall=self.time.wall,
            random=lambda: 0.0,
            translatable=translatable,
        )
        self.paused: list[float] = []
        self.router.live.pause = self._pause  # type: ignore[method-assign]

    def pool(self, config: Config, previous: Pool | None = None) -> Pool:
        return Pool(config, self.registry, env={}, wall=self.time.wall, previous=previous)

    def reload(self, *credentials: dict[str, Any], **config: Any) -> None:
        changed = {**self.base, **config}
        if credentials:
            changed["credentials"] = list(credentials)
        self.config = Config.model_validate(changed)
        self.router.reload(self.config, self.registry, self.pool(self.config, self.router.live.pool))

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.time.pass_(seconds)
        await asyncio.sleep(0)

    # -- requests

    def exchange(
        self,
        model: str | None = "claude-a",
        *,
        surface: Provider | None = None,
        via: str = "gateway",
        format: Format = Format.ANTHROPIC,
        operation: Operation = Operation.GENERATE,
        headers: Headers | None = None,
        body: dict[str, Any] | None = None,
        client: str | None = None,
        websocket: bool = False,
    ) -> Exchange:
        document = {"model": model, "messages": [{"role": "user", "content": "hello"}], **(body or {})}
        if surface is not None:
            own = surface.endpoint(format) or surface.endpoints[0]
            place = Surface(own.format, operation, surface, own, True, via)  # type: ignore[arg-type]
        else:
            place = Surface(format, operation, None, None, False, "gateway")
        request = Request("POST", "/", headers or [], orjson.dumps(document))
        return Exchange(
            "x",
            place,
            ClientInfo("127.0.0.1", client),
            request,
            document=document,
            model=model,
            websocket=websocket,
        )

    def plan(self, model: str | None = "claude-a", **more: Any) -> Plan:
        plan = self.router.plan(self.exchange(model, **more))
        assert isinstance(plan, Plan), plan
        return plan

    def refusal(self, model: str | None = "claude-a", **more: Any) -> Refusal:
        refusal = self.router.plan(self.exchange(model, **more))
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def passthrough(self, model: str | None = "claude-a", **more: Any) -> Passthrough:
        plan = self.router.plan(self.exchange(model, **more))
        assert isinstance(plan, Passthrough), plan
        return plan

    async def take(self, model: str | None = "claude-a", **more: Any) -> tuple[Plan, Attempt]:
        plan = self.plan(model, **more)
        return plan, await attempt(plan)

    async def ask(self, model: str | None = "claude-a", *outcomes: Outcome, **more: Any) -> list[str]:
        """The credentials that a request is sent with: one outcome after the other, then success."""
        plan = self.plan(model, **more)
        used: list[str] = []
        remaining = list(outcomes)
        while isinstance(taken := await plan.next(), Attempt):
            plan.exchange.attempts.append(taken)
            used.append(taken.credential_id or "")
            outcome = remaining.pop(0) if remaining else ok()
            if not (await plan.report(taken, outcome)).retry:
                break
        return used

    async def asks(self, count: int, model: str | None = "claude-a", **more: Any) -> list[str]:
        """The first credential of each of `count` requests that succeed."""
        return [(await self.ask(model, **more))[0] for _ in range(count)]

    def state(self, credential_id: str, model: str | None = None) -> str:
        """``ready``, ``cooling`` ...: of the credential, or of one of its models."""
        status = next(s for s in self.router.status() if s.id == credential_id)
        if model is None:
            return status.state
        return next((m.state for m in status.models if m.model == model), status.state)

    def until(self, credential_id: str, model: str | None = None) -> float | None:
        """Seconds from now until the deadline of a credential, or of one of its models."""
        status = next(s for s in self.router.status() if s.id == credential_id)
        until = status.until
        if model is not None:
            until = next((m.until for m in status.models if m.model == model), None)
        return None if until is None else round(until - self.time.wall(), 3)


async def attempt(plan: Plan) -> Attempt:
    taken = await plan.next()
    assert isinstance(taken, Attempt), taken
    plan.exchange.attempts.append(taken)
    return taken


def ok(headers: Headers | None = None, **more: Any) -> Outcome:
    return Outcome("done", 200, headers or [], **more)


def answer(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Outcome:
    """An error answer; `body` is JSON, or bytes."""
    data = body if isinstance(body, bytes) else orjson.dumps(body if body is not None else {})
    return Outcome("headers", status, list((headers or {}).items()), data)


def limited(seconds: float | None = None) -> Outcome:
    """429, with or without Retry-After."""
    headers = {} if seconds is None else {"retry-after": f"{seconds:g}"}
    return answer(429, {"error": {"type": "rate_limit_error", "message": "slow down"}}, headers)


def broken(error: str = "connection refused") -> Outcome:
    return Outcome("connect", error=error)


async def verdict(world: World, outcome: Outcome, model: str = "claude-a", **more: Any) -> Verdict:
    """What becomes of one attempt's outcome."""
    plan, taken = await world.take(model, **more)
    return await plan.report(taken, outcome)
