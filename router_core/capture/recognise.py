"""Says of an imported exchange what Detour would have known of it: provider, format, model."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import orjson

from router_core import surfaces
from router_core.capture.record import Record
from router_core.exchange import Surface
from router_core.identity import tool_of
from router_core.providers.registry import Registry


def recognise(record: Record, registry: Registry) -> None:
    """Fills in what `record` does not say of itself."""
    opening, request = record.opening, record.client.request
    if request is None:
        return
    opening.tool = opening.tool or tool_of(request.header("user-agent"))
    url = urlsplit(request.url)
    if opening.provider is None and url.hostname:
        found = surfaces.match_host(registry, url.hostname, request.method, url.path or "/")
        opening.provider = found.provider.name if found and found.provider else None
        if isinstance(found, Surface):
            opening.format, opening.operation = str(found.format), str(found.operation)
            opening.model = opening.model or found.path_model
    if opening.model is None:
        with suppress(ValueError, AttributeError):
            model = orjson.loads(request.body.data).get("model")
            opening.model = model if isinstance(model, str) else None
    if record.client.response:
        opening.stream = opening.stream or record.client.response.is_stream
