"""What is in force now: one configuration and everything that was made from it.

The addons hold a `Core` and look at its attributes for each request, so that a reload takes effect with
the next request and changes none under way.
"""

from __future__ import annotations

import logging

from pydantic import SecretStr

from router_core.config import secrets
from router_core.config.loader import Loaded
from router_core.config.schema import Config
from router_core.credentials.pool import Pool
from router_core.errors import Code, Refusal
from router_core.exchange import Exchange
from router_core.providers.registry import Registry
from router_core.rewrite import Rules, compile_rules
from router_core.routing.router import Router
from router_core.state import open_store

logger = logging.getLogger(__name__)


class Core:
    config: Config
    registry: Registry
    rules: Rules

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.registry = loaded.registry
        self.rules = compile_rules(loaded.config, loaded.registry)
        self.pool = Pool(loaded.config, loaded.registry)
        self.store = open_store(loaded.config)
        self.router = Router(loaded.config, loaded.registry, self.pool, self.store)
        self.access_keys: dict[str, SecretStr] = {}
        """Client keys by name; empty means that no key is asked for."""

    async def start(self) -> None:
        pass
