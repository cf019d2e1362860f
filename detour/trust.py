"""Certificate stores that can be told to trust Detour's authority, as the commands that do it.

Sources: update-ca-certificates(8), update-ca-trust(8), security(1), certutil(1), keytool(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

type Command = tuple[str, ...]
type Kind = Literal["system", "nss", "java"]

KEYCHAIN: Final = "/Library/Keychains/System.keychain"
JAVA_PASSWORD: Final = "changeit"
"""Of every Java's own store, unless its administrator changed it."""


class TrustError(Exception):
    """The store cannot be changed; the message says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What is to be trusted. `name` is unique to the key, so that several can be told apart."""

    certificate: Path
    name: str
    sha1: str
    """Fingerprint in hexadecimal, as the macOS keychain names certificates."""

    @property
    def alias(self) -> str:
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Anchors:
    """A Linux distribution's folder of local authorities and the programs that take it in."""

    folder: str
    add: Command
    remove: Command


ANCHORS: Final = (
    # Debian, Ubuntu, Alpine
    Anchors(
        "/usr/local/share/ca-certificates", ("update-ca-certificates",), ("update-ca-certificates", "--fresh")
    ),
    # Fedora, RHEL
    Anchors(
        "/etc/pki/ca-trust/source/anchors", ("update-ca-trust", "extract"), ("update-ca-trust", "extract")
    ),
    # Arch
    Anchors("/etc/ca-certificates/trust-source/anchors", ("update-ca-trust",), ("update-ca-trust",)),
    # openSUSE
    Anchors("/etc/pki/trust/anchors", ("update-ca-certificates",), ("update-ca-certificates",)),
)

type Which = Callable[[str], str | None]


def succeeds(command: Command) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides how a store is changed; a value, so that other machines can be thought of."""

    platform: str = sys.platform
    root: Path = Path("/")
    home: Path = field(default_factory=Path.home)
    which: Which = shutil.which
    succeeds: Callable[[Command], bool] = succeeds
    """Asks a store whether it has something."""

    def plan(self, kind: Kind, authority: Authority, *, install: bool) -> list[Command]:
        """The commands that add `authority` to the stores of `kind`, or take it out. Raises TrustError."""
        plans = {"system": self._system, "nss": self._nss, "java": self._java}
        return list(plans[kind](authority, install))

    def _system(self, authority: Authority, install: bool) -> Iterator[Command]:
        if self.platform == "darwin":
            add = ("add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, str(authority.certificate))
            yield (
                "security",
                *(add if install else ("delete-certificate", "-t", "-Z", authority.sha1, KEYCHAIN)),
            )
            return
        found = [a for a in ANCHORS if (self.root / a.folder.lstrip("/")).is_dir() and self.which(a.add[0])]
        if not found:
            raise TrustError(
                "this system's store is not one that Detour knows; add the certificate as its documentation says "
                f"({authority.certificate})"
            )
        target = f"{found[0].folder}/{authority.alias}.crt"
        if install:
            yield ("install", "-m", "644", str(authority.certificate), target)
            yield found[0].add
        else:
            yield ("rm", "-f", target)
            yield found[0].remove

    def _nss(self, authority: Authority, install: bool) -> Iterator[Command]:
        """Firefox, and Chromium on Linux."""
        if not self.which("certutil"):
            raise TrustError(
                "certutil is not installed; it is in Debian's libnss3-tools and Fedora's nss-tools"
            )
        databases = self._nss_databases()
        if not databases:
            raise TrustError("there is no Firefox profile and no ~/.pki/nssdb; start the browser once")
        for folder in databases:
            base = ("certutil", "-d", f"sql:{folder}", "-n", authority.name)
            # One that was issued again has the same name, under which NSS would keep both.
            if self.succeeds((*base, "-L")):
                yield (*base, "-D")
            if install:
                yield (*base, "-A", "-t", "C,,", "-i", str(authority.certificate))

    def _nss_databases(self) -> list[Path]:
        patterns = (
            ".pki/nssdb/cert9.db",
            ".mozilla/firefox/*/cert9.db",
            "snap/firefox/common/.mozilla/firefox/*/cert9.db",
            ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db",
            "Library/Application Support/Firefox/Profiles/*/cert9.db",
        )
        return sorted(file.parent for pattern in patterns for file in self.home.glob(pattern))

    def _java(self, authority: Authority, install: bool) -> Iterator[Command]:
        if not self.which("keytool"):
            raise TrustError("keytool is not installed; it comes with Java")
        base = ("keytool", "-cacerts", "-storepass", JAVA_PASSWORD, "-alias", authority.alias)
        # keytool takes a name once only, also when the certificate was issued again.
        if self.succeeds((*base, "-list")):
            yield (*base, "-delete")
        if install:
            yield (*base, "-importcert", "-noprompt", "-file", str(authority.certificate))


def run(commands: list[Command], env: Mapping[str, str] = os.environ) -> None:
    """Run `commands` in order. Raises TrustError with the words of the first that fails."""
    for command in commands:
        try:
            done = subprocess.run(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            raise TrustError(f"{command[0]}: {error.strerror}") from None
        if done.returncode:
            raise TrustError(f"{command[0]} failed: {done.stdout.strip() or f'exit code {done.returncode}'}")
