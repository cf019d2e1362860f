"""Whether the rules of a gateway box are in force, and lead anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from detour.doctor.finding import Finding, bad, note, ok
from detour.gateway import checks, nft
from detour.gateway.ruleset import RulesetError, ruleset
from router_core.config.schema import Config

SUBJECT = "gateway rules"


def rules(config: Config) -> Iterator[Finding]:
    if config.listen.transparent is None:
        return
    try:
        wanted = ruleset(config)
        nft.program()
    except (RulesetError, nft.NftError) as error:
        yield bad(SUBJECT, str(error))
        return
    yield from (note(SUBJECT, problem.text) for problem in checks.kernel(wanted))
    if not nft.may_change():
        yield note(SUBJECT, "only root can see them", "run sudo detour doctor with the same --config")
        return
    try:
        there = nft.held() is not None
    except nft.NftError as error:
        yield bad(SUBJECT, str(error))
    else:
        yield (
            ok(SUBJECT, f"in force, leading to {wanted.listener}")
            if there
            else note(SUBJECT, "not in force: nothing is redirected", "run detour gateway up")
        )
