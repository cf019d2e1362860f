"""A client for the command line's own requests, which go out as those of the proxy do."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import httpx

from router_core.config.schema import Config

DIRECT = ("direct", "none")


def client(config: Config, proxy: str | None = None, timeout: float = 5.0) -> httpx.AsyncClient:
    """Through `proxy` (a credential's own), else the configured one. Raises ValueError, OSError for unusable ones."""
    upstream = config.upstream
    trusted = ssl.create_default_context(cafile=certifi.where())
    if upstream.ca_bundle:
        trusted.load_verify_locations(Path(upstream.ca_bundle).expanduser())
    through = None if proxy in DIRECT else proxy or upstream.proxy
    # The variables of the shell say how its tools go out, perhaps through Detour; not how Detour does.
    return httpx.AsyncClient(verify=trusted, proxy=through, trust_env=False, timeout=timeout)
