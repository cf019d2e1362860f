"""Provider files, and how one definition builds upon another.

A definition is layered: what it ``extends``, the file itself, the configuration's changes to it. A layer
replaces what it names and leaves the rest; headers and models merge by name.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from router_core.config.document import Node, read
from router_core.config.problems import ConfigError, Problem
from router_core.config.schema import EndpointConfig, ModelConfig, ProviderConfig
from router_core.config.validation import validate
from router_core.config.values import split_url
from router_core.formats import PATHS

# An extension is another provider: it takes over how the base speaks, not what the base is called or intercepts.
OWN: Final = frozenset(
    {"name", "display_name", "aliases", "extends", "enabled", "hidden", "insecure", "hosts"}
)


@dataclass(frozen=True, slots=True)
class Definition:
    """One provider file, read and checked for its shape."""

    name: str
    config: ProviderConfig
    file: str
    tree: Node = field(repr=False)


def read_definition(data: bytes, file: str) -> tuple[Definition, list[Problem]]:
    """A provider file. Its name is the key `name`, or the file's own name without its suffix."""
    tree, problems = read(data, file)
    config, tree, found = validate(ProviderConfig, tree)
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
            if definition.name in definitions:
                what = f"provider {definition.name} stands in {definitions[definition.name].file} too"
                problems.append(Problem(*definition.tree.place_of(("name",)), what, "rename one"))
            definitions[definition.name] = definition
    if problems:
        raise ConfigError(problems)
    return definitions


def reference(config: ProviderConfig) -> str:
    """The URL that stands for the provider: its `base_url`, else that of its main endpoint."""
    first = config.endpoints[0].base_url if config.endpoints else None
    return (config.base_url or first or "").rstrip("/")


def endpoint_url(config: ProviderConfig, endpoint: EndpointConfig) -> str:
    return (endpoint.base_url or reference(config)).rstrip("/")


def url_path(url: str) -> str:
    parts = split_url(url)
    return parts.path.rstrip("/") if parts else ""


def normal(config: ProviderConfig) -> ProviderConfig:
    """`config` with `format` and its companions written as the one endpoint that they mean."""
    if config.format is None or config.endpoints is not None:
        return config
    endpoint = EndpointConfig(
        format=config.format, operations=config.operations or (), websocket=config.websocket
    )
    return _with(config, {"endpoints": (endpoint,)})


def merge(base: ProviderConfig, over: ProviderConfig) -> ProviderConfig:
    """`base` with what is written in `over`, both as `normal` leaves them."""
    written = over.model_fields_set
    update = {key: getattr(over, key) for key in written}
    if over.headers:
        update["headers"] = {**(base.headers or {}), **over.headers}
    if over.models:
        known = {model.id: model for model in base.models or ()}
        own = [_overlaid(known.pop(model.id, None), model) for model in over.models]
        update["models"] = (*own, *known.values())
    if over.format and not over.base_url and (found := _of_format(base, over)):
        update |= {"endpoints": (_narrowed(found, over),), "base_url": endpoint_url(base, found)}
    elif over.endpoints is None and base.endpoints:
        endpoints = base.endpoints
        if over.base_url:
            endpoints = tuple(_moved(base, e, over.base_url) for e in endpoints)
        update["endpoints"] = tuple(_narrowed(e, over) for e in endpoints)
    return _with(base, update)


def _overlaid(base: ModelConfig | None, over: ModelConfig) -> ModelConfig:
    if base is None:
        return over
    return base.model_copy(update={key: getattr(over, key) for key in over.model_fields_set})


def _of_format(base: ProviderConfig, over: ProviderConfig) -> EndpointConfig | None:
    """The endpoint that a bare ``format: ...`` picks among those of the base."""
    return next((e for e in base.endpoints or () if e.format is over.format), None)


def _with(config: ProviderConfig, update: Mapping[str, object]) -> ProviderConfig:
    copy = config.model_copy(update=update)
    copy.model_fields_set.update(update)
    return copy


def _moved(base: ProviderConfig, endpoint: EndpointConfig, new: str) -> EndpointConfig:
    """`endpoint` where it stands when the provider's URL becomes `new`: in the same place relative to it.

    With ``https://h/v1`` for Chat and ``https://h/anthropic`` for Messages, ``http://l/v1`` moves the
    latter to ``http://l/anthropic``. Nothing stays behind at the old host, where credentials would go.
    """
    if endpoint.base_url is None:
        return endpoint
    old, own = url_path(reference(base)).split("/"), url_path(endpoint.base_url).split("/")
    shared = 0
    while shared < min(len(old), len(own)) and old[shared] == own[shared]:
        shared += 1
    tail, own_tail = "".join(f"/{s}" for s in old[shared:]), "".join(f"/{s}" for s in own[shared:])
    return endpoint.model_copy(update={"base_url": new.rstrip("/").removesuffix(tail) + own_tail})


def _narrowed(endpoint: EndpointConfig, over: ProviderConfig) -> EndpointConfig:
    change: dict[str, object] = {}
    if over.operations is not None:
        change["operations"] = tuple(op for op in over.operations if op in PATHS[endpoint.format])
    if "websocket" in over.model_fields_set:
        change["websocket"] = over.websocket
    return endpoint.model_copy(update=change)
