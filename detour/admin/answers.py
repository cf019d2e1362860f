"""Answers of the admin API: JSON by orjson, and errors in one shape."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response

from detour.admin.context import Context
from detour.admin.guard import error
from router_core.usage.address import LedgerError
from router_core.usage.question import QuestionError

if TYPE_CHECKING:
    from sqlalchemy import Engine

type Endpoint = Callable[[Request], Awaitable[Response]]


class JSON(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


class Missing(LookupError):
    """Nothing is there; the message says what."""


class Invalid(ValueError):
    """The request makes no sense; the message says why."""


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def answered(endpoint: Callable[[Request], Awaitable[Any]]) -> Endpoint:
    """`endpoint`, whose result is sent as JSON and whose errors as errors of the API."""

    @wraps(endpoint)
    async def answering(request: Request) -> Response:
        try:
            result = await endpoint(request)
        except Missing as problem:
            return error(404, "not_found", str(problem))
        except (Invalid, QuestionError) as problem:
            return error(400, "invalid_request", str(problem))
        except LedgerError as problem:
            return error(503, "ledger_unavailable", str(problem))
        except Exception as problem:
            if not of_database(problem):
                raise
            return error(
                503,
                "ledger_unavailable",
                f"The ledger's database does not answer ({type(problem).__name__}).",
            )
        return result if isinstance(result, Response) else JSON(result)

    return answering


async def asked(context: Context, question: Callable[[Any, Engine], Any]) -> Any:
    """What `question` finds with `router_core.usage.report` in the ledger, in a thread; None without a ledger.

    The libraries that it takes are loaded with the first question, and in the thread.
    """

    def answer() -> Any:
        engine = context.engine()
        if engine is None:
            return None
        from router_core.usage import report

        return question(report, engine)

    return await asyncio.to_thread(answer)


def of_database(problem: Exception) -> bool:
    """Whether the ledger's database has failed. Without a question to the ledger, SQLAlchemy is not even loaded."""
    if "sqlalchemy" not in sys.modules:
        return False
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(problem, SQLAlchemyError)


def number(request: Request, name: str, default: int, most: int) -> int:
    """A positive whole number from the query. Raises Invalid."""
    text = request.query_params.get(name)
    if text is None:
        return default
    # Of digits alone, and not too many: int() also reads those of other scripts, and some of them not.
    if not re.fullmatch("[0-9]{1,18}", text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name} is a number from 1 to {most}")
    return int(text)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    body = await request.body()
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
