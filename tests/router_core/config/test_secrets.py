"""Where secrets come from, and that they go nowhere else."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from router_core.config import secrets
from router_core.config.schema import SecretRef, parse_secret_ref
from router_core.config.secrets import SecretError, describe, file_warning, resolve, resolve_now


def ref(value: object) -> SecretRef:
    found = parse_secret_ref(value)
    assert isinstance(found, SecretRef)
    return found


def command(code: str) -> SecretRef:
    return ref({"command": [sys.executable, "-c", code]})


async def value(reference: SecretRef, env: dict[str, str] | None = None) -> str:
    found = await resolve(reference, env if env is not None else dict(os.environ))
    assert isinstance(found, SecretStr)
    return found.get_secret_value()


async def failure(reference: SecretRef, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SecretError) as error:
        await value(reference, env)
    return str(error.value)


async def test_environment_variable() -> None:
    assert await value(ref("env:KEY"), {"KEY": "sk-1"}) == "sk-1"
    assert await failure(ref("env:KEY"), {}) == "environment variable KEY is not set"
    assert await failure(ref("env:KEY"), {"KEY": ""}) == "environment variable KEY is not set"
    assert await failure(ref("env:KEY"), {"KEY": "  "}) == "environment variable KEY is empty"


async def test_literal() -> None:
    assert await value(ref("sk-1:with:colons")) == "sk-1:with:colons"
    assert describe(ref("sk-1")) == "a literal text"


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        (b"sk-1", "sk-1"),
        (b"sk-1\n", "sk-1"),
        (b"sk-1\r\n", "sk-1"),
        (b" sk-1 \n", " sk-1 "),
        ("schlüssel".encode(), "schlüssel"),
    ],
)
async def test_file_loses_one_line_break(tmp_path: Path, data: bytes, secret: str) -> None:
    (tmp_path / "key").write_bytes(data)
    assert await value(ref(f"file:{tmp_path}/key")) == secret
    assert resolve_now(ref(f"file:{tmp_path}/key")).get_secret_value() == secret


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"sk-1\n\n", "line breaks or control characters"),
        (b"sk-1\nx-evil: 1", "line breaks or control characters"),
        (b"sk-1\0", "line breaks or control characters"),
        (b"\xff\xfe", "no UTF-8 text"),
        (b"x" * (secrets.MAX_BYTES + 1), "more than 64 KB"),
    ],
)
async def test_file_that_holds_no_secret(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "key").write_bytes(data)
    said = await failure(ref(f"file:{tmp_path}/key"))
    assert why in said
    assert "sk-1" not in said


async def test_file_that_is_none(tmp_path: Path) -> None:
    assert "no such file" in await failure(ref(f"file:{tmp_path}/none"))
    assert "not a regular file" in await failure(ref(f"file:{tmp_path}"))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in await failure(ref(f"file:{tmp_path}/pipe"))


def test_who_may_read_the_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-1")
    for mode, warns in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
        key.chmod(mode)
        assert (file_warning(key) is not None) is warns
    assert "no such file" in str(file_warning(tmp_path / "none"))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lend a file of its own to a group")
def test_a_file_that_root_lends_to_a_services_group(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-1")
    os.chown(key, 0, 10001)
    for mode, warns in ((0o640, False), (0o644, True)):
        key.chmod(mode)
        assert (file_warning(key) is not None) is warns


async def test_command() -> None:
    assert await value(command("print('sk-1')")) == "sk-1"
    assert await value(command("import os; print(os.environ['A'])"), {"A": "from env"}) == "from env"


async def test_command_gets_no_input() -> None:
    assert await value(command("import sys; print(repr(sys.stdin.read()))")) == "''"


async def test_command_that_fails_keeps_its_words_to_itself() -> None:
    said = await failure(command("import sys; print('sk-1'); print('sk-2', file=sys.stderr); sys.exit(3)"))
    assert said == f"command {sys.executable} failed with exit code 3"


async def test_command_that_is_not_there() -> None:
    assert await failure(ref({"command": ["/nonexistent/tool"]})) == (
        "command /nonexistent/tool cannot be started: no such file or directory"
    )
    assert "cannot be started" in await failure(ref({"command": ["echo", "a\0b"]}))


async def test_command_has_no_output_without_end() -> None:
    assert "more than 64 KB" in await failure(command("while True: print('x' * 1000)"))


async def test_command_that_hangs_is_ended_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT", 0.5)
    script = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    assert "gave no answer within 0.5 s" in await failure(command(script))
    await _gone(int((tmp_path / "pid").read_text()))


async def test_command_ends_with_who_asked(tmp_path: Path) -> None:
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    task = asyncio.create_task(resolve(command(script)))
    pid = await _written(tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(pid)


async def _written(file: Path) -> int:
    for _ in range(500):
        if text := _text(file):
            return int(text)
        await asyncio.sleep(0.01)
    pytest.fail("the command did not start")


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


async def _gone(pid: int) -> None:
    for _ in range(500):
        if not _runs(pid):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"process {pid} is still there")


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie that nobody has collected yet."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return False


def test_commands_need_a_loop() -> None:
    with pytest.raises(SecretError, match="has to be run"):
        resolve_now(command("print(1)"))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "  ",
        "env:",
        "file:",
        5,
        None,
        [],
        {},
        {"command": []},
        {"command": "x"},
        {"command": [1]},
        {"cmd": ["x"]},
    ],
)
def test_references_that_are_none(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"write|written"):
        parse_secret_ref(wrong)


def test_no_reference_shows_its_secret() -> None:
    literal = ref("sk-hunter2")
    assert "hunter2" not in f"{literal!r} {literal} {literal.model_dump()} {describe(literal)}"
    assert "hunter2" not in repr(resolve_now(literal))
    assert [str(ref(v)) for v in ("env:A", "file:/a", {"command": ["pass", "show"]}, "x")] == [
        "env:A",
        "file:/a",
        "command:pass",
        "literal",
    ]
