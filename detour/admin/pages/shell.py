"""What all pages have in common: the templates, and errors as pages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from detour import __version__
from detour.admin import words
from detour.admin.answers import Invalid, Missing, asked, of_database
from detour.admin.context import Context
from router_core.usage.address import LedgerError
from router_core.usage.question import Question, QuestionError, Row

PAGES: Final = (
    ("/", "Overview"),
    ("/live", "Live"),
    ("/credentials", "Credentials"),
    ("/models", "Models"),
    ("/usage", "Usage"),
    ("/captures", "Captures"),
    ("/settings", "Settings"),
    ("/logs", "Logs"),
)

templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
templates.filters.update(words.FILTERS)


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    text = templates.get_template(template).render(
        pages=PAGES,
        here="/" + request.url.path.split("/")[1],
        version=__version__,
        form=request.scope.get("detour.form", ""),
        said=request.query_params.get("said", "")[:200],
        now=time.time(),
        **values,
    )
    return HTMLResponse(text, status)


def page(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """`endpoint`, whose errors become pages too."""

    @wraps(endpoint)
    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Missing as problem:
            return render(request, "message.html", 404, title="Not there", text=str(problem))
        except (Invalid, QuestionError) as problem:
            return render(request, "message.html", 400, title="That cannot be answered", text=str(problem))
        except Exception as problem:
            if isinstance(problem, LedgerError):
                text = str(problem)
            elif of_database(problem):
                text = "The ledger's database does not answer."
            else:
                raise
            return render(request, "message.html", 503, title="The ledger cannot be read", text=text)

    return answering


async def ask(context: Context, question: Question) -> list[Row]:
    return await asked(context, lambda report, engine: report.ask(engine, question)) or []


async def favicon(_request: Request) -> Response:
    return RedirectResponse("/static/icon.svg", 308)
