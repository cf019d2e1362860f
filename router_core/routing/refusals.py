"""The words for a request that has targets of which none can serve it now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from router_core.errors import Code, Refusal
from router_core.exchange import Exchange
from router_core.routing.candidates import Candidates
from router_core.routing.status import describe
from router_core.routing.targets import UPGRADE_REQUIRED, Skipped
from router_core.usage.budgets import PassOver, Refuse


def over_budget(decision: Refuse | PassOver, now: float) -> Refusal:
    """That a budget is used up; `now` by the wall clock."""
    return _used_up(decision.reason, decision.until, now)


def _used_up(reason: str, until: float, now: float) -> Refusal:
    left = max(1.0, math.ceil(until - now))
    return Refusal(Code.BUDGET_EXCEEDED, f"The budget is used up: {reason}.", retry_after=left)


def nothing_ready(
    exchange: Exchange,
    candidates: Candidates,
    skipped: Sequence[Skipped],
    *,
    token_errors: Sequence[str],
    inexpressible: Sequence[Refusal],
    budget_ends: float,
    now: float,
) -> Refusal:
    """Why no attempt could be made: `token_errors` and `inexpressible` are the reasons, `budget_ends` is inf
    where no budget stood in the way, `now` the wall clock."""
    held = candidates.held()
    unready = candidates.unready(3)
    if exchange.websocket and candidates.serves_http():
        message = "The credentials that take WebSockets are cooling; use HTTP."
        return Refusal(Code.UNSUPPORTED, message, status=UPGRADE_REQUIRED)
    wait = candidates.wait(last_resort=True)
    if wait == math.inf and budget_ends < math.inf:
        spent = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:3])
        return _used_up(spent, budget_ends, now)
    if wait == math.inf and inexpressible and not token_errors:
        # A client that asks the same again would hear the same.
        message = "; ".join(dict.fromkeys(refusal.message for refusal in inexpressible[:3]))
        first = inexpressible[0]
        if first.details and all(other.details == first.details for other in inexpressible):
            return replace(first, message=message)
        return Refusal(Code.UNSUPPORTED, message)
    if wait == math.inf or len(token_errors) >= candidates.count():
        reasons = token_errors or [f"{s.name}: {s.reason}" for s in (*skipped, *unready)]
        return Refusal(
            Code.NO_CREDENTIAL, f"No credential can be used: {'; '.join(reasons[:3]) or 'none is left'}."
        )
    seconds = max(1.0, math.ceil(wait))
    who = (
        f"The credential {held}, which holds this conversation's state, is" if held else "All credentials are"
    )
    details = "; ".join(f"{s.name}: {s.reason}" for s in unready)
    return Refusal(
        Code.ALL_COOLING,
        f"{who} cooling for {exchange.model or 'this request'}; try again in {describe(seconds)}"
        + (f" ({details})." if details else "."),
        retry_after=seconds,
    )
