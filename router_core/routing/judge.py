"""What an attempt's outcome means, and what is learned from it about its credential, endpoint and conversation."""

from __future__ import annotations

from dataclasses import replace

from router_core.capture.spellings import bare, carried
from router_core.credentials.model import CredentialError
from router_core.exchange import Attempt, Exchange, Headers, Outcome
from router_core.formats import Operation
from router_core.routing.affinity import Binding, SessionName, answer_names
from router_core.routing.candidates import Candidates
from router_core.routing.choice import FREE
from router_core.routing.cooldown import CredentialState
from router_core.routing.failures import RETRIED, Failure, classify
from router_core.routing.live import Live
from router_core.routing.running import Running
from router_core.routing.websocket import handshake_refused
from router_core.verdict import FailureKind, Verdict


class Judge:
    """Of the attempts of one request."""

    def __init__(self, live: Live, exchange: Exchange, candidates: Candidates, names: list[SessionName]):
        """`names` are the conversation's, which a success binds to the credential."""
        self._live, self._exchange, self._candidates, self._names = live, exchange, candidates, names
        self.token_errors: list[str] = []
        """Why credentials have no token."""
        self.no_websockets = False
        """An upstream said that it takes none."""
        self._refreshed: set[str] = set()
        self._renewed: str | None = None

    def take_renewed(self) -> str | None:
        """The credential whose token was just refreshed; told once."""
        renewed, self._renewed = self._renewed, None
        return renewed

    def observe(self, state: CredentialState, attempt: Attempt, headers: Headers) -> None:
        self._live.allowances.observe(
            state, headers, attempt.model, free=self._exchange.surface.operation in FREE
        )

    def classified(self, attempt: Attempt, running: Running, outcome: Outcome) -> Failure:
        return classify(
            outcome,
            provider=attempt.provider.name,
            oauth=running.oauth,
            operation=self._exchange.surface.operation,
            now=self._live.wall(),
            rows=self._live.rows,
            secrets=filter(
                None,
                (
                    running.secret,
                    *(bare(value) for _, value in attempt.auth),
                    *carried(self._exchange.request.headers),
                ),
            ),
        )

    async def judge(
        self, attempt: Attempt, running: Running, outcome: Outcome, *, more: bool
    ) -> tuple[Verdict, Failure]:
        """How `attempt` ended; `more` says whether another one may be made at all."""
        live, exchange, state = self._live, self._exchange, running.state
        failure = self.classified(attempt, running, outcome)
        if exchange.websocket and outcome.phase == "headers" and handshake_refused(outcome.status):
            failure = Failure(FailureKind.NOT_FOUND, f"{outcome.status}: no WebSockets here", transport=True)
            self.no_websockets = True
        retry = (
            failure.kind in RETRIED
            and outcome.phase not in ("body", "done")
            and more
            and self._repeatable(outcome)
        )
        self.observe(state, attempt, outcome.headers)
        until = None
        if failure.kind is FailureKind.AUTH and retry and await self._renew(state, running):
            failure = replace(failure, reason=f"{failure.reason}; its token was refreshed")
        else:
            if failure.kind is FailureKind.SUCCESS:
                running.succeeded()
            else:
                until = running.failed(attempt.model, failure)
            if retry and not failure.cools:
                self._candidates.spent.add((attempt.provider.name, attempt.model, state.credential.id))
        self._charge(attempt, state)
        if failure.kind is FailureKind.SUCCESS:
            names = [*self._names, *answer_names(outcome.headers, outcome.response_id)]
            live.affinity.bind(
                names, exchange.model, Binding(state.credential.id, attempt.provider.name, attempt.model)
            )
        return Verdict(failure.kind, retry, until, failure.reason), failure

    def _repeatable(self, outcome: Outcome) -> bool:
        """Whether the request may be sent once more. One that is not interpreted may have made something."""
        if self._exchange.surface.operation is not Operation.PASSTHROUGH:
            return True
        if self._exchange.request.method in ("GET", "HEAD", "OPTIONS"):
            return True
        return outcome.phase == "connect" or (outcome.status is not None and outcome.status < 500)

    def _charge(self, attempt: Attempt, state: CredentialState) -> None:
        usage = attempt.usage or self._exchange.usage
        tokens = (usage.prompt or 0) + (usage.output or 0)
        self._live.allowances.charge(f"credential:{state.credential.id}", tokens=tokens)
        if self._exchange.client.name:
            self._live.allowances.charge(f"client:{self._exchange.client.name}", tokens=tokens)

    async def _renew(self, state: CredentialState, running: Running) -> bool:
        """Whether another token was found for a credential whose token was refused; once per request."""
        credential = state.credential
        if credential.id in self._refreshed:
            return False
        self._refreshed.add(credential.id)
        try:
            renewed = await credential.source.rejected(running.secret)
        except CredentialError as e:
            self.token_errors.append(f"{credential.id}: {e}")
            return False
        if renewed:
            leaf = running.target.leaf
            self._candidates.tried.discard((leaf.provider.name, leaf.model, credential.id))
            self._renewed = credential.id
        return renewed
