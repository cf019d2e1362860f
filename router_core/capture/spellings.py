"""How one secret may be written on the wire, and how what was written is read back."""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from router_core.capture.names import SECRET_HEADER
from router_core.exchange import Headers

_ESCAPE: Final = re.compile(r"%[0-9A-F]{2}")
_UNIT: Final = rb"\\+u00(2[bdefBDEF]|3[0-9aAdD]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
_OCTET: Final = rb"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
"""Letters, digits and marks of names and credentials that need no escape, and yet have one."""
_UNITS: Final = re.compile(_UNIT)
_OCTETS: Final = re.compile(_OCTET)
_BOTH: Final = re.compile(_UNIT + rb"|" + _OCTET)
"""Takes ten times as long as each of them, which begin with one byte."""
_ANY: Final = re.compile(rb"%([2-7][0-9A-Fa-f])")
_CORE: Final = 12
"""Characters of base64 that are enough to tell a secret by, wherever it begins in what was encoded."""


def bare(value: str) -> str:
    """The secret in an authentication header's value."""
    scheme, _, secret = value.partition(" ")
    return secret if secret and scheme.lower() in ("bearer", "basic") else value


def carried(headers: Headers) -> list[str]:
    """The credentials that a request's headers carry."""
    return [bare(value) for name, value in headers if value and SECRET_HEADER.search(name.lower())]


def spellings(secret: str) -> dict[bytes, bytes]:
    """How a secret may be written, each with the plain bytes behind it."""
    raw = secret.encode("utf-8", "surrogateescape")
    percent = quote_from_bytes(raw, safe="")
    spelt = (
        raw,
        percent.encode(),
        _ESCAPE.sub(lambda m: m[0].lower(), percent).encode(),
        quote_from_bytes(raw).encode(),
        json.dumps(secret)[1:-1].encode(),
        raw.replace(b"/", b"\\/"),
        base64.b64encode(raw),
        *_cores(raw),
        *((raw.hex().encode(), raw.hex().upper().encode()) if len(raw) >= 8 else ()),
    )
    return dict.fromkeys(spelt, raw)


def _cores(raw: bytes) -> list[bytes]:
    """The base64 of `raw` as it is a part of the base64 of something longer, such as ``user:password``."""
    found: list[bytes] = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        begin, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        if end - begin >= _CORE:
            core = encoded[begin:end]
            found += (core, core.translate(bytes.maketrans(b"+/", b"-_")))
    return found


def plain(value: bytes) -> bytes:
    """`value` without percent and JSON escapes, so that all spellings of a secret share a placeholder."""
    if b"%" in value:
        value = unquote_to_bytes(value)
    if b"\\" in value:
        with suppress(ValueError, UnicodeDecodeError):
            value = json.loads(b'"%s"' % value).encode("utf-8", "surrogatepass")
    return value


@dataclass(frozen=True, slots=True)
class Unescaped:
    """Bytes without escapes that hide a name or a secret, and where they come from."""

    data: bytes
    ends: list[int]
    """Where in `data` what came from each escape ends."""
    shifts: list[int]
    """How much shorter `data` is from there on."""

    def origin(self, position: int) -> int:
        """Where in the original the byte at `position` comes from."""
        number = bisect_right(self.ends, position)
        return position + (self.shifts[number - 1] if number else 0)


def unescaped(data: bytes, all_percent: bool = False) -> Unescaped | None:
    """`data` without needless escapes, or, with `all_percent`, without any percent escape of ASCII.

    None where there are none.
    """
    units, octets = b"\\u00" in data and not all_percent, b"%" in data
    if not units and not octets:
        return None
    pattern = _ANY if all_percent else _BOTH if units and octets else _UNITS if units else _OCTETS
    pieces: list[bytes] = []
    ends: list[int] = []
    shifts: list[int] = []
    position = length = 0
    for match in pattern.finditer(data):
        pieces += (data[position : match.start()], bytes((int(match[match.lastindex or 0], 16),)))
        length += match.start() - position + 1
        position = match.end()
        ends.append(length)
        shifts.append(position - length)
    if not ends:
        return None
    return Unescaped(b"".join((*pieces, data[position:])), ends, shifts)
