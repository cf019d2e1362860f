"""What tests of routing share: providers and credentials of a configuration, requests, and a token endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import httpx

from detour.fakes import FakeUpstream, Fault
from tests.e2e.instance import Detour


def anthropic(fake: FakeUpstream) -> dict[str, Any]:
    return {"anthropic": {"base_url": fake.base_url("anthropic")}}


def credential(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "provider": "anthropic", "api_key": f"secret-{name}", **more}


def ask(
    detour: Detour, text: str = "hello", model: str = "claude-sonnet-4-5", **headers: str
) -> httpx.Response:
    body = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]}
    sent = {"x-api-key": "client-key", "anthropic-version": "2023-06-01", **headers}
    return httpx.post(
        f"{detour.gateway_url}/v1/messages", json=body, headers=sent, timeout=60, trust_env=False
    )


def used(fake: FakeUpstream) -> list[str]:
    """The credentials of the requests that the upstream saw, in order."""
    return [str(r.key).removeprefix("secret-") for r in tuple(fake.record.requests)]


def eventually(condition: Callable[[], Any], within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


def limited(seconds: int) -> Fault:
    return Fault.status(429, [("retry-after", str(seconds))])


class TokenEndpoint(ThreadingHTTPServer):
    """Gives tokens ``access-1``, ``access-2`` ... unless it is told to fail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.asked: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.expires_in = 3600
        self.failing = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token"


class _TokenHandler(BaseHTTPRequestHandler):
    server: TokenEndpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.bodies.append(body)
        self.server.asked.append(dict(parse_qsl(body)))
        number = len(self.server.asked)
        document: dict[str, Any] = {"error": "temporarily_unavailable"}
        if not self.server.failing:
            document = {
                "access_token": f"secret-access-{number}",
                "refresh_token": f"refresh-{number}",
                "expires_in": self.server.expires_in,
            }
        data = json.dumps(document).encode()
        self.send_response(503 if self.server.failing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def rewrite(detour: Detour, **changes: Any) -> None:
    config = json.loads(detour.config.read_text())
    detour.config.write_text(json.dumps({**config, **changes}))
