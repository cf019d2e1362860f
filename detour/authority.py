"""Keeps what a running instance signs with in step with the authority's files and with the configuration."""

from __future__ import annotations

import asyncio
import logging

from addons.certificates import Certificates
from detour.ca import CAError, CAPaths, ensure_ca, load
from router_core.config.watch import watch
from router_core.core import Core
from router_core.paths import paths

logger = logging.getLogger(__name__)


class RunningAuthority:
    """`start` follows the files until `stop`."""

    def __init__(self, core: Core, found: CAPaths, certificates: Certificates) -> None:
        self.core = core
        self.found = found
        self.certificates = certificates
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.core.after_reload.append(self.renew)
        self._watching = asyncio.create_task(watch(lambda: [self.found.key_pem], self.changed))

    async def stop(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def renew(self) -> None:
        """Name the hosts of a new configuration too."""
        if paths(self.core.config).ca != self.found.confdir:
            logger.warning("ca.dir was changed, which takes effect when Detour is started again")
            return
        try:
            await asyncio.to_thread(ensure_ca, self.core.config, self.core.registry)
        except CAError as error:
            logger.error("%s; until then clients refuse the certificates of hosts that were added", error)

    async def changed(self) -> None:
        """Sign with the authority that is in the files now."""
        try:
            key, _ = await asyncio.to_thread(load, self.found)
        except (CAError, OSError) as error:
            remedy = "put it back, or have `detour ca rotate` make a new one"
            logger.error(
                "the certificate authority was replaced by one that cannot be used (%s): %s; this process goes "
                "on with the earlier one until it ends",
                error,
                remedy,
            )
            return
        before = self.certificates.authority_key()
        self.certificates.read_again()
        # Who refused the earlier one may accept this one.
        self.core.refusals.forget()
        if key.public_key() != before:
            logger.warning(
                "the certificate authority was replaced: certificates are signed with the key in %s from now on. "
                "Start tools again that run, and have stores trust %s in the place of the earlier one",
                self.found.key_pem,
                self.found.cert_pem,
            )
