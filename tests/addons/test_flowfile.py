"""Flow files that mitmproxy reads, and flow files that it wrote."""

from __future__ import annotations

from io import BytesIO

import pytest
from mitmproxy import flowfilter, http
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow

from addons.flowfile import read_flows, write_flows
from router_core.capture.record import Frame
from tests.router_core.capture.samples import BODY, EVENTS, URL, record


def test_mitmproxy_reads_what_is_written():
    [client, failed, served] = FlowReader(BytesIO(write_flows([record()], attempts=True))).stream()
    assert isinstance(client, http.HTTPFlow) and client.request.pretty_url == URL
    assert client.request.content == BODY
    assert client.response and client.response.content == b"".join(EVENTS)
    assert isinstance(failed, http.HTTPFlow) and failed.response and failed.response.status_code == 429
    assert flowfilter.match("~meta provider=anthropic", served)
    assert flowfilter.match("~meta credential=cred-2", served)
    assert flowfilter.match("~comment 'attempt 2'", served)


def test_what_is_written_is_read_back(tmp_path):
    one = record()
    one.frames = [Frame(0.5, 0, True, "text", b"hi"), Frame(0.6, 0, False, "binary", b"\x00")]
    one.opening.model = None
    one.end["target"] = "gpt-x"
    path = tmp_path / "flows"
    path.write_bytes(write_flows([one, record("01two")]))
    [flow, _] = FlowReader(BytesIO(path.read_bytes())).stream()
    # mitmdump tells of an error where it has another code.
    assert flow.websocket and flow.websocket.close_code == 1005
    assert flowfilter.match("~meta model=gpt-x", flow)
    [back, _], problems = read_flows(path)
    assert problems == []
    assert back.opening.url == URL and back.opening.websocket
    assert abs(back.opening.created - one.opening.created) < 0.001
    assert back.client.request and back.client.request.body.data == BODY
    assert back.client.response and back.client.response.body.data == b"".join(EVENTS)
    assert [(f.opcode, f.from_client, f.data) for f in back.frames] == [
        ("text", True, b"hi"),
        ("binary", False, b"\x00"),
    ]


def test_the_query_stays_as_it_was_written():
    one = record()
    assert one.client.request
    one.client.request.url = "https://h:8443/p?b=%2F&a=1;2&a"
    [flow] = FlowReader(BytesIO(write_flows([one]))).stream()
    assert isinstance(flow, http.HTTPFlow)
    assert (flow.request.path, flow.request.port) == ("/p?b=%2F&a=1;2&a", 8443)


def test_compressed_flows_of_mitmproxy_are_decoded(tmp_path):
    flow = tflow.tflow(resp=True)
    flow.response.headers["content-encoding"] = "gzip"
    flow.response.content = b"plain text"
    path = tmp_path / "flows"
    with path.open("wb") as file:
        FlowWriter(file).add(flow)
    [one], _ = read_flows(path)
    assert one.client.response and one.client.response.body.data == b"plain text"


def test_flows_that_are_not_http_and_broken_ends_are_named(tmp_path):
    path = tmp_path / "flows"
    with path.open("wb") as file:
        writer = FlowWriter(file)
        for flow in (tflow.ttcpflow(), tflow.tflow(err=True), tflow.twebsocketflow()):
            writer.add(flow)
        file.write(b"1234:cut off")
    records, problems = read_flows(path)
    assert len(records) == 2 and records[0].end["error"] == "error" and len(records[1].frames) == 3
    assert problems[0] == "flow 0 is TCP, not HTTP" and problems[1].startswith(
        "the file breaks off after 2 flows"
    )


@pytest.mark.parametrize("content", [b"hello", b"\x00\xff", b"<xml/>"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no HAR, no mitmproxy flow file"):
        read_flows(path)
