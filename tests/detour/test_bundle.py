"""The bundle holds every root of the system and of the user once, then Detour's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from detour import bundle, ca


@pytest.fixture
def authority(tmp_path) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    file = tmp_path / "authority.pem"
    certificate = ca.issue(ec.generate_private_key(ec.SECP256R1()), ("a.example",))
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return file


def count(file: Path) -> int:
    return len(ssl.create_default_context(cafile=str(file)).get_ca_certs())


def test_the_public_roots_and_detours_are_trusted(tmp_path, authority):
    made = tmp_path / "detour" / "bundle.pem"
    made.parent.mkdir()

    bundle.write(made, authority, {})

    assert count(made) >= count(Path(certifi.where())) + 1
    assert made.read_bytes().endswith(authority.read_bytes())


def test_each_root_stands_there_once(tmp_path, authority):
    roots = bundle.roots({"SSL_CERT_FILE": certifi.where()}, tmp_path / "bundle.pem")

    assert len(roots) == len({b"".join(pem.split()) for pem in roots})
    assert roots == bundle.roots({}, tmp_path / "bundle.pem")


def test_what_the_user_trusts_stays_trusted(tmp_path, authority):
    corporate = tmp_path / "corporate.pem"
    corporate.write_bytes(b"# proxy of Example Corp\n" + authority.read_bytes())
    elsewhere = tmp_path / "detour" / "bundle.pem"

    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"):
        assert authority.read_bytes().strip() in bundle.roots({name: str(corporate)}, elsewhere)


def test_a_nested_run_does_not_take_in_an_earlier_bundle(tmp_path, authority):
    made = tmp_path / "bundle.pem"
    bundle.write(made, authority, {})
    first = made.read_bytes()

    bundle.write(made, authority, {"SSL_CERT_FILE": str(made), "NODE_EXTRA_CA_CERTS": str(authority)})

    assert made.read_bytes() == first


def test_a_variable_that_names_nothing_is_passed_over(tmp_path, authority):
    assert bundle.roots({"SSL_CERT_FILE": "/nonexistent.pem"}, tmp_path / "bundle.pem")
