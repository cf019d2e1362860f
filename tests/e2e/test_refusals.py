"""Clients that do not trust Detour's authority: named in the log, and let through after a while."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from detour.fakes import FakeUpstream
from tests.e2e.conftest import Start
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import tunnel
from tests.upstream import FakeThread

REFUSALS = 2

NODE = """
const http = require('http'), tls = require('tls'), fs = require('fs');
const [host, port] = process.argv[2].split(':');
http.request({host, port, method: 'CONNECT', path: process.argv[3]}).on('connect', (_, socket) => {
  const secure = tls.connect({socket, servername: 'localhost', ca: fs.readFileSync(process.argv[4])}, () => {
    console.log(secure.getPeerCertificate().issuer.CN); secure.end();
  });
  secure.on('error', error => { console.log(error.code); process.exit(60); });
}).end();
"""

type Ask = Callable[[Detour, int, Path], str]
"""Speaks TLS to localhost:PORT through a Detour, trusting only the authorities of a file. Returns the issuer
of the certificate that it accepted, or the error."""


def by_curl(detour: Detour, port: int, trusted: Path) -> str:
    command = ["curl", "-sv", "--cacert", str(trusted), "-x", detour.proxy_url, f"https://localhost:{port}/"]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=180, env={"PATH": "/usr/bin:/bin"}
    )
    return shown.stderr


def by_node(detour: Detour, port: int, trusted: Path) -> str:
    script = trusted.parent / "ask.cjs"
    script.write_text(NODE)
    command = ["node", str(script), detour.proxy, f"localhost:{port}", str(trusted)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180).stdout


def by_closing(detour: Detour, port: int, trusted: Path) -> str:
    """As Python's asyncio does: OpenSSL's alert stays in a buffer that nobody sends."""
    context = ssl.create_default_context(cafile=str(trusted))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with tunnel(detour.proxy, f"localhost:{port}") as raw:
        while True:
            try:
                tls.do_handshake()
                raw.sendall(outgoing.read())
                return str(tls.getpeercert())
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
            except ssl.SSLCertVerificationError as error:
                return str(error)


def by_leaving(detour: Detour, port: int, trusted: Path) -> str:
    """As clients do that look at the certificate when the handshake is complete."""
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(tunnel(detour.proxy, f"localhost:{port}"), server_hostname="localhost") as tls:
        shown = x509.load_der_x509_certificate(tls.getpeercert(True) or b"")
    return shown.issuer.rfc4514_string()


@pytest.fixture(scope="module")
def origin(fakes: FakeThread) -> Iterator[FakeUpstream]:
    fake = fakes.start("anthropic")
    yield fake
    fakes.stop(fake)


def config(origin: FakeUpstream, **ca: Any) -> dict[str, Any]:
    own = {"format": "anthropic", "hosts": ["localhost"], "base_url": origin.base_url("anthropic")}
    return {"providers": {"own": own}, "ca": ca}


@pytest.fixture(scope="module")
def serving(
    origin: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Detour]:
    changes = config(origin, refusals=REFUSALS, tunnel_for="1h")
    with Detour(base_config(ca_bundle) | changes, tmp_path_factory.mktemp("refused")) as detour:
        yield detour


@pytest.fixture
def detour(serving: Detour) -> Detour:
    """One that knows of no refusals."""
    assert admin(serving, "POST", "/api/v1/refusals/forget") == {"refusals": []}
    return serving


def admin(detour: Detour, method: str, path: str) -> dict[str, Any]:
    token = (detour.folder / "data" / "admin-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.request(method, f"http://{detour.admin}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusals(detour: Detour) -> list[dict[str, Any]]:
    return admin(detour, "GET", "/api/v1/refusals")["refusals"]


def wait_for(found: Callable[[], list]) -> list:
    """The refusal is noticed when the connection has ended, which the client does not wait for."""
    deadline = time.monotonic() + 60
    while not (it := found()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return it


@pytest.mark.parametrize(
    "ask, remedy",
    [
        pytest.param(
            by_curl,
            "CURL_CA_BUNDLE",
            marks=pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
        ),
        pytest.param(
            by_node,
            "NODE_EXTRA_CA_CERTS",
            marks=pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
        ),
        (by_closing, "SSL_CERT_FILE"),
    ],
    ids=["curl", "node", "closing"],
)
def test_a_client_that_refuses_is_let_through_after_a_while(
    detour: Detour, origin: FakeUpstream, ca_bundle: Path, ask: Ask, remedy: str, tmp_path: Path
) -> None:
    trusted = shutil.copy(ca_bundle, tmp_path / "trusted.pem")
    before = len(detour.log.read_text())
    for number in range(1, REFUSALS + 1):
        assert "Detour fake providers" not in ask(detour, origin.port, trusted)
        (entry,) = wait_for(lambda n=number: [r for r in refusals(detour) if r["count"] == n])
        assert entry["host"] == "localhost"

    shown = ask(detour, origin.port, trusted)

    assert "Detour fake providers" in shown
    assert entry["tunnelled_for"] > 3000
    told = f"{REFUSALS} times in a row: its connections there are tunnelled for 1h"
    assert wait_for(lambda: [told] if told in detour.log.read_text()[before:] else [])
    log = detour.log.read_text()[before:]
    assert remedy in log
    assert "Client TLS handshake failed" not in log


def test_one_that_only_looks_at_the_certificate_goes_on_being_decrypted(
    detour: Detour, origin: FakeUpstream, ca_bundle: Path
) -> None:
    for _ in range(REFUSALS + 2):
        assert "Detour fake providers" not in by_leaving(detour, origin.port, ca_bundle)
    assert refusals(detour) == []


def test_another_program_of_the_same_machine_is_decrypted_all_the_while(
    detour: Detour, origin: FakeUpstream, ca_bundle: Path
) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for _ in range(REFUSALS + 1):
        shown = by_curl(detour, origin.port, ca_bundle)
    assert "Detour fake providers" in shown

    with detour.client() as client:
        answer = client.post(f"https://localhost:{origin.port}/v1/messages", json={"model": "m"})

    assert answer.headers["x-detour-id"]


def test_one_that_accepts_begins_anew(detour: Detour, origin: FakeUpstream, ca_bundle: Path) -> None:
    by_closing(detour, origin.port, ca_bundle)
    assert wait_for(lambda: refusals(detour))

    with detour.client() as client:
        assert client.get(f"https://localhost:{origin.port}/nothing").status_code == 404

    assert refusals(detour) == []
    told = "trusts Detour's authority for localhost now"
    assert wait_for(lambda: [told] if told in detour.log.read_text() else [])


@pytest.mark.parametrize("change", ["disabled", "reject"])
def test_what_must_not_pass_is_never_tunnelled(
    start: Start, origin: FakeUpstream, ca_bundle: Path, change: str
) -> None:
    changes = config(origin, refusals=1)
    if change == "disabled":
        changes["providers"]["own"]["enabled"] = False
    else:
        changes["routing"] = {"unconfigured": "reject"}
    detour = start(**changes)
    for number in (1, 2):
        assert "Detour fake providers" not in by_closing(detour, origin.port, ca_bundle)
        assert wait_for(lambda n=number: [r for r in refusals(detour) if r["count"] == n])
