"""The admin API of the running instance, for the commands that look at live state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from detour.commands.options import fail

if TYPE_CHECKING:
    from router_core.config.loader import Loaded

TIMEOUT = 10.0
"""Seconds."""


def call(loaded: Loaded, method: str, *path: str, **query: str | int) -> Any:
    """The JSON that the running instance answers below ``/api/v1``; None when none is running.

    An answer that says no is said on standard error and ends the command.
    """
    import httpx

    from detour import runtime
    from detour.environment import reachable
    from detour.paths import paths

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
        raise fail(f"{error.filename}: {error.strerror}") from None
    except httpx.HTTPError as error:
        raise fail(
            f"the running instance (pid {running.pid}) does not answer on {running.admin}: {error}"
        ) from None
    if response.is_success:
        return response.json()
    try:
        said = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = f"the running instance answered {response.status_code}"
    raise fail(said)
