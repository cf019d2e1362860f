"""What a path asks for: (host, method, path) to a surface, on intercepted hosts and on the gateway.

A registry is compiled once into tables of exact paths; a request costs one look-up by host (or by the
provider's name) and one by method and path. Only Gemini's paths, which carry a model, are taken apart.
Paths are compared as they were sent: what is not exactly a surface is none, so no encoding of a path can
make a credential go where it was not meant to go.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from router_core.exchange import Surface
from router_core.formats import PATHS, Format, Operation
from router_core.providers.model import Endpoint, Provider
from router_core.providers.registry import Registry


@dataclass(frozen=True, slots=True)
class Passthrough:
    """A path that is forwarded and not interpreted."""

    provider: Provider
    via: Literal["proxy", "gateway"]
    url: str | None = None
    """On the gateway the upstream's URL, with the query as received (client keys in it included); on an
    intercepted host None, since the request goes on to its own host as it is."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """A path of a provider that is switched off; each one answers ``provider_disabled``."""

    provider: Provider
    via: Literal["proxy", "gateway"]
    format: Format | None = None
    """What the path speaks; None for one that is no surface."""


type Match = Surface | Passthrough | Disabled | None

# Base URLs are written with and without /v1, and sometimes the tool adds its own to the one written.
_V1: Final = ("", "/v1", "/v1/v1")
# Amp asks for Google's models as Vertex AI names them.
_GEMINI_VERSIONS: Final = ("/v1beta", "/v1", "/v1alpha", "/v1beta1/publishers/google")
# OpenAI's list of models is what most clients expect at /v1/models.
_FORMATS: Final = (
    Format.OPENAI_CHAT,
    Format.OPENAI_RESPONSES,
    Format.ANTHROPIC,
    Format.GEMINI,
    Format.OLLAMA,
)
_OPENAI: Final = (Format.OPENAI_CHAT, Format.OPENAI_RESPONSES)
_MODELS: Final = "/v1beta/models"
_TEMPLATE: Final = re.compile(r"(?P<before>.*)/\{model\}:(?P<action>\w+)")
# Segments that a server may resolve to another path, plainly or percent-encoded.
_DOTS: Final = re.compile(r"(?:^|/)\.\.?(?:/|$)")


@dataclass(slots=True)
class _Table:
    """The surfaces below one root."""

    exact: dict[tuple[str, str], Surface] = field(default_factory=dict)
    models: dict[str, dict[str, Surface]] = field(default_factory=dict)
    """``/v1beta/models`` to the surfaces by what stands after the colon."""

    def add(self, method: str, path: str, surface: Surface) -> None:
        # The first that claims a path keeps it: endpoints stand in order of preference.
        template = _TEMPLATE.fullmatch(path)
        if template is None:
            self.exact.setdefault((method, path), surface)
        else:
            self.models.setdefault(template["before"], {}).setdefault(template["action"], surface)

    def find(self, method: str, path: str) -> Surface | None:
        found = self.exact.get((method, path))
        if found is None and self.models and method == "POST":
            found = self._with_model(path)
        return found

    def _with_model(self, path: str) -> Surface | None:
        for before, actions in self.models.items():
            if not path.startswith(before) or not path.startswith("/", len(before)):
                continue
            # Some clients percent-encode the colon.
            model, colon, action = (
                path[len(before) + 1 :].replace("%3A", ":").replace("%3a", ":").rpartition(":")
            )
            surface = actions.get(action)
            name = _model_name(model)
            if colon and surface is not None and name is not None:
                return _for_model(surface, name)
        return None


def _model_name(segment: str) -> str | None:
    """The model in a path, percent-decoded, or None for what cannot be one."""
    name = unquote(segment, errors="replace")
    if not name or len(name) > 256 or not name.isprintable() or "�" in name or _DOTS.search(name):
        return None
    return None if "//" in name or "\\" in name or name[0] == "/" or name[-1] == "/" else name


def _for_model(surface: Surface, model: str) -> Surface:
    # Not dataclasses.replace, which costs more than the rest of the match.
    return Surface(
        surface.format,
        surface.operation,
        surface.provider,
        surface.endpoint,
        surface.pinned,
        surface.via,
        model,
        surface.path_stream,
    )


@dataclass(frozen=True, slots=True)
class _Host:
    providers: tuple[Provider, ...]
    table: _Table
    roots: tuple[tuple[str, Provider], ...]
    """Longest first: to whom a path belongs that is no surface."""

    def owner(self, path: str) -> Provider:
        for root, provider in self.roots:
            if path == root or path.startswith(root + "/"):
                return provider
        return next((p for p in self.providers if p.enabled), self.providers[0])


@dataclass(frozen=True, slots=True)
class _Prefix:
    """What stands behind ``/{provider}`` on the gateway."""

    provider: Provider
    table: _Table


@dataclass(frozen=True, slots=True)
class _Index:
    hosts: dict[str, _Host]
    gateway: _Table
    prefixes: dict[str, _Prefix]


@functools.lru_cache(maxsize=8)
def _compile(registry: Registry) -> _Index:
    hosts = {host: _host(providers) for host, providers in registry.hosts.items()}
    gateway = _Table()
    _add_formats(gateway, None)
    prefixes = {name: _Prefix(provider, _pinned(provider)) for name, provider in registry.names.items()}
    return _Index(hosts, gateway, prefixes)


def _host(providers: tuple[Provider, ...]) -> _Host:
    table = _Table()
    pairs = [(endpoint, provider) for provider in providers for endpoint in provider.endpoints]
    # A disabled provider keeps no path from an enabled one that took it over.
    pairs.sort(key=lambda pair: (-len(pair[0].root), not pair[1].enabled))
    for endpoint, provider in pairs:
        for operation in endpoint.operations:
            for method, path in endpoint.routes(operation):
                surface = _surface(endpoint.format, operation, provider, endpoint, "proxy", path)
                variants = _gemini_versions(path)
                if endpoint.format in _OPENAI and not endpoint.root.endswith("/v1"):
                    variants += (f"/v1{path}",)
                for variant in variants:
                    table.add(method, endpoint.root + variant, surface)
    return _Host(providers, table, tuple((endpoint.root, provider) for endpoint, provider in pairs))


def _pinned(provider: Provider) -> _Table:
    """The provider's own paths first, then those of every format, which are translated for it."""
    table = _Table()
    for endpoint in provider.endpoints:
        for operation in endpoint.operations:
            for method, path in endpoint.routes(operation):
                surface = _surface(endpoint.format, operation, provider, endpoint, "gateway", path)
                bare = path.removeprefix("/v1") if path.startswith("/v1/") else path
                for variant in (*_gemini_versions(path), *(v1 + bare for v1 in _V1)):
                    table.add(method, endpoint.path + variant, surface)
    _add_formats(table, provider)
    return table


def _add_formats(table: _Table, provider: Provider | None) -> None:
    for format in _FORMATS:
        operations = PATHS[format]
        endpoint = provider.endpoint(format) if provider else None
        for operation, routes in operations.items():
            for method, path in routes:
                surface = _surface(format, operation, provider, endpoint, "gateway", path)
                if format is Format.OLLAMA:
                    table.add(method, path, surface)
                elif format is Format.GEMINI:
                    for variant in _gemini_versions(path):
                        # A list of models is asked for at /v1/models in OpenAI's and Anthropic's way.
                        if operation is not Operation.LIST_MODELS or variant == path:
                            table.add(method, variant, surface)
                else:
                    for v1 in _V1:
                        table.add(method, v1 + path.removeprefix("/v1"), surface)


def _gemini_versions(path: str) -> tuple[str, ...]:
    if not path.startswith("/v1beta/"):
        return (path,)
    return tuple(version + path.removeprefix("/v1beta") for version in _GEMINI_VERSIONS)


def _surface(
    format: Format,
    operation: Operation,
    provider: Provider | None,
    endpoint: Endpoint | None,
    via: Literal["proxy", "gateway"],
    path: str,
) -> Surface:
    action = path.rpartition(":")[2]
    stream = {"generateContent": False, "streamGenerateContent": True}.get(action)
    return Surface(format, operation, provider, endpoint, provider is not None, via, None, stream)


def match_host(registry: Registry, host: str, method: str, path: str) -> Match:
    """What `path` (with its query) means on an intercepted host; None where the host is not intercepted."""
    entry = _compile(registry).hosts.get(_host_name(host))
    if entry is None:
        return None
    path = path.partition("?")[0]
    surface = entry.table.find(method, path)
    if surface is not None and surface.provider is not None:
        return surface if surface.provider.enabled else Disabled(surface.provider, "proxy", surface.format)
    owner = entry.owner(path)
    return Passthrough(owner, "proxy") if owner.enabled else Disabled(owner, "proxy")


def match_gateway(registry: Registry, method: str, path: str) -> Match:
    """What `path` (with its query) means on the gateway; None where there is nothing."""
    if method == "HEAD":
        method = "GET"  # RFC 9110 9.3.2: the same, but for the body
    index = _compile(registry)
    path, mark, query = path.partition("?")
    if "//" in path:
        # http://127.0.0.1:8317/ as base URL and /v1/messages behind it.
        path = re.sub("/{2,}", "/", path)
    found = index.gateway.find(method, path)
    if found is not None:
        return found
    if path.startswith("/v1/models/") or path.startswith(_MODELS + "/"):
        return _one_model(index.gateway, method, path)
    rest = path.removeprefix("/api/provider")
    name, slash, suffix = rest[1:].partition("/")
    prefix = index.prefixes.get(name)
    if prefix is None or not rest.startswith("/"):
        return None
    suffix = slash + suffix
    surface = prefix.table.find(method, suffix)
    if not prefix.provider.enabled:
        return Disabled(prefix.provider, "gateway", surface.format if surface else None)
    return surface or _allowed(prefix.provider, suffix, mark + query)


def _one_model(table: _Table, method: str, path: str) -> Surface | None:
    """``GET /v1/models/{model}``: the surface of the list, with the model in `path_model`."""
    before = _MODELS if path.startswith(_MODELS) else "/v1/models"
    surface = table.exact.get((method, before))
    name = _model_name(path[len(before) + 1 :])
    return _for_model(surface, name) if surface is not None and name is not None else None


def _allowed(provider: Provider, suffix: str, query: str) -> Passthrough | None:
    """A path of the provider's allow-list. Anything that a server might read as another path is not on it."""
    base = provider.base_url
    if base.endswith("/v1") and suffix.startswith("/v1/"):
        suffix = suffix.removeprefix("/v1")
    if "%" in suffix or "\\" in suffix or not suffix.isprintable() or _DOTS.search(suffix):
        return None
    for pattern in provider.passthrough:
        if suffix == pattern or (pattern.endswith("*") and suffix.startswith(pattern[:-1])):
            return Passthrough(provider, "gateway", base + suffix + query)
    return None


def _host_name(host: str) -> str:
    if host.isascii() and host.islower() and ":" not in host and host[-1] != ".":
        return host
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    host = name if colon and port.isdecimal() and ":" not in name else host
    return host.lower().removesuffix(".")
