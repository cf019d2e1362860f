"""Exports do what they say: the commands and programs are run against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from router_core.capture.export import curl, httpie, httpx, raw
from router_core.capture.fixture import pytest_file
from router_core.capture.portable import Unportable, portable
from router_core.capture.record import Body, Hop, Sent
from tests.router_core.capture.samples import EVENTS, record

SECRET = "redacted-secret-0123456789ab"
BODIES = {
    "json": b'{"say":"it\'s $HOME, \\"quoted\\" `now`\\n @file \xc3\xa9"}',
    "at sign": b"@/etc/passwd",
    "empty": b"",
    "binary": b"\x00\xff\xfe\x01",
    "long": b'{"text":"' + b"x" * 200_000 + b'"}',
    "a secret among bytes": b"\x00\xff" + SECRET.encode() + b"\xfe",
    "a secret behind much": b"y" * 150_000 + SECRET.encode(),
    "with a secret": b'{"api_key":"redacted-secret-0123456789ab","email":"redacted-email-0123456789ab"}',
}


class Server(ThreadingHTTPServer):
    seen: list[tuple[str, str, dict[str, str], bytes]]


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {k.lower(): v for k, v in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, body))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.seen = []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def hop(url: str, body: bytes, method: str = "POST") -> Hop:
    headers = [
        ("Content-Type", "application/json"),
        ("Authorization", f"Bearer {SECRET}"),
        ("X-Odd", 'it\'s "odd" $HOME; *'),
        # Signs of HTTPie's: JSON, and a file to be read.
        ("X-Equal", "=1"),
        ("X-At", "@/etc/passwd"),
        ("X-Name", "Zoë, 日本"),
        ("X-Session", "redacted-cookie-aaaaaaaaaaaa"),
        ("Accept-Encoding", "gzip"),
        ("Content-Length", "999"),
        ("Transfer-Encoding", "chunked"),
    ]
    return Hop(1, Sent(0.0, method, url, headers, Body(body, [(0.0, len(body))] if body else [])))


def expected(body: bytes) -> bytes:
    return body.replace(SECRET.encode(), b"the-key")


def check(server: Server, body: bytes, method: str = "POST") -> None:
    [(seen_method, path, headers, seen)] = server.seen
    assert (seen_method, unquote(path)) == (method, "/v1/x?key=the-key&q=a b&in={1}[2]")
    assert seen == expected(body)
    assert headers["authorization"] == "Bearer the-key"
    assert headers["x-odd"] == 'it\'s "odd" $HOME; *'
    assert headers["x-session"] == "the-session"
    assert (headers["x-equal"], headers["x-at"]) == ("=1", "@/etc/passwd")
    assert headers["x-name"].encode("latin-1").decode() == "Zoë, 日本"
    assert "expect" not in headers
    assert headers.get("content-length", "0") == str(len(seen))


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1/x?key={SECRET}&q=a%20b&in={{1}}[2]"


ENVIRONMENT = {
    **os.environ,
    "THE_KEY": "the-key",
    "X_SESSION": "the-session",
    "no_proxy": "*",
    "NO_PROXY": "*",
}


def shell(command: str, folder: Path, **environment: str) -> bytes:
    """What `command` prints as a script: long bodies do not fit into an argument."""
    script = folder / "script.sh"
    script.write_text(command)
    done = subprocess.run(
        ["sh", str(script)], env=ENVIRONMENT | environment, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_curl(server, body, tmp_path):
    command = curl(hop(url(server), body), "THE_KEY")
    assert "the-key" not in command and "redacted-secret" not in command
    assert shell(command, tmp_path) == b"ok"
    check(server, body)


@pytest.mark.parametrize("body", [b"", b"one"])
def test_curl_gets(server, tmp_path, body):
    assert shell(curl(hop(url(server), body, "GET"), "THE_KEY"), tmp_path) == b"ok"
    check(server, body, "GET")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_httpx(server, body):
    program = httpx(hop(url(server), body), "THE_KEY")
    done = subprocess.run([sys.executable, "-"], input=program.encode(), env=ENVIRONMENT, capture_output=True)
    assert done.stdout == b"200\nok", done.stderr
    check(server, body)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_httpie_is_a_command_of_its_arguments(tmp_path, body):
    """HTTPie itself need not be here: what it would be given is what counts."""
    fake = tmp_path / "http"
    fake.write_text(
        "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\0' \"$word\"; done; printf '\\0\\0'; cat\n"
    )
    fake.chmod(0o755)
    out = shell(
        httpie(hop("https://h/v1/x", body), "THE_KEY"), tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    arguments, piped = out.split(b"\0\0\0", 1)
    words = arguments.split(b"\0")
    assert b"POST" in words and b"https://h/v1/x" in words
    assert b"X-Equal:\\=1" in words and b"X-At:\\@/etc/passwd" in words
    assert b"Authorization:Bearer the-key" in words and b'X-Odd:it\'s "odd" $HOME; *' in words
    given = words[words.index(b"--raw") + 1] if b"--raw" in words else piped
    assert given == expected(body)


HTTPIE = Path(sys.executable).with_name("http")


@pytest.mark.skipif(not HTTPIE.exists(), reason="HTTPie is not installed")
@pytest.mark.parametrize("body", ["json", "at sign", "long"])
def test_httpie_itself(server, body, tmp_path):
    command = httpie(hop(url(server), BODIES[body]), "THE_KEY")
    # Its configuration would be written into the home folder.
    shell(command, tmp_path, PATH=f"{HTTPIE.parent}:{os.environ['PATH']}", HTTPIE_CONFIG_DIR=str(tmp_path))
    check(server, BODIES[body])


def test_raw_http():
    written = raw(record().attempts[1], "THE_KEY")
    request, answer = written.split(b"\r\nHTTP/1.1 200 OK\r\n")
    head, body = request.split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\n")
    assert b"x-api-key: $THE_KEY" in head and f"content-length: {len(body)}".encode() in head
    assert answer.endswith(b"\r\n\r\n" + b"".join(EVENTS))


def test_each_secret_has_one_variable_and_each_variable_one_meaning():
    request = hop(f"https://h/p?key={SECRET}&code=redacted-secret-bbbbbbbbbbbb", b"").request
    made = portable(request, "THE_KEY")
    assert made.variables == {"THE_KEY": "the credential", "X_SESSION": "a cookie", "CODE": "a secret"}


def test_a_websocket_is_not_one_request():
    made = hop("https://h/p", b"")
    made.request.headers.append(("Upgrade", "websocket"))
    with pytest.raises(Unportable, match="export it as har or mitm"):
        curl(made, "THE_KEY")
    with pytest.raises(Unportable, match="no request"):
        curl(Hop(), "THE_KEY")


def test_a_pytest_file_replays_the_answer_byte_for_byte(tmp_path):
    path = tmp_path / "test_recorded.py"
    one = record().attempts[1]
    one.request.method = "OPTIONS"
    one.response.headers.append(("x-name", "日本"))
    path.write_text(pytest_file(one, "THE_KEY", 'A "title"'))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(path),
    ]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_fixture_needs_an_answer():
    with pytest.raises(Unportable, match="only one of them"):
        pytest_file(hop("https://h/p", b""), "THE_KEY", "")


def test_nothing_of_a_record_is_code(tmp_path: Path):
    one = record().attempts[1]
    one.request.headers.append(("x-evil", "\"''' + __import__('os').abort() + '''"))
    one.response.body.data = one.response.body.data.replace(b"Bon", b'"""\' + exit() #')
    compile(pytest_file(one, "THE_KEY", '"""\\"""'), "x.py", "exec")
    compile(httpx(one, "THE_KEY"), "x.py", "exec")
