"""Messages on a pipe: a 4-byte length, then as many bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

LENGTH: Final = struct.Struct("<I")


def encode(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def decode(pending: bytearray) -> Iterator[bytes]:
    """The complete messages at the beginning of `pending`, each taken out of it as it is given."""
    while len(pending) >= LENGTH.size:
        (size,) = LENGTH.unpack_from(pending)
        end = LENGTH.size + size
        if len(pending) < end:
            return
        message = bytes(pending[LENGTH.size : end])
        del pending[:end]
        yield message
