"""The combined bundle: every root that the system trusts, and Detour's authority.

Variables such as ``SSL_CERT_FILE`` replace a tool's store. Since Detour tunnels every host that it does
not decrypt, such a tool needs the real roots too.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from detour.files import write_atomic

REPLACING: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CODEX_CA_CERTIFICATE",
)
"""Variables that name a tool's whole store."""
ADDING: Final = "NODE_EXTRA_CA_CERTS"
"""The variable that names roots besides a tool's own."""

STORES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "/var/lib/ca-certificates/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
KEYCHAINS: Final = (
    "/System/Library/Keychains/SystemRootCertificates.keychain",
    "/Library/Keychains/System.keychain",
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


def _certificates(files: Iterable[str | Path]) -> Iterator[bytes]:
    for file in files:
        try:
            yield from _CERTIFICATE.findall(Path(file).read_bytes())
        except OSError:
            continue


def _platform() -> Iterator[bytes]:
    defaults = ssl.get_default_verify_paths()
    # The compiled-in file, since `cafile` is what SSL_CERT_FILE says.
    yield from _certificates([*STORES, defaults.openssl_cafile])
    if sys.platform == "darwin":
        # The keychains hold what an administrator added; macOS has no file with it.
        command = ["security", "find-certificate", "-a", "-p", *KEYCHAINS]
        yield from _CERTIFICATE.findall(subprocess.run(command, capture_output=True, check=False).stdout)


def _users(env: Mapping[str, str], own: Path) -> Iterator[str]:
    for name in (*REPLACING, ADDING):
        value = env.get(name)
        # Inside `detour exec` the variables name Detour's own files, perhaps of an earlier authority.
        if value and Path(value).absolute().parent != own.absolute().parent:
            yield value


def roots(env: Mapping[str, str], own: Path) -> list[bytes]:
    """The roots as PEM blocks, each once: certifi's, the platform's, and those that `env` names."""
    import certifi

    found = [*_certificates([certifi.where()]), *_platform(), *_certificates(_users(env, own))]
    return list({b"".join(pem.split()): pem for pem in found}.values())


def write(path: Path, certificate: Path, env: Mapping[str, str]) -> None:
    """Bring the bundle at `path` up to date: the roots, then `certificate`. Raises OSError."""
    content = b"\n".join([*roots(env, path), certificate.read_bytes()])
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content, 0o644)
