"""Exchanges and records to begin with."""

from __future__ import annotations

import time
from pathlib import Path

from router_core.capture.record import Hop, Opening, Received, Record, Sent
from router_core.exchange import Attempt, ClientInfo, Exchange, Outcome, Request, Surface
from router_core.formats import Format, Operation
from router_core.prepare import Outgoing
from router_core.providers.model import AuthHeader, Endpoint, Provider
from router_core.rewrite.context import Context
from router_core.rewrite.headers import HeaderEdit

ENDPOINT = Endpoint(Format.ANTHROPIC, "https://api.anthropic.com", "", (Operation.GENERATE,))
PROVIDER = Provider(
    "anthropic", "Anthropic", ("api.anthropic.com",), (ENDPOINT,), (AuthHeader("x-api-key"),), ()
)
URL = "https://api.anthropic.com/v1/messages"
JSON = [("content-type", "application/json")]
STREAM = [("content-type", "text/event-stream")]
BODY = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
EVENTS = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Bon"}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"jour"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


def exchange(
    id: str = "01abc", provider: Provider | None = PROVIDER, headers=(), body: bytes = BODY
) -> Exchange:
    surface = Surface(Format.ANTHROPIC, Operation.GENERATE, provider, ENDPOINT, provider is not None, "proxy")
    return Exchange(
        id=id,
        surface=surface,
        client=ClientInfo("127.0.0.1", tool="claude-code"),
        request=Request("POST", "/v1/messages", [*JSON, *headers], body),
        model="claude-x",
        stream=True,
        created=time.time(),
        started=time.monotonic(),
    )


def attempt(
    number: int = 1, secret: str = "sk-ant-api03-of-the-pool-77", status: int | None = 200
) -> Attempt:
    outcome = Outcome("done" if status else "connect", status, error=None if status else "refused")
    return Attempt(
        number,
        PROVIDER,
        ENDPOINT,
        "claude-x",
        f"cred-{number}",
        auth=[("x-api-key", secret)],
        outcome=outcome,
    )


def outgoing(of: Attempt, body: bytes = BODY) -> Outgoing:
    context = Context(exchange(), of, HeaderEdit([]))
    return Outgoing("POST", URL, [*JSON, *of.auth], body, [], context)


def record(id: str = "01rec", created: float = 1_700_000_000.0) -> Record:
    """A finished stream with one failed attempt, as it would be read from its file."""
    client = Hop(0, Sent(0.0, "POST", URL, [*JSON, ("x-api-key", "redacted-secret-0123456789ab")]))
    assert client.request
    client.request.body.add(BODY, [(0.0, len(BODY))])
    failed = _upstream(1, 429, JSON, [b'{"error":{"message":"slow down"}}'])
    served = _upstream(2, 200, STREAM, EVENTS)
    client.response = Received(0.3, 200, [*STREAM, ("x-detour-id", id)])
    assert served.response
    client.response.body.add(served.response.body.data, list(served.response.body.chunks))
    opening = Opening(
        id,
        created,
        "POST",
        URL,
        client="127.0.0.1",
        tool="claude-code",
        provider="anthropic",
        format="anthropic",
        operation="generate",
        model="claude-x",
        stream=True,
    )
    end = {
        "kind": "end",
        "t": 0.9,
        "status": 200,
        "provider": "anthropic",
        "credential": "cred-2",
        "target": "claude-x",
        "attempts": 2,
    }
    return Record(opening, client, [failed, served], end=end)


def _upstream(number: int, status: int, headers, pieces: list[bytes]) -> Hop:
    request = Sent(0.1 * number, "POST", URL, [*JSON, ("x-api-key", f"redacted-secret-{number:012}")])
    request.body.add(BODY, [(0.1 * number, len(BODY))])
    response = Received(0.1 * number + 0.1, status, list(headers))
    for place, piece in enumerate(pieces):
        response.body.add(piece, [(0.1 * number + 0.1 + 0.05 * place, len(piece))])
    about = {
        "provider": "anthropic",
        "credential": f"cred-{number}",
        "model": "claude-x",
        "format": "anthropic",
    }
    return Hop(number, request, response, {"connected": 0.11}, about)


def written(folder: Path) -> bytes:
    """Everything in `folder`."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
