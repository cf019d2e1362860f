"""Keys, files and commands; and the files that secrets are written to."""

from __future__ import annotations

import base64
import os
import stat
import sys
from pathlib import Path

import orjson
import pytest

from router_core.config.schema import SecretRef
from router_core.credentials import files
from router_core.credentials.model import CredentialError
from router_core.credentials.sources import CommandSource, FileSource, KeySource, fingerprint, read_output
from tests.router_core.conftest import NOW, Clock
from tests.router_core.credentials.token_server import fetched, now


def token_with(exp: int) -> str:
    payload = base64.urlsafe_b64encode(orjson.dumps({"exp": exp})).decode().rstrip("=")
    return f"header.{payload}.signature"


async def test_a_key() -> None:
    source = KeySource("sk-1")
    assert (await source.token()).secret == "sk-1"
    assert not (await source.token()).oauth
    assert now(KeySource("sk-ant-oat01-x")).oauth
    assert not await source.rejected("sk-1")
    assert "sk-1" not in repr(source.current())


def test_fingerprints_tell_secrets_apart_and_nothing_about_them() -> None:
    assert fingerprint("a") == fingerprint("a") != fingerprint("b")
    assert fingerprint("a", "b") != fingerprint("ab")
    assert len(fingerprint("a")) == 12


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first\n")
    source = FileSource(SecretRef(kind="file", name=str(path)))
    assert (await source.token()).secret == "first"
    assert not source.reload()
    before = source.fingerprint()
    path.write_text("second\n")
    assert not await source.rejected("first")
    assert source.reload()
    assert await source.rejected("first")
    assert now(source).secret == "second"
    assert source.fingerprint() != before
    path.unlink()
    assert source.reload()
    assert source.inactive() == f"file {path} cannot be read: no such file or directory"
    with pytest.raises(CredentialError, match="cannot be read"):
        await source.token()


def command(tmp_path: Path, body: str) -> SecretRef:
    script = tmp_path / "tool.py"
    script.write_text(body)
    return SecretRef(kind="command", argv=(sys.executable, str(script)))


COUNTING = """
import json, pathlib, time
runs = pathlib.Path(__file__).with_name("runs")
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
"""


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


async def test_a_command_is_run_once_for_a_key_without_an_end(tmp_path: Path) -> None:
    clock = Clock()
    source = CommandSource(
        "cred", command(tmp_path, COUNTING + "print('sk-from-tool')"), dict(os.environ), wall=clock
    )
    assert source.current() is None
    assert [(await source.token()).secret for _ in range(3)] == ["sk-from-tool"] * 3
    assert now(source).secret == "sk-from-tool"
    assert runs(tmp_path) == 1
    # Refused, it is asked again, but not over and over.
    clock.now += 60
    assert not await source.rejected("sk-from-tool")
    assert runs(tmp_path) == 2
    assert not await source.rejected("sk-from-tool")
    assert runs(tmp_path) == 2


async def test_a_commands_token_lives_as_long_as_it_says(tmp_path: Path) -> None:
    clock = Clock()
    body = (
        COUNTING
        + f"print(json.dumps({{'token': 't' + runs.read_text(), 'expires_at': {NOW} + 100 * len(runs.read_text())}}, indent=1))"
    )
    source = CommandSource("cred", command(tmp_path, body), dict(os.environ), wall=clock)
    assert (await source.token()).secret == "tx"
    clock.now += 60
    assert now(source).secret == "tx"
    # Shortly before its end it is still good, and a new one is fetched beside it.
    clock.now += 20
    assert source.current() is None
    assert (await source.token()).secret == "tx"
    await fetched(source)
    assert now(source).secret == "txx"
    clock.now += 200
    assert (await source.token()).secret == "txxx"


@pytest.mark.parametrize(
    ("output", "secret", "expires"),
    [
        (b"sk-1\n", "sk-1", None),
        (b'{"token": "t", "expires_in": 60}', "t", NOW + 60),
        (b'{"access_token": "t", "expires_at": 1800000060}', "t", NOW + 60),
        (b'{"accessToken": "t", "expiresAt": 1800000060000}', "t", NOW + 60),
        (b'{"apiKey": "t", "expiration": "2027-01-15T08:01:00Z"}', "t", NOW + 60),
        (b'{"kind": "ExecCredential", "status": {"token": "t", "expirationTimestamp": "2027-01-15T08:01:00Z"}}', "t", NOW + 60),
        (token_with(1_800_000_060).encode(), token_with(1_800_000_060), NOW + 60),
        (b'{"nothing": 1}', None, None),
        (b'{"token": "line\\nbreak"}', None, None),
        (b"two words", None, None),
        (b"", None, None),
        (b"\xff\xfe", None, None),
        (b"null\n", None, None),
        (b"[1, 2]", None, None),
        (b"1234567890", "1234567890", None),
    ],
)  # fmt: skip
def test_what_commands_print(output: bytes, secret: str | None, expires: float | None) -> None:
    assert read_output(output, NOW) == (secret, expires)


async def test_a_command_that_fails_is_named_and_not_run_again_at_once(tmp_path: Path) -> None:
    clock = Clock()
    source = CommandSource(
        "cred", command(tmp_path, COUNTING + "raise SystemExit('secret words')"), dict(os.environ), wall=clock
    )
    for _ in range(3):
        with pytest.raises(CredentialError, match="failed with exit code 1") as error:
            await source.token()
        assert "secret words" not in str(error.value)
    assert runs(tmp_path) == 1
    clock.now += 7
    with pytest.raises(CredentialError):
        await source.token()
    assert runs(tmp_path) == 2


async def test_a_command_may_print_something_else(tmp_path: Path) -> None:
    source = CommandSource("cred", command(tmp_path, "print('please log in')"), dict(os.environ))
    with pytest.raises(CredentialError, match="printed neither a key nor JSON"):
        await source.token()


# -- files of secrets


def test_a_file_is_replaced_in_one_step_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.write_text("old")
    path.chmod(0o644)
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["token.json"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need rights on Windows")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "token.json"
    target.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    files.replace(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token.json"
    path.write_text("old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(path, b"new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["token.json"]


def test_only_ordinary_files_of_ordinary_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (files.MAX_BYTES + 1))
    with pytest.raises(OSError, match="too large"):
        files.read(tmp_path / "large")
    with pytest.raises(OSError, match="regular"):
        files.read(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x", "a/b", "a\\b", "C:x", "/etc/passwd", ".hidden", "a..b", "x\0y", "x\n", "con", "NUL.json", "a.", "a ", "x" * 201, "a*b", "a|b"],
)  # fmt: skip
def test_names_of_credential_files_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a safe file name"):
        files.child(tmp_path, name)


@pytest.mark.parametrize("name", ["claude-work.json", "me@example.org.json", "a_b+c.json", "codex"])
def test_names_of_credential_files_that_are_taken(tmp_path: Path, name: str) -> None:
    assert files.child(tmp_path, name) == tmp_path / name
