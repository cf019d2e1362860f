"""The dashboard in headless Chromium: every page, live, narrow and dark, without a mouse and without scripts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from detour.admin.pages import PAGES
from router_core.capture.folder import Folders
from router_core.capture.redaction import Redactor
from router_core.capture.save import save
from tests.e2e.conftest import House
from tests.e2e.instance import TIMEOUT
from tests.e2e.wire import SHAPES, fresh_model
from tests.router_core.capture.samples import record

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


class Visitor:
    """A page that is logged in. `complaints` are console errors and requests to other hosts."""

    def __init__(self, chromium: Any, house: House, **options: Any) -> None:
        self.origin = f"http://{house.detour.admin}"
        self.context = chromium.new_context(base_url=self.origin, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT * 1000)
        self.complaints: list[str] = []
        self.page.on(
            "console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._seen)
        token = (house.detour.folder / "data" / "admin-token").read_text().strip()
        self.page.goto("/")
        self.page.get_by_label("Admin token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("heading", name="Overview").wait_for()

    def _seen(self, request: Any) -> None:
        if not request.url.startswith((self.origin, "data:")):
            self.complaints.append(f"asked {request.url}")


@pytest.fixture
def visit(chromium: Any, house: House) -> Iterator[Any]:
    visitors = []

    def begin(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium, house, **options))
        return visitors[-1]

    yield begin
    for visitor in visitors:
        visitor.context.close()


def ask(house: House, model: str) -> None:
    path, headers, body = SHAPES["anthropic"].request(model)
    url = f"{house.detour.gateway_url}/anthropic{path}"
    assert httpx.post(url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False).status_code == 200


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_every_page_can_be_used_by_everybody(visit: Any, house: House, width: int, scheme: str) -> None:
    model = fresh_model()
    ask(house, model)
    captures = house.detour.folder / "data" / "captures"
    for id in ("01page", "01pagf"):
        save(record(id, time.time()), Folders(captures), Redactor(b"k" * 32))
    visitor = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    visitor.page.goto("/live")
    exchange = visitor.page.get_by_role("link", name=model).first.get_attribute("href")
    records = [("/captures/01page", "01page"), ("/captures/01page?with=01pagf", "01page")]
    for path, name in (*PAGES, (exchange, "Exchange"), *records):
        visitor.page.goto(path)
        assert name in visitor.page.title()
        # What is too wide scrolls in its own place.
        assert visitor.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), path
        assert broken_rules(visitor.page) == [], path
    assert visitor.complaints == []


def broken_rules(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in axe.Axe().run(page).response["violations"]]


def test_exchanges_appear_as_they_happen(visit: Any, house: House) -> None:
    visitor = visit()
    visitor.page.goto("/live")
    visitor.page.get_by_text("finished are shown").wait_for()
    model = fresh_model()
    ask(house, model)
    row = visitor.page.get_by_role("row", name=model)
    row.wait_for()
    row.get_by_text("ok", exact=True).wait_for()
    visitor.page.get_by_label("Show only rows with").fill(model)
    visitor.page.wait_for_function("document.querySelectorAll('#exchanges tbody tr').length === 1")
    row.get_by_role("link").press("Enter")
    visitor.page.get_by_role("heading", name="Exchange").wait_for()
    assert visitor.complaints == []


def test_long_lists_are_sifted(visit: Any) -> None:
    visitor = visit()
    visitor.page.goto("/models")
    rows = visitor.page.locator("#models tr:visible")
    every = rows.count()
    visitor.page.get_by_label("Show only rows with").fill("SONNET")
    assert 0 < rows.count() < every
    assert all("sonnet" in text.lower() for text in rows.all_inner_texts())
    visitor.page.get_by_label("Show only rows with").fill("")
    assert rows.count() == every


def test_ten_thousand_exchanges_stay_light(visit: Any) -> None:
    visitor = visit()
    visitor.page.goto("/live")
    visitor.page.get_by_text("finished are shown").wait_for()
    visitor.page.evaluate(
        """() => { for (let i = 0; i < 10000; i++)
             take({id: `made-${i}`, state: "ok", at: Date.now(), model: `m-${i}`, provider: "p", credential: "c",
                   tool: "t", first_byte_ms: 1, duration_ms: 2, tokens: 3, cost: null, notional: null}); }"""
    )
    visitor.page.get_by_role("row", name="m-9999").wait_for()
    assert visitor.page.locator("#exchanges tbody tr").count() < 200
    visitor.page.locator('#exchanges[aria-rowcount="10001"]').wait_for()
    visitor.page.evaluate("list.scrollTop = list.scrollHeight")
    visitor.page.get_by_role("row", name="m-0", exact=False).first.wait_for()
    assert visitor.page.locator("#exchanges tbody tr").count() < 200


def test_a_credential_is_taken_out_by_keyboard(visit: Any, house: House) -> None:
    visitor = visit()
    visitor.page.goto("/credentials")
    for name, said in (
        ("Take out of use of gemini-1", "out of use"),
        ("Use again of gemini-1", "in use again"),
    ):
        button = visitor.page.get_by_role("button", name=name)
        button.focus()
        visitor.page.keyboard.press("Enter")
        visitor.page.get_by_role("status").filter(has_text=said).wait_for()
    assert visitor.complaints == []


def test_pages_are_read_without_scripts(visit: Any, house: House) -> None:
    model = fresh_model()
    ask(house, model)
    visitor = visit(java_script_enabled=False)
    visitor.page.goto("/live")
    assert visitor.page.get_by_role("row", name=model).count() == 1
    assert not visitor.page.get_by_label("Show only rows with").is_visible()
