"""The suite in a live mitmweb: what it shows of conversations, what it finds, and what is recorded meanwhile."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from mitmproxy.io import FlowReader
from websockets.sync.client import connect

from router_core.capture.folder import Folders, paths
from router_core.capture.reader import read
from router_core.capture.record import Record
from tests.clients import for_threads
from tests.e2e.instance import ROOT, TIMEOUT, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PASSWORD = "for-the-test-only"
SAID = "Hello from mitmweb, one word at a time."
PATIENCE = 60.0
HOSTS = {"anthropic": "api.anthropic.com", "gemini": "generativelanguage.googleapis.com"}
VIEWS = {
    "anthropic": "Anthropic",
    "openai-chat": "OpenAI Chat",
    "openai-responses": "OpenAI Responses",
    "gemini": "Gemini",
}

# Says where the proxy listens.
ADDRESS = """
from mitmproxy import ctx

class Address:
    def running(self):
        print("listening", ctx.master.addons.get("proxyserver").listen_addrs()[0][1], flush=True)

addons = [Address()]
"""


@dataclass(frozen=True, slots=True)
class Mitmweb:
    web: httpx.Client
    """Its API."""
    proxy: str
    folder: Path

    def client(self) -> httpx.Client:
        return httpx.Client(verify=self.tls(), proxy=self.proxy, trust_env=False, timeout=TIMEOUT)

    def tls(self) -> Any:
        ca = self.folder / "conf" / "mitmproxy-ca-cert.pem"
        return httpx.create_ssl_context(verify=str(ca), trust_env=False)

    def flow(self, host: str) -> str:
        """The id of the latest flow of a client that asked for `host`, once it is complete."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for flow in reversed(self.web.get("/flows").json()):
                over = flow.get("websocket") or (flow.get("response") or {}).get("timestamp_end")
                if flow["client_conn"]["sni"] == host and over:
                    return flow["id"]
            time.sleep(0.05)
        raise AssertionError(f"no flow of {host}")

    def shown(self, flow: str, message: str, view: str = "auto") -> Any:
        """What a view makes of a message: ``text`` and ``view_name``; a list for ``messages``."""
        answer = self.web.get(f"/flows/{flow}/{message}/content/{quote(view)}.json")
        return answer.raise_for_status().json()

    def found(self, filter: str) -> int:
        """How many flows a filter expression finds."""
        dump = self.web.get("/flows/dump", params={"filter": filter}).raise_for_status().content
        return len(list(FlowReader(io.BytesIO(dump)).stream()))


@pytest.fixture(scope="module")
def mitmweb(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mitmweb]:
    folder = tmp_path_factory.mktemp("mitmweb")
    fake = fakes.start("mitmweb")
    config = base_config(ca_bundle) | {
        "data_dir": str(folder / "data"),
        "providers": {
            "anthropic": {"base_url": fake.base_url("anthropic")},
            "openai": {"base_url": fake.base_url("openai-chat")},
            "gemini": {"base_url": fake.base_url("gemini")},
        },
        "credentials": [
            {"id": name, "provider": name, "api_key": f"sk-planted-of-{name}"}
            for name in ("anthropic", "openai", "gemini")
        ],
        "models": {"quick": "anthropic/claude-haiku-4-5"},
        "capture": {"mode": "all"},
    }
    (folder / "detour.yaml").write_text(json.dumps(config))
    (folder / "address.py").write_text(ADDRESS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("mitmweb")), "-q", "--no-web-open-browser"]
    command += ["-s", str(ROOT / "addons" / "detour.py"), "-s", str(folder / "address.py")]
    for option in (
        f"detour_config={folder / 'detour.yaml'}",
        f"confdir={folder / 'conf'}",
        f"ssl_verify_upstream_trusted_ca={ca_bundle}",
        f"web_port={port}",
        f"web_password={PASSWORD}",
    ):
        command += ["--set", option]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    process = subprocess.Popen(
        [*command, "--mode", "regular@127.0.0.1:0"],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        proxy = next(m[1] for line in process.stdout if (m := re.match(r"listening (\d+)", line)))
        headers = {"authorization": f"Bearer {PASSWORD}"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=TIMEOUT, trust_env=False
        ) as web:
            yield Mitmweb(web, f"http://127.0.0.1:{proxy}", folder)
    finally:
        process.terminate()
        process.wait(40)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("format", VIEWS)
def test_conversations_are_shown_and_recorded(mitmweb: Mitmweb, format: str, stream: bool) -> None:
    path, headers, body = SHAPES[format].request("model-x", stream=stream)
    host = HOSTS.get(format, "api.openai.com")
    with mitmweb.client() as client:
        answer = client.post(f"https://{host}{path}", headers=headers, json=body)
    assert answer.status_code == 200
    flow = mitmweb.flow(host)
    asked, told = mitmweb.shown(flow, "request"), mitmweb.shown(flow, "response")
    assert asked["view_name"] == told["view_name"] == VIEWS[format]
    assert "user" in asked["text"] and '"messages"' not in asked["text"]
    assert ("[assistant" in told["text"]) is (format != "gemini")  # which says "model"
    # Without stream_options a stream of Chat Completions says nothing of usage.
    assert ("usage:" in told["text"]) is not (format == "openai-chat" and stream)
    assert SAID in told["text"]  # a stream's pieces are one text again
    recorded = _recorded(mitmweb, answer.headers["x-detour-id"])
    assert recorded.client.response.body.data == answer.content
    assert b"planted" not in b"".join(p.read_bytes() for p in _captures(mitmweb))


def test_a_session_on_a_websocket_is_shown_message_by_message(mitmweb: Mitmweb) -> None:
    url = "wss://api.openai.com/v1/responses"
    sent = {"type": "response.create", "model": "gpt-x", "input": "How do you do?"}
    with connect(
        url,
        ssl=for_threads(mitmweb.tls()),
        proxy=mitmweb.proxy,
        additional_headers={"Authorization": "Bearer own"},
    ) as client:
        client.send(json.dumps(sent))
        got = [json.loads(client.recv(timeout=60))]
        while got[-1]["type"] != "response.completed":
            got.append(json.loads(client.recv(timeout=60)))
    shown = mitmweb.shown(mitmweb.flow("api.openai.com"), "messages")
    assert len(shown) == 1 + len(got)
    assert {message["view_name"] for message in shown} == {"OpenAI Responses"}
    assert "How do you do?" in shown[0]["text"] and shown[0]["from_client"]
    assert "usage:" in shown[-1]["text"]


def test_what_detour_changed_is_shown_side_by_side(mitmweb: Mitmweb) -> None:
    path, headers, body = SHAPES["anthropic"].request("quick", key="sk-ant-clients-own-key")
    with mitmweb.client() as client:
        client.post(f"https://api.anthropic.com{path}", headers=headers, json=body)
    shown = mitmweb.shown(mitmweb.flow("api.anthropic.com"), "request", "Detour: original and forwarded")
    text = shown["text"]
    [model] = [line for line in text.splitlines() if '"model"' in line]
    assert '"quick"' in model and '"claude-haiku-4-5"' in model
    assert "planted" not in text and "clients-own" not in text


@pytest.mark.parametrize(
    ("filter", "host"),
    [
        ("~meta provider=anthropic", "api.anthropic.com"),
        ("~meta credential=openai", "api.openai.com"),
        ("~meta model=only-this & ~meta provider=anthropic", "api.anthropic.com"),
        ('~meta "format=gemini .*attempts=1"', "generativelanguage.googleapis.com"),
    ],
)
def test_flows_are_found_by_what_became_of_them(mitmweb: Mitmweb, filter: str, host: str) -> None:
    with mitmweb.client() as client:
        for format, name in HOSTS.items():
            path, headers, body = SHAPES[format].request("only-this")
            client.post(f"https://{name}{path}", headers=headers, json=body)
        path, headers, body = SHAPES["openai-chat"].request("another")
        client.post(f"https://api.openai.com{path}", headers=headers, json=body)
    for name in (*HOSTS.values(), "api.openai.com"):
        mitmweb.flow(name)
    found = mitmweb.found(filter)
    every = [f for f in mitmweb.web.get("/flows").json() if f["client_conn"]["sni"] == host]
    assert 0 < found <= len(every)
    if "model=" not in filter:
        assert found == len(every)


def _recorded(mitmweb: Mitmweb, id: str) -> Record:
    """The record of an exchange, when it is complete."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for path in _captures(mitmweb):
            if path.stem == id and (record := read(path)).end:
                return record
        time.sleep(0.05)
    raise AssertionError(f"no record {id}")


def _captures(mitmweb: Mitmweb) -> list[Path]:
    return paths(Folders(mitmweb.folder / "data" / "captures"))
