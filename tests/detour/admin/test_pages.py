"""The pages as they are read without JavaScript."""

import csv
import dataclasses
import html
import re
import time
from html.parser import HTMLParser

import httpx
import pytest

from detour.admin.pages import PAGES
from router_core.core import Core
from router_core.refusals import Client
from router_core.routing.windows import Window
from tests.detour.admin.conftest import SECRET, TOKEN

EVERY = [path for path, _ in PAGES] + [
    "/?range=7d",
    "/?range=30d",
    "/usage?by=hour&since=2026-01-01",
    "/usage?by=session&by=tool",
    "/usage?by=model&session=s1",
    "/settings?all=1",
    "/exchanges/e1",
    "/exchanges/e2",
    "/exchanges/running",
    "/login",
]


class Tags(HTMLParser):
    """Checks that elements are closed in order, and collects them."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


@pytest.mark.parametrize("path", EVERY)
async def test_every_page_is_whole_and_keeps_to_itself(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200
    tags = Tags()
    tags.feed(answer.text)
    assert tags.open == []
    ids = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in tags.found:
        # Neither inline scripts and styles, which the policy forbids, nor anybody else's host.
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "script" or attributes.get("src", "").startswith("/static/")  # type: ignore[union-attr]
        for name in ("src", "href", "action"):
            assert not (attributes.get(name) or "").startswith(("http", "//"))
    assert SECRET not in answer.text
    assert TOKEN not in answer.text
    assert "<script>alert" not in answer.text


async def test_what_a_client_calls_its_model_is_only_text(browser: httpx.AsyncClient) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in (await browser.get("/live")).text


async def test_live_shows_running_and_finished(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/live")).text
    assert re.findall(r'<tr data-id="(\w+)"', text) == ["running", "e3", "e2", "e1"]
    assert (await browser.get("/live?limit=1")).text.count("<tr data-id=") == 2


async def test_quota_windows_are_bars_with_a_countdown(
    browser: httpx.AsyncClient, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset = time.time() + 7300
    (status, _) = core.router.status()
    windowed = dataclasses.replace(status, windows=(Window("5h", 0.42, reset, "header"),))
    monkeypatch.setattr(core.router, "status", lambda: [windowed])
    text = (await browser.get("/credentials")).text
    assert re.search(r'role="meter" aria-label="5h of office"[^>]*aria-valuenow="42"', text)
    assert re.search(rf'data-until="{reset}">2 h 2 min<', text)


async def test_credentials_are_changed_by_forms(browser: httpx.AsyncClient, core: Core) -> None:
    text = (await browser.get("/credentials")).text
    form = re.search(r'name="form" value="(\w+)"', text)
    assert form
    refused = await browser.post("/credentials/office/disable", data={"form": "wrong"})
    assert refused.status_code == 403
    done = await browser.post("/credentials/office/disable", data={"form": form[1]})
    assert (done.status_code, done.headers["location"]) == (303, "/credentials?said=office+is+out+of+use.")
    assert "office" not in core.router.live.credentials
    shown = (await browser.get(done.headers["location"])).text
    assert 'role="status">office is out of use.' in shown
    assert "/credentials/office/enable" in shown
    await browser.post("/credentials/office/enable", data={"form": form[1]})
    assert "office" in core.router.live.credentials


async def test_settings_are_checked_where_they_are_edited(browser: httpx.AsyncClient) -> None:
    form = re.search(r'name="form" value="(\w+)"', (await browser.get("/settings")).text)
    assert form
    answer = await browser.post(
        "/settings/check", data={"form": form[1], "config": "version: 1\nnonsense: <b>\n"}
    )
    assert "It cannot be used." in answer.text
    assert "line 2" in answer.text
    assert "nonsense: &lt;b&gt;" in answer.text
    good = await browser.post("/settings/check", data={"form": form[1], "config": "version: 1\n"})
    assert "It can be used." in good.text


async def test_usage_as_csv(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/usage.csv?by=provider")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = answer.text.splitlines()
    assert lines[0].startswith("provider,tokens,requests")
    assert {line.split(",")[0] for line in lines[1:]} == {"anthropic", "openai"}
    nothing = await browser.get("/usage.csv?by=provider&provider=nobody")
    assert nothing.text.splitlines() == lines[:1]


async def test_days_without_use_have_their_place(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/usage?by=day&since=7d")).text
    assert len(re.findall('class="axis x"', page)) == 7
    assert len(re.findall('class="bar"', page)) < 7


async def test_the_links_ask_what_the_page_asked(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/usage?by=model&by=tool&provider=anthropic&since=2d")
    found = re.findall(r'href="(/(?:usage\.csv|api/v1/usage)\?[^"]+)"', page.text)
    as_csv, as_json = [await browser.get(html.unescape(link)) for link in found]
    rows = as_json.json()["rows"]
    assert as_json.json()["where"] == {"provider": "anthropic"} and rows
    assert [(r["model"], r["tool"], int(r["tokens"])) for r in csv.DictReader(as_csv.text.splitlines())] == [
        (r["model"], r["tool"], r["tokens"]) for r in rows
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/exchanges/none", 404),
        ("/captures/none", 404),
        ("/usage?by=colour", 400),
        ("/?range=1y", 400),
        ("/live?limit=x", 400),
    ],
)
async def test_mistakes_are_pages_too(browser: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await browser.get(path)
    assert answer.status_code == status
    assert "<h1>" in answer.text


async def test_a_wrong_address_is_a_page_for_browsers(browser: httpx.AsyncClient) -> None:
    for path, accept, kind in (
        ("/nothing/<b>", "text/html,*/*;q=0.8", "text/html"),
        ("/nothing", "*/*", "application/json"),
        ("/api/v1/nothing", "text/html", "application/json"),
    ):
        answer = await browser.get(path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (404, kind)
        assert "There is nothing at" in answer.text and "<b>" not in answer.text


async def test_a_wrong_token_is_refused(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/login", data={"token": "wrong"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


async def test_the_overview_names_clients_that_are_tunnelled(browser, core):
    client = Client("192.0.2.7", "api.anthropic.com", "9c1f03ab")
    core.refusals.refused(client, "TLS alert: unknown ca", limit=1, tunnel_for=600, tool="<b>")

    page = (await browser.get("/")).text

    assert "&lt;b&gt; at 192.0.2.7 does not trust Detour’s authority for api.anthropic.com" in page
    assert "it is tunnelled, and not routed" in page
