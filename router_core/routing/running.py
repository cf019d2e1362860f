"""An attempt under way, and what it holds until its report: places under limits, a probe, a circuit."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from router_core.routing.breaker import Circuit
from router_core.routing.choice import Choice
from router_core.routing.cooldown import CredentialState, Probe
from router_core.routing.failures import RETRIED, Failure
from router_core.routing.health import PROBE_PATIENCE
from router_core.routing.live import Live
from router_core.routing.targets import Target
from router_core.verdict import FailureKind


@dataclass(slots=True)
class Running:
    live: Live
    target: Target
    state: CredentialState
    circuit: Circuit | None
    """Until the breaker has heard how it went."""
    started: float
    """Monotonic."""
    free: bool = False
    """It costs nothing, so that its end says nothing about a cooldown."""
    secret: str = field(default="", repr=False)
    oauth: bool = False
    answered: bool = False
    released: bool = False
    probe: Probe | None = None
    circuit_tests: int = 0
    """Where it tests whether the endpoint is back: how many may do so at once."""
    _leases: list[object] = field(default_factory=list)
    """Places under limits that all processes share, given back when the attempt ends."""
    _test: object = None
    """The one of them that says that this is the test of a long cooldown."""

    @classmethod
    def begin(cls, live: Live, choice: Choice, circuit: Circuit, started: float, *, free: bool) -> Running:
        """Takes what this process has to give. Nothing that is taken here is waited for."""
        state, model = choice.state, choice.target.leaf.model
        running = cls(live, choice.target, state, circuit, started, free)
        state.scheduler.acquire(state)
        if choice.ends_cooldown and not free:
            running.probe = state.scheduler.health.begin(state, model)
        running.circuit_tests = live.breakers.begin(circuit)
        return running

    async def lease(self) -> str | None:
        """Takes the places that the attempt needs among all processes; the reason where there is none."""
        credential, probe = self.state.credential, self.probe
        lease, limit = self.live.store.lease, credential.config.concurrency
        if limit is not None:
            place = await lease(credential.id, limit)
            if place is False:
                return "at its concurrency limit elsewhere"
            self._leases.append(place)
        if probe is not None:
            kind = "early" if probe.early else "probe"
            place = await lease(f"{kind}:{credential.id}:{orjson.dumps(probe.key).decode()}", 1, probe.life)
            if place is False:
                return "another Detour tests whether its cooldown can end"
            self._leases.append(place)
            self._test = place if probe.early else None
        if self.circuit is not None and self.circuit_tests:
            name = f"circuit:{orjson.dumps(self.circuit).decode()}"
            place = await lease(name, self.circuit_tests, PROBE_PATIENCE)
            if place is False:
                return "others test whether its endpoint is back"
            self._leases.append(place)
        return None

    def give_up(self) -> None:
        """A place was taken in another process."""
        self.release()
        if self.probe is not None:
            self.state.scheduler.health.defer(self.state, self.probe)

    def succeeded(self) -> None:
        if self.circuit is not None:
            self.live.breakers.success(self.circuit, self.started)
            self.circuit = None
        if not self.free:
            self.state.scheduler.health.succeed(self.state, self.target.leaf.model, self.started)
            self.live.wake()

    def failed(self, model: str | None, failure: Failure) -> float | None:
        """Until when the credential rests for `model` (seconds since the epoch), or None.

        A WebSocket session learns its model from its messages.
        """
        if self.circuit is not None:
            self._tell_breaker(self.circuit, failure)
            self.circuit = None
        if failure.cools and self._test in self._leases:
            # Nobody else needs to find out the same for a while.
            self._leases.remove(self._test)
        if failure.kind not in RETRIED:
            return None
        health, tests = self.state.scheduler.health, self.probe is not None
        own = self.target.leaf.model
        if own is None and model is not None and failure.scope == "model":
            # The next session has no model either when it begins.
            health.fail(self.state, own, failure, self.started, tests=tests)
        return health.fail(self.state, model, failure, self.started, tests=tests)

    def _tell_breaker(self, circuit: Circuit, failure: Failure) -> None:
        breakers = self.live.breakers
        own_road = failure.transport and self.state.credential.config.proxy is not None
        if failure.kind is FailureKind.CANCELLED or own_road:
            breakers.release(circuit, self.started)
        elif (failure.transport and failure.kind is FailureKind.TRANSIENT) or (failure.status or 0) >= 500:
            breakers.failure(circuit, self.started)
        else:
            # It answered, so it is up.
            breakers.success(circuit, self.started)

    def release(self) -> None:
        """Gives everything back; a second call does nothing."""
        if self.released:
            return
        self.released = True
        state = self.state
        if self.probe is not None:
            state.scheduler.health.release(state, self.target.leaf.model, self.started)
        if self.circuit is not None:
            self.live.breakers.release(self.circuit, self.started)
        state.scheduler.release(state)
        for lease in self._leases:
            if lease:
                self.live.store.give_back(lease)
        self._leases.clear()
        self.live.wake()
