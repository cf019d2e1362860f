"""The admin API of the running instance, for whoever looks at live state from another process."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from detour import runtime
from detour.environment import reachable
from router_core.config.loader import Loaded
from router_core.paths import paths

TIMEOUT = 10.0
"""Seconds."""


class RemoteError(Exception):
    """The instance did not answer, or said no; the message is for people."""


def ask(loaded: Loaded, method: str, *path: str, **query: str | int) -> Any:
    """The JSON that the running instance answers below ``/api/v1``; None when none is running.

    Raises RemoteError.
    """
    where = paths(loaded.config)
    running = runtime.read(where.runtime)
    if running is None or running.admin is None:
        return None
    url = f"http://{reachable(running.admin)}/api/v1/{'/'.join(quote(part, safe='') for part in path)}"
    try:
        token = where.admin_token.read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        # A proxy variable of the shell may lead to this very instance.
        response = httpx.request(method, url, headers=headers, params=query, timeout=TIMEOUT, trust_env=False)
    except OSError as error:
        raise RemoteError(f"{error.filename}: {error.strerror}") from None
    except httpx.HTTPError as error:
        what = f"the running instance (pid {running.pid}) does not answer on {running.admin}: {error}"
        raise RemoteError(what) from None
    if response.is_success:
        return response.json()
    try:
        said = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = f"the running instance answered {response.status_code}"
    raise RemoteError(said)
