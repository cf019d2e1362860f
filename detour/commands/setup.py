"""``detour setup``: write a tool's own settings for the gateway, or put them back."""

from __future__ import annotations

import difflib
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from detour.commands.options import USAGE, ConfigOption, fail, load

if TYPE_CHECKING:
    from detour.setup import Change, Gateway, Model
    from router_core.config.loader import Loaded

ANY_KEY = "detour"
"""For gateways that ask for no key: the tools insist on having one."""


class Tool(StrEnum):
    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    GEMINI = "gemini"
    OPENCODE = "opencode"
    DROID = "droid"
    OPENCLAW = "openclaw"
    AMP = "amp"
    COPILOT = "copilot"


def setup(
    tool: Annotated[Tool, typer.Argument(help="Whose settings.")],
    undo: Annotated[bool, typer.Option("--undo", help="Put the settings back as they were.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --undo: also if they were changed since.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Show what would change in a tool's own settings so that it uses the gateway, and write it, with a backup.

    Any other tool: `detour exec -- TOOL`, which changes no settings.
    """
    from detour import setup as settings
    from router_core.paths import paths

    if instead := settings.WITHOUT_SETTINGS.get(tool.value):
        raise fail(f"there is no settings file to write: {instead}")
    loaded = load(config)
    folder = paths(loaded.config).data / "setup"
    try:
        if undo:
            for file in settings.undo(tool.value, folder, force=force):
                print(f"{file} is as it was")
            return
        gateway = _gateway(loaded)
        changes = settings.plan(tool.value, gateway, os.environ)
        wanted = [change for change in changes if change.before != change.after]
        if not wanted:
            print(f"{', '.join(str(change.file) for change in changes)}: all of it is there already")
            return
        for change in wanted:
            _show(change, gateway.key)
        if not yes and not _confirmed():
            raise fail("nothing was written; --yes writes without asking")
        settings.apply(wanted, folder)
    except settings.SetupError as error:
        raise fail(str(error)) from None
    print(f"written; detour setup {tool.value} --undo puts it back")


def _gateway(loaded: Loaded) -> Gateway:
    from detour.environment import client_key, reachable
    from detour.setup import Gateway
    from router_core.config.secrets import SecretError

    address = loaded.config.listen.gateway
    if not address or address.endswith(":0"):
        raise fail("listen.gateway has no fixed address that settings could name; give it one", USAGE)
    try:
        key = client_key(loaded.config)
    except SecretError as error:
        raise fail(str(error)) from None
    return Gateway(
        f"http://{reachable(address)}", key.get_secret_value() if key else ANY_KEY, _models(loaded)
    )


def _models(loaded: Loaded) -> tuple[Model, ...]:
    """What can be asked for, each in the format of who serves it first."""
    from detour.setup import Model
    from router_core.core import Core
    from router_core.formats import Format

    found = []
    for entry in Core(loaded).router.models():
        provider = loaded.registry.provider(entry.providers[0]) if entry.providers else None
        endpoints = provider.endpoints if provider else ()
        spoken = [endpoint.format for endpoint in endpoints]
        format = Format.ANTHROPIC if Format.ANTHROPIC in spoken else (spoken or [Format.OPENAI_CHAT])[0]
        if Format.OPENAI_RESPONSES in spoken and format is not Format.ANTHROPIC:
            format = Format.OPENAI_RESPONSES
        info = entry.info
        context, output = (info.context_length, info.max_output_tokens) if info else (None, None)
        found.append(Model(entry.id, format, context, output))
    return tuple(found)


def _show(change: Change, key: str) -> None:
    def lines(content: bytes | None) -> list[str]:
        text = (content or b"").decode(errors="replace")
        return (text if key == ANY_KEY else text.replace(key, "[your client key]")).splitlines()

    name = str(change.file)
    source = "/dev/null" if change.before is None else name
    print(
        "\n".join(difflib.unified_diff(lines(change.before), lines(change.after), source, name, lineterm=""))
    )


def _confirmed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Write it?")
