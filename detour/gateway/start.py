"""`detour gateway up`: look whether the rules can work, find the first addresses, apply everything at once."""

from __future__ import annotations

from detour.gateway import checks, nft
from detour.gateway.checks import Problem
from detour.gateway.resolve import Answer
from detour.gateway.ruleset import TABLE, Held, IPAddress, Ruleset


def look(rules: Ruleset, running: str | None, *, force: bool = False) -> tuple[list[Problem], Held | None]:
    """Every problem at once, and what the table holds already. Raises NftError where nft cannot be used.

    `running` is where the instance of this configuration listens; `force` puts up with rules of others.
    """
    held = nft.held()
    found = [*checks.listener(rules, running), *checks.kernel(rules)]
    for problem in checks.conflicts(nft.tables(), rules):
        found.append(Problem(problem.text, keeps=not force))
    return found, held


def together(held: Held | None, answers: list[Answer]) -> Held:
    """What the new table holds: what the earlier one did, and the addresses of `answers` with their whole time."""
    addresses: dict[IPAddress, float | None] = dict(held.addresses) if held else {}
    for answer in answers:
        addresses |= dict.fromkeys(answer.addresses)
    return Held(addresses, held.counters if held else {})


def put_in_force(script: str, before: Held | None) -> None:
    """Apply `script`. If that fails or is interrupted, everything is as it was `before`. Raises NftError."""
    try:
        nft.apply(script)
        if nft.held() is None:
            raise nft.NftError("nft said nothing, but the rules are not there; look at `nft list ruleset`")
    except BaseException as error:
        # A transaction changes nothing when it fails. What is left are programs that do not keep to it.
        if before is None:
            _clean_up(error)
        raise


def _clean_up(reason: BaseException) -> None:
    try:
        if nft.held() is not None:
            nft.remove()
    except nft.NftError as error:
        raise nft.NftError(
            f"{reason}; nor can the rules be removed: {error}; run `nft delete table {TABLE}`"
        ) from None
