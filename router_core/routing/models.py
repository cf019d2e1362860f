"""What a client can ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from router_core.config.schema import Config
from router_core.credentials.model import Credential
from router_core.providers.model import ModelInfo, Provider
from router_core.routing.scheduler import serves


@dataclass(frozen=True, slots=True)
class ModelEntry:
    id: str
    """The name to ask for."""
    providers: tuple[str, ...]
    """Who serves it, in the order in which they are tried."""
    kind: Literal["alias", "virtual", "model"]
    info: ModelInfo | None = None
    """Limits and capabilities of the first, where known."""


def list_models(
    config: Config,
    providers: Mapping[str, Provider],
    credentials: Iterable[Credential],
    only: str | None = None,
) -> list[ModelEntry]:
    """Every name that can be listed: of the configuration, then each provider's models, then prefixed ones.

    `only` limits the provider's models to one provider, as on its own paths. Wildcards, hidden models and
    models that no list names can be asked for too, but not listed.
    """
    ranked = sorted(credentials, key=lambda c: (-c.config.priority, c.order))
    entries: dict[str, ModelEntry] = {}
    for name, entry in config.models.items():
        if "*" not in name:
            targets = (entry,) if isinstance(entry, str) else tuple(t.target for t in entry.targets)
            owners = tuple(
                dict.fromkeys(t.partition("/")[0] for t in targets if t.partition("/")[0] in providers)
            )
            entries[name] = ModelEntry(
                name, owners, "alias" if isinstance(entry, str) else "virtual", _first(targets, providers)
            )
    serving: dict[str, tuple[list[str], ModelInfo | None]] = {}
    prefixed: dict[str, tuple[list[str], ModelInfo | None]] = {}
    for credential in ranked:
        provider = providers.get(credential.provider)
        if provider is None or not provider.enabled or only not in (None, provider.name):
            continue
        for model_id, info in _served(provider, credential):
            found = [serving.setdefault(model_id, ([], info))]
            if credential.config.prefix is not None:
                found.append(prefixed.setdefault(f"{credential.config.prefix}/{model_id}", ([], info)))
            for owners_of, _ in found:
                if provider.name not in owners_of:
                    owners_of.append(provider.name)
    for model_id, (names, info) in serving.items():
        entries.setdefault(model_id, ModelEntry(model_id, tuple(names), "model", info))
        # With several owners each can be meant, so each can be named.
        for name in names if len(names) > 1 else ():
            full = f"{name}/{model_id}"
            entries.setdefault(full, ModelEntry(full, (name,), "model", providers[name].model(model_id)))
    for model_id, (names, info) in prefixed.items():
        entries.setdefault(model_id, ModelEntry(model_id, tuple(names), "model", info))
    return list(entries.values())


def _served(provider: Provider, credential: Credential) -> Iterable[tuple[str, ModelInfo | None]]:
    accepts = serves(credential)
    for info in provider.models:
        if not (provider.hidden or info.hidden) and (accepts is None or accepts(info.id)):
            yield info.id, info
    for name in credential.config.models.include:
        if "*" not in name and "?" not in name and "[" not in name and provider.model(name) is None:
            yield name, None


def _first(targets: tuple[str, ...], providers: Mapping[str, Provider]) -> ModelInfo | None:
    for target in targets:
        name, _, model = target.partition("/")
        if name in providers and (info := providers[name].model(model)) is not None:
            return info
    return None
