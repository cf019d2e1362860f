"""Client keys: asked for on the gateway and on the proxy, taken where tools put them, never sent on."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from detour.fakes import FakeUpstream
from router_core.attempts import BURST
from tests.e2e.conftest import Start
from tests.e2e.instance import LEDGER, Detour, base_config
from tests.e2e.routes import eventually
from tests.e2e.wire import SHAPES, fresh_model
from tests.upstream import FakeThread

KEY = "client-secret"


@pytest.fixture(scope="module")
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start("keyed")


@pytest.fixture(scope="module")
def detour(fake: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detour]:
    config = base_config(ca_bundle) | {
        "access": {"keys": [{"name": "laptop", "key": "env:CLIENT"}]},
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "a", "provider": "anthropic", "api_key": "upstream-secret"}],
    }
    with Detour(config, tmp_path_factory.mktemp("keyed"), {"CLIENT": KEY}) as detour:
        yield detour


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "wrong"},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic eDp5"},
        {"authorization": f"Bearer {KEY}x"},
        {"x-api-key": ""},
    ],
    ids=repr,
)
def test_the_gateway_refuses_a_wrong_key(detour: Detour, fake: FakeUpstream, headers: dict[str, str]) -> None:
    before = len(fake.record.requests)
    _, _, body = SHAPES["anthropic"].request("m")
    for path in ("/v1/messages", "/anthropic/v1/messages"):
        answer = httpx.post(detour.gateway_url + path, headers=headers, json=body, trust_env=False)
        assert (answer.status_code, answer.headers["x-detour-error"]) == (401, "unauthorized")
        assert answer.json()["type"] == "error"
    assert len(fake.record.requests) == before


def test_health_needs_no_key(detour: Detour) -> None:
    assert httpx.get(detour.gateway_url + "/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize("place", ["x-api-key", "authorization", "x-goog-api-key", "api-key", "?key="])
def test_the_gateway_takes_a_key_where_tools_put_it(detour: Detour, fake: FakeUpstream, place: str) -> None:
    model = fresh_model()
    _, _, body = SHAPES["anthropic"].request(model)
    url = detour.gateway_url + "/anthropic/v1/messages"
    if place == "?key=":
        answer = httpx.post(f"{url}?key={KEY}", json=body, trust_env=False)
    else:
        value = f"Bearer {KEY}" if place == "authorization" else KEY
        answer = httpx.post(url, headers={place: value}, json=body, trust_env=False)
    assert answer.status_code == 200
    (seen,) = [r for r in fake.record.requests if r.model == model]
    assert seen.key == "upstream-secret"
    assert KEY not in repr(seen.headers) + seen.target


def test_the_proxy_asks_for_it(detour: Detour, fake: FakeUpstream) -> None:
    path, headers, body = SHAPES["anthropic"].request("m")
    before = len(fake.record.requests)
    with detour.client() as client, pytest.raises(httpx.ProxyError, match="407"):
        client.post(f"https://api.anthropic.com{path}", headers=headers, json=body)
    with detour.client() as client:
        answer = client.get("http://plain.test/")
    assert answer.status_code == 407
    assert answer.headers["proxy-authenticate"].startswith("Basic")
    assert answer.headers["x-detour-error"] == "unauthorized"
    assert "client key" in answer.json()["error"]["message"]
    assert len(fake.record.requests) == before


@pytest.mark.parametrize("user", ["laptop", "anybody", ""])
def test_the_proxy_takes_it_as_the_password(detour: Detour, fake: FakeUpstream, user: str) -> None:
    model = fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    proxy = detour.proxy_url.replace("//", f"//{user}:{KEY}@")
    with httpx.Client(verify=detour.tls(), proxy=proxy, trust_env=False) as client:
        assert client.post(f"https://api.anthropic.com{path}", headers=headers, json=body).status_code == 200
    (seen,) = [r for r in fake.record.requests if r.model == model]
    assert KEY not in repr(seen.headers)
    assert seen.header("proxy-authorization") is None


def test_the_clients_key_stays_out_of_the_log(detour: Detour) -> None:
    assert KEY not in detour.log.read_text()
    assert "upstream-secret" not in detour.log.read_text()


def ask(detour: Detour, key: str) -> httpx.Response:
    body = {"model": fresh_model(), "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{detour.gateway_url}/anthropic/v1/messages"
    return httpx.post(url, headers={"x-api-key": key} if key else {}, json=body, trust_env=False)


def connect(detour: Detour, key: str) -> str:
    """The head of the proxy's answer."""
    host, _, port = detour.proxy.rpartition(":")
    credential = base64.b64encode(f"detour:{key}".encode()).decode()
    with socket.create_connection((host, int(port)), 10) as proxy:
        lines = ["CONNECT api.anthropic.com:443 HTTP/1.1", "Host: api.anthropic.com:443"]
        lines += [f"Proxy-Authorization: Basic {credential}", "", ""]
        proxy.sendall("\r\n".join(lines).encode())
        return proxy.recv(4096).decode().lower()


def test_wrong_keys_are_limited_for_each_address(fake: FakeUpstream, ca_bundle: Path, tmp_path: Path) -> None:
    config = base_config(ca_bundle) | {
        "access": {"keys": [{"name": "laptop", "key": "env:CLIENT"}]},
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [{"id": "a", "provider": "anthropic", "api_key": "upstream-secret"}],
    }
    with Detour(config, tmp_path, {"CLIENT": KEY}) as detour:
        assert ask(detour, KEY).status_code == 200

        # On a slow machine some of them are forgiven meanwhile.
        answers = [ask(detour, "wrong") for _ in range(3 * BURST)]
        statuses = [answer.status_code for answer in answers]
        limited = next(answer for answer in answers if answer.status_code == 429)
        heads = [connect(detour, "wrong").split()[1] for _ in range(3 * BURST)]

        assert statuses[:BURST] == [401] * BURST
        assert set(statuses[BURST:]) >= {429}
        assert limited.headers["x-detour-error"] == "unauthorized"
        assert limited.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(limited.headers["retry-after"]) <= 6
        assert {"429"} <= set(heads) <= {"407", "429"}
        # Who came in before stays in, and who shows nothing is told what is wanted.
        assert ask(detour, KEY).status_code == 200
        assert connect(detour, KEY).startswith("http/1.1 200")
        assert ask(detour, "").status_code == 401
    assert detour.log.read_text().count("127.0.0.1 shows one wrong client key after the other") == 1


def test_the_certificate_needs_no_key(detour: Detour) -> None:
    with httpx.Client(proxy=detour.proxy_url, trust_env=False) as client:
        page = client.get("http://mitm.it/")
        pem = client.get("http://mitm.it/ca.pem")
        der = client.get("http://mitm.it/cert/cer")
        other = client.get("http://mitm.it/mitmproxy-ca.pem")
    certificate = x509.load_pem_x509_certificate(pem.content)
    assert pem.content == detour.ca_file.read_bytes()
    assert x509.load_der_x509_certificate(der.content) == certificate
    assert certificate.fingerprint(hashes.SHA256()).hex(":").upper() in page.text
    assert "api.anthropic.com" in page.text
    assert other.status_code == 404
    assert "PRIVATE" not in page.text + pem.text + other.text
    # On the gateway it is a name like any other.
    answer = httpx.get(f"{detour.gateway_url}/ca.pem", headers={"host": "mitm.it"}, trust_env=False)
    assert answer.status_code == 404


def test_an_api_key_of_the_clients_own_is_no_proxy_key(detour: Detour) -> None:
    """407 is asked by the proxy and answered to it; Authorization is between the client and its provider."""
    host, _, port = detour.proxy.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as proxy:
        proxy.sendall(
            b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n"
            + f"Authorization: Bearer {KEY}\r\nx-api-key: {KEY}\r\n\r\n".encode()
        )
        assert proxy.recv(4096).startswith(b"HTTP/1.1 407 ")


def test_clients_have_the_name_of_their_network(start: Start, fake: FakeUpstream) -> None:
    detour = start(
        access={"networks": [{"network": "127.0.0.0/8", "name": "desk"}]},
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[{"id": "a", "provider": "anthropic", "api_key": "upstream-secret"}],
        usage=LEDGER | {"budgets": [{"client": "desk", "per": "day", "tokens": 1, "action": "refuse"}]},
    )
    path, headers, body = SHAPES["anthropic"].request(fresh_model())
    with detour.client() as client:

        def ask(base: str) -> httpx.Response:
            return client.post(base + path, headers=headers, json=body)

        assert ask("https://api.anthropic.com").status_code == 200
        # The ledger's process counts it.
        eventually(lambda: "x-detour-error" in ask("https://api.anthropic.com").headers)
        refused = ask("https://api.anthropic.com")
    with httpx.Client(trust_env=False) as client:
        on_gateway = ask(f"{detour.gateway_url}/anthropic")
    for answer in (refused, on_gateway):
        assert answer.headers["x-detour-error"] == "budget_exceeded"
        assert "desk" in answer.json()["error"]["message"]
