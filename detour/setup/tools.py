"""Where each tool keeps its settings, and what it is told about the gateway.

Sources: Claude Code, "LLM gateway configuration"; Codex, "Config" (``model_providers``); Gemini CLI,
"Configuration" (``.env`` files); opencode, "Providers" (``baseURL``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detour.setup import edits


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    """``http://HOST:PORT``"""
    key: str
    """The client key; any text where the gateway asks for none, since the tools insist on one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One file."""

    file: Callable[[Mapping[str, str]], Path]
    edit: Callable[[bytes, Gateway], bytes]
    """The settings with the gateway in them. Raises ValueError for settings that cannot be read."""


@dataclass(frozen=True, slots=True)
class Tool:
    settings: tuple[Settings, ...]
    manual: str
    """What the settings become, in words."""


def _within(variable: str, folder: str, *names: str) -> Callable[[Mapping[str, str]], Path]:
    """A file in the folder that `variable` names, else in `folder` of the home directory."""

    def file(env: Mapping[str, str]) -> Path:
        base = Path(env[variable]) if env.get(variable) else Path(env.get("HOME") or Path.home()) / folder
        return base.joinpath(*names)

    return file


def _claude_code(settings: bytes, gateway: Gateway) -> bytes:
    return edits.json_set(
        settings, {"env": {"ANTHROPIC_BASE_URL": gateway.url, "ANTHROPIC_AUTH_TOKEN": gateway.key}}
    )


def _codex(settings: bytes, gateway: Gateway) -> bytes:
    provider = {
        "name": "Detour",
        "base_url": f"{gateway.url}/v1",
        "wire_api": "responses",
        "http_headers": {"x-api-key": gateway.key},
    }
    return edits.toml_set(settings, "model_provider", "detour", "model_providers.detour", provider)


def _gemini(settings: bytes, gateway: Gateway) -> bytes:
    return edits.dotenv_set(settings, {"GOOGLE_GEMINI_BASE_URL": gateway.url, "GEMINI_API_KEY": gateway.key})


def _gemini_login(settings: bytes, gateway: Gateway) -> bytes:
    # With a base URL and no choice of its own, Gemini CLI chooses a login that it then calls invalid.
    return edits.json_set(settings, {"security": {"auth": {"selectedType": "gemini-api-key"}}})


def _opencode(settings: bytes, gateway: Gateway) -> bytes:
    def provider(base: str) -> dict[str, Any]:
        return {"options": {"baseURL": gateway.url + base, "apiKey": gateway.key}}

    paths = {"anthropic": "/v1", "openai": "/v1", "google": "/v1beta"}
    return edits.json_set(settings, {"provider": {name: provider(base) for name, base in paths.items()}})


TOOLS: Final[dict[str, Tool]] = {
    "claude-code": Tool(
        (Settings(_within("CLAUDE_CONFIG_DIR", ".claude", "settings.json"), _claude_code),),
        "ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN below env",
    ),
    "codex": Tool(
        (Settings(_within("CODEX_HOME", ".codex", "config.toml"), _codex),),
        'model_provider = "detour" and a table [model_providers.detour] with base_url and wire_api',
    ),
    "gemini": Tool(
        (
            Settings(_within("GEMINI_CLI_HOME", "", ".gemini", ".env"), _gemini),
            Settings(_within("GEMINI_CLI_HOME", "", ".gemini", "settings.json"), _gemini_login),
        ),
        "GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY in .env, security.auth.selectedType gemini-api-key in settings.json",
    ),
    "opencode": Tool(
        (Settings(_within("XDG_CONFIG_HOME", ".config", "opencode", "opencode.json"), _opencode),),
        "provider.NAME.options.baseURL and apiKey for anthropic, openai and google",
    ),
}
