"""The same suite in stock mitmdump, beside an ordinary addon that must not notice any failover."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from detour.fakes import Fault
from router_core.capture.folder import Folders, paths
from router_core.capture.reader import read
from tests.e2e.instance import ROOT, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

# Writes down which hooks an addon sees, and with what.
RECORDER = """
import json, os
from mitmproxy import ctx

def note(name, flow):
    with open(os.environ["RECORD"], "a") as file:
        status = flow.response and flow.response.status_code
        print(json.dumps([name, status, flow.error and flow.error.msg]), file=file)

class Recorder:
    def request(self, flow): note("request", flow)
    def responseheaders(self, flow): note("responseheaders", flow)
    def response(self, flow): note("response", flow)
    def error(self, flow): note("error", flow)
    def running(self):
        server = ctx.master.addons.get("proxyserver")
        print("listening", server.listen_addrs()[0][1], flush=True)

addons = [Recorder()]
"""


@pytest.mark.parametrize(
    ("fault", "everywhere", "hooks"),
    [
        (
            Fault.status(429),
            False,
            [["request", None, None], ["responseheaders", 200, None], ["response", 200, None]],
        ),
        (
            Fault.sse_error_before_content(),
            False,
            [["request", None, None], ["responseheaders", 200, None], ["response", 200, None]],
        ),
        (
            Fault.status(503),
            True,
            [["request", None, None], ["responseheaders", 503, None], ["response", 503, None]],
        ),
    ],
    ids=["status", "in-stream", "all"],
)
def test_ordinary_addons_see_one_answer(
    fakes: FakeThread,
    ca_bundle: Path,
    tmp_path: Path,
    fault: Fault,
    everywhere: bool,
    hooks: list[list[object]],
) -> None:
    fake = fakes.start("mitmdump")
    fake.script.add(fault, key=None if everywhere else "secret-bad")
    config = base_config(ca_bundle) | {
        "data_dir": str(tmp_path / "data"),
        "capture": {"mode": "all"},
        "providers": {"anthropic": {"base_url": fake.base_url("anthropic")}},
        "credentials": [
            {"id": "bad", "provider": "anthropic", "api_key": "secret-bad", "priority": 1},
            {"id": "good", "provider": "anthropic", "api_key": "secret-good"},
        ],
    }
    (tmp_path / "detour.yaml").write_text(json.dumps(config))
    (tmp_path / "recorder.py").write_text(RECORDER)
    record = tmp_path / "hooks"
    command = [
        str(Path(sys.executable).with_name("mitmdump")),
        "-q",
        "-s",
        str(ROOT / "addons" / "detour.py"),
    ]
    command += ["-s", str(tmp_path / "recorder.py"), "--set", f"detour_config={tmp_path / 'detour.yaml'}"]
    command += ["--set", f"confdir={tmp_path / 'conf'}", "--mode", "regular@127.0.0.1:0"]
    command += ["--set", f"ssl_verify_upstream_trusted_ca={ca_bundle}"]
    env = {**os.environ, "RECORD": str(record), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = next(m[1] for line in process.stdout if (m := re.match(r"listening (\d+)", line)))
        path, headers, body = SHAPES["anthropic"].request("m", stream=True)
        tls = httpx.create_ssl_context(
            verify=str(tmp_path / "conf" / "mitmproxy-ca-cert.pem"), trust_env=False
        )
        with httpx.Client(
            verify=tls, proxy=f"http://127.0.0.1:{port}", trust_env=False, timeout=20
        ) as client:
            answer = client.post(f"https://api.anthropic.com{path}", headers=headers, json=body)
    finally:
        process.terminate()
        process.wait(40)
    assert answer.status_code == hooks[-1][1]
    assert [json.loads(line) for line in record.read_text().splitlines()] == hooks
    [recorded] = [read(path) for path in paths(Folders(tmp_path / "data" / "captures"))]
    assert recorded.end and recorded.client.response
    assert recorded.client.response.body.data == answer.content
    assert [hop.about["credential"] for hop in recorded.attempts] == ["bad", "good"]
