"""The providers that Detour knows: built-in files, the user's files, and the configuration's changes to them."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from router_core.config.document import Node, read
from router_core.config.problems import ConfigError, Problem, nearest, shown
from router_core.config.schema import AuthHeaderConfig, EndpointConfig, ModelConfig, ProviderConfig
from router_core.config.validation import validate
from router_core.formats import PATHS, Format, Operation, Route
from router_core.providers.model import AuthHeader, Endpoint, ModelInfo, Provider

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
"""First segments of gateway paths that route by model, which a provider's name would hide."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ROUTE = re.compile(r"(GET|POST) (/\S*)")

_DEFAULT_AUTH: Final = {
    Format.ANTHROPIC: AuthHeaderConfig(header="x-api-key"),
    Format.GEMINI: AuthHeaderConfig(header="x-goog-api-key"),
}
_BEARER: Final = AuthHeaderConfig(header="authorization", scheme="bearer")

# An extension is another provider: it takes over how the base speaks, not what the base is called or intercepts.
_OWN: Final = frozenset({"name", "display_name", "aliases", "extends", "enabled", "insecure", "hosts"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a provider; `key` is the path below the provider's mapping."""

    provider: str
    key: tuple[str | int, ...]
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """One provider file, read and checked for its shape."""

    name: str
    config: ProviderConfig
    file: str
    tree: Node = field(repr=False)


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
        cls, builtin: Mapping[str, Definition], overrides: Mapping[str, ProviderConfig] | None = None
    ) -> Registry:
        """Raises ConfigError for anything that `assemble` finds wrong."""
        registry, mistakes = assemble(builtin, overrides or {})
        if mistakes:
            raise ConfigError(Problem(f"provider {m.provider}", 0, m.what, m.remedy) for m in mistakes)
        return registry

    def provider(self, name: str) -> Provider | None:
        """The provider of that name or alias."""
        return self.names.get(name)


def read_definition(data: bytes, file: str) -> tuple[Definition, list[Problem]]:
    """A provider file. The name is the key `name`, or the file's own name without its suffix."""
    tree, problems = read(data, file)
    config, tree, found = validate(ProviderConfig, tree, file)
    return Definition(config.name or Path(file).stem, config, file, tree), problems + found


@functools.cache
def load_builtin() -> Mapping[str, Definition]:
    """The provider files that ship with Detour. Raises ConfigError where one of them is broken."""
    definitions: dict[str, Definition] = {}
    problems: list[Problem] = []
    folder = resources.files("configs") / "providers"
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".yaml"):
            definition, found = read_definition(entry.read_bytes(), str(entry))
            problems += found
            definitions[definition.name] = definition
    if problems:
        raise ConfigError(problems)
    return definitions


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
    """Resolves one provider: its file, what it extends, what the configuration changes."""

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
        config = self.resolve(self.name, ())
        if config is None:
            return None
        if not config.endpoints:
            self.report(
                (), "has no wire format", "add format: openai-chat (or another), or extends: PROVIDER"
            )
            return None
        if any(not e.base_url and not config.base_url for e in config.endpoints):
            self.template = self.name in self.files and not config.hosts
            if not self.template or self.name in self.overrides:
                self.report((), "has no base_url", "add base_url: https://HOST/PATH")
            return None
        original = self.resolve(self.name, (), overridden=False) or config
        endpoints = self.endpoints(config, original)
        self.check(config)
        if len(self.mistakes) > before:
            return None
        main = endpoints[0]
        auth = config.auth if config.auth is not None else (_DEFAULT_AUTH.get(main.format, _BEARER),)
        oauth = config.oauth if config.oauth is not None else (_BEARER,)
        return Provider(
            name=self.name,
            display_name=config.display_name or self.name,
            hosts=tuple(dict.fromkeys(host.lower().rstrip(".") for host in config.hosts or ())),
            endpoints=endpoints,
            auth=tuple(AuthHeader(a.header.lower(), a.scheme) for a in auth),
            oauth=tuple(AuthHeader(a.header.lower(), a.scheme) for a in oauth),
            passthrough=config.passthrough or (),
            models=tuple(_model(m) for m in config.models or ()),
            headers={key.lower(): value for key, value in (config.headers or {}).items()},
            rules=config.rules or (),
            quirks=config.quirks or frozenset(),
            enabled=config.enabled,
            insecure=config.insecure,
            base_url=(config.base_url or main.base_url).rstrip("/"),
            aliases=config.aliases or (),
        )

    def resolve(self, name: str, seen: tuple[str, ...], *, overridden: bool = True) -> ProviderConfig | None:
        """The whole configuration of provider `name`, or None where what it extends cannot be found."""
        file, override = self.files.get(name), self.overrides.get(name) if overridden else None
        config = None
        for layer in (file.config if file else None, override):
            if layer is None:
                continue
            if layer.extends is not None:
                base = self.base(name, layer, (*seen, name))
                if base is None:
                    return None
                config = _merge(base, _normal(layer))
            else:
                config = _normal(layer) if config is None else _merge(config, _normal(layer))
        return config

    def base(self, name: str, layer: ProviderConfig, seen: tuple[str, ...]) -> ProviderConfig | None:
        wanted = layer.extends or ""
        if wanted in seen:
            if name == self.name:
                self.report(
                    ("extends",), f"extends itself: {' -> '.join((*seen, wanted))}", "break the circle"
                )
            return None
        if wanted not in self.files and wanted not in self.overrides:
            if name == self.name:
                known = sorted({*self.files, *self.overrides} - {self.name})
                self.report(
                    ("extends",), f"extends an unknown provider {shown(wanted)}", nearest(wanted, known)
                )
            return None
        base = self.resolve(wanted, seen)
        if base is None:
            return None
        return base.model_copy(update={key: ProviderConfig.model_fields[key].default for key in _OWN})

    def endpoints(self, config: ProviderConfig, original: ProviderConfig) -> tuple[Endpoint, ...]:
        """The endpoints, each with the root that it had before the configuration moved it."""
        roots = {
            e.format: _path(_base_url(original, e))
            for e in original.endpoints or ()
            if _has_base(original, e)
        }
        built: list[Endpoint] = []
        for number, entry in enumerate(config.endpoints or ()):
            key: tuple[str | int, ...] = ("endpoints", number)
            if any(e.format is entry.format for e in built):
                self.report(
                    (*key, "format"), f"format {entry.format} is given twice", "keep one endpoint of each"
                )
            url = _base_url(config, entry)
            for what, remedy in url_mistakes(url, config.insecure):
                self.report((*key, "base_url") if entry.base_url else ("base_url",), what, remedy)
            if entry.path and not entry.path.startswith("/"):
                self.report((*key, "path"), f"{shown(entry.path)} does not begin with /", "write /PATH")
            offered = PATHS[entry.format]
            paths = {op: self.routes((*key, "paths", op), routes) for op, routes in entry.paths.items()}
            operations = entry.operations or tuple(op for op in offered if not paths or op in paths)
            for operation in operations:
                if operation not in offered:
                    what = f"format {entry.format} has no operation {operation}"
                    self.report((*key, "operations"), what, f"write some of {', '.join(offered)}")
            root = roots.get(entry.format, _path(url))
            built.append(
                Endpoint(entry.format, url, root, operations, entry.websocket, entry.path.rstrip("/"), paths)
            )
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

    def check(self, config: ProviderConfig) -> None:
        """What the schema cannot see."""
        for name, key in ((self.name, "name"), *((alias, "aliases") for alias in config.aliases or ())):
            if not _NAME.fullmatch(name):
                remedy = "write small letters, digits and single hyphens, e.g. local-vllm"
                self.report((key,), f"{shown(name)} cannot be a provider's name", remedy)
            elif name in RESERVED:
                self.report((key,), f"{shown(name)} is the beginning of gateway paths", "choose another name")
        for number, host in enumerate(config.hosts or ()):
            if not is_host(host):
                remedy = "write the exact name, e.g. api.example.com: no scheme, port, path or wildcard"
                self.report(("hosts", number), f"{shown(host)} is not a host name", remedy)
        for key in ("auth", "oauth"):
            for number, auth in enumerate(getattr(config, key) or ()):
                if not _TOKEN.fullmatch(auth.header):
                    self.report((key, number, "header"), f"{shown(auth.header)} is not a header name")
        for what, header in header_mistakes(config.headers or {}):
            self.report(("headers", header), what, "mend or remove it")
        for number, pattern in enumerate(config.passthrough or ()):
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                remedy = "write /PATH, or /PATH* for everything that begins so"
                self.report(("passthrough", number), f"{shown(pattern)} is not a path", remedy)
        listed: set[str] = set()
        for number, model in enumerate(config.models or ()):
            for name in (model.id, *model.aliases):
                if name in listed:
                    self.report(
                        ("models", number, "id"), f"model {shown(name)} is listed twice", "remove one"
                    )
                listed.add(name)


def _normal(config: ProviderConfig) -> ProviderConfig:
    """`config` with `format` and its companions written as the one endpoint that they mean."""
    if config.format is None or config.endpoints is not None:
        return config
    endpoint = EndpointConfig(
        format=config.format, operations=config.operations or (), websocket=config.websocket
    )
    kept = config.model_fields_set | {"endpoints"}
    normal = config.model_copy(update={"endpoints": (endpoint,)})
    normal.model_fields_set.clear()
    normal.model_fields_set.update(kept)
    return normal


def _merge(base: ProviderConfig, over: ProviderConfig) -> ProviderConfig:
    """`base` with what is written in `over`. Headers and models merge by name, any other list is replaced."""
    update = {key: getattr(over, key) for key in over.model_fields_set}
    if over.headers:
        update["headers"] = {**(base.headers or {}), **over.headers}
    if over.models:
        own = {model.id for model in over.models}
        update["models"] = (*over.models, *(m for m in base.models or () if m.id not in own))
    if "endpoints" not in update and base.endpoints:
        change: dict[str, object] = {}
        if over.operations is not None:
            change["operations"] = over.operations
        if "websocket" in over.model_fields_set:
            change["websocket"] = over.websocket
        update["endpoints"] = tuple(_limit(e, change) for e in base.endpoints)
    return base.model_copy(update=update)


def _limit(endpoint: EndpointConfig, change: dict[str, object]) -> EndpointConfig:
    operations = change.get("operations")
    if isinstance(operations, tuple):
        change = {**change, "operations": tuple(op for op in operations if op in PATHS[endpoint.format])}
    return endpoint.model_copy(update=change)


def _model(config: ModelConfig) -> ModelInfo:
    capabilities = frozenset[str](config.capabilities)
    return ModelInfo(config.id, config.max_output_tokens, config.context_length, config.aliases, capabilities)


def _has_base(config: ProviderConfig, endpoint: EndpointConfig) -> bool:
    return bool(endpoint.base_url or config.base_url)


def _base_url(config: ProviderConfig, endpoint: EndpointConfig) -> str:
    if endpoint.base_url:
        return endpoint.base_url.rstrip("/")
    return (config.base_url or "").rstrip("/") + endpoint.path.rstrip("/")


def _path(url: str) -> str:
    parts = _split(url)
    return parts.path.rstrip("/") if parts else ""


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def url_mistakes(url: str, insecure: bool) -> list[tuple[str, str]]:
    """(what, remedy) for everything that is wrong with a base URL."""
    parts = _split(url)
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or re.search(r"[\s\\]", url)
    ):
        return [(f"{shown(url)} is not a URL", "write https://HOST/PATH")]
    found: list[tuple[str, str]] = []
    if parts.username is not None or parts.password is not None:
        found.append(("the URL holds a user or a password", "give the secret to a credential instead"))
    if parts.query or parts.fragment:
        found.append(("the URL has a query or a fragment", "leave out everything from ? or # on"))
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        remedy = "write https://, or insecure: true if the network between is yours"
        found.append((f"credentials would go to {parts.hostname} over plain http", remedy))
    return found


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_host(text: str) -> bool:
    """Whether `text` is one exact host name or address, without port."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST.fullmatch(text.lower().removesuffix(".")))
    return True


def header_mistakes(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """(what, header name) for names and values that HTTP does not allow (RFC 9110, section 5)."""
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            found.append((f"{shown(name)} is not a header name", name))
        elif any(c in value for c in "\r\n\0"):
            found.append((f"the value of header {shown(name)} holds a line break", name))
    return found


def _names(providers: Mapping[str, Provider], mistakes: list[Mistake]) -> dict[str, Provider]:
    names = dict(providers)
    for provider in providers.values():
        for alias in provider.aliases:
            if alias in names and names[alias] is not provider:
                what = f"{shown(alias)} is also a name of provider {names[alias].name}"
                mistakes.append(
                    Mistake(provider.name, ("aliases",), what, "names and aliases must be unique")
                )
            names.setdefault(alias, provider)
    return names


def _hosts(providers: Mapping[str, Provider], mistakes: list[Mistake]) -> dict[str, tuple[Provider, ...]]:
    hosts: dict[str, tuple[Provider, ...]] = {}
    for provider in providers.values():
        for number, host in enumerate(provider.hosts):
            for other in hosts.get(host, ()):
                if provider.enabled and other.enabled and _overlap(provider, other):
                    what = f"host {host} is also claimed by provider {other.name}, under the same path"
                    remedy = "remove it from one of them, or disable one"
                    mistakes.append(Mistake(provider.name, ("hosts", number), what, remedy))
            hosts[host] = (*hosts.get(host, ()), provider)
    return hosts


def _overlap(one: Provider, other: Provider) -> bool:
    return bool(_places(one) & _places(other))


def _places(provider: Provider) -> set[str]:
    """The roots, and the full paths of the surfaces, of a provider on its hosts."""
    paths = {e.root + path for e in provider.endpoints for op in e.operations for _, path in e.routes(op)}
    return {e.root for e in provider.endpoints} | paths


def operations_of(provider: Provider) -> frozenset[Operation]:
    return frozenset(op for e in provider.endpoints for op in e.operations)
