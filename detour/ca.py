"""Detour's certificate authority, in the files that mitmproxy expects in its ``confdir``.

The certificate is name-constrained (RFC 5280, 4.2.1.10) to the hosts that Detour decrypts, so a stolen
key opens nothing else. When hosts are added it is issued again with the same name and key: clients that
trust the earlier certificate go on to trust every host that it named.
"""

from __future__ import annotations

import datetime
import errno
import ipaddress
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from detour import bundle
from detour.files import alone_in, write_atomic
from detour.trust import Authority
from router_core.config.schema import Config
from router_core.ownership import private_folder
from router_core.paths import paths

if TYPE_CHECKING:
    from router_core.providers.registry import Registry

logger = logging.getLogger(__name__)

NAME: Final = "Detour CA"
VALID: Final = datetime.timedelta(days=3650)
RENEW: Final = datetime.timedelta(days=60)
"""Rest of its life at which the certificate is issued again."""
BACKDATE: Final = datetime.timedelta(days=2)
"""For clients whose clock is behind; mitmproxy does the same."""

EARLIEST: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""Older than any moment at which this file can run; machines without a battery start in 1970."""

SIGNS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)

type Key = CertificateIssuerPrivateKeyTypes


class CAError(Exception):
    """The CA cannot be read or made; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class CAPaths:
    confdir: Path
    """mitmproxy's ``confdir``, mode 0700."""
    cert_pem: Path
    """The certificate alone."""
    bundle: Path
    """The system's roots and the certificate, for variables that replace the store."""

    @property
    def key_pem(self) -> Path:
        """Key and certificate, mode 0600."""
        return self.confdir / "mitmproxy-ca.pem"


def ca_paths(folder: Path) -> CAPaths:
    return CAPaths(folder, folder / "mitmproxy-ca-cert.pem", folder / "detour-bundle.pem")


def ensure_ca(config: Config, registry: Registry, env: Mapping[str, str] = os.environ) -> CAPaths:
    """The CA of `config`, made where there is none and issued again where it no longer fits.

    The bundle is brought up to date as well. Raises CAError.
    """
    return _ensure(config, registry, env, fresh=False)


def rotate(config: Config, registry: Registry, env: Mapping[str, str] = os.environ) -> CAPaths:
    """A new authority with a new key in the place of the one of `config`. Raises CAError."""
    return _ensure(config, registry, env, fresh=True)


def _ensure(config: Config, registry: Registry, env: Mapping[str, str], *, fresh: bool) -> CAPaths:
    found = ca_paths(paths(config, env).ca)
    hosts = intercepted(config, registry)
    if (now := datetime.datetime.now(datetime.UTC)) < EARLIEST:
        raise CAError(
            f"this machine's clock says {now:%Y-%m-%d}, and no certificate would be valid where the clock is right; "
            "set it, or switch on time synchronisation (NTP), and start again"
        )
    try:
        # Two that start at once must not each sign with a key of its own.
        with alone_in(private_folder(found.confdir)):
            _look_at(found.confdir)
            if fresh or not found.key_pem.exists():
                if not fresh and found.cert_pem.exists():
                    logger.warning(
                        "%s is gone, so a new authority takes the place of the one in %s; whatever trusted that one "
                        "has to be told anew",
                        found.key_pem,
                        found.cert_pem,
                    )
                key = ec.generate_private_key(ec.SECP256R1())
                _store(found, key, issue(key, hosts))
                logger.info("made a certificate authority in %s", found.confdir)
            else:
                _renew(found, hosts)
            bundle.write(found.bundle, found.cert_pem, env)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space on its disk" if full else "make the folder writable for you"
        raise CAError(
            f"{error.filename or found.confdir}: {error.strerror}; {remedy}, or name another folder with ca.dir"
        ) from None
    return found


def _look_at(folder: Path) -> None:
    mode = folder.stat().st_mode
    # In a sticky folder only the owner of a file can put another one in its place.
    if mode & 0o022 and not mode & stat.S_ISVTX:
        logger.warning(
            "%s can be written by others, who could put a key of their own there; chmod 700 it", folder
        )


def intercepted(config: Config, registry: Registry) -> tuple[str, ...] | None:
    """The hosts that the authority signs for, sorted; None for any."""
    return tuple(sorted({*registry.hosts, *config.capture.hosts})) if config.ca.name_constrained else None


def load(found: CAPaths) -> tuple[Key, x509.Certificate]:
    """Key and certificate. Raises CAError, OSError."""
    pem = found.key_pem.read_bytes()
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, TypeError, IndexError):
        raise CAError(
            f"{found.key_pem}: holds no unencrypted private key followed by its certificate; restore the "
            "file, or move it away and a new authority is made"
        ) from None
    if key.public_key() != certificate.public_key():
        raise CAError(
            f"{found.key_pem}: key and certificate do not belong together; restore the file or move it away"
        )
    if not _is_authority(certificate):
        raise CAError(
            f"{found.key_pem}: its certificate is no authority's (CA:TRUE), so nobody would accept what it signs; put "
            "one of an authority there, or move the file away and a new one is made"
        )
    return key, certificate  # type: ignore[return-value]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def issue(key: Key, hosts: tuple[str, ...] | None) -> x509.Certificate:
    """A self-signed authority for `key` that is valid for `hosts` only, or for any host when None."""
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # The key's own mark in the name keeps two authorities of one person apart in a certificate store.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NAME} {identifier.digest.hex()[:8]}")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(name)
        .issuer_name(name)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now - BACKDATE + VALID)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
    )
    if hosts is not None:
        builder = builder.add_extension(constraints(hosts), critical=True)
    return builder.sign(key, hashes.SHA256())


def constraints(hosts: Iterable[str]) -> x509.NameConstraints:
    """Permits exactly the names of `hosts` (which for a DNS name includes the names below it)."""
    names: list[x509.GeneralName] = []
    addresses: list[x509.GeneralName] = []
    for host in hosts:
        try:
            address = ipaddress.ip_network(host.strip("[]"))
        except ValueError:
            names.append(x509.DNSName(host.encode("idna").decode()))
            continue
        addresses.append(x509.IPAddress(address))
        # mitmproxy repeats the address as common name, which OpenSSL holds against the DNS names.
        names.append(x509.DNSName(str(address.network_address)))
    # A kind of name that is not mentioned would be unconstrained.
    excluded = [] if addresses else [x509.IPAddress(ipaddress.ip_network(n)) for n in ("0.0.0.0/0", "::/0")]
    return x509.NameConstraints([*(names or [x509.DNSName("invalid")]), *addresses], excluded or None)


def permitted(certificate: x509.Certificate) -> tuple[str, ...] | None:
    """The hosts that `certificate` is constrained to, sorted; None when it is not constrained."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    names = {str(name.value).partition("/")[0] for name in found.permitted_subtrees or ()}
    return tuple(sorted(names - {"invalid"}))


def describe(found: CAPaths) -> dict[str, Any]:
    """What there is to know about the authority, as plain values. Raises CAError, OSError."""
    _, certificate = load(found)
    hosts = permitted(certificate)
    return {
        "name": certificate.subject.rfc4514_string(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        "from": f"{certificate.not_valid_before_utc:%Y-%m-%d}",
        "until": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        "certificate": str(found.cert_pem),
        "bundle": str(found.bundle),
        "hosts": None if hosts is None else list(hosts),
    }


def authority(found: CAPaths) -> Authority:
    """The authority as certificate stores know it. Raises CAError, OSError."""
    _, certificate = load(found)
    name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return Authority(found.cert_pem, str(name), certificate.fingerprint(hashes.SHA1()).hex().upper())


def is_ours(certificate: x509.Certificate) -> bool:
    """Whether Detour made `certificate`; one that its owner put there is never replaced."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).startswith(NAME) for name in names)


def _renew(found: CAPaths, hosts: tuple[str, ...] | None) -> None:
    key, certificate = load(found)
    if found.key_pem.stat().st_mode & 0o077:
        found.key_pem.chmod(0o600)
        logger.warning("%s could be read by others; its mode is 0600 now", found.key_pem)
    reason = unfit(certificate, hosts)
    if reason and is_ours(certificate):
        # Names are only added: another configuration may share this authority, and two that take turns
        # must not take each other's hosts away.
        certificate = issue(key, hosts and tuple(sorted({*hosts, *(permitted(certificate) or ())})))
        _store(found, key, certificate)
        logger.warning(
            "issued the certificate authority again (%s); the key is the same. Where %s is installed in a "
            "store, install it anew; tools that are running see it after a restart",
            reason,
            found.cert_pem,
        )
    elif reason:
        logger.warning("%s is your own authority and is left as it is, although: %s", found.key_pem, reason)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if not found.cert_pem.exists() or found.cert_pem.read_bytes() != pem:
        write_atomic(found.cert_pem, pem, 0o644)


def unfit(certificate: x509.Certificate, hosts: tuple[str, ...] | None) -> str | None:
    """Why `certificate` no longer fits `hosts` (None: any host), or None."""
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_before_utc > now:
        return f"it is only valid from {certificate.not_valid_before_utc:%Y-%m-%d}: a clock was wrong, or is"
    if certificate.not_valid_after_utc - now < RENEW:
        word = "expires" if certificate.not_valid_after_utc > now else "expired"
        return f"it {word} on {certificate.not_valid_after_utc:%Y-%m-%d}"
    allowed = permitted(certificate)
    if hosts is None:
        return None if allowed is None else "it is constrained to names and ca.name_constrained is off"
    if allowed is None:
        # Whoever switched the constraint on wants it, but their own authority needs none.
        return "it is not constrained to names" if is_ours(certificate) else None
    missing = sorted(set(hosts) - set(allowed))
    return f"it does not name {', '.join(missing)}" if missing else None


def _store(found: CAPaths, key: Key, certificate: x509.Certificate) -> None:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    write_atomic(found.key_pem, secret + public, 0o600)
    write_atomic(found.cert_pem, public, 0o644)
