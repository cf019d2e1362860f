"""Content encodings, decoded in pieces: gzip, deflate (zlib and raw), br, zstd (RFC 9110 8.4.1, 8878, 7932).

The header may be missing or wrong, so the first bytes count as well. What a decoder returns is bounded:
a small body that would unfold into a huge one is an error, not memory.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

MAX_PER_FEED: Final = 64 << 20
"""Bytes that one call to `feed` may return."""

_ZSTD_WINDOW: Final = 8 << 20
"""RFC 9659: the largest window of the zstd content encoding."""
_ZSTD_SLICE: Final = 256
"""zstandard cannot bound its output, so its input is cut: 256 bytes hold at most 85 blocks of 128 KiB."""


class DecodingError(ValueError):
    """The bytes are not what their encoding says, or unfold beyond the limit."""


class Decoder(Protocol):
    @property
    def plain(self) -> bool:
        """Whether what comes from now on is what it decodes to, so that `feed` need not be asked."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What `data` decodes to. Raises DecodingError."""
        ...

    def close(self) -> bytes:
        """What is left. A body that was cut off is not an error: what came was handed on."""
        ...


class _Bounded:
    """Counts what a decoder returns against the limits."""

    plain = False

    def __init__(self, limit: int | None) -> None:
        self._left = limit

    def _count(self, size: int) -> None:
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise DecodingError("the decoded body is over the limit")

    @property
    def _room(self) -> int:
        return MAX_PER_FEED if self._left is None else min(MAX_PER_FEED, self._left)


class _Identity(_Bounded):
    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self.plain = limit is None

    def feed(self, data: bytes) -> bytes:
        self._count(len(data))
        return data

    def close(self) -> bytes:
        return b""


class _Zlib(_Bounded):
    def __init__(self, limit: int | None, wbits: int) -> None:
        super().__init__(limit)
        self._wbits = wbits
        self._inflate = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        room = self._room
        try:
            while data:
                if self._inflate.eof:
                    # A gzip body may hold several members (RFC 1952 2.2); padding behind the last is dropped.
                    if self._wbits != 31 or not data.startswith(b"\x1f\x8b"):
                        break
                    self._inflate = zlib.decompressobj(self._wbits)
                piece = self._inflate.decompress(data, room + 1)
                room -= len(piece)
                if room < 0:
                    raise DecodingError("the decoded body is over the limit")
                pieces.append(piece)
                data = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as e:
            raise DecodingError(str(e)) from None
        out = b"".join(pieces)
        self._count(len(out))
        return out

    def close(self) -> bytes:
        return b""


class _Brotli(_Bounded):
    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self._inflate = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        room = self._room
        try:
            pieces = [self._inflate.process(data, output_buffer_limit=room + 1)]
            room -= len(pieces[0])
            while room >= 0 and not self._inflate.can_accept_more_data():
                pieces.append(self._inflate.process(b"", output_buffer_limit=room + 1))
                room -= len(pieces[-1])
        except brotli.error as e:
            raise DecodingError(f"brotli: {e}") from None
        if room < 0:
            raise DecodingError("the decoded body is over the limit")
        out = b"".join(pieces)
        self._count(len(out))
        return out

    def close(self) -> bytes:
        return b""


class _Zstd(_Bounded):
    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._inflate = decompressor.decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        room = self._room
        try:
            for start in range(0, len(data), _ZSTD_SLICE):
                piece = self._inflate.decompress(data[start : start + _ZSTD_SLICE])
                room -= len(piece)
                if room < 0:
                    raise DecodingError("the decoded body is over the limit")
                pieces.append(piece)
        except zstandard.ZstdError as e:
            raise DecodingError(str(e)) from None
        out = b"".join(pieces)
        self._count(len(out))
        return out

    def close(self) -> bytes:
        return b""


class _Sniffing:
    """Waits for the first bytes, then decodes by them and by what the header says."""

    _NEEDED = 4

    def __init__(self, coding: str, limit: int | None) -> None:
        self._coding = coding
        self._limit = limit
        self._head = b""
        self._decoder: Decoder | None = None

    @property
    def plain(self) -> bool:
        return self._decoder is not None and self._decoder.plain

    def feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            return self._decoder.feed(data)
        self._head += data
        return self._start() if len(self._head) >= self._NEEDED else b""

    def close(self) -> bytes:
        head = self._start() if self._decoder is None and self._head else b""
        return head + (self._decoder.close() if self._decoder is not None else b"")

    def _start(self) -> bytes:
        self._decoder = _decoder_for(self._coding, self._head, self._limit)
        head, self._head = self._head, b""
        return self._decoder.feed(head)


def sniff(head: bytes) -> str | None:
    """The encoding that the first bytes show: ``gzip``, ``zstd``, ``deflate`` (zlib) or None.

    br has no magic number, and raw deflate neither.
    """
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return "deflate"
    return None


def _decoder_for(coding: str, head: bytes, limit: int | None) -> Decoder:
    seen = sniff(head)
    match coding:
        case "br":
            return _Brotli(limit)
        case "deflate":
            return _Zlib(limit, 15 if _is_zlib(head) else -15)
        case _ if seen == "gzip":
            return _Zlib(limit, 31)
        case _ if seen == "zstd":
            return _Zstd(limit)
        case _ if seen == "deflate":
            return _Zlib(limit, 15)
        case _:
            # Says gzip or zstd and is not: somebody on the way decoded it and left the header.
            return _Identity(limit)


def _is_zlib(head: bytes) -> bool:
    return len(head) >= 2 and head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0


@lru_cache(256)
def codings(content_encoding: str | None) -> tuple[str, ...]:
    """The encodings of the header in the order in which they were applied, without ``identity``."""
    names = [n.strip().lower().removeprefix("x-") for n in (content_encoding or "").split(",")]
    return tuple(n for n in names if n and n != "identity")


class _Chain:
    plain = False

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders

    def feed(self, data: bytes) -> bytes:
        for decoder in self._decoders:
            data = decoder.feed(data)
        return data

    def close(self) -> bytes:
        data = b""
        for decoder in self._decoders:
            data = (decoder.feed(data) if data else b"") + decoder.close()
        return data


def decoder(content_encoding: str | None = None, limit: int | None = None) -> Decoder:
    """A decoder for a body with this ``Content-Encoding``; without one, the first bytes decide.

    `limit` bounds the decoded bytes in total. Raises DecodingError for an encoding that nobody knows.
    """
    names = codings(content_encoding)
    if unknown := set(names) - {"gzip", "deflate", "br", "zstd"}:
        raise DecodingError(f"unknown content encoding {', '.join(sorted(unknown))!r}")
    if len(names) > 4:
        raise DecodingError("too many content encodings")
    if not names:
        return _Sniffing("", limit)
    chain: list[Decoder] = [_Sniffing(name, limit) for name in reversed(names)]
    return chain[0] if len(chain) == 1 else _Chain(chain)


def decode(body: bytes, content_encoding: str | None = None, limit: int | None = None) -> bytes:
    """A whole body decoded. Raises DecodingError."""
    d = decoder(content_encoding, limit)
    return d.feed(body) + d.close()
