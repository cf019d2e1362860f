"""ClientHellos as bytes."""

from __future__ import annotations

import os
import ssl

ENCRYPTED_CLIENT_HELLO = 0xFE0D


def client_hello(name: str | None, *, ech: bool = False) -> bytes:
    """The TLS record with which a client begins; `name` is its SNI, with `ech` the outer one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        record = outgoing.read()
    return _with_extension(record, ENCRYPTED_CLIENT_HELLO, _outer()) if ech else record


def _outer() -> bytes:
    """What the extension holds (RFC 9849 5): outer, HPKE's numbers, a configuration's id, key and payload."""
    key, payload = os.urandom(32), os.urandom(144)
    return b"\0\0\1\0\1\x2a" + len(key).to_bytes(2) + key + len(payload).to_bytes(2) + payload


def _with_extension(record: bytes, kind: int, body: bytes) -> bytes:
    hello = record[9:]
    at = 2 + 32  # version and random
    at += 1 + hello[at]  # session
    at += 2 + int.from_bytes(hello[at : at + 2])  # cipher suites
    at += 1 + hello[at]  # compression
    # The first place: a pre-shared key has to be the last.
    extensions = kind.to_bytes(2) + len(body).to_bytes(2) + body + hello[at + 2 :]
    hello = hello[:at] + len(extensions).to_bytes(2) + extensions
    handshake = b"\x01" + len(hello).to_bytes(3) + hello
    return record[:3] + len(handshake).to_bytes(2) + handshake
