"""Secrets by reference: an environment variable, a file, the output of a command, or the text itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from router_core.config.schema import SecretRef

MAX_BYTES: Final = 64 << 10
"""The largest secret, from a file or a command."""
COMMAND_TIMEOUT: Final = 10.0
"""Seconds."""


class SecretError(Exception):
    """A reference that leads to no secret. The message names the reference, never what it holds."""


def describe(ref: SecretRef) -> str:
    """The reference in words for messages: ``environment variable NAME``, ``file PATH`` ..."""
    if ref.kind == "env":
        return f"environment variable {ref.name}"
    if ref.kind == "file":
        return f"file {ref.name}"
    return f"command {ref.argv[0]}" if ref.kind == "command" else "a literal text"


async def resolve(ref: SecretRef, env: Mapping[str, str] = os.environ) -> SecretStr:
    """The secret behind `ref`. Raises SecretError. Files are read in a thread, commands never block the loop."""
    if ref.kind == "command":
        return _usable(ref, await _run(ref, env))
    if ref.kind == "file":
        return await asyncio.to_thread(resolve_now, ref, env)
    return resolve_now(ref, env)


async def output(ref: SecretRef, env: Mapping[str, str] = os.environ) -> bytes:
    """All that the command of `ref` prints, at most `MAX_BYTES`. Raises SecretError."""
    data = await _run(ref, env)
    if len(data) > MAX_BYTES:
        raise SecretError(f"{describe(ref)} holds more than {MAX_BYTES >> 10} KB")
    return data


def resolve_now(ref: SecretRef, env: Mapping[str, str] = os.environ) -> SecretStr:
    """Like `resolve`, for references that need no waiting; a command is a SecretError."""
    if ref.kind == "env":
        if not env.get(ref.name):
            raise SecretError(f"{describe(ref)} is not set")
        return _usable(ref, env[ref.name].encode("utf-8", "surrogateescape"))
    if ref.kind == "file":
        return _usable(ref, _read(ref))
    if ref.literal is not None:
        return _usable(ref, ref.literal.get_secret_value().encode("utf-8", "surrogatepass"))
    raise SecretError(f"{describe(ref)} has to be run")


def file_warning(path: Path) -> str | None:
    """What is wrong with the file of a secret, or None: absent, not a file, or open to other users."""
    try:
        status = path.stat()
    except OSError as error:
        return f"file {path} cannot be read: {(error.strerror or 'I/O error').lower()}"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a regular file"
    # Root's own that a service's group may read (root:detour, 0640) is as the service needs it.
    lent = status.st_uid == 0 and status.st_gid != 0
    if os.name == "posix" and status.st_mode & (stat.S_IROTH if lent else stat.S_IRGRP | stat.S_IROTH):
        return f"file {path} can be read by other users"
    return None


def _read(ref: SecretRef) -> bytes:
    path = Path(ref.name).expanduser()
    try:
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SecretError(f"{describe(ref)} is not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretError(
            f"{describe(ref)} cannot be read: {(error.strerror or 'I/O error').lower()}"
        ) from None


async def _run(ref: SecretRef, env: Mapping[str, str]) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *ref.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "an argument holds a null character"
        raise SecretError(f"{describe(ref)} cannot be started: {(reason or 'error').lower()}") from None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            output = await _read_all(process.stdout)
            code = await process.wait() if len(output) <= MAX_BYTES else 0
    except TimeoutError:
        raise SecretError(f"{describe(ref)} gave no answer within {COMMAND_TIMEOUT:g} s") from None
    finally:
        await _kill(process)
    # Its own words are left out: what such a tool prints when it fails may hold the secret.
    if code:
        raise SecretError(f"{describe(ref)} failed with exit code {code}")
    return output


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    output = b""
    while len(output) <= MAX_BYTES and (chunk := await stream.read(MAX_BYTES)):
        output += chunk
    return output


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End the command and what it started, whatever became of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()
    await process.wait()


def _usable(ref: SecretRef, data: bytes) -> SecretStr:
    if len(data) > MAX_BYTES:
        raise SecretError(f"{describe(ref)} holds more than {MAX_BYTES >> 10} KB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"{describe(ref)} holds no UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise SecretError(f"{describe(ref)} is empty")
    # It goes into a header, where a line break would begin another one.
    if not text.isprintable():
        raise SecretError(f"{describe(ref)} holds line breaks or control characters")
    return SecretStr(text)
