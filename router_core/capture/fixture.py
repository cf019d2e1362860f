"""A record as a pytest file: the request, and an upstream on loopback that gives the recorded answer again.

The file needs pytest and httpx and nothing of Detour, so that it can go into any project.
"""

from __future__ import annotations

from string import Template
from typing import Final
from urllib.parse import urlsplit

from router_core.capture.export import python_bytes, python_header
from router_core.capture.portable import Unportable, Variable, portable, without_framing
from router_core.capture.record import Hop

_FILE: Final = Template('''\
"""$title"""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

METHOD = $method
TARGET = $target
HEADERS = [
$headers
]
BODY = $body

STATUS = $status
ANSWER_HEADERS = [
$answer_headers
]
ANSWER = [
    # In the pieces in which it arrived.
$answer
]


class Replay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append((self.command, self.path, list(self.headers.items()), body))
        self.send_response_only(STATUS)
        for name, value in ANSWER_HEADERS:
            self.send_header(name, value.encode("utf-8", "surrogateescape").decode("latin-1"))
        if self.command == "HEAD" or STATUS in (204, 304):
            self.end_headers()
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in [*filter(None, ANSWER), b""]:
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
            self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *args):
        pass


@pytest.fixture
def upstream():
    """The recorded upstream: `url` is where it listens, `requests` what it was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_recorded_answer(upstream):
    answer = httpx.request(METHOD, upstream.url + TARGET, headers=HEADERS, content=BODY)
    assert answer.status_code == STATUS
    assert answer.content == b"".join(ANSWER)
    [(method, target, _, body)] = upstream.requests
    assert (method, target, body) == (METHOD, TARGET, BODY)
''')


WITHOUT: Final = "os.environ.get('{}', 'none')"
"""Without the variable the fake upstream does not mind."""


def pytest_file(hop: Hop, credential_variable: str, title: str) -> str:
    """The text of a test file for one hop. Raises Unportable where there is no answer, and for WebSockets."""
    if hop.request is None or hop.response is None:
        raise Unportable("a fixture needs a request and its answer; this record has only one of them")
    if hop.response.status == 101:
        raise Unportable("a WebSocket cannot be written as a fixture; export it as har or mitm")
    request = portable(hop.request, credential_variable)
    url = urlsplit(hop.request.url)
    query = "".join(f"${p.name}" if isinstance(p, Variable) else p for p in request.url).partition("?")[2]
    body = [
        f"os.environ.get({p.name!r}, '').encode()" if isinstance(p, Variable) else python_bytes(p)
        for p in request.body
    ]
    return _FILE.substitute(
        title=title.replace("\\", "\\\\").replace('"', '\\"'),
        method=repr(request.method),
        target=repr((url.path or "/") + (f"?{query}" if query else "")),
        headers=_rows(f"({name!r}, {python_header(value, WITHOUT)})," for name, value in request.headers),
        body=" + ".join(body) or "b''",
        status=hop.response.status,
        answer_headers=_rows(
            f"({name!r}, {value!r})," for name, value in without_framing(hop.response.headers)
        ),
        answer=_rows(f"{python_bytes(data)}," for _, data in hop.response.body.pieces()),
    )


def _rows(rows) -> str:
    return "\n".join(f"    {row}" for row in rows)
