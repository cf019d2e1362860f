"""Who gets in: tokens, browsers, other sites' pages, names that point to this machine."""

import re

import httpx
import pytest
from starlette.applications import Starlette

from detour.admin.guard import MAX_BODY
from router_core.attempts import BURST
from tests.detour.admin.conftest import ORIGIN, TOKEN

CHANGE = "/api/v1/credentials/office/reset"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/login", "/static/detour.css"])
async def test_open_to_this_machine(anonymous: httpx.AsyncClient, path: str) -> None:
    assert (await anonymous.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/state", "/api/v1/credentials", "/api/v1/exchanges/live", "/api/v1/nothing"]
)
async def test_the_api_needs_the_token(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "unauthorized"
    wrong = await anonymous.get(path, headers={"authorization": f"Bearer {TOKEN}x"})
    assert wrong.status_code == 401


async def test_pages_lead_to_the_login(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("name", ["detour.evil.example", "127.0.0.1.evil.example:8318", "", "[::1"])
async def test_a_name_that_points_here_is_refused(
    anonymous: httpx.AsyncClient, browser: httpx.AsyncClient, name: str
) -> None:
    for client in (anonymous, browser):
        for path in ("/healthz", "/metrics", "/", "/api/v1/state"):
            answer = await client.get(path, headers={"host": name})
            assert answer.status_code == 421, path


@pytest.mark.parametrize("name", ["localhost:8318", "127.0.0.1", "[::1]:8318", "192.168.1.5:8318"])
async def test_addresses_are_known_hosts(browser: httpx.AsyncClient, name: str) -> None:
    assert (await browser.get("/api/v1/state", headers={"host": name})).status_code == 200


async def test_a_token_may_come_by_any_name(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/metrics", headers={"host": "detour:8318"})).status_code == 200


async def test_the_session_is_for_our_own_pages_alone(browser: httpx.AsyncClient) -> None:
    form = re.search(r'data-form="(\w+)"', (await browser.get("/credentials")).text)
    assert form
    good = {"origin": ORIGIN, "sec-fetch-site": "same-origin", "x-detour-form": form[1]}
    assert (await browser.post(CHANGE, headers=good)).status_code == 200
    for bad in (
        {**good, "x-detour-form": "guess"},
        {**good, "origin": "http://evil.example"},
        {**good, "origin": "null"},
        {**good, "origin": "http://127.0.0.1:9999"},
        {**good, "sec-fetch-site": "cross-site"},
        {**good, "sec-fetch-site": "same-site"},
        {k: v for k, v in good.items() if k != "x-detour-form"},
    ):
        answer = await browser.post(CHANGE, headers=bad)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), bad


async def test_the_cookie_is_kept_from_scripts_and_other_sites(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/login", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    again = await anonymous.post("/logout", headers={"sec-fetch-site": "cross-site"})
    assert again.status_code == 403


async def test_a_ticket_logs_in_once(admin: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    path = (await admin.post("/api/v1/tickets")).json()["path"]
    first = await anonymous.get(path)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    anonymous.cookies.clear()
    assert (await anonymous.get(path)).status_code == 401


async def test_every_answer_is_hardened(anonymous: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    for answer in (await anonymous.get("/login"), await anonymous.get("/api/v1/state"), await admin.get("/")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_large_and_endless_bodies_are_refused(admin: httpx.AsyncClient) -> None:
    path = "/api/v1/config/validate"
    assert (await admin.post(path, content=b"x" * (MAX_BODY + 1))).status_code == 413

    async def endless():
        yield b"version: 1"

    assert (await admin.post(path, content=endless())).status_code == 413


@pytest.mark.parametrize("path", ["/static/../token.py", "/static/..%2ftoken.py", "/static/nothing.js"])
async def test_static_files_are_only_those(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert answer.status_code in (303, 404)
    assert "Keys" not in answer.text


async def test_wrong_tokens_are_limited_wherever_they_are_shown(
    anonymous: httpx.AsyncClient, app: Starlette
) -> None:
    for number in range(BURST):
        if number % 2:
            answer = await anonymous.get("/api/v1/state", headers={"authorization": "Bearer wrong"})
        else:
            answer = await anonymous.post("/login", data={"token": "wrong"})
        assert answer.status_code == 401

    for answer in (
        await anonymous.get("/api/v1/state", headers={"authorization": f"Bearer {TOKEN}"}),
        await anonymous.post("/login", data={"token": TOKEN}),
        await anonymous.get("/login?ticket=guessed"),
    ):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 6
    # Nothing was shown.
    assert (await anonymous.get("/login")).status_code == 200


async def test_who_has_shown_the_token_is_not_locked_out(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/api/v1/state")).status_code == 200
    for _ in range(BURST + 5):
        await admin.get("/api/v1/state", headers={"authorization": "Bearer wrong"})

    assert (await admin.get("/api/v1/state")).status_code == 200
