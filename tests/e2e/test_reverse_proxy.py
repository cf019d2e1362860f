"""The recipes for nginx and Caddy, taken from the documentation and run in front of a real gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from detour.fakes import FakeUpstream, Fault
from tests.clients import for_threads
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "reverse-proxy.md"
KEY = "key-of-the-laptop"
HERE = {"nginx": ["/usr/sbin/nginx", "nginx"], "caddy": ["caddy"]}

NGINX = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{recipe}
}}
"""

CADDY = """
{{
    admin off
    auto_https disable_redirects
}}
{recipe}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """A reverse proxy at `port`, the gateway behind it, and what is behind that."""

    port: int
    fake: FakeUpstream
    fakes: FakeThread

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://localhost:{self.port}",
            verify=self.fakes.ca.client_context(),
            trust_env=False,
            timeout=60,
        )


def recipe(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", RECIPE.read_text(), re.DOTALL)
    assert found
    return found[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text


def nginx(gateway: str, port: int, pem: Path, folder: Path) -> list[str]:
    text = replaced(
        recipe("nginx"),
        ("127.0.0.1:8317", gateway),
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
        ("detour.example.com;", "localhost;"),
        ("/etc/ssl/detour.example.com.pem", str(pem)),
        ("/etc/ssl/detour.example.com.key", str(pem)),
    )
    file = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(NGINX.format(folder=folder, recipe=text, user=user))
    return ["-p", str(folder), "-e", "stderr", "-c", str(file)]


def caddy(gateway: str, port: int, pem: Path, folder: Path) -> list[str]:
    text = replaced(
        recipe("caddy"),
        ("127.0.0.1:8317", gateway),
        ("detour.example.com {", f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {pem} {pem}"),
    )
    file = folder / "Caddyfile"
    file.write_text(CADDY.format(recipe=text))
    return ["run", "--config", str(file), "--adapter", "caddyfile"]


@pytest.fixture(scope="module")
def behind(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Detour, FakeUpstream]]:
    fake = fakes.start("behind-tls")
    config = base_config(ca_bundle)
    config["access"] = {"keys": [{"name": "laptop", "key": "env:DETOUR_KEY"}]}
    config["upstream"] |= {"connect_timeout": "30s", "first_byte_timeout": "60s", "idle_timeout": "60s"}
    config["providers"] = {
        "anthropic": {"base_url": fake.base_url("anthropic")},
        "sockets": {
            "format": "openai-responses",
            "base_url": fake.base_url("openai-responses"),
            "websocket": True,
        },
    }
    config["credentials"] = [
        {"id": "a", "provider": "anthropic", "api_key": "secret-a"},
        {"id": "b", "provider": "sockets", "api_key": "secret-b"},
    ]
    with Detour(config, tmp_path_factory.mktemp("behind"), {"DETOUR_KEY": KEY}) as detour:
        yield detour, fake


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def front(
    request: pytest.FixtureRequest,
    behind: tuple[Detour, FakeUpstream],
    fakes: FakeThread,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    program = next(filter(None, map(shutil.which, HERE[request.param])), None)
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    detour, fake = behind
    folder = tmp_path_factory.mktemp(request.param)
    pem = folder / "localhost.pem"
    pem.write_bytes(fakes.ca.leaf(["localhost"]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"nginx": nginx, "caddy": caddy}[request.param](detour.gateway, port, pem, folder)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    log = folder / "stderr.log"
    with log.open("wb") as said:
        process = subprocess.Popen([program, *options], env=env, cwd=folder, stderr=said, stdout=said)
    try:
        deadline = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Front(port, fake, fakes)
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_stream_arrives_event_by_event(front: Front) -> None:
    name = f"claude-paced-{front.port}"
    front.fake.script.add(Fault.gates(name), model=name)
    path, _, body = SHAPES["anthropic"].request(name, stream=True)
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    with front.client() as client, client.stream("POST", path, headers=headers, json=body) as answer:
        # The head itself is held back until it is known that the answer begins well.
        front.fake.open(f"{name}-0")
        assert answer.status_code == 200
        seen, pieces = "", answer.iter_text()
        number = 1
        while "message_stop" not in seen:
            seen += next(pieces)
            if seen.count('"text_delta"') == number:
                # The next one is not sent before this one is here.
                front.fake.open(f"{name}-{number}")
                number += 1
    assert number > 2


def test_a_websocket_goes_through(front: Front) -> None:
    with connect(
        f"wss://localhost:{front.port}/sockets/v1/responses",
        ssl=for_threads(front.fakes.ca.client_context()),
        proxy=None,
        additional_headers={"Authorization": f"Bearer {KEY}"},
    ) as session:
        for text in ("one", "two"):
            session.send(json.dumps({"type": "response.create", "model": "gpt-x", "input": text}))
            events = [json.loads(session.recv(timeout=60))]
            while events[-1]["type"] != "response.completed":
                events.append(json.loads(session.recv(timeout=60)))
            assert "".join(e["delta"] for e in events if "delta" in e) == front.fake.text


def test_large_requests_pass_and_keys_are_asked_for(front: Front) -> None:
    path, _, body = SHAPES["anthropic"].request("claude-large")
    body["messages"] = [{"role": "user", "content": "long " * 800_000}]
    with front.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        large = client.post(path, headers={"x-api-key": KEY}, json=body)
        assert large.status_code == 200, large.text[:300]
        assert client.post(path, headers={"x-api-key": "guessed"}, json=body).status_code == 401
