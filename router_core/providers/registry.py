"""The providers that Detour knows: built-in files, the user's files, and the configuration's changes to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from router_core.config.problems import ConfigError, Problem, nearest, shown
from router_core.config.schema import AuthHeaderConfig, ModelConfig, ProviderConfig
from router_core.config.values import base_url_faults, header_faults, is_header_name, is_host
from router_core.formats import PATHS, Format, Route
from router_core.providers.definition import (
    OWN,
    Definition,
    endpoint_url,
    load_builtin,
    merge,
    normal,
    reference,
    url_path,
)
from router_core.providers.model import AuthHeader, Endpoint, ModelInfo, Provider

__all__ = ["RESERVED", "Mistake", "Registry", "assemble", "load_builtin"]

RESERVED: Final = frozenset(
    {
        "v1",
        "v1beta",
        "v1alpha",
        "api",
        "healthz",
        "metrics",
        "models",
        "chat",
        "responses",
        "messages",
        "embeddings",
    }
)
"""First segments of gateway paths that route by model, which a provider of that name would hide."""

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ROUTE: Final = re.compile(r"(GET|POST) (/[^\s?#]*)")
_BEARER: Final = AuthHeaderConfig(header="authorization", scheme="bearer")
_KEY_HEADER: Final = {
    Format.ANTHROPIC: AuthHeaderConfig(header="x-api-key"),
    Format.GEMINI: AuthHeaderConfig(header="x-goog-api-key"),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a provider; `key` is the path below the provider's mapping."""

    provider: str
    key: tuple[str | int, ...]
    what: str
    remedy: str = ""


@dataclass(frozen=True, eq=False)
class Registry:
    """A frozen snapshot. Compared by identity, so that what is compiled from it can be cached."""

    providers: dict[str, Provider]
    """By name, disabled ones included."""
    hosts: dict[str, tuple[Provider, ...]]
    """Intercepted host, in lower case, to the providers on it; disabled ones included."""
    names: dict[str, Provider]
    """Names and aliases: what may stand first in a gateway path."""
    templates: frozenset[str] = frozenset()
    """Provider files without a base URL, which exist to be extended."""

    @classmethod
    def build(
        cls, files: Mapping[str, Definition], overrides: Mapping[str, ProviderConfig] | None = None
    ) -> Registry:
        """Raises ConfigError for anything that `assemble` finds wrong."""
        registry, mistakes = assemble(files, overrides or {})
        if mistakes:
            raise ConfigError(Problem(f"provider {m.provider}", 0, m.what, m.remedy) for m in mistakes)
        return registry

    def provider(self, name: str) -> Provider | None:
        """The provider of that name or alias."""
        return self.names.get(name)


def assemble(
    files: Mapping[str, Definition], overrides: Mapping[str, ProviderConfig]
) -> tuple[Registry, list[Mistake]]:
    """The registry of all providers that can be built, and what is wrong with the others."""
    mistakes: list[Mistake] = []
    providers: dict[str, Provider] = {}
    templates: set[str] = set()
    for name in dict.fromkeys([*files, *overrides]):
        builder = _Builder(name, files, overrides, mistakes)
        provider = builder.build()
        if provider is not None:
            providers[name] = provider
        elif builder.template:
            templates.add(name)
    names = _names(providers, mistakes)
    return Registry(providers, _hosts(providers, mistakes), names, frozenset(templates)), mistakes


class _Builder:
    """Makes one provider out of its layers."""

    def __init__(
        self,
        name: str,
        files: Mapping[str, Definition],
        overrides: Mapping[str, ProviderConfig],
        mistakes: list[Mistake],
    ) -> None:
        self.name, self.files, self.overrides, self.mistakes = name, files, overrides, mistakes
        self.template = False

    def report(self, key: tuple[str | int, ...], what: str, remedy: str = "") -> None:
        self.mistakes.append(Mistake(self.name, key, what, remedy))

    def build(self) -> Provider | None:
        before = len(self.mistakes)
        self.check_name(self.name, "name")
        config = self.resolve(self.name, ())
        if config is None:
            return None
        if not config.endpoints:
            known = nearest(self.name, self.files)
            self.report((), "has no wire format", known or "add extends: PROVIDER, or format: openai-chat")
            return None
        if not reference(config):
            self.template = self.name in self.files and not config.hosts
            if not self.template or self.name in self.overrides:
                self.report((), "has no base_url", "add base_url: https://HOST/PATH")
            return None
        original = self.resolve(self.name, (), overridden=False) or config
        self.check(config)
        endpoints = self.endpoints(config, original)
        if len(self.mistakes) > before:
            return None
        auth = config.auth if config.auth is not None else (_KEY_HEADER.get(endpoints[0].format, _BEARER),)
        oauth = config.oauth if config.oauth is not None else (_BEARER,)
        return Provider(
            name=self.name,
            display_name=config.display_name or self.name,
            hosts=tuple(dict.fromkeys(host.lower().removesuffix(".") for host in config.hosts or ())),
            endpoints=endpoints,
            auth=tuple(AuthHeader(a.header.lower(), a.scheme) for a in auth),
            oauth=tuple(AuthHeader(a.header.lower(), a.scheme) for a in oauth),
            passthrough=config.passthrough or (),
            models=tuple(_model(m) for m in config.models or ()),
            headers={key.lower(): value for key, value in (config.headers or {}).items()},
            rules=config.rules or (),
            quirks=config.quirks or frozenset(),
            breaker=config.breaker,
            enabled=config.enabled,
            hidden=config.hidden,
            insecure=config.insecure,
            base_url=reference(config),
            aliases=config.aliases or (),
            lineage=self.lineage(self.name),
        )

    def lineage(self, name: str) -> tuple[str, ...]:
        """What `name` extends, the nearest first; `resolve` has found all of them, and no circle."""
        file, override = self.files.get(name), self.overrides.get(name)
        wanted = (override and override.extends) or (file and file.config.extends)
        return (wanted, *self.lineage(wanted)) if wanted else ()

    def resolve(self, name: str, seen: tuple[str, ...], *, overridden: bool = True) -> ProviderConfig | None:
        """The whole configuration of provider `name`, or None where what it extends cannot be found."""
        file = self.files.get(name)
        layers = [file.config] if file else []
        if overridden and name in self.overrides:
            layers.append(self.overrides[name])
        config: ProviderConfig | None = None
        for layer in layers:
            if layer.extends is not None:
                config = self.base(name, layer.extends, (*seen, name))
                if config is None:
                    return None
            config = normal(layer) if config is None else merge(config, normal(layer))
        return config

    def base(self, name: str, wanted: str, seen: tuple[str, ...]) -> ProviderConfig | None:
        # Said where it is written, not again for each provider that builds upon it.
        here = name == self.name and len(seen) == 1
        if wanted in seen:
            if here or wanted == self.name:
                self.report(
                    ("extends",), f"extends itself: {' -> '.join((*seen, wanted))}", "break the circle"
                )
            return None
        if wanted not in self.files and wanted not in self.overrides:
            if here:
                known = sorted({*self.files, *self.overrides} - {self.name})
                remedy = nearest(wanted, known) or "name a provider of `detour models`"
                self.report(("extends",), f"extends an unknown provider {shown(wanted)}", remedy)
            return None
        base = self.resolve(wanted, seen)
        if base is None:
            return None
        return base.model_copy(update={key: ProviderConfig.model_fields[key].default for key in OWN})

    def endpoints(self, config: ProviderConfig, original: ProviderConfig) -> tuple[Endpoint, ...]:
        """The endpoints, each with the root that it had before the configuration moved it."""
        roots = {
            e.format: url_path(url) for e in original.endpoints or () if (url := endpoint_url(original, e))
        }
        built: list[Endpoint] = []
        for number, entry in enumerate(config.endpoints or ()):
            key: tuple[str | int, ...] = ("endpoints", number)
            if any(e.format is entry.format for e in built):
                self.report(
                    (*key, "format"), f"format {entry.format} is given twice", "keep one endpoint of each"
                )
            url = endpoint_url(config, entry)
            if entry.base_url:
                for what, remedy in base_url_faults(url, config.insecure):
                    self.report((*key, "base_url"), what, remedy)
            offered = PATHS[entry.format]
            paths = {op: self.routes((*key, "paths", op), routes) for op, routes in entry.paths.items()}
            operations = entry.operations or tuple(op for op in offered if not paths or op in paths)
            for operation in {*operations, *paths} - set(offered):
                what = f"format {entry.format} has no operation {operation}"
                self.report((*key, "operations"), what, f"write some of {', '.join(offered)}")
            own = url_path(url).removeprefix(url_path(reference(config)))
            path = own if url == reference(config) + own else ""
            root = roots.get(entry.format, url_path(url))
            built.append(Endpoint(entry.format, url, root, operations, entry.websocket, path, paths))
        return tuple(built)

    def routes(self, key: tuple[str | int, ...], written: Iterable[str]) -> tuple[Route, ...]:
        routes: list[Route] = []
        for text in written:
            match = _ROUTE.fullmatch(text)
            if match:
                routes.append((match[1], match[2]))
            else:
                self.report(key, f"{shown(text)} is not a route", "write POST /PATH or GET /PATH")
        return tuple(routes)

    def check_name(self, name: str, key: str) -> None:
        if not _NAME.fullmatch(name):
            remedy = "write small letters, digits and single hyphens, e.g. local-vllm"
            self.report((key,), f"{shown(name)} cannot be a provider's name", remedy)
        elif name in RESERVED:
            self.report((key,), f"{shown(name)} is the beginning of gateway paths", "choose another name")

    def check(self, config: ProviderConfig) -> None:
        """What the schema cannot see."""
        for alias in config.aliases or ():
            self.check_name(alias, "aliases")
        if config.base_url:
            for what, remedy in base_url_faults(config.base_url, config.insecure):
                self.report(("base_url",), what, remedy)
        for number, host in enumerate(config.hosts or ()):
            if not is_host(host):
                remedy = "write the exact name, e.g. api.example.com: no scheme, port, path or wildcard"
                self.report(("hosts", number), f"{shown(host)} is not a host name", remedy)
        for where in ("auth", "oauth"):
            for number, auth in enumerate(getattr(config, where) or ()):
                if not is_header_name(auth.header):
                    self.report((where, number, "header"), f"{shown(auth.header)} is not a header name")
        for header, (what, remedy) in header_faults(config.headers or {}):
            self.report(("headers", header), what, remedy)
        for number, pattern in enumerate(config.passthrough or ()):
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                remedy = "write /PATH, or /PATH* for everything that begins so"
                self.report(("passthrough", number), f"{shown(pattern)} is not a path", remedy)
        listed: set[str] = set()
        for number, model in enumerate(config.models or ()):
            for name in {model.id, *model.aliases} & listed:
                self.report(("models", number, "id"), f"model {shown(name)} is listed twice", "remove one")
            listed |= {model.id, *model.aliases}


def _model(config: ModelConfig) -> ModelInfo:
    return ModelInfo(
        id=config.id,
        max_output_tokens=config.max_output_tokens,
        context_length=config.context_length,
        aliases=config.aliases,
        capabilities=frozenset[str](config.capabilities),
        hidden=config.hidden,
        provider=config.provider.model_dump(mode="json", exclude_unset=True) if config.provider else {},
    )


def _names(providers: Mapping[str, Provider], mistakes: list[Mistake]) -> dict[str, Provider]:
    names = dict(providers)
    order = list(providers)
    for provider in providers.values():
        for alias in provider.aliases:
            other = names.setdefault(alias, provider)
            if other is not provider:
                # The later one is to blame: it came to a name that was taken.
                first, last = sorted((provider, other), key=lambda p: order.index(p.name))
                what = f"{shown(alias)} is also a name of provider {first.name}"
                mistakes.append(Mistake(last.name, (), what, "choose another name"))
    return names


def _hosts(providers: Mapping[str, Provider], mistakes: list[Mistake]) -> dict[str, tuple[Provider, ...]]:
    hosts: dict[str, tuple[Provider, ...]] = {}
    for provider in providers.values():
        for number, host in enumerate(provider.hosts):
            for other in hosts.get(host, ()):
                if provider.enabled and other.enabled and _places(provider) & _places(other):
                    what = f"host {host} is also claimed by provider {other.name}, under the same path"
                    remedy = "remove it from one of them, or disable one"
                    mistakes.append(Mistake(provider.name, ("hosts", number), what, remedy))
            hosts[host] = (*hosts.get(host, ()), provider)
    return hosts


def _places(provider: Provider) -> set[str]:
    """The roots, and the full paths of the surfaces, of a provider on its hosts."""
    paths = {e.root + path for e in provider.endpoints for op in e.operations for _, path in e.routes(op)}
    return {e.root for e in provider.endpoints} | paths
