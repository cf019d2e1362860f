"""The admin application without a socket, in front of a core that has seen a few exchanges."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from detour.admin.app import make_app
from detour.admin.context import Context
from detour.ports import Address
from router_core.config.loader import load
from router_core.core import Core
from router_core.exchange import Usage
from router_core.usage.setup import make_ledger
from tests.router_core.usage.exchanges import attempt, exchange

TOKEN = "a-token-of-at-least-thirty-two-characters"
ORIGIN = "http://127.0.0.1:8318"
SECRET = "sk-ant-api03-never-to-be-seen-anywhere"


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """Two credentials, three finished exchanges and one under way."""
    monkeypatch.setenv("WORK_KEY", SECRET)
    config = {
        "version": 1,
        "data_dir": str(tmp_path),
        "credentials": [
            {
                "id": "office",
                "provider": "anthropic",
                "api_key": "env:WORK_KEY",
                "headers": {"x-team": SECRET},
            },
            {"id": "literal", "provider": "openai", "api_key": SECRET},
        ],
        "models": {"best": {"targets": ["anthropic/claude-opus-4-6", "openai/gpt-5.1"]}},
        "usage": {"budgets": [{"name": "team", "per": "day", "tokens": 10_000}]},
    }
    path = tmp_path / "detour.yaml"
    path.write_text(json.dumps(config))
    made = Core(load(path))
    ledger = made.activity.ledger = make_ledger(made.config, tmp_path)
    assert ledger
    # A process for each test would be most of its time.
    ledger._command = lambda: ["/nowhere/python"]
    ledger.start()
    now = time.time()
    limited = attempt(1, credential="office", phase="headers", status=429)
    for number, one in enumerate(
        (
            exchange(created=now, id="e1", client="laptop", tool="codex", session="s1"),
            exchange(
                limited,
                attempt(2, name="openai", model="gpt-5.1", credential="literal"),
                created=now,
                id="e2",
            ),
            exchange(
                attempt(model="<script>alert(1)</script>"),
                created=now,
                id="e3",
                usage=Usage(input=1, output=1),
            ),
        )
    ):
        made.activity.started(one)
        made.activity.finished(one)
        assert made.activity.finished_total == number + 1
    running = exchange(created=now, id="running")
    running.attempts[0].outcome = None
    running.first_byte = running.ended = running.status = None
    made.activity.started(running)
    assert ledger.flush()
    yield made
    ledger.close()


@pytest.fixture
async def app(core: Core) -> AsyncIterator[Starlette]:
    context = Context(core)
    yield make_app(context, TOKEN, Address("127.0.0.1", 8318))
    context.close()


@pytest.fixture
async def anonymous(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def admin(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A program with the token."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=ORIGIN, headers=headers
    ) as client:
        yield client


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is logged in."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        answer = await client.post("/login", data={"token": TOKEN})
        assert answer.status_code == 303
        yield client
