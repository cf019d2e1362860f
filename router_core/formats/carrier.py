"""Opaque strings that take one format's reasoning through a client of another format.

Every format lets a client hold a string that it must send back unread: Anthropic's ``signature`` and
redacted ``data``, Responses' ``encrypted_content``, Gemini's ``thoughtSignature``, the ``signature`` and
``data`` of Chat Completions' ``reasoning_details``. A *carrier* is such a string that holds another
format's reasoning. It is URL-safe base64, because Gemini's clients decode the field, and it begins with
`MARK`, so that its presence in a body is seen at once.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import orjson

from router_core.formats import Format
from router_core.formats.ir import Signature
from router_core.formats.placeholder import PLACEHOLDERS

MARK: Final = "ZGV0b3Vy"
"""Base64 of ``detour``; six bytes fill eight characters, so the rest is base64 of its own."""
MAX_CARRIER: Final = 8 << 20
"""Characters; longer strings are not read as carriers."""
REDACTED: Final = "redacted_thinking"
"""Anthropic's dialect of a block that is nothing but its signature; other blocks may show nothing and have one."""


def pack(signature: Signature, text: str | None = None) -> str:
    """A carrier of `signature`, and of the reasoning's `text` where the client will not return it."""
    fields = [
        signature.origin,
        signature.data,
        signature.id,
        signature.dialect,
        signature.model,
        text,
    ]
    while fields[-1] is None:
        fields.pop()
    return MARK + base64.urlsafe_b64encode(orjson.dumps(fields)).decode()


def unpack(value: str) -> tuple[Signature, str | None] | None:
    """(signature, text) of a carrier; None for any other string, and for a damaged carrier."""
    if not value.startswith(MARK) or len(value) > MAX_CARRIER:
        return None
    try:
        # Gemini's libraries may turn one base64 alphabet into the other.
        raw = value[len(MARK) :].replace("+", "-").replace("/", "_")
        fields = orjson.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
        origin, data, id, dialect, model, text = (*fields, None, None, None, None)[:6]
        if not isinstance(data, str):
            return None
        return Signature(Format(origin), data, id, dialect, model), text
    except (binascii.Error, ValueError, TypeError):
        return None


def read(value: str | None, native: Format) -> Signature | None:
    """The signature in a client's opaque string: carried, or `native` to the client's own format."""
    if not value or value in PLACEHOLDERS:
        return None
    if value.startswith(MARK):
        carried = unpack(value)
        return carried[0] if carried else None
    return Signature(native, value)


def write(signature: Signature | None, native: Format) -> str | None:
    """The string for a client of format `native`."""
    if signature is None:
        return None
    return signature.data if signature.origin is native else pack(signature)
