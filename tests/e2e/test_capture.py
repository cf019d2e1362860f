"""What is recorded of real traffic through a real Detour."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from detour.fakes import Fault
from router_core.capture.folder import paths
from router_core.capture.record import Record, read
from tests.e2e.instance import Detour
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PATIENCE = 10.0


def records(detour: Detour, count: int) -> list[Record]:
    """The finished records, when there are `count`."""
    folder = detour.folder / "data" / "captures"
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [read(path) for path in paths(folder)]
        if len(found) >= count and all(r.end for r in found):
            return found
        assert time.monotonic() < deadline, [(r.opening, r.end) for r in found]
        time.sleep(0.05)


@pytest.fixture
def recording(start: Callable[..., Detour], fakes: FakeThread):
    """An instance that records everything, with two credentials of one provider; and that provider."""

    def begin(**capture):
        fake = fakes.start("anthropic")
        detour = start(
            {"KEY_A": "sk-ant-api03-planted-A", "KEY_B": "sk-ant-api03-planted-B"},
            providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
            credentials=[
                {"id": "a", "provider": "anthropic", "api_key": "env:KEY_A", "priority": 2},
                {"id": "b", "provider": "anthropic", "api_key": "env:KEY_B"},
            ],
            capture={"mode": "all", **capture},
        )
        return detour, fake

    return begin


@pytest.mark.parametrize("http2", [False, True])
def test_a_stream_with_a_failover_is_recorded_from_end_to_end(recording, http2):
    detour, fake = recording()
    fake.script.add(Fault.status(429), key="sk-ant-api03-planted-A")
    path, headers, body = SHAPES["anthropic"].request("claude-x", stream=True, key="sk-ant-clients-own-key")
    with detour.client(http2=http2) as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, json=body)
    assert answer.status_code == 200
    [record] = records(detour, 1)
    assert record.opening.provider == "anthropic" and record.opening.model == "claude-x"
    assert record.opening.url == "https://api.anthropic.com/v1/messages"
    assert record.client.request.body.data == answer.request.content
    assert record.client.response.status == 200
    assert record.client.response.body.data == answer.content
    first, second = record.attempts
    assert (first.response.status, second.response.status) == (429, 200)
    assert (first.about["credential"], second.about["credential"]) == ("a", "b")
    assert second.response.body.data
    assert second.response.body.chunks[0][0] <= second.response.body.chunks[-1][0]
    assert {"connecting", "connected", "tls"} <= first.timings.keys()
    assert record.end["status"] == 200 and record.end["attempts"] == 2 and record.end["usage"]
    raw = b"".join(
        p.read_bytes() for p in (detour.folder / "data").rglob("*") if p.is_file() and "ca" not in p.parts
    )
    assert b"planted" not in raw and b"clients-own" not in raw
