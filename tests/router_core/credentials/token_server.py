"""A token endpoint that says what it is told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson

from router_core.credentials.model import Source, Token
from router_core.credentials.renewing import Renewing


def now(source: Source) -> Token:
    """The token at hand."""
    token = source.current()
    assert token is not None
    return token


async def fetched(source: Renewing) -> Token:
    """The end of the fetch under way."""
    assert source.running is not None
    return await source.running


class TokenServer:
    url = "https://auth.test/oauth/token"

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.requests: list[httpx.Request] = []
        self.answers: list[Any] = []
        """(status, body) in turn, or an exception; then tokens without end."""
        self.gate: threading.Event | None = None
        """Answers wait for it."""
        self.expires_in: int | None = 3600

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    @property
    def make(self) -> Callable[[], httpx.AsyncClient]:
        return self.client

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.headers["content-type"] == "application/json":
            self.asked.append(orjson.loads(request.content))
        else:
            self.asked.append(dict(parse_qsl(request.content.decode())))
        number = len(self.asked)
        if self.gate is not None:
            # Another thread's loop asks: see router_core.credentials.aside.
            while not self.gate.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            status, body = answer
            return httpx.Response(status, content=body if isinstance(body, bytes) else orjson.dumps(body))
        body = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
        return httpx.Response(200, json=body | ({"expires_in": self.expires_in} if self.expires_in else {}))
