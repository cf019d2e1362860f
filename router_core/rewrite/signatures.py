"""Whose reasoning a signature proves, by the shape of its first bytes.

All of them are opaque. Claude's is base64 of a protobuf message whose field 2 holds a header of numbers,
Gemini's holds a version byte instead, OpenAI's encrypted reasoning is a Fernet token (version byte 0x80).
Read off recorded answers of these providers and CLIProxyAPI's internal/signature.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Final

from router_core.formats.placeholder import PLACEHOLDERS

_HEAD: Final = 48


def is_claude(signature: str) -> bool:
    """Whether a Claude model may have made `signature`: ``E...``, ``CAIS...``, or ``R...`` (encoded twice)."""
    # A conversation brings the same ones with every turn.
    return _is_claude(signature.strip()[:_HEAD])


@lru_cache(maxsize=4096)
def _is_claude(signature: str) -> bool:
    head = _head(signature)
    if signature.startswith("R"):
        return head is not None and head.startswith((b"E", b"R", b"CA"))
    if signature.startswith("E"):
        return not _is_gemini_message(head)
    # Field 1, a version, before field 2.
    return head is not None and head[:1] == b"\x08" and head[2:3] == b"\x12"


def is_gemini(signature: str) -> bool:
    """Whether a Gemini model may have made `signature`; what nobody else claims is taken for Gemini's."""
    signature = signature.strip()
    if not signature or signature in PLACEHOLDERS:
        return bool(signature)
    return "#" not in signature and not is_openai(signature) and _is_gemini(signature[:_HEAD])


@lru_cache(maxsize=4096)
def _is_gemini(signature: str) -> bool:
    head = _head(signature)
    if signature.startswith("E"):
        return _is_gemini_message(head)
    return head is not None and not _is_claude(signature)


def is_openai(encrypted: str) -> bool:
    """Whether OpenAI may have made `encrypted`: a Fernet token, version byte 0x80 and a timestamp."""
    encrypted = encrypted.strip()
    if len(encrypted) < 64 or not encrypted.startswith("gAAAA"):
        return False
    head = _head(encrypted)
    return head is not None and head[:1] == b"\x80"


def _head(text: str) -> bytes | None:
    """The first decoded bytes, or None for what is not base64."""
    piece = text[:_HEAD].replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(piece[: len(piece) // 4 * 4], validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _is_gemini_message(head: bytes | None) -> bool:
    """Field 2 holding field 1 that begins with a version byte of 1: ``12 LENGTH 0a LENGTH 01``."""
    if not head or head[0] != 0x12:
        return False
    inner = _after_length(head, 1)
    if inner is None or head[inner : inner + 1] != b"\x0a":
        return False
    value = _after_length(head, inner + 1)
    return value is not None and head[value : value + 1] == b"\x01"


def _after_length(data: bytes, position: int) -> int | None:
    """The offset behind a varint."""
    for end in range(position, min(position + 5, len(data))):
        if data[end] < 0x80:
            return end + 1
    return None
