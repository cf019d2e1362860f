"""What `detour gateway peer add` draws is what a phone's camera reads: the configuration, whole."""

from __future__ import annotations

import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from typer.testing import CliRunner

from detour.cli import app

LIGHT = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
"""The upper and the lower pixel of a character."""


@pytest.fixture
def peer(tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text(f"version: 1\ndata_dir: {tmp_path / 'data'}\nlisten: {{wireguard: 127.0.0.1:51820}}\n")

    def run(*command: str) -> Any:
        return CliRunner().invoke(app, ["gateway", "peer", *command, "--config", str(config)])

    return run


def read(rows: list[bytes]) -> str:
    """The text of the one QR code in a picture of grey pixels."""
    picture = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    return found.text


def pixels_of(png: bytes) -> list[bytes]:
    """Of a picture in black and white, as a code is written (PNG specification, sections 9 and 11)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, width = 8, b"", 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        content = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, _, depth, colours = struct.unpack_from(">IIBB", content)
            assert (depth, colours) == (1, 0)
        elif kind == b"IDAT":
            data += content
        at += length + 12
    lines, size = zlib.decompress(data), 1 + (width + 7) // 8
    rows = [bytes(size - 1)]
    for start in range(0, len(lines), size):
        kind_of_filter, line = lines[start], lines[start + 1 : start + size]
        # None, and what is added to the row above.
        assert kind_of_filter in (0, 2)
        above = rows[-1] if kind_of_filter else bytes(size - 1)
        rows.append(bytes((x + y) & 0xFF for x, y in zip(line, above, strict=True)))
    rows = rows[1:]
    return [bytes(255 * (row[x >> 3] >> (7 - x % 8) & 1) for x in range(width)) for row in rows]


def drawn(text: str) -> list[bytes]:
    """Pixels of a code in a terminal, where a character is two of them; larger, as a camera sees them."""
    lines = [line for line in text.splitlines() if line and set(line) <= set(LIGHT)]
    found = [bytes(LIGHT[c][half] for c in line for _ in range(4)) for line in lines for half in (0, 1)]
    return [row for row in found for _ in range(4)]


@pytest.mark.parametrize("options", [[], ["--all-traffic"]], ids=["providers", "everything"])
def test_both_codes_hold_the_configuration(
    peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr("detour.commands.gateway.peer._providers", lambda loaded: set())
    png = tmp_path / "code.png"
    done = peer("add", "phone", "--endpoint", "box.example:51820", "--qr", "--png", str(png), *options)
    assert done.exit_code == 0, done.stderr
    configuration = done.stdout
    assert configuration.startswith("[Interface]\n") and "PrivateKey = " in configuration
    assert read(pixels_of(png.read_bytes())) == configuration
    assert read(drawn(done.stderr)) == configuration
    # It holds a private key.
    assert stat.S_IMODE(png.stat().st_mode) == 0o600


def test_no_code_is_drawn_into_a_file_or_unasked(peer, tmp_path: Path) -> None:
    done = peer("add", "phone", "--endpoint", "box.example:51820", "--all-traffic", "--no-qr")
    assert done.exit_code == 0
    assert not drawn(done.stderr)
    again = peer("show", "phone", "--png", str(tmp_path / "missing" / "code.png"))
    assert again.exit_code == 1
    assert "code.png: No such file" in again.stderr


def test_a_device_that_would_get_no_configuration_is_not_added(peer, monkeypatch) -> None:
    async def nobody(resolver, hosts, families):
        return []

    monkeypatch.setattr("detour.gateway.resolve.ask", nobody)
    options = ("add", "laptop", "--endpoint", "box.example.com")

    failed = peer(*options)
    assert failed.exit_code == 1 and "no provider's address could be found" in failed.stderr
    assert "laptop" not in peer("list").stdout
    assert peer(*options, "--all-traffic").exit_code == 0
