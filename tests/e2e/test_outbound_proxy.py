"""Upstream traffic through an outbound proxy: for all, for one credential, or for none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import SHAPES, fresh_model
from tests.upstream import FakeThread
from tests.upstream.connect_proxy import ConnectProxy

PASSWORD = "s3cret/@:password"
QUOTED = "s3cret%2F%40%3Apassword"


@dataclass
class Setup:
    detour: Detour
    fake: FakeUpstream
    proxy: ConnectProxy


@pytest.fixture(scope="module")
def setup(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    fake, proxy = fakes.start("behind"), fakes.start_proxy("detour", PASSWORD)
    closed = fakes.start("no-proxy", listener="refuse")
    url = f"http://detour:{QUOTED}@127.0.0.1:{proxy.port}"
    proxies = {
        "through": [url],
        "direct": ["direct"],
        "wrong": [f"http://detour:wrong@127.0.0.1:{proxy.port}", "direct"],
        "gone": [f"http://127.0.0.1:{closed.port}", url],
    }
    config = base_config(ca_bundle)
    for name, urls in proxies.items():
        config["providers"][name] = {
            "format": "anthropic",
            "hosts": [f"{name}.test"],
            "base_url": fake.base_url("anthropic"),
        }
        config["credentials"] += [
            {
                "id": f"{name}-{n}",
                "provider": name,
                "api_key": f"secret-{name}-{n}",
                "priority": -n,
                "proxy": url,
            }
            for n, url in enumerate(urls)
        ]
    with Detour(config, tmp_path_factory.mktemp("outbound")) as detour:
        detour.secrets.append(PASSWORD)
        yield Setup(detour, fake, proxy)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize(
    ("name", "credential", "through", "refused"),
    [("through", 0, 1, 0), ("direct", 0, 0, 0), ("wrong", 1, 0, 1), ("gone", 1, 1, 0)],
)
def test_each_credential_takes_its_own_way_out(
    setup: Setup, name: str, credential: int, through: int, refused: int, http2: bool
) -> None:
    model = fresh_model()
    seen, turned_away = len(setup.proxy.seen), len(setup.proxy.refused)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    with setup.detour.client(http2=http2) as client:
        answer = client.post(f"https://{name}.test{path}", headers=headers, json=body)
    assert answer.status_code == 200
    assert answer.text.endswith('data: {"type":"message_stop"}\n\n')
    (request,) = [r for r in setup.fake.record.requests if r.model == model]
    assert request.key == f"secret-{name}-{credential}"
    assert request.header("proxy-authorization") is None
    assert len(setup.proxy.seen) - seen == through
    if not http2:
        # By the second time the refused credential rests.
        assert len(setup.proxy.refused) - turned_away == refused
