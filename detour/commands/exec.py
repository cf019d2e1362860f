"""``detour exec``: run a command whose AI traffic goes through Detour."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detour.commands.options import ConfigOption, fail, load

if TYPE_CHECKING:
    from router_core.paths import Paths

NOT_FOUND = 127
NOT_EXECUTABLE = 126


def exec_(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD [ARG]...", help="The command and its arguments.")
    ],
    config: ConfigOption = None,
) -> None:
    """Run CMD with its traffic led through Detour; a private instance is started when none is running.

    CMD takes this process's place: its signals and its exit code are its own.
    """
    from detour.ca import CAError, ensure_ca
    from detour.environment import client_key, variables
    from router_core.config.secrets import SecretError
    from router_core.paths import paths

    program = find_program(command[0])
    loaded = load(config)
    where = paths(loaded.config)
    try:
        ca = ensure_ca(loaded.config, loaded.registry)
        key = client_key(loaded.config)
    except (CAError, SecretError) as error:
        raise fail(str(error)) from None
    proxy = _proxy(loaded.path, where)
    environment = {**os.environ, **variables(proxy, ca, os.environ, key)}
    # Python ignores these two, which a command would inherit.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, command, environment)
    except OSError as error:
        raise fail(f"{command[0]}: cannot be run: {error.strerror}", NOT_EXECUTABLE) from None


def find_program(name: str) -> str:
    """The program's path, or the exit that a shell would take."""
    found = shutil.which(name)
    if found:
        return found
    if os.path.sep in name and Path(name).exists():
        raise fail(f"{name}: not executable", NOT_EXECUTABLE)
    raise fail(f"{name}: command not found", NOT_FOUND)


def _proxy(config: Path, where: Paths) -> str:
    """The proxy's address: of the instance that runs with the same configuration, else of a private one."""
    from detour import private, runtime

    running = runtime.read(where.runtime)
    if running and running.proxy and running.config == str(config.resolve()):
        return running.proxy
    try:
        started = private.start(config.resolve(), where.logs)
    except private.StartError as error:
        raise fail(f"a private instance could not be started:\n{error}") from None
    except OSError as error:
        raise fail(
            f"{error.filename or where.logs}: {error.strerror}; make it writable, or set data_dir"
        ) from None
    return started["proxy"]
