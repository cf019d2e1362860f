"""Encoded bodies: by header, by magic bytes, in pieces, and bombs."""

from __future__ import annotations

import gzip
import itertools
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from router_core import encoding

BODY = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}' * 3


def raw_deflate(body: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(body) + deflate.flush()


ENCODED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "Deflate": raw_deflate(BODY),
    "br": brotli.compress(BODY),
    "zstd": zstandard.compress(BODY),
    "gzip, br": brotli.compress(gzip.compress(BODY)),
    "identity": BODY,
}


@pytest.mark.parametrize("coding", ENCODED)
@given(st.lists(st.integers(0, 1000), max_size=8))
@settings(max_examples=15)
def test_in_pieces(coding: str, cuts: list[int]) -> None:
    body = ENCODED[coding]
    points = [0, *sorted(c % (len(body) + 1) for c in cuts), len(body)]
    decoder = encoding.decoder(coding)
    out = b"".join(decoder.feed(body[a:b]) for a, b in itertools.pairwise(points)) + decoder.close()
    assert out == BODY


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_by_magic_bytes_without_the_header(coding: str) -> None:
    assert encoding.decode(ENCODED[coding]) == BODY


@pytest.mark.parametrize("coding", [None, "gzip", "zstd", ""])
def test_a_plain_body_is_itself_whatever_the_header_says(coding: str | None) -> None:
    assert encoding.decode(BODY, coding) == BODY


def test_several_members() -> None:
    assert encoding.decode(gzip.compress(b"a") + gzip.compress(b"b"), "gzip") == b"ab"
    assert encoding.decode(zstandard.compress(b"a") + zstandard.compress(b"b"), "zstd") == b"ab"


def test_a_body_cut_off_gives_what_came() -> None:
    assert BODY.startswith(encoding.decode(ENCODED["gzip"][:60], "gzip"))


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(50_000_000))),
        ("br", brotli.compress(bytes(50_000_000), quality=4)),
        ("zstd", zstandard.compress(bytes(50_000_000))),
    ],
)
def test_a_bomb_is_an_error_before_it_is_memory(coding: str, bomb: bytes) -> None:
    with pytest.raises(encoding.DecodingError, match="over the limit"):
        encoding.decode(bomb, coding, limit=1 << 20)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(encoding.DecodingError, match="'lzma'"):
        encoding.decoder("lzma")


@given(st.binary(max_size=100), st.sampled_from([None, "gzip", "deflate", "br", "zstd", "gzip, zstd"]))
def test_any_bytes_decode_or_say_why(body: bytes, coding: str | None) -> None:
    try:
        out = encoding.decode(body, coding, limit=1 << 20)
    except encoding.DecodingError:
        return
    assert isinstance(out, bytes)
