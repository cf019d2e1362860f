"""The configured credentials, which of them are usable, and their tokens."""

from __future__ import annotations

import os
from collections.abc import Mapping

from router_core.config.schema import Config
from router_core.credentials.model import Credential
from router_core.credentials.sources import build_source
from router_core.providers.registry import Registry


class Pool:
    def __init__(self, config: Config, registry: Registry, *, env: Mapping[str, str] = os.environ):
        self.config, self.registry = config, registry
        self.credentials: dict[str, Credential] = {}
        for order, entry in enumerate(config.credentials):
            source, inactive = build_source(entry, env)
            if not entry.enabled:
                inactive = "it is disabled in the configuration"
            elif entry.provider not in registry.providers:
                inactive = f"its provider {entry.provider!r} is not known"
            elif not registry.providers[entry.provider].enabled:
                inactive = f"its provider {entry.provider} is disabled"
            self.credentials[entry.id] = Credential(entry, order, source, inactive)

    def active(self, provider: str) -> list[Credential]:
        """The usable credentials of a provider, as configured."""
        return [c for c in self.credentials.values() if c.provider == provider and c.active]

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass
