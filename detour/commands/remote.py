"""The admin API of the running instance, for the commands that look at live state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detour.commands.options import fail

if TYPE_CHECKING:
    from router_core.config.loader import Loaded


def call(loaded: Loaded, method: str, *path: str, **query: str | int) -> Any:
    """As `detour.remote.ask`, but an answer that says no is said on standard error and ends the command."""
    from detour.remote import RemoteError, ask

    try:
        return ask(loaded, method, *path, **query)
    except RemoteError as error:
        raise fail(str(error)) from None
