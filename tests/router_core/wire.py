"""Exchanges and attempts as the addons hand them to the core, and the recorded pairs where they are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from router_core.exchange import Attempt, ClientInfo, Exchange, Headers, Request, Surface
from router_core.formats import PATHS, Format, Operation
from router_core.json_document import parse
from router_core.prepare import Outgoing, prepare
from router_core.providers.model import AuthHeader, Endpoint, ModelInfo, Provider
from router_core.respond import Responder
from router_core.rewrite import catalogue
from router_core.rewrite.rule import Rule
from router_core.rewrite.rules import Rules

CORPUS = Path(os.environ.get("DETOUR_WIRE_CORPUS", Path(__file__).parents[2].parent / "shared" / "wire"))

BASES = {
    Format.ANTHROPIC: "https://api.anthropic.com",
    Format.OPENAI_CHAT: "https://api.openai.com/v1",
    Format.OPENAI_RESPONSES: "https://api.openai.com/v1",
    Format.GEMINI: "https://generativelanguage.googleapis.com",
    Format.OLLAMA: "http://127.0.0.1:11434",
}
NAMES = {
    Format.ANTHROPIC: "anthropic",
    Format.OPENAI_CHAT: "openai",
    Format.OPENAI_RESPONSES: "openai",
    Format.GEMINI: "gemini",
    Format.OLLAMA: "ollama",
}


def provider(format: Format, name: str | None = None, *, quirks: set[str] = frozenset(), models: tuple[ModelInfo, ...] = (), base: str | None = None, rules: tuple[Any, ...] = (), headers: dict[str, str] | None = None) -> Provider:  # type: ignore[assignment]  # fmt: skip
    endpoint = Endpoint(format, base or BASES[format], "", tuple(PATHS[format]), websocket=True)
    auth = (AuthHeader("authorization", "bearer"),)
    return Provider(name or NAMES[format], "A provider", (), (endpoint,), auth, auth, models=models, quirks=frozenset(quirks), rules=rules, headers=headers or {})  # fmt: skip


def exchange(
    format: Format,
    body: bytes = b"",
    *,
    operation: Operation = Operation.GENERATE,
    path: str | None = None,
    method: str = "POST",
    headers: Headers | None = None,
    model: str | None = None,
    stream: bool | None = None,
    session: str | None = None,
    tool: str | None = None,
    websocket: bool = False,
) -> Exchange:
    try:
        document = parse(body) if body else None
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    path_model = path_stream = None
    if path is None:
        path = {
            Format.ANTHROPIC: "/v1/messages",
            Format.OPENAI_CHAT: "/v1/chat/completions",
            Format.OPENAI_RESPONSES: "/v1/responses",
            Format.GEMINI: "/v1beta/models/gemini-3-pro:generateContent",
            Format.OLLAMA: "/api/chat",
        }[format]
    if format is Format.GEMINI and "/models/" in path:
        path_model, action = path.partition("?")[0].rpartition("/")[2].split(":")
        path_stream = action == "streamGenerateContent"
    model = model or path_model or fields.get("model")
    return Exchange(
        id="x1",
        surface=Surface(format, operation, None, None, False, "gateway", path_model, path_stream),
        client=ClientInfo("127.0.0.1", tool=tool),
        request=Request(
            method, path, headers if headers is not None else [("content-type", "application/json")], body
        ),
        document=document,
        model=model,
        stream=bool(fields.get("stream") if path_stream is None else path_stream)
        if stream is None
        else stream,
        session=session,
        websocket=websocket,
    )


def attempt(x: Exchange, to: Provider | None = None, *, model: str | None = None, own: bool = False, effort: str | None = None) -> Attempt:  # fmt: skip
    to = to or provider(x.surface.format)
    return Attempt(
        number=1,
        provider=to,
        endpoint=to.endpoints[0],
        model=model or x.model,
        credential_id=None if own else "c1",
        auth=[] if own else [("authorization", "Bearer secret")],
        effort=effort,
    )


def built_in() -> Rules:
    return Rules(catalogue.BUILT_IN)


def prepared(
    x: Exchange, to: Provider | None = None, *, rules: Rules | None = None, **kwargs: Any
) -> Outgoing:
    outgoing = prepare(x, attempt(x, to, **kwargs), rules or built_in())
    assert isinstance(outgoing, Outgoing), outgoing
    return outgoing


def answered(
    x: Exchange,
    body: bytes,
    to: Provider | None = None,
    *,
    rules: Rules | None = None,
    status: int = 200,
    headers: Headers | None = None,
    media: str = "application/json",
    step: int = 0,
    **kwargs: Any,
) -> tuple[bytes, Responder]:
    """What the client gets for an upstream's answer, after the request was prepared."""
    rules = rules or built_in()
    tried = attempt(x, to, **kwargs)
    assert isinstance(prepare(x, tried, rules), Outgoing)
    responder = Responder(x, tried, rules, status, headers or [("content-type", media)])
    step = step or len(body) or 1
    out = b"".join(responder.feed(body[i : i + step]) for i in range(0, len(body), step)) + responder.close()
    return out, responder


@dataclass(frozen=True)
class Pair:
    path: str
    format: Format
    provider: str
    model: str
    streams: bool
    status: int

    def __str__(self) -> str:
        return self.path

    @property
    def request(self) -> bytes | None:
        file = CORPUS / self.path / "request.json"
        return file.read_bytes() if file.exists() else None

    @property
    def response(self) -> bytes:
        return (CORPUS / self.path / ("response.sse" if self.streams else "response.json")).read_bytes()


def pairs() -> Iterator[Pair]:
    index = CORPUS / "INDEX.tsv"
    if not index.exists():
        return
    for line in index.read_text().splitlines()[1:]:
        path, format, name, model, streaming, status, *_ = line.split("\t")
        yield Pair(path, Format(format), name, model, streaming == "sse", int(status))


def recorded(wanted: Callable[[Pair], bool] = lambda pair: True) -> pytest.MarkDecorator:
    """Parametrises a test's `pair` over the recorded pairs, or skips it where they are not there."""
    found = [pair for pair in pairs() if wanted(pair)]
    missing = pytest.param(
        None, marks=pytest.mark.skip(reason=f"no recorded wire data at {CORPUS.name}; set DETOUR_WIRE_CORPUS")
    )
    return pytest.mark.parametrize("pair", found or [missing], ids=str)


def reading_rule() -> Rule:
    """A rule that reads every event and answer, and changes none."""
    return Rule(
        name="reading", reason="", event=lambda value, context: value, answer=lambda value, context: value
    )
