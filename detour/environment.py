"""The variables that lead a command-line tool through Detour, and how each shell writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal
from urllib.parse import quote

from pydantic import SecretStr

from detour.bundle import ADDING, REPLACING
from detour.ca import CAPaths
from router_core.config.schema import Config
from router_core.config.secrets import resolve

type Shell = Literal["sh", "fish", "powershell"]

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "*": "127.0.0.1"}
"""Addresses that are listened on but cannot be connected to, and what stands for them on this machine."""


def reachable(address: str) -> str:
    """``HOST:PORT`` that a client on this machine connects to for a listener at `address`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    host = ANY.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_key(config: Config) -> SecretStr | None:
    """The key that the proxy asks for, None where it asks for none. Raises SecretError."""
    if not config.access.keys:
        return None
    return asyncio.run(resolve(config.access.keys[0].key))


def variables(
    proxy: str, ca: CAPaths, env: Mapping[str, str], key: SecretStr | None = None
) -> dict[str, str]:
    """The variables for a proxy that listens on `proxy` (``HOST:PORT``), over those of `env`."""
    user = f"detour:{quote(key.get_secret_value(), safe='')}@" if key else ""
    url = f"http://{user}{reachable(proxy)}"
    exempt = dict.fromkeys([*LOOPBACK, *_exempt(env)])
    # Tools differ in which case they read; curl reads only the lower one of http_proxy.
    found = {
        "HTTPS_PROXY": url,
        "HTTP_PROXY": url,
        "https_proxy": url,
        "http_proxy": url,
        "NO_PROXY": ",".join(exempt),
        "no_proxy": ",".join(exempt),
        # Node's own fetch, since Node 24.
        "NODE_USE_ENV_PROXY": "1",
    }
    return found | trusting(ca, env)


def trusting(ca: CAPaths, env: Mapping[str, str]) -> dict[str, str]:
    """The variables that name the authority alone, over those of `env`."""
    # A tool's own roots stay; the user's further ones are in the bundle.
    added = {ADDING: str(ca.bundle if env.get(ADDING) else ca.cert_pem)}
    return added | dict.fromkeys(REPLACING, str(ca.bundle))


def _exempt(env: Mapping[str, str]) -> list[str]:
    value = env.get("NO_PROXY") or env.get("no_proxy") or ""
    # A bare asterisk would exempt everything, which is not what somebody who asks for Detour means.
    return [name for part in value.split(",") if (name := part.strip()) not in ("", "*")]


def _sh(name: str, value: str) -> str:
    return "export {}='{}'".format(name, value.replace("'", "'\\''"))


def _fish(name: str, value: str) -> str:
    return "set -gx {} '{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))


def _powershell(name: str, value: str) -> str:
    # PowerShell takes the typographic quotes for quotes as well.
    for mark in "'\u2018\u2019\u201a\u201b":
        value = value.replace(mark, mark * 2)
    return f"$Env:{name} = '{value}'"


SHELLS: Final[dict[Shell, Callable[[str, str], str]]] = {"sh": _sh, "fish": _fish, "powershell": _powershell}


def assignments(found: Mapping[str, str], shell: Shell) -> str:
    """One assignment a line, for ``eval`` (or ``source``, ``Invoke-Expression``)."""
    return "".join(f"{SHELLS[shell](name, value)}\n" for name, value in found.items())
