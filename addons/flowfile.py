"""Records as mitmproxy's flow files, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from mitmproxy import connection, exceptions, flow, http, websocket
from mitmproxy.io import FlowReader, FlowWriter
from wsproto.frame_protocol import Opcode

from router_core.capture.record import Body, Frame, Hop, Opening, Received, Record, Sent
from router_core.exchange import Headers
from router_core.identity import new_id


def write_flows(records: Iterable[Record], attempts: bool = False) -> bytes:
    """A flow file of what the clients sent and got; with `attempts` also of what went upstream."""
    file = BytesIO()
    writer = FlowWriter(file)
    for record in records:
        for hop in (record.client, *(record.attempts if attempts else ())):
            if hop.request:
                writer.add(_flow(record, hop, hop.request))
    return file.getvalue()


def _flow(record: Record, hop: Hop, sent: Sent) -> http.HTTPFlow:
    created = record.opening.created
    url = urlsplit(sent.url)
    client = connection.Client(peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=created)
    host, port = url.hostname or "unknown", url.port or (443 if url.scheme == "https" else 80)
    server = connection.Server(address=(host, port))
    if "connected" in hop.timings:
        server.timestamp_start = created + hop.timings.get("connecting", sent.at)
        server.timestamp_tcp_setup = created + hop.timings["connected"]
        server.timestamp_tls_setup = created + hop.timings["tls"] if "tls" in hop.timings else None
    made = http.HTTPFlow(client, server)
    # The query is set as it was written; `Request.make` would write it anew.
    made.request = http.Request.make(sent.method, f"{url.scheme}://{url.netloc}/", b"", _fields(sent.headers))
    made.request.path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    made.request.raw_content = sent.body.data
    _fit(made.request)
    made.request.timestamp_start = made.request.timestamp_end = created + sent.at
    if hop.response:
        made.response = _response(hop.response, created)
    elif error := (record.end or {}).get("error"):
        made.error = flow.Error(str(error), created + sent.at)
    frames = [f for f in record.frames if f.number == hop.number]
    if frames:
        # How it was closed is not recorded, which is what 1005 says.
        closed = None if (record.end or {}).get("error") else 1005
        made.websocket = websocket.WebSocketData([_message(f, created) for f in frames], close_code=closed)
    made.comment = f"{record.id}, {f'attempt {hop.number}' if hop.number else 'client'}"
    made.metadata["detour"] = _metadata(record, hop)
    return made


def _metadata(record: Record, hop: Hop) -> str:
    """Words for ``~meta``, such as ``provider=anthropic``."""
    opening, end = record.opening, record.end or {}
    words = {
        "id": record.id,
        "hop": "client" if hop.number == 0 else f"attempt-{hop.number}",
        "provider": hop.about.get("provider") or end.get("provider") or opening.provider,
        "model": hop.about.get("model") or opening.model or end.get("target"),
        "credential": hop.about.get("credential"),
        "tool": opening.tool,
    }
    return " ".join(f"{name}={value}" for name, value in words.items() if value)


def _response(received: Received, created: float) -> http.Response:
    response = http.Response.make(received.status, b"", _fields(received.headers))
    response.raw_content = received.body.data
    _fit(response)
    ended = received.body.chunks[-1][0] if received.body.chunks else received.at
    response.timestamp_start, response.timestamp_end = created + received.at, created + ended
    return response


def _fit(message: http.Message) -> None:
    """Headers for a body that is recorded decoded and whole."""
    for name in ("content-encoding", "transfer-encoding", "content-length"):
        message.headers.pop(name, None)
    if message.raw_content:
        message.headers["content-length"] = str(len(message.raw_content))


def _message(frame: Frame, created: float) -> websocket.WebSocketMessage:
    kind = Opcode.TEXT if frame.opcode == "text" else Opcode.BINARY
    return websocket.WebSocketMessage(kind, frame.from_client, frame.data, created + frame.at)


def _fields(headers: Headers) -> http.Headers:
    return http.Headers(
        [(k.encode("utf-8", "surrogateescape"), v.encode("utf-8", "surrogateescape")) for k, v in headers]
    )


def read_flows(path: Path) -> tuple[list[Record], list[str]]:
    """The HTTP exchanges of a flow file, and what could not be read. Raises ValueError for other files, OSError."""
    records: list[Record] = []
    problems: list[str] = []
    with path.open("rb") as file:
        try:
            for number, found in enumerate(FlowReader(file).stream()):
                if isinstance(found, http.HTTPFlow):
                    records.append(_record(found))
                else:
                    problems.append(f"flow {number} is {type(found).__name__.removesuffix('Flow')}, not HTTP")
        except exceptions.FlowReadException as error:
            if not records:
                raise ValueError(
                    f"no HAR, no mitmproxy flow file and no record of Detour ({error})"
                ) from None
            problems.append(f"the file breaks off after {len(records)} flows ({error})")
    return records, problems


def _record(found: http.HTTPFlow) -> Record:
    request = found.request
    created = request.timestamp_start
    headers = list(request.headers.items(multi=True))
    sent = Sent(0.0, request.method, request.pretty_url, headers, http=request.http_version)
    _fill(sent.body, 0.0, _content(request))
    opening = Opening(new_id(), created, request.method, request.pretty_url, via="import")
    record = Record(opening, Hop(0, sent))
    ended = 0.0
    if response := found.response:
        at = max(0.0, response.timestamp_start - created)
        ended = max(at, (response.timestamp_end or created) - created)
        received = Received(
            at, response.status_code, list(response.headers.items(multi=True)), http=response.http_version
        )
        _fill(received.body, ended, _content(response))
        record.client.response = received
    if found.websocket:
        opening.websocket = True
        for message in found.websocket.messages:
            opcode = "text" if message.type is Opcode.TEXT else "binary"
            at = max(0.0, message.timestamp - created)
            record.frames.append(Frame(at, 0, message.from_client, opcode, message.content))
    record.end = {
        "kind": "end",
        "t": ended,
        "status": found.response.status_code if found.response else None,
        "error": found.error.msg if found.error else None,
    }
    return record


def _content(message: http.Message) -> bytes:
    try:
        return message.content or b""
    except ValueError:
        return message.raw_content or b""


def _fill(body: Body, at: float, data: bytes) -> None:
    if data:
        body.add(data, [(at, len(data))])
