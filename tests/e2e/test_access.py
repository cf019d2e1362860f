"""Client keys: asked for on the gateway and on the proxy, taken where tools put them, never sent on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import Detour, base_config
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
