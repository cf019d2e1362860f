"""Every built-in provider on its real host: its paths are recognised and its credential is put where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from detour.fakes import FakeUpstream
from router_core.formats import Operation
from router_core.providers.model import Endpoint, Provider
from router_core.providers.registry import Registry, load_builtin
from tests.e2e.instance import TIMEOUT, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PROVIDERS = {name: p for name, p in Registry.build(load_builtin()).providers.items() if p.hosts and p.auth}
CASES = [
    (provider, endpoint)
    for provider in PROVIDERS.values()
    for endpoint in provider.endpoints
    # Code Assist wraps Gemini's requests in an envelope of its own.
    if Operation.GENERATE in endpoint.operations and not endpoint.paths
]
CLIENT_KEY = "the-clients-own-key"


@dataclass
class Setup:
    detour: Detour
    fake: FakeUpstream


@pytest.fixture(scope="module")
def setup(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    fake = fakes.start("registry", lenient=True)
    config = base_config(ca_bundle)
    config["providers"] = {name: {"base_url": f"{fake.origin}/up/{name}"} for name in PROVIDERS}
    config["credentials"] = [
        {"id": name, "provider": name, "api_key": f"secret-of-{name}"} for name in PROVIDERS
    ]
    with Detour(config, tmp_path_factory.mktemp("registry")) as detour:
        yield Setup(detour, fake)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(
    ("provider", "endpoint"), CASES, ids=[f"{p.name}-{e.format.value}" for p, e in CASES]
)
def test_a_request_to_the_real_host_is_routed(
    setup: Setup, provider: Provider, endpoint: Endpoint, stream: bool
) -> None:
    model = f"model-of-{provider.name}"
    _, headers, body = SHAPES[endpoint.format].request(model, stream=stream, key=CLIENT_KEY)
    routes = [path for method, path in endpoint.routes(Operation.GENERATE) if method == "POST"]
    route = routes[-1 if stream else 0].format(model=model)
    query = "?alt=sse" if stream and ":" in route else ""
    before = len(setup.fake.record.requests)
    with setup.detour.client(http2=True) as client:
        answer = client.post(
            f"https://{provider.hosts[0]}{endpoint.root}{route}{query}", headers=headers, json=body
        )
    assert answer.status_code == 200, answer.text
    assert "Hello " in answer.text
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")

    (seen,) = list(setup.fake.record.requests)[before:]
    assert seen.path.startswith(f"/up/{provider.name}/")
    assert seen.path.endswith(route)
    for auth in provider.auth:
        assert seen.header(auth.header) == auth.value(f"secret-of-{provider.name}")
    assert CLIENT_KEY not in seen.target + repr(seen.headers)


@pytest.mark.parametrize(
    ("provider", "endpoint"), CASES, ids=[f"{p.name}-{e.format.value}" for p, e in CASES]
)
def test_the_gateway_pins_it_by_name(setup: Setup, provider: Provider, endpoint: Endpoint) -> None:
    path, headers, body = SHAPES[endpoint.format].request("any-model", key=CLIENT_KEY)
    before = len(setup.fake.record.requests)
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        answer = client.post(f"{setup.detour.gateway_url}/{provider.name}{path}", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    (seen,) = list(setup.fake.record.requests)[before:]
    assert seen.path.startswith(f"/up/{provider.name}/")
    assert CLIENT_KEY not in seen.target + repr(seen.headers)
