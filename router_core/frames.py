"""Messages on a pipe or a socket: a 4-byte length, then as many bytes."""

from __future__ import annotations

import struct
from typing import Final

LENGTH: Final = struct.Struct("<I")


def encode(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def decode(pending: bytearray) -> list[bytes]:
    """The complete messages at the beginning of `pending`, which are taken out of it."""
    messages: list[bytes] = []
    position = 0
    with memoryview(pending) as view:
        while len(view) - position >= LENGTH.size:
            (size,) = LENGTH.unpack_from(view, position)
            begin, end = position + LENGTH.size, position + LENGTH.size + size
            if end > len(view):
                break
            messages.append(bytes(view[begin:end]))
            position = end
    del pending[:position]
    return messages
