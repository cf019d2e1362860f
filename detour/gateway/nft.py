"""The nft program: scripts that it applies whole or not at all, and what the table holds now."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from detour.gateway.ruleset import REMOVAL, SETS, TABLE, Held, IPAddress

TIMEOUT: Final = 20.0
"""Seconds."""
CAP_NET_ADMIN: Final = 12
"""Bit of the capability to change the network (capabilities(7))."""


class NftError(Exception):
    """nft cannot be used, or refused a script; the message says why and what to do. Nothing was changed."""


class NoTable(NftError):
    """The table is not there: `detour gateway up` was not run, or something has removed it since."""


def program() -> str:
    """Path of the nft program. Raises NftError."""
    # Users' PATH often lacks the folders of the system's programs.
    found = shutil.which("nft", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if found is None:
        raise NftError("there is no nft program; install nftables (apt-get install nftables)")
    return found


def may_change() -> bool:
    """Whether this process may change the firewall."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return os.geteuid() == 0
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> CAP_NET_ADMIN & 1)


def apply(script: str) -> None:
    """Apply `script` as one transaction. Raises NftError."""
    _run("-f", "-", script=script)


def remove() -> None:
    """Remove the table, if it is there. Raises NftError."""
    apply(REMOVAL)


def tables() -> list[dict[str, Any]]:
    """Everything in every table, as nft describes it in JSON (libnftables-json(5)). Raises NftError."""
    return json.loads(_run("-j", "list", "ruleset"))["nftables"]


def held() -> Held | None:
    """What Detour's table holds now; None without one. Raises NftError."""
    try:
        document = json.loads(_run("-j", "list", "table", *TABLE.split()))["nftables"]
    except NoTable:
        return None
    counters = {
        each["counter"]["name"]: (each["counter"]["packets"], each["counter"]["bytes"])
        for each in document
        if "counter" in each
    }
    addresses = {
        address: left
        for each in document
        if "set" in each and each["set"]["name"] in SETS.values()
        for address, left in _elements(each["set"])
    }
    return Held(addresses, counters)


def _elements(described: dict[str, Any]) -> Iterator[tuple[IPAddress, float | None]]:
    for element in described.get("elem", ()):
        inner = element["elem"] if isinstance(element, dict) else {"val": element}
        yield ipaddress.ip_address(inner["val"]), inner.get("expires")


def _run(*args: str, script: str | None = None) -> str:
    command = [program(), *args]
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NftError(f"{command[0]} did not end within {TIMEOUT:.0f} s") from None
    except OSError as error:
        raise NftError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise refusal(done.stderr)
    return done.stdout


async def apply_soon(script: str) -> None:
    """`apply` for a running event loop."""
    process = await asyncio.create_subprocess_exec(
        program(),
        "-f",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            _, said = await process.communicate(script.encode())
    except TimeoutError:
        raise NftError(f"nft did not end within {TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise refusal(said.decode(errors="replace"))


def refusal(said: str) -> NftError:
    """What nft's own message means."""
    first = next((line.strip() for line in said.splitlines() if line.strip()), "no reason given")
    if "Operation not permitted" in said or "must be root" in said:
        return NftError("the firewall belongs to root; run this with sudo, or give CAP_NET_ADMIN")
    if "No such file or directory" in said:
        return NoTable("the rules are not in force; run `detour gateway up`")
    if "Could not process rule" in first or "Error:" in first:
        return NftError(f"nft refused the rules: {first.partition('Error: ')[2] or first}")
    return NftError(f"nft: {first}")
