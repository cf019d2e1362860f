"""What a recorded command line talked to, and drafts of providers that nobody has described yet."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import yaml

from router_core.capture.names import SECRET_HEADER
from router_core.capture.record import Record, Sent
from router_core.formats import PATHS, Format, Operation

_LIKELY_NAME: Final = re.compile(
    r"(?:^|[.-])(?:ai|llm|gpt|api|chat|model|inference|completions?|copilot|code(?:buddy)?|gateway)(?:[.-]|$)"
)
"""Names of hosts that may well serve models; only a hint, and only for hosts that were not looked into."""
_BODY: Final[dict[Format, tuple[str, ...]]] = {
    # What a request's body must hold to be of this format.
    Format.OPENAI_CHAT: ("model", "messages"),
    Format.ANTHROPIC: ("model", "messages", "max_tokens"),
    Format.OPENAI_RESPONSES: ("model", "input"),
    Format.GEMINI: ("contents",),
}


@dataclass(slots=True)
class Host:
    """What went to one host."""

    name: str
    provider: str | None = None
    requests: int = 0
    surfaces: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    sent: int = 0
    received: int = 0
    """Bytes of bodies and WebSocket messages."""
    failed: int = 0
    records: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Guess:
    """A host without a description that seems to serve models."""

    host: str
    format: Format
    base_url: str
    auth: list[dict[str, str]]
    models: list[str]
    evidence: str
    quirks: list[str]

    def draft(self) -> str:
        """A provider file to begin with, as YAML."""
        name = re.sub(r"[^a-z0-9]+", "-", _site(self.host)).strip("-") or "provider"
        document: dict[str, Any] = {
            "name": name,
            "display_name": name.replace("-", " ").title(),
            "hosts": [self.host],
            "format": str(self.format),
            "base_url": self.base_url,
            "auth": self.auth or [{"header": "authorization", "scheme": "bearer"}],
            "models": [{"id": model} for model in self.models],
        }
        if self.quirks:
            document["quirks"] = self.quirks
        return f"# Drafted from {self.evidence}. Check every line.\n" + yaml.safe_dump(
            document, sort_keys=False
        )


def hosts(records: Iterable[Record]) -> list[Host]:
    """One row for each host of the clients' requests, the busiest first."""
    found: dict[str, Host] = {}
    for record in records:
        opening = record.opening
        row = found.setdefault(opening.host, Host(opening.host))
        row.requests += 1
        row.records.append(record.id)
        row.provider = row.provider or opening.provider
        if opening.operation:
            row.surfaces.add(f"{opening.format}/{opening.operation}")
        if model := opening.model or _model(record.client.request):
            row.models.add(model)
        row.sent += len(record.client.request.body.data) if record.client.request else 0
        row.received += len(record.client.response.body.data) if record.client.response else 0
        for frame in record.messages(0):
            if frame.from_client:
                row.sent += len(frame.data)
            else:
                row.received += len(frame.data)
        row.failed += (record.status or 0) >= 400
    return sorted(found.values(), key=lambda h: (-h.sent - h.received, h.name))


def guess(records: Iterable[Record]) -> list[Guess]:
    """Drafts for hosts whose recorded requests look like a known wire format, but belong to no provider."""
    grouped: dict[tuple[str, Format, str], list[Record]] = {}
    for record in records:
        request = record.client.request
        if record.opening.provider is not None or request is None or record.opening.via == "gateway":
            continue
        if found := _format_of(request):
            grouped.setdefault((record.opening.host, *found), []).append(record)
    return [_guess(host, format, base, group) for (host, format, base), group in grouped.items()]


def likely(name: str) -> bool:
    """Whether a host that was tunnelled unseen may serve models, by its name alone."""
    return _LIKELY_NAME.search(name.lower()) is not None


def _guess(host: str, format: Format, base: str, records: list[Record]) -> Guess:
    requests = [r.client.request for r in records if r.client.request]
    carried = {
        name.lower(): _scheme(value)
        for q in requests
        for name, value in q.headers
        if SECRET_HEADER.search(name.lower())
    }
    # Beside the usual ones another key is hardly the provider's.
    auth = {k: v for k, v in carried.items() if k == "authorization" or k.endswith("api-key")} or carried
    models = sorted({m for q in requests if (m := _model(q))})
    evidence = f"{len(records)} recorded request{'s' if len(records) > 1 else ''} to {host}: {requests[0].method} {urlsplit(requests[0].url).path}"
    rows = [{"header": name, "scheme": scheme} for name, scheme in auth.items()]
    return Guess(host, format, base, rows, models, evidence, _quirks(records))


def _format_of(request: Sent) -> tuple[Format, str] | None:
    """(format, base URL) of a request by its path and body."""
    url = urlsplit(request.url)
    body = _json(request.body.data)
    for format, keys in _BODY.items():
        for method, path in PATHS[format][Operation.GENERATE]:
            pattern = re.escape(path).replace(re.escape("{model}"), "[^/:]+") + "$"
            match = re.search(pattern, url.path)
            if match and request.method == method and (method == "GET" or all(k in body for k in keys)):
                return format, f"{url.scheme}://{url.netloc}{url.path[: match.start()]}"
    if request.method != "POST":
        return None
    if isinstance(body.get("messages"), list) and "model" in body:
        chat = (
            Format.ANTHROPIC
            if "anthropic-version" in {n.lower() for n, _ in request.headers}
            else Format.OPENAI_CHAT
        )
        return chat, f"{url.scheme}://{url.netloc}{url.path.rpartition('/')[0]}"
    if isinstance(body.get("contents"), list):
        return Format.GEMINI, f"{url.scheme}://{url.netloc}"
    return None


def _quirks(records: list[Record]) -> list[str]:
    """Deviations that the answers themselves tell of."""
    found: set[str] = set()
    for record in records:
        response = record.client.response
        if response and (b"Non-stream" in response.body.data or b'"code":11101' in response.body.data):
            found.add("force_stream")
    return sorted(found)


def _scheme(value: str) -> str:
    return "bearer" if value.lower().startswith("bearer ") else "raw"


def _model(request: Sent | None) -> str | None:
    if request is None:
        return None
    model = _json(request.body.data).get("model")
    if isinstance(model, str):
        return model
    match = re.search(r"/models/([^/:?]+):", request.url)
    return match[1] if match else None


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _site(host: str) -> str:
    """The part of a host name that names its owner: ``codebuddy`` of ``www.codebuddy.ai``."""
    labels = host.lower().split(".")
    return labels[-2] if len(labels) > 1 else labels[0]
