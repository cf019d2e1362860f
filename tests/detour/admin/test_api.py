"""What the API answers, and what it never says."""

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from detour.admin.app import API
from detour.admin.live import events
from router_core.core import Core
from router_core.refusals import Client
from router_core.routing.windows import Window
from tests.detour.admin.conftest import SECRET, TOKEN
from tests.router_core.usage.exchanges import attempt, exchange

DOCS = Path(__file__).parents[3] / "docs"


async def get(admin: httpx.AsyncClient, path: str, status: int = 200):
    answer = await admin.get(f"/api/v1/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_state(admin: httpx.AsyncClient) -> None:
    state = await get(admin, "state")
    assert state["exchanges"] == {"running": 1, "finished": 3}
    assert state["ledger"]["state"] == "ok"
    assert state["ledger"]["written"] == 3
    assert sum(state["credentials"].values()) == 2
    assert state["connections"] == dict.fromkeys(state["connections"], 0)


async def test_credentials_are_reset_disabled_and_enabled(admin: httpx.AsyncClient, core: Core) -> None:
    found = {c["id"]: c for c in (await get(admin, "credentials"))["credentials"]}
    assert found["office"]["state"] == "ready"
    off = (await admin.post("/api/v1/credentials/office/disable")).json()
    assert (off["state"], "detour credentials enable" in off["reason"]) == ("disabled", True)
    assert (await get(admin, "credentials"))["disabled"] == ["office"]
    assert (await admin.post("/api/v1/config/reload")).status_code == 200
    assert "office" not in core.router.live.credentials
    assert (await admin.post("/api/v1/credentials/office/enable")).json()["state"] == "ready"
    assert (await admin.post("/api/v1/credentials/office/reset")).status_code == 200
    for action in ("reset", "disable", "enable"):
        answer = await admin.post(f"/api/v1/credentials/nobody/{action}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert (await admin.get("/api/v1/credentials/office/reset")).status_code == 405


async def test_exchanges(admin: httpx.AsyncClient) -> None:
    found = await get(admin, "exchanges")
    assert [e["id"] for e in found["running"]] == ["running"]
    assert [e["id"] for e in found["finished"]] == ["e3", "e2", "e1"]
    assert found["finished"][2]["cost"] == pytest.approx(0.006)
    assert found["finished"][2]["tokens_per_second"] == 100.0
    assert (await get(admin, "exchanges?state=running"))["finished"] == []
    assert (await get(admin, "exchanges?state=error"))["running"] == []
    older = await get(admin, f"exchanges?before={int(time.time() * 1000) + 10_000}&limit=2")
    assert len(older["finished"]) == 2
    assert (await get(admin, "exchanges/running"))["attempts"][0]["provider"] == "anthropic"
    assert (await get(admin, "exchanges/e2"))["failures"][0]["status"] == 429
    await get(admin, "exchanges/nothing", 404)
    for wrong in ("limit=0", "limit=x", "limit=99999", "before=yesterday"):
        await get(admin, f"exchanges?{wrong}", 400)


async def test_finished_exchanges_outlive_the_process_in_the_ledger(
    admin: httpx.AsyncClient, core: Core
) -> None:
    core.activity._recent.clear()
    found = await get(admin, "exchanges/e2")
    assert (found["id"], found["failures"][0]["credential"]) == ("e2", "office")


async def test_usage(admin: httpx.AsyncClient) -> None:
    found = await get(admin, "usage?by=provider")
    assert {row["provider"]: row["requests"] for row in found["rows"]} == {"anthropic": 2, "openai": 1}
    assert found["total"]["failed_attempts"] == 1
    assert (await get(admin, "usage?by=day&tool=codex"))["total"]["requests"] == 1
    month = await get(admin, f"usage/months/{time.strftime('%Y-%m')}")
    assert month["total"]["requests"] == 3
    assert (await get(admin, "usage?since=1d&by=tool,tool"))["by"] == ["tool"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"usage?{wrong}" for wrong in ("by=colour", "since=1.3.2026", "by=day,hour", "limit=²", "limit=0")),
        # Days that the calendar has and no clock.
        *(
            f"usage?{wrong}&by=hour"
            for wrong in ("since=0001-01-01", "until=9999-12-31", "session=s&until=9999-12-31")
        ),
        "usage?since=2026-03-02&until=2026-03-01",
        *(f"usage/months/{wrong}" for wrong in ("march", "2026-13", "0001-01", "9999-12")),
        "exchanges?state=asleep",
        *(f"exchanges?before={wrong}" for wrong in ("²", "-1", "99999999999999999999", "2026-03-01")),
    ],
)
async def test_questions_that_make_no_sense(admin: httpx.AsyncClient, path: str) -> None:
    assert (await get(admin, path, 400))["error"]["code"] == "invalid_request"


async def test_budgets(admin: httpx.AsyncClient) -> None:
    (budget,) = (await get(admin, "budgets"))["budgets"]
    assert (budget["name"], budget["limit"], budget["used"]) == ("team", 10_000, 2402)


async def test_configuration_without_secrets(admin: httpx.AsyncClient) -> None:
    for path in ("config", "config?all=1"):
        found = await get(admin, path)
        work, literal = found["config"]["credentials"]
        assert (work["api_key"], literal["api_key"]) == ("env:WORK_KEY", "[redacted]")
        assert work["headers"] == {"x-team": "[redacted]"}
        assert SECRET not in json.dumps(found)


async def test_configurations_are_checked(admin: httpx.AsyncClient) -> None:
    path = "/api/v1/config/validate"
    good = (await admin.post(path, content=b"version: 1\n")).json()
    assert good["valid"]
    bad = (await admin.post(path, content=b"version: 1\nnonsense: 3\n")).json()
    assert not bad["valid"]
    assert [(p["line"], "nonsense" in p["what"]) for p in bad["problems"]] == [(2, True)]
    assert (await admin.post(path)).json()["valid"]


async def test_a_reload_takes_over_the_file(admin: httpx.AsyncClient, core: Core) -> None:
    path = core.loaded.path
    before = core.config
    path.write_text("version: 1\nnonsense: 3\n")
    refused = await admin.post("/api/v1/config/reload")
    assert (refused.status_code, "nonsense" in refused.text) == (400, True)
    assert core.config is before
    config = json.loads(before.model_dump_json(include={"version", "data_dir"}))
    path.write_text(
        json.dumps({**config, "usage": {"budgets": [{"name": "other", "per": "month", "cost": 3}]}})
    )
    assert (await admin.post("/api/v1/config/reload")).json()["reloaded"]
    assert core.config.credentials == ()
    assert [b["name"] for b in (await get(admin, "budgets"))["budgets"]] == ["other"]


async def test_models_captures_and_logs(admin: httpx.AsyncClient) -> None:
    models = (await get(admin, "models"))["models"]
    assert any(m["id"] == "best" for m in models)
    assert (await get(admin, "captures"))["captures"] == []
    await get(admin, "captures/nothing", 404)
    await get(admin, "captures/..%2f..%2fdetour.yaml", 404)
    assert isinstance((await get(admin, "logs"))["lines"], list)


async def test_live_events(app: Starlette, core: Core) -> None:
    context = app.state.context
    subscription = core.activity.subscribe()
    assert subscription
    stream = events(context, subscription)
    assert await anext(stream) == b"retry: 2000\n\n"
    one = exchange(attempt(), id="live", created=time.time())
    core.activity.started(one)
    core.activity.finished(one)
    text = (await asyncio.wait_for(anext(stream), 5)).decode()
    names = re.findall(r"^event: (\w+)$", text, re.MULTILINE)
    documents = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert (names, [d["id"] for d in documents]) == (["started", "finished"], ["live", "live"])
    subscription.close()
    assert core.activity._subscribers == []


async def test_metrics_follow_the_conventions(admin: httpx.AsyncClient, core: Core) -> None:
    one = exchange(attempt(1, phase="headers", status=500), attempt(2), id="counted", created=time.time())
    core.activity.finished(one)
    core.connections.ech = 3
    answer = await admin.get("/metrics")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    for name, family in families.items():
        assert name.startswith("detour_")
        assert family.documentation
        if family.type == "counter":
            assert all(s.name.endswith(("_total", "_created")) for s in family.samples)
    (tokens,) = [
        s.value
        for s in families["detour_tokens"].samples
        if s.name.endswith("_total") and s.labels["type"] == "output"
    ]
    assert tokens == 200
    (failed,) = [s for s in families["detour_attempt_failures"].samples if s.name.endswith("_total")]
    assert (failed.labels["status"], failed.value) == ("500", 1)
    fates = {s.labels["fate"]: s.value for s in families["detour_connections"].samples}
    assert fates["ech"] == 3
    assert set(fates) >= {"decrypted", "tunnelled", "unnamed", "opaque", "refused", "looped"}
    assert families["detour_first_byte_seconds"].type == "histogram"
    states = [s.labels["state"] for s in families["detour_credential_state"].samples if s.value]
    assert len(states) == 2


async def test_grafanas_dashboard_asks_for_what_there_is(admin: httpx.AsyncClient, core: Core) -> None:
    core.router.switch("office", True)
    core.router.status()
    core.activity.finished(exchange(attempt(1, phase="headers", status=500), attempt(2), created=time.time()))
    status, *others = core.router.status()
    windowed = dataclasses.replace(status, windows=(Window("5h", 0.4, time.time() + 60, "header"),))
    core.router.status = lambda: [windowed, *others]  # type: ignore[method-assign]
    families = text_string_to_metric_families((await admin.get("/metrics")).text)
    known: dict[str, set[str]] = {}
    for family in families:
        known.setdefault(family.name, set())
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
            if sample.name == "detour_credential_state" and sample.value:
                assert sample.labels["state"] in ("disabled", "ready")
    expressions = list(_expressions(json.loads((DOCS / "grafana-dashboard.json").read_text())))
    assert len(expressions) > 15
    for expression in expressions:
        [name] = re.findall(r"detour_\w+", expression)
        assert name in known, expression
        grouped = re.search(r"by \(([^)]*)\)", expression)
        asked = {label.strip() for label in grouped[1].split(",")} if grouped else set()
        assert asked <= known[name], expression


def _expressions(value: Any) -> Iterator[str]:
    """The queries of a Grafana dashboard."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for inner in value.values():
            yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)


async def test_models_cannot_fill_the_metrics(admin: httpx.AsyncClient, core: Core) -> None:
    for number in range(500):
        core.activity.finished(exchange(attempt(model=f"made-up-{number}"), created=time.time()))
    families = {f.name: f for f in text_string_to_metric_families((await admin.get("/metrics")).text)}
    models = {s.labels["model"] for s in families["detour_exchanges"].samples}
    assert len(models) == 201
    assert "other" in models


async def test_the_openapi_document_describes_every_route(admin: httpx.AsyncClient) -> None:
    document = await get(admin, "openapi.json")
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {route.path for route in API}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"].endswith("."), path
            names = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
            assert names == re.findall(r"{(\w+)}", path)
    ids = [o["operationId"] for operations in document["paths"].values() for o in operations.values()]
    assert len(set(ids)) == len(ids)


async def test_no_answer_holds_a_secret(admin: httpx.AsyncClient) -> None:
    for route in API:
        if route.path.endswith("/live") or "GET" not in (route.methods or ()):
            continue
        path = route.path.replace("{id}", "e1").replace("{month}", "2026-03")
        text = (await admin.get(path)).text
        assert SECRET not in text, path
        assert TOKEN not in text, path


async def test_unknown_paths_and_methods(admin: httpx.AsyncClient) -> None:
    assert (await get(admin, "nothing", 404))["error"]["code"] == "not_found"
    answer = await admin.delete("/api/v1/state")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_clients_that_refuse_the_certificate_are_listed_until_they_are_forgotten(admin, core):
    client = Client("192.0.2.7", "api.anthropic.com", "9c1f03ab")
    for _ in range(3):
        core.refusals.refused(client, "TLS alert: unknown ca", limit=3, tunnel_for=600, tool="codex")

    (entry,) = (await admin.get("/api/v1/refusals")).json()["refusals"]
    assert (entry["name"], entry["host"], entry["count"]) == ("codex at 192.0.2.7", "api.anthropic.com", 3)
    assert 590 < entry["tunnelled_for"] <= 600
    assert "CODEX_CA_CERTIFICATE" in entry["remedy"]
    assert (await admin.get("/api/v1/state")).json()["refusals"][0]["count"] == 3
    assert "detour_clients_tunnelled 1.0" in (await admin.get("/metrics")).text

    assert (await admin.post("/api/v1/refusals/forget")).json() == {"refusals": []}
    assert (await admin.get("/api/v1/refusals")).json() == {"refusals": []}
