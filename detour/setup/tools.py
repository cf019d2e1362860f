"""Where each tool keeps its settings, and what it is told about the gateway.

Sources: Claude Code, "LLM gateway configuration"; Codex, "Config" (``model_providers``); Gemini CLI,
"Configuration" (``.env`` files); opencode, "Providers" (``baseURL``); Factory, "Custom Models (BYOK)"; OpenClaw,
"Model providers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detour.setup import edits
from router_core.formats import Format


@dataclass(frozen=True, slots=True)
class Model:
    """One that can be asked for at the gateway."""

    id: str
    format: Format
    """The wire format of who serves it first, so that nothing need be translated."""
    context: int | None = None
    """Tokens."""
    output: int | None = None
    """Tokens."""


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    """``http://HOST:PORT``"""
    key: str
    """The client key; any text where the gateway asks for none, since the tools insist on one."""
    models: tuple[Model, ...] = ()
    """For tools that do not ask which there are."""


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


MARK: Final = " (Detour)"
"""Ends the names of the models that are Detour's, among those of others."""


def _droid(settings: bytes, gateway: Gateway) -> bytes:
    kinds = {
        Format.ANTHROPIC: ("anthropic", gateway.url),
        Format.OPENAI_RESPONSES: ("openai", f"{gateway.url}/v1"),
    }

    def entry(model: Model) -> dict[str, Any]:
        kind, base = kinds.get(model.format, ("generic-chat-completion-api", f"{gateway.url}/v1"))
        found = {"model": model.id, "displayName": f"{model.id}{MARK}", "provider": kind, "baseUrl": base}
        limit = {"maxOutputTokens": model.output} if model.output else {}
        return found | {"apiKey": gateway.key} | limit

    def is_other(known: Any) -> bool:
        return not (isinstance(known, dict) and str(known.get("displayName", "")).endswith(MARK))

    def with_ours(known: Any) -> list[Any]:
        if not isinstance(known, list | None):
            raise ValueError("its customModels are no list")
        return [*filter(is_other, known or ()), *map(entry, _some(gateway.models))]

    return edits.json_change(settings, "customModels", with_ours)


def _openclaw(settings: bytes, gateway: Gateway) -> bytes:
    def entry(model: Model) -> dict[str, Any]:
        limits = {"contextWindow": model.context, "maxTokens": model.output}
        return {"id": model.id, "name": f"{model.id}{MARK}"} | {k: v for k, v in limits.items() if v}

    models = _some(gateway.models)
    kinds = {
        "detour-anthropic": ("anthropic-messages", gateway.url, True),
        "detour-openai": ("openai-completions", f"{gateway.url}/v1", False),
    }
    providers = {
        name: {
            "baseUrl": base,
            "apiKey": gateway.key,
            "api": api,
            "models": [entry(m) for m in models if (m.format is Format.ANTHROPIC) is anthropic],
        }
        for name, (api, base, anthropic) in kinds.items()
    }
    return edits.json_set(settings, {"models": {"mode": "merge", "providers": providers}})


def _some(models: tuple[Model, ...]) -> tuple[Model, ...]:
    if not models:
        raise ValueError(
            "nothing can be asked for at the gateway now; `detour check` says what each credential lacks"
        )
    return models


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
    "droid": Tool(
        (Settings(_within("", "", ".factory", "settings.json"), _droid),),
        "customModels with model, displayName, provider, baseUrl and apiKey for each model",
    ),
    "openclaw": Tool(
        (Settings(_within("OPENCLAW_STATE_DIR", ".openclaw", "openclaw.json"), _openclaw),),
        "models.providers.NAME with baseUrl, apiKey, api and models",
    ),
}

WITHOUT_SETTINGS: Final = {
    "amp": "Amp has one host for everything and no setting for a proxy; start it with `detour exec -- amp`",
    "copilot": "Copilot's command line reads its provider from the environment alone; set COPILOT_PROVIDER_BASE_URL, "
    "COPILOT_PROVIDER_TYPE, COPILOT_PROVIDER_API_KEY and COPILOT_MODEL as docs/recipes/tools.md says, or start it "
    "with `detour exec -- copilot`",
}
"""Tools that somebody may ask for, and what to do with them instead."""
