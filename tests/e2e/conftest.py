"""One real Detour for all tests that leave it healthy; a test that makes credentials fail starts its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detour.fakes import FakeUpstream
from tests.e2e.instance import LEDGER, Detour, base_config
from tests.e2e.routes import TokenEndpoint
from tests.upstream import FakeThread

type Start = Callable[..., Detour]


@dataclass(frozen=True, slots=True)
class House:
    """A Detour and the fake providers behind it; `fake` is by provider, formats share openai's."""

    detour: Detour
    anthropic: FakeUpstream
    openai: FakeUpstream
    gemini: FakeUpstream
    own: FakeUpstream
    """The real host of the provider ``own``, whose name is ``localhost``."""

    def fake(self, format: str) -> FakeUpstream:
        return getattr(self, format.partition("-")[0])

    def host(self, format: str) -> str:
        return {
            "anthropic": "api.anthropic.com",
            "gemini": "generativelanguage.googleapis.com",
        }.get(format, "api.openai.com")


@pytest.fixture(scope="session")
def ca_bundle(fakes: FakeThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.ca.write(tmp_path_factory.mktemp("fakes") / "ca.pem")


@pytest.fixture(scope="session")
def house(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Anthropic, OpenAI and Gemini with one credential each, and ``own``, which has none."""
    upstreams = {name: fakes.start(name) for name in ("anthropic", "openai", "gemini", "own")}
    config = base_config(ca_bundle)
    # Long enough for a hundred streams on a busy machine; nothing here waits for them.
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "30s", "idle_timeout": "30s"}
    config["providers"] = {
        "anthropic": {"base_url": upstreams["anthropic"].base_url("anthropic")},
        "openai": {"base_url": upstreams["openai"].base_url("openai-chat")},
        "gemini": {"base_url": upstreams["gemini"].base_url("gemini")},
        "own": {
            "format": "anthropic",
            "hosts": ["localhost"],
            "base_url": upstreams["own"].base_url("anthropic"),
        },
    }
    config["usage"] = LEDGER
    config["credentials"] = [
        {"id": f"{name}-1", "provider": name, "api_key": f"env:KEY_{name.upper()}"}
        for name in ("anthropic", "openai", "gemini")
    ]
    env = {f"KEY_{name.upper()}": f"secret-{name}" for name in ("anthropic", "openai", "gemini")}
    with Detour(config, tmp_path_factory.mktemp("detour"), env) as detour:
        yield House(detour, **upstreams)


@pytest.fixture
def start(ca_bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Start an instance of this test's own: ``start(providers={...}, credentials=[...], ...)``."""
    with ExitStack() as stack:

        def begin(env: dict[str, str] | None = None, **changes: Any) -> Detour:
            config = base_config(ca_bundle)
            for key, value in changes.items():
                config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
            return stack.enter_context(Detour(config, tmp_path, env))

        yield begin


@pytest.fixture
def tokens() -> Iterator[TokenEndpoint]:
    server = TokenEndpoint()
    yield server
    server.shutdown()
    server.server_close()
