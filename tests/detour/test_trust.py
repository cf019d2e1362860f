"""The commands that change certificate stores, on machines that need not be this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from detour import ca
from detour.trust import Authority, Machine, TrustError, run

AUTHORITY = Authority(Path("/home/ann/ca.pem"), "Detour CA 1a2b3c4d", "AA00")


def machine(
    tmp_path: Path,
    *folders: str,
    programs: tuple[str, ...] = (),
    platform: str = "linux",
    has_it: bool = False,
) -> Machine:
    """`has_it`: its stores have the authority already."""
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    return Machine(
        platform,
        tmp_path,
        tmp_path / "home",
        lambda name: name if name in programs else None,
        lambda command: has_it,
    )


@pytest.mark.parametrize(
    ("folder", "program", "added", "removed"),
    [
        (
            "usr/local/share/ca-certificates",
            "update-ca-certificates",
            ("update-ca-certificates",),
            ("update-ca-certificates", "--fresh"),
        ),
        (
            "etc/pki/ca-trust/source/anchors",
            "update-ca-trust",
            ("update-ca-trust", "extract"),
            ("update-ca-trust", "extract"),
        ),
        (
            "etc/ca-certificates/trust-source/anchors",
            "update-ca-trust",
            ("update-ca-trust",),
            ("update-ca-trust",),
        ),
        (
            "etc/pki/trust/anchors",
            "update-ca-certificates",
            ("update-ca-certificates",),
            ("update-ca-certificates",),
        ),
    ],
    ids=["debian", "fedora", "arch", "opensuse"],
)
def test_linux_systems(tmp_path, folder, program, added, removed):
    here = machine(tmp_path, folder, programs=(program,))
    file = f"/{folder}/detour-ca-1a2b3c4d.crt"

    assert here.plan("system", AUTHORITY, install=True) == [
        ("install", "-m", "644", "/home/ann/ca.pem", file),
        added,
    ]
    assert here.plan("system", AUTHORITY, install=False) == [("rm", "-f", file), removed]


def test_macos(tmp_path):
    here = machine(tmp_path, platform="darwin")
    keychain = "/Library/Keychains/System.keychain"

    assert here.plan("system", AUTHORITY, install=True) == [
        ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain, "/home/ann/ca.pem")
    ]
    assert here.plan("system", AUTHORITY, install=False) == [
        ("security", "delete-certificate", "-t", "-Z", "AA00", keychain)
    ]


def test_an_unknown_system_is_said(tmp_path):
    with pytest.raises(TrustError, match=r"not one that Detour knows.*/home/ann/ca\.pem"):
        machine(tmp_path).plan("system", AUTHORITY, install=True)


def test_every_profile_of_firefox_and_the_shared_database(tmp_path):
    here = machine(tmp_path, programs=("certutil",))
    for folder in (".mozilla/firefox/a.default", ".mozilla/firefox/b.work", ".pki/nssdb"):
        (here.home / folder).mkdir(parents=True)
        (here.home / folder / "cert9.db").touch()

    added = here.plan("nss", AUTHORITY, install=True)

    assert [command[2] for command in added] == [
        f"sql:{here.home}/.mozilla/firefox/a.default",
        f"sql:{here.home}/.mozilla/firefox/b.work",
        f"sql:{here.home}/.pki/nssdb",
    ]
    assert added[0][3:] == ("-n", "Detour CA 1a2b3c4d", "-A", "-t", "C,,", "-i", "/home/ann/ca.pem")
    assert here.plan("nss", AUTHORITY, install=False) == []


@pytest.mark.skipif(not shutil.which("certutil"), reason="certutil is not installed (Debian: libnss3-tools)")
def test_a_real_nss_store_has_one_that_was_issued_again_once(tmp_path):
    store = f"sql:{tmp_path / 'home' / '.pki' / 'nssdb'}"
    Path(store.removeprefix("sql:")).mkdir(parents=True)
    run([("certutil", "-N", "-d", store, "--empty-password")])
    here = Machine("linux", tmp_path, tmp_path / "home")
    key = ec.generate_private_key(ec.SECP256R1())

    for hosts in (("a.example",), ("a.example", "b.example")):
        issued = ca.issue(key, hosts)
        (tmp_path / "ca.pem").write_bytes(issued.public_bytes(serialization.Encoding.PEM))
        authority = Authority(tmp_path / "ca.pem", "Detour CA 1a2b3c4d", "AA00")
        run(here.plan("nss", authority, install=True))
    shown = subprocess.run(["certutil", "-L", "-d", store], capture_output=True, text=True).stdout
    pem = subprocess.run(
        ["certutil", "-L", "-d", store, "-n", authority.name, "-a"], capture_output=True
    ).stdout
    run(here.plan("nss", authority, install=False))
    left = subprocess.run(["certutil", "-L", "-d", store], capture_output=True, text=True).stdout

    assert shown.count(authority.name) == 1
    assert x509.load_pem_x509_certificate(pem) == issued
    assert authority.name not in left and here.plan("nss", authority, install=False) == []


def test_java(tmp_path):
    without = machine(tmp_path, programs=("keytool",))
    (added,) = without.plan("java", AUTHORITY, install=True)
    assert added[-3:] == ("-noprompt", "-file", "/home/ann/ca.pem") and "detour-ca-1a2b3c4d" in added
    assert without.plan("java", AUTHORITY, install=False) == []

    having = machine(tmp_path, programs=("keytool",), has_it=True)
    assert [command[-1] for command in having.plan("java", AUTHORITY, install=False)] == ["-delete"]
    again = having.plan("java", AUTHORITY, install=True)
    assert [command[-1] for command in again] == ["-delete", "/home/ann/ca.pem"]


@pytest.mark.parametrize(("kind", "word"), [("nss", "libnss3-tools"), ("java", "comes with Java")])
def test_a_missing_program_is_said_with_its_package(tmp_path, kind, word):
    with pytest.raises(TrustError, match=word):
        machine(tmp_path).plan(kind, AUTHORITY, install=True)


def test_a_browser_that_never_ran_is_said(tmp_path):
    with pytest.raises(TrustError, match="start the browser once"):
        machine(tmp_path, programs=("certutil",)).plan("nss", AUTHORITY, install=True)


def test_a_command_that_fails_ends_the_rest_and_is_quoted(tmp_path):
    mark = tmp_path / "mark"

    with pytest.raises(TrustError, match="sh failed: no room"):
        run([("sh", "-c", "echo no room; exit 3"), ("touch", str(mark))])
    with pytest.raises(TrustError, match="no-such-program: No such file"):
        run([("no-such-program",)])

    assert not mark.exists()


@pytest.mark.root
def test_a_real_debian_trusts_it_and_forgets_it_again(tmp_path):
    """In a mount namespace with copies of the store, so that nothing of it stays on this machine."""
    if os.geteuid() != 0 or not shutil.which("update-ca-certificates") or not shutil.which("unshare"):
        pytest.skip("needs root, Debian's ca-certificates and unshare")
    script = """set -e
for folder in /etc/ssl /usr/local/share; do
  cp -a $folder $COPY; mount -t tmpfs none $folder; cp -a $COPY/${folder##*/}/. $folder; rm -r $COPY/${folder##*/}
done
mkdir -p /usr/local/share/ca-certificates
detour() { "$PYTHON" -m detour ca "$@"; }
trusted() { openssl verify -CApath /etc/ssl/certs "$(detour path)" >/dev/null 2>&1 && echo trusted || echo unknown; }
trusted; detour install >&2; trusted; detour uninstall >&2; trusted
"""
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path / "home"),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "COPY": str(tmp_path),
    }

    shown = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=env, capture_output=True, text=True
    )

    if "unshare failed" in shown.stderr or "permission denied" in shown.stderr.lower():
        pytest.skip(f"mount namespaces are not possible here: {shown.stderr.strip()}")
    assert shown.stdout.split() == ["unknown", "trusted", "unknown"], shown.stderr
