"""``detour exec``: run a command whose AI traffic goes through Detour."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
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
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="Capture CMD by its process, for tools that heed no proxy variable; Linux 6.8, root.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run CMD with its traffic led through Detour; a private instance is started when none is running.

    CMD takes this process's place: its signals and its exit code are its own.
    """
    from detour.ca import CAError, ensure_ca
    from detour.environment import client_key, trusting, variables
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
    if local:
        _capture(loaded.path, where)
        found = trusting(ca, os.environ)
    else:
        found = variables(_proxy(loaded.path, where), ca, os.environ, key)
    environment = {**os.environ, **found}
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


def _capture(config: Path, where: Paths) -> None:
    """Have a private instance capture this process, whose place the command takes."""
    from detour.local import Machine

    machine = Machine()
    if problem := machine.problem():
        raise fail(problem)
    if leading := [name for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)]:
        print(f"detour: {leading[0]} is set; what goes through that proxy is not captured", file=sys.stderr)
    try:
        path = machine.path(where.state / "local", os.environ.get("PATH", os.defpath))
    except OSError as error:
        raise fail(f"{error.filename}: {error.strerror}") from None
    _start(config, where, ["--local"], path)


def _start(
    config: Path, where: Paths, options: Sequence[str] = (), path: str | None = None
) -> dict[str, str]:
    """The addresses of a private instance."""
    from detour import private

    try:
        return private.start(config.resolve(), where.logs, options, path).addresses
    except private.StartError as error:
        # The kernel's own words about eBPF fill screens; the last line is Detour's.
        said = f" {str(error).splitlines()[-1]}" if "--local" in options else f"\n{error}"
        raise fail(f"a private instance could not be started:{said}") from None
    except OSError as error:
        raise fail(
            f"{error.filename or where.logs}: {error.strerror}; make it writable, or set data_dir"
        ) from None


def _proxy(config: Path, where: Paths) -> str:
    """The proxy's address: of the instance that runs with the same configuration, else of a private one."""
    from detour import runtime

    running = runtime.read(where.runtime)
    if running and running.proxy and running.config == str(config.resolve()):
        return running.proxy
    return _start(config, where)["proxy"]
