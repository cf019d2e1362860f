"""``detour doctor``: what could keep Detour from working here, each with its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from detour.doctor import box, machine, network, processes
from detour.doctor.finding import Finding
from router_core.config.loader import Loaded

__all__ = ["Finding", "examine"]


async def examine(loaded: Loaded, env: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    """Every check in order; with `offline` those that need no network."""
    credentials = await machine.credentials(loaded, env)
    findings = [
        *machine.interpreter(),
        *machine.mitmproxy(),
        *machine.folders(loaded.config, env),
        *machine.ports(loaded.config, env),
        *machine.admin_token(loaded.config, env),
        *processes.workers(loaded.config),
        *processes.open_files(),
        *processes.unit(loaded.config),
        *box.rules(loaded.config),
        *machine.authority(loaded, env),
        *machine.refusals(loaded),
        *machine.proxy_variables(loaded, env),
        *credentials,
    ]
    if offline:
        return findings
    configured = zip(loaded.config.credentials, credentials, strict=True)
    used = {credential.provider for credential, finding in configured if finding.level == "ok"}
    return [*findings, *await network.providers(loaded, used)]


def run(loaded: Loaded, env: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    return asyncio.run(examine(loaded, env, offline=offline))
