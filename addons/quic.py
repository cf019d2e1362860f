"""Which host a QUIC client means, from its first datagrams (RFC 9000 17.2.2, RFC 9001 5.2).

mitmproxy's own reader of these works by an ``assert``, and so not under ``python -O``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.crypto import CryptoError, CryptoPair
from aioquic.quic.packet import QuicPacketType, pull_ack_frame, pull_quic_header
from mitmproxy.tls import ClientHello

PADDING: Final = 0x00
PING: Final = 0x01
ACK: Final = (0x02, 0x03)
CRYPTO: Final = 0x06
CLIENT_HELLO: Final = 1
HEAD: Final = 4
"""Bytes of a handshake message before its content: its type and its length."""
MAX_HELLO: Final = 16 * 1024


def client_hello(datagrams: Sequence[bytes]) -> ClientHello | None:
    """The ClientHello in a client's first `datagrams`, None while a part of it is missing.

    Raises ValueError for what is no beginning of QUIC, or of a version that is not known here.
    """
    parts: dict[int, bytes] = {}
    crypto: CryptoPair | None = None
    for datagram in datagrams:
        for header, offset, packet in _packets(datagram):
            if header.packet_type is not QuicPacketType.INITIAL:
                continue
            if crypto is None:
                crypto = CryptoPair()
                crypto.setup_initial(header.destination_cid, is_client=False, version=header.version)
            try:
                _, payload, _ = crypto.decrypt_packet(packet, offset, 0)
            except CryptoError:
                raise ValueError("the packet cannot be decrypted") from None
            parts |= _crypto_frames(payload)
    if crypto is None:
        raise ValueError("no initial packet")
    return _message(parts)


def _packets(datagram: bytes) -> Iterator[tuple]:
    """The packets of a datagram: each one's header, where its number begins, and its bytes."""
    buffer = Buffer(data=datagram)
    while not buffer.eof():
        start = buffer.tell()
        try:
            header = pull_quic_header(buffer, host_cid_length=8)
            offset, end = buffer.tell() - start, start + header.packet_length
            buffer.seek(end)
        except ValueError:
            if start:
                return  # some fill a datagram up behind its packets
            raise
        if not header.packet_length or header.version is None:
            return
        yield header, offset, datagram[start:end]


def _crypto_frames(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """What CRYPTO frames hold, with its place in the stream."""
    buffer = Buffer(data=payload)
    try:
        while not buffer.eof():
            kind = buffer.pull_uint_var()
            if kind in ACK:
                pull_ack_frame(buffer)
            elif kind == CRYPTO:
                place, length = buffer.pull_uint_var(), buffer.pull_uint_var()
                yield place, buffer.pull_bytes(length)
            elif kind not in (PADDING, PING):
                return
    except BufferReadError:
        raise ValueError("a frame is cut off") from None


def _message(parts: dict[int, bytes]) -> ClientHello | None:
    stream = b""
    for place, part in sorted(parts.items()):
        if place > len(stream):
            return None
        stream = stream[:place] + part
    if len(stream) < HEAD:
        return None
    length = int.from_bytes(stream[1:HEAD])
    if stream[0] != CLIENT_HELLO or length > MAX_HELLO:
        raise ValueError("the first message is no ClientHello")
    if len(stream) < HEAD + length:
        return None
    try:
        return ClientHello(stream[HEAD : HEAD + length])
    except EOFError:
        raise ValueError("the ClientHello cannot be read") from None
