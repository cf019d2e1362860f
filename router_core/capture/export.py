"""Requests as commands and programs: curl, HTTPie, Python httpx, raw HTTP."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from http import HTTPStatus
from itertools import groupby
from typing import Final
from urllib.parse import urlsplit

from router_core.capture.portable import Portable, Text, Unportable, Variable, portable, without_framing
from router_core.capture.record import Hop, Received, Sent

MAX_ARGUMENT: Final = 100_000
"""Bytes of a body that may stand on a command line; Linux allows 128 KiB in one argument."""


def _request(hop: Hop) -> Sent:
    if hop.request is None:
        raise Unportable("the record has no request here; choose another side or attempt")
    if hop.request.header("upgrade").lower() == "websocket":
        raise Unportable("a WebSocket cannot be written as one request; export it as har or mitm")
    return hop.request


def curl(hop: Hop, credential_variable: str) -> str:
    """A command for a POSIX shell."""
    request = portable(_request(hop), credential_variable)
    words = [
        "curl -sS -N -g",
        *_curl_method(request),
        _word(request.url),
    ]
    words += [
        f"-H {_word([f'{name}: ', *value] if value != [''] else [f'{name};'])}"
        for name, value in request.headers
    ]
    # Without the header curl asks before it sends a long body.
    return _shell(request, words, inline="--data-raw", piped="-H 'Expect:' --data-binary @-")


def _curl_method(request: Portable) -> list[str]:
    if not request.body and request.method in ("GET", "HEAD"):
        return ["--head"] if request.method == "HEAD" else []
    return [f"-X {shlex.quote(request.method)}"]


def httpie(hop: Hop, credential_variable: str) -> str:
    """A command for HTTPie in a POSIX shell."""
    request = portable(_request(hop), credential_variable)
    words = [
        f"http --stream{'' if _is_piped(request) else ' --ignore-stdin'} {shlex.quote(request.method)}",
        _word(request.url),
    ]
    words += [_word(_httpie_header(name, value)) for name, value in request.headers]
    return _shell(request, words, inline="--raw", piped="")


def _httpie_header(name: str, value: Text) -> Text:
    """What stands behind the colon must not turn it into another sign: ``:=`` is JSON, ``:@`` reads a file."""
    if value == [""]:
        return [f"{name};"]
    special = isinstance(value[0], str) and value[0].startswith(("=", "@"))
    return [f"{name}:\\" if special else f"{name}:", *value]


def httpx(hop: Hop, credential_variable: str) -> str:
    """A Python program that prints the answer as it comes."""
    request = portable(_request(hop), credential_variable)
    lines = ["import os", ""] if request.variables else []
    lines += ["import httpx", "", "headers = ["]
    lines += [f"    ({name!r}, {python_header(value)})," for name, value in request.headers]
    lines += ["]", f"body = {_python_body(request)}", ""]
    lines += [
        "with httpx.Client(timeout=None) as client:",
        f"    with client.stream({request.method!r}, {_python(request.url)}, headers=headers, content=body) as response:",
        "        print(response.status_code)",
        "        for text in response.iter_text():",
        '            print(text, end="", flush=True)',
    ]
    return _comments(request, "#") + "\n".join(lines) + "\n"


def raw(hop: Hop, credential_variable: str) -> bytes:
    """Request and answer as HTTP/1.1 messages (RFC 9112); credentials are written ``$NAME``."""
    request = portable(_request(hop), credential_variable)
    url = urlsplit(_dollars(request.url))
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    body = b"".join(p if isinstance(p, bytes) else f"${p.name}".encode() for p in request.body)
    lines = [f"{request.method} {target} HTTP/1.1", f"host: {url.netloc}"]
    lines += [f"{name}: {_dollars(value)}" for name, value in request.headers]
    message = _message(lines, body, always=request.method in ("POST", "PUT", "PATCH"))
    return message + (b"\r\n" + _raw_response(hop.response) if hop.response else b"")


def _raw_response(response: Received) -> bytes:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {response.status} {phrase}".rstrip()]
    lines += [f"{name}: {value}" for name, value in without_framing(response.headers)]
    return _message(lines, response.body.data, always=True)


def _message(lines: list[str], body: bytes, always: bool) -> bytes:
    if body or always:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body


FORMATS: Final[dict[str, Callable[[Hop, str], str | bytes]]] = {
    "curl": curl,
    "httpie": httpie,
    "httpx": httpx,
    "raw": raw,
}


# -- shell ------------------------------------------------------------------------------------------------


def _is_piped(request: Portable) -> bool:
    """Whether the body comes through a pipe: not text, or too long for a command line."""
    pieces = [piece for piece in request.body if isinstance(piece, bytes)]
    return sum(map(len, pieces)) > MAX_ARGUMENT or any(b"\0" in p or not _is_text(p) for p in pieces)


def _shell(request: Portable, words: list[str], inline: str, piped: str) -> str:
    if not request.body:
        return _comments(request, "#") + " \\\n  ".join(words) + "\n"
    if _is_piped(request):
        command = " \\\n  ".join([*words, piped] if piped else words)
        return _comments(request, "#") + _pipe(request.body, command)
    body: Text = [p.decode() if isinstance(p, bytes) else p for p in request.body]
    return _comments(request, "#") + " \\\n  ".join([*words, f"{inline} {_word(body)}"]) + "\n"


def _pipe(body: list[bytes | Variable], command: str) -> str:
    """`command` with `body` on its standard input."""
    if len(body) == 1 and isinstance(body[0], bytes):
        return f"base64 -d <<'DETOUR_BODY' | {command}\n{_here(body[0])}"
    parts = [
        f'printf %s "${piece.name}"\n'
        if isinstance(piece, Variable)
        else f"base64 -d <<'DETOUR_BODY'\n{_here(piece)}"
        for piece in body
    ]
    return "{\n" + "".join(parts) + f"}} | {command}\n"


def _here(data: bytes) -> str:
    return f"{base64.encodebytes(data).decode()}DETOUR_BODY\n"


def _word(text: Text) -> str:
    """One word for a POSIX shell."""
    pieces: list[str] = []
    for variable, group in groupby(text, lambda piece: isinstance(piece, Variable)):
        if variable:
            pieces += (f'"${piece.name}"' for piece in group if isinstance(piece, Variable))
        else:
            pieces.append(shlex.quote("".join(str(piece) for piece in group)))
    return "".join(pieces) or "''"


def _dollars(text: Text) -> str:
    return "".join(f"${p.name}" if isinstance(p, Variable) else p for p in text)


def _comments(request: Portable, mark: str) -> str:
    """Says what each variable must hold."""
    return "".join(f"{mark} ${name}: {meaning}\n" for name, meaning in request.variables.items())


# -- Python -----------------------------------------------------------------------------------------------


def _python(text: Text) -> str:
    parts = [f'os.environ["{p.name}"]' if isinstance(p, Variable) else repr(p) for p in text]
    return " + ".join(parts) or "''"


def python_header(value: Text, lookup: str = 'os.environ["{}"]') -> str:
    """An expression for a header's value; httpx takes no letters beyond ASCII but in bytes."""
    if all(isinstance(piece, Variable) or piece.isascii() for piece in value):
        parts = [lookup.format(p.name) if isinstance(p, Variable) else repr(p) for p in value]
    else:
        parts = [
            f"{lookup.format(p.name)}.encode()"
            if isinstance(p, Variable)
            else python_bytes(p.encode("utf-8", "surrogateescape"))
            for p in value
        ]
    return " + ".join(parts) or "''"


def _python_body(request: Portable) -> str:
    parts = [
        f'os.environ["{p.name}"].encode()' if isinstance(p, Variable) else python_bytes(p)
        for p in request.body
    ]
    return " + ".join(parts) or "b''"


def python_bytes(data: bytes) -> str:
    """An expression for `data` that can be read where it is text."""
    return f"{data.decode()!r}.encode()" if _is_text(data) and not data.isascii() else repr(data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
