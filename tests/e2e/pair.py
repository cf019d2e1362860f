"""Providers with two credentials each: ``bad`` is preferred and meets a fault, ``good`` does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detour.fakes import FakeUpstream, Fault
from detour.fakes.record import SeenRequest
from tests.e2e.instance import SHORT, Detour, base_config
from tests.upstream import FakeThread


@dataclass(frozen=True)
class Pair:
    detour: Detour
    fake: FakeUpstream
    name: str
    """Of the provider, and the first label of its host."""

    @property
    def host(self) -> str:
        return f"{self.name}.test"

    def seen(self, credential: str) -> list[SeenRequest]:
        return self.fake.record.with_key(secret(credential, self.name))


@contextmanager
def serve_pairs(
    fakes: FakeThread,
    ca_bundle: Path,
    folder: Path,
    faults: Mapping[str, tuple[str, Fault]],
    **changes: dict[str, Any],
) -> Iterator[dict[str, Pair]]:
    """One Detour with a pair for each of `faults`: by the provider's name, its format and what befalls ``bad``."""
    fake = fakes.start("pairs")
    config = base_config(ca_bundle)
    config["upstream"] |= SHORT
    for section, values in changes.items():
        config[section] = {**config.get(section, {}), **values}
    for name, (format, fault) in faults.items():
        config["providers"][name] = {
            "format": format,
            "hosts": [f"{name}.test"],
            "base_url": fake.base_url(format),
            "websocket": format == "openai-responses",
        }
        config["credentials"] += [
            {"id": f"{name}-{which}", "provider": name, "api_key": secret(which, name), "priority": priority}
            for which, priority in (("bad", 1), ("good", 0))
        ]
        fake.script.add(fault, key=secret("bad", name))
    with Detour(config, folder) as detour:
        yield {name: Pair(detour, fake, name) for name in faults}


def secret(credential: str, provider: str) -> str:
    return f"secret-{credential}-{provider}"
