"""The authority, checked by OpenSSL with leaf certificates that mitmproxy itself issues."""

from __future__ import annotations

import datetime
import logging
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from mitmproxy.certs import CertStore

from detour import ca
from detour.ca import CAError, CAPaths, ensure_ca
from router_core.config.schema import CA, Config

HOSTS = ("api.anthropic.com", "api.openai.com")


def ensure(folder: Path, *hosts: str, constrained: bool = True) -> CAPaths:
    config = Config(ca=CA(dir=str(folder / "ca"), name_constrained=constrained))
    return ensure_ca(config, SimpleNamespace(hosts=dict.fromkeys(hosts or HOSTS, ())), {})  # type: ignore[arg-type]


def handshake(found: CAPaths, host: str, trusted: Path | None = None) -> None:
    """A TLS handshake in memory with the leaf that mitmproxy issues for `host`. Raises ssl.SSLError."""
    store = CertStore.from_store(found.confdir, "mitmproxy", 2048)
    name: x509.GeneralName = x509.DNSName(host)
    if host[0].isdigit():
        import ipaddress

        name = x509.IPAddress(ipaddress.ip_address(host))
    entry = store.get_cert(host, [name])
    pem = found.confdir / "leaf.pem"
    key = entry.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(key + entry.cert.to_pem())
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    asking = ssl.create_default_context(cafile=str(trusted or found.cert_pem))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.getpeercert()


def test_a_host_of_the_registry_is_trusted(tmp_path):
    found = ensure(tmp_path)

    handshake(found, "api.anthropic.com")
    handshake(found, "api.openai.com")


@pytest.mark.parametrize(
    "host", ["example.com", "anthropic.com", "evilapi.anthropic.com.example", "192.0.2.1"]
)
def test_no_other_host_is(tmp_path, host):
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree violation"):
        handshake(ensure(tmp_path), host)


def test_without_the_constraint_any_host_is(tmp_path):
    handshake(ensure(tmp_path, constrained=False), "example.com")


def test_only_the_owner_may_read_the_key(tmp_path):
    found = ensure(tmp_path)

    assert stat.S_IMODE(found.key_pem.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.confdir.stat().st_mode) == 0o700
    assert b"PRIVATE" not in found.cert_pem.read_bytes()
    assert b"PRIVATE" not in found.bundle.read_bytes()


def test_a_key_that_others_can_read_is_closed_to_them(tmp_path, caplog):
    found = ensure(tmp_path)
    found.key_pem.chmod(0o644)

    ensure(tmp_path)

    assert stat.S_IMODE(found.key_pem.stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


@pytest.mark.parametrize(("mode", "told"), [(0o700, False), (0o770, True), (0o757, True), (0o1777, False)])
def test_a_folder_in_which_others_could_replace_the_key_is_named(tmp_path, caplog, mode, told):
    found = ensure(tmp_path)
    found.confdir.chmod(mode)

    ensure(tmp_path)

    assert (f"{found.confdir} can be written by others" in caplog.text) == told
    assert stat.S_IMODE(found.confdir.stat().st_mode) == mode


def test_a_key_that_is_gone_is_said_to_have_a_successor(tmp_path, caplog):
    found = ensure(tmp_path)
    earlier = found.cert_pem.read_bytes()
    found.key_pem.unlink()

    ensure(tmp_path)

    assert f"{found.key_pem} is gone" in caplog.text and "told anew" in caplog.text
    assert found.cert_pem.read_bytes() != earlier
    handshake(found, HOSTS[0])


def test_a_certificate_that_is_gone_comes_back(tmp_path, caplog):
    found = ensure(tmp_path)
    earlier = found.cert_pem.read_bytes()
    found.cert_pem.unlink()

    ensure(tmp_path)

    assert found.cert_pem.read_bytes() == earlier and caplog.text == ""


def test_a_certificate_that_signs_for_nobody_is_refused(tmp_path):
    found = ensure(tmp_path)
    key, authority = ca.load(found)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(authority.subject)
        .issuer_name(authority.subject)
        .serial_number(1)
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = found.key_pem.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
    found.key_pem.write_bytes(secret + leaf.public_bytes(serialization.Encoding.PEM))

    with pytest.raises(CAError, match=r"is no authority's .* move the file away"):
        ensure(tmp_path)


def test_a_second_call_changes_nothing(tmp_path):
    found = ensure(tmp_path)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in found.confdir.iterdir()}

    ensure(tmp_path)

    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in found.confdir.iterdir()} == before


def test_new_hosts_are_added_with_the_same_key(tmp_path, caplog):
    found = ensure(tmp_path)
    key, _ = ca.load(found)
    (tmp_path / "earlier.pem").write_bytes(found.cert_pem.read_bytes())

    ensure(tmp_path, *HOSTS, "openrouter.ai")

    assert "does not name openrouter.ai" in caplog.text
    assert ca.load(found)[1].public_key() == key.public_key()
    handshake(found, "openrouter.ai")
    # Who trusts the earlier certificate is not locked out of the hosts that it names.
    handshake(found, "api.openai.com", trusted=tmp_path / "earlier.pem")


def test_two_configurations_that_share_an_authority_do_not_take_turns(tmp_path, caplog):
    ensure(tmp_path, "a.example")
    ensure(tmp_path, "b.example")
    found = ensure(tmp_path, "a.example")
    caplog.clear()

    ensure(tmp_path, "b.example")

    assert ca.permitted(ca.load(found)[1]) == ("a.example", "b.example")
    assert caplog.text == ""


def test_an_address_can_be_a_host(tmp_path):
    found = ensure(tmp_path, "10.1.2.3", "a.example")

    handshake(found, "10.1.2.3")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(found, "10.1.2.4")


def test_ones_own_authority_is_left_as_it_is(tmp_path, caplog):
    folder = tmp_path / "ca"
    CertStore.create_store(folder, "mitmproxy", 2048)
    before = (folder / "mitmproxy-ca.pem").read_bytes()

    found = ensure(tmp_path)

    assert found.key_pem.read_bytes() == before
    handshake(found, "example.com")


def test_a_broken_file_is_named_with_the_remedy(tmp_path):
    found = ensure(tmp_path)
    found.key_pem.write_text("not a key")

    with pytest.raises(CAError, match=r"mitmproxy-ca\.pem: holds no .* move it away"):
        ensure(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "ca").write_text("a file, not a folder")

    with pytest.raises(CAError, match=r"/ca: .*name another folder with ca\.dir"):
        ensure(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_named_and_nothing_half_written_is_left(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(CAError, match=r"No space left on device; free some space .*ca\.dir"):
            ensure(tmp_path)
        left = [file.name for file in (tmp_path / "ca").iterdir() if file.stat().st_size]
        assert left == ["mitmproxy-ca.pem"]  # which is whole
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path)], check=True)

        found = ensure(tmp_path)

        assert found.cert_pem.read_bytes() in found.key_pem.read_bytes()
        handshake(found, "api.openai.com")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_clock_before_any_possible_time_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ca, "datetime", clock("1970-01-01T00:01:00+00:00"))

    with pytest.raises(CAError, match=r"clock says 1970-01-01.*set it"):
        ensure(tmp_path)

    assert not (tmp_path / "ca").exists()


def test_one_that_was_made_with_a_clock_ahead_is_issued_again(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(ca, "datetime", clock("2061-01-01T00:00:00+00:00"))
    found = ensure(tmp_path)
    key, _ = ca.load(found)
    monkeypatch.undo()

    ensure(tmp_path)

    assert "it is only valid from 2060-12-30: a clock was wrong" in caplog.text
    assert ca.load(found)[0].public_key() == key.public_key()
    handshake(found, "api.openai.com")


def clock(moment: str) -> SimpleNamespace:
    """The module `datetime` of a machine whose clock stands at `moment`."""

    class Stopped(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.fromisoformat(moment).astimezone(tz)

    return SimpleNamespace(datetime=Stopped, timedelta=datetime.timedelta, UTC=datetime.UTC)


def test_rotation_makes_another_key(tmp_path):
    found = ensure(tmp_path)
    before, _ = ca.load(found)
    config = Config(ca=CA(dir=str(tmp_path / "ca")))

    ca.rotate(config, SimpleNamespace(hosts=dict.fromkeys(HOSTS, ())), {})  # type: ignore[arg-type]

    assert ca.load(found)[0].public_key() != before.public_key()
    handshake(found, "api.openai.com")


def test_making_one_says_where(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    found = ensure(tmp_path)

    assert f"made a certificate authority in {found.confdir}" in caplog.text


def test_an_authority_near_its_end_is_issued_again(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(ca, "VALID", ca.RENEW)
    ensure(tmp_path)
    monkeypatch.undo()

    found = ensure(tmp_path)

    assert "it expires on" in caplog.text
    handshake(found, "api.openai.com")


def test_processes_that_start_at_once_share_one(tmp_path):
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.detour.test_ca import ensure\n"
        "print(ensure(Path(sys.argv[1])).key_pem.read_text())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    started = [
        subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) for _ in range(4)
    ]

    keys = {process.communicate()[0] for process in started}

    assert len(keys) == 1 and b"PRIVATE KEY" in keys.pop()
