"""Two credentials of one provider: ``bad`` is preferred, and what befalls it is up to the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from detour.fakes import FakeUpstream, Fault
from detour.fakes.record import SeenRequest
from tests.e2e.conftest import Start
from tests.e2e.instance import Detour
from tests.upstream import FakeThread

HOSTS = {"anthropic": "api.anthropic.com", "openai": "api.openai.com"}


@dataclass(frozen=True)
class Pair:
    detour: Detour
    fake: FakeUpstream
    provider: str

    @property
    def host(self) -> str:
        return HOSTS[self.provider]

    def seen(self, name: str) -> list[SeenRequest]:
        return self.fake.record.with_key(f"secret-{name}")


def start_pair(
    start: Start, fakes: FakeThread, fault: Fault, provider: str = "anthropic", **changes: Any
) -> Pair:
    fake = fakes.start("pair")
    fake.script.add(fault, key="secret-bad")
    format = "openai-chat" if provider == "openai" else provider
    detour = start(
        providers={provider: {"base_url": fake.base_url(format)}},
        credentials=[
            {"id": "bad", "provider": provider, "api_key": "secret-bad", "priority": 1},
            {"id": "good", "provider": provider, "api_key": "secret-good"},
        ],
        **changes,
    )
    return Pair(detour, fake, provider)
