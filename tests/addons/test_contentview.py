"""Conversations in mitmproxy's own registry of views."""

from __future__ import annotations

import json
from weakref import ref

import pytest
from mitmproxy import contentviews, flowfilter, http, options
from mitmproxy.test import taddons, tflow
from mitmproxy.tools.web.master import WebMaster
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from addons.call import Call, calls
from addons.contentview import Contentview, side_by_side
from addons.suite import Suite
from router_core.config.schema import Config
from router_core.exchange import Attempt
from tests.router_core.capture.samples import ENDPOINT, EVENTS, PROVIDER, attempt, exchange, outgoing

CHAT = {"model": "m", "messages": [{"role": "user", "content": "How is it?"}]}
REQUESTS = {
    "Anthropic": ("/v1/messages", {**CHAT, "max_tokens": 1}),
    "OpenAI Chat": ("/v1/chat/completions", CHAT),
    "OpenAI Responses": ("/v1/responses", {"model": "m", "input": "How is it?"}),
    "Gemini": (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "How is it?"}]}]},
    ),
}
ANSWERS = {
    "Anthropic": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Sunny."}]},
    "OpenAI Chat": {
        "object": "chat.completion",
        "choices": [{"message": {"role": "assistant", "content": "Sunny."}}],
    },
    "OpenAI Responses": {
        "object": "response",
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny."}]}
        ],
    },
    "Gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Sunny."}]}}]},
}
STREAMS = {
    "Anthropic": b"".join(EVENTS).replace(b"Bon", b"Sun").replace(b"jour", b"ny."),
    "OpenAI Chat": b"".join(
        b"data: %s\n\n"
        % json.dumps(
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": d, "finish_reason": f}],
            }
        ).encode()
        for d, f in (
            ({"role": "assistant", "content": "Sun"}, None),
            ({"content": "ny."}, None),
            ({}, "stop"),
        )
    )
    + b"data: [DONE]\n\n",
    "OpenAI Responses": b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"Sunny."}\n\n',
    "Gemini": b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Sunny."}]},"finishReason":"STOP"}]}\r\n\r\n',
}


@pytest.fixture(autouse=True)
def addon():
    with taddons.context() as context:
        addon = Contentview()
        context.master.addons.add(addon)
        yield addon


def flow(
    path: str, request: object = None, answer: bytes = b"", content_type: str = "application/json"
) -> http.HTTPFlow:
    made = tflow.tflow(resp=True)
    made.request = http.Request.make(
        "POST", f"https://api.example{path}", json.dumps(request), {"content-type": "application/json"}
    )
    made.response = http.Response.make(200, answer, {"content-type": content_type})
    return made


@pytest.mark.parametrize("view", REQUESTS)
def test_requests(view):
    path, document = REQUESTS[view]
    made = flow(path, document)
    shown = contentviews.prettify_message(made.request, made)
    assert shown.view_name == view
    assert "[user]\n  How is it?" in shown.text


@pytest.mark.parametrize("path", [True, False], ids=["by path", "by shape"])
@pytest.mark.parametrize("view", ANSWERS)
def test_answers(view, path):
    made = flow(REQUESTS[view][0] if path else "/somewhere", {}, json.dumps(ANSWERS[view]).encode())
    shown = contentviews.prettify_message(made.response, made)
    assert shown.view_name == view and "Sunny." in shown.text


@pytest.mark.parametrize("path", [True, False], ids=["by path", "by shape"])
@pytest.mark.parametrize("view", STREAMS)
def test_streams(view, path):
    made = flow(REQUESTS[view][0] if path else "/somewhere", {}, STREAMS[view], "text/event-stream")
    shown = contentviews.prettify_message(made.response, made)
    assert shown.view_name == view and "Sunny." in shown.text


@pytest.mark.parametrize(
    ("from_client", "document", "words"),
    [
        (True, {"type": "response.create", "model": "m", "input": "How is it?"}, "[user]\n  How is it?"),
        (False, {"type": "response.output_text.delta", "delta": "Sun"}, "response.output_text.delta\nSun"),
        (
            False,
            {"type": "response.completed", "response": ANSWERS["OpenAI Responses"]},
            "[assistant]\n  Sunny.",
        ),
    ],
)
def test_websocket_messages(from_client, document, words):
    made = flow("/v1/responses")
    message = WebSocketMessage(Opcode.TEXT, from_client, json.dumps(document).encode())
    shown = contentviews.prettify_message(message, made)
    assert shown.view_name == "OpenAI Responses" and words in shown.text


@pytest.mark.parametrize("answer", [b"", b"<html>", b"\x00\xff", b"[1]", b'{"a":1}', b"data: {}\n\n"])
def test_what_is_not_ours_is_left_to_others(answer):
    made = flow("/index.html", None, answer, "text/html")
    shown = contentviews.prettify_message(made.response, made)
    assert shown.view_name not in REQUESTS


def test_a_damaged_body_is_shown_raw():
    made = flow("/v1/messages", None, b'{"cut', "application/json")
    shown = contentviews.prettify_message(made.response, made)
    assert '{"cut' in shown.text and "failed to parse as Anthropic" in shown.description


@pytest.fixture
def routed():
    made = flow("/v1/messages", REQUESTS["Anthropic"][1])
    one, tried = (
        exchange(headers=[("authorization", "Bearer planted-client-key")]),
        attempt(secret="planted-pool-key"),
    )
    one.attempts.append(tried)
    call = calls[made] = Call(ref(made), one.surface, Config(), one)
    call.outgoing = outgoing(tried, one.request.body.replace(b"claude-x", b"claude-y"))
    return made, call


def test_the_clients_request_beside_the_forwarded_one(routed):
    made, _ = routed
    shown = contentviews.prettify_message(made.request, made, "Detour: original and forwarded")
    lines = shown.text.splitlines()
    assert "the client's request" in lines[0] and "sent upstream" in lines[0]
    [model] = [line for line in lines if '"model"' in line]
    assert "claude-x" in model and " | " in model and "claude-y" in model
    [credentials] = [line for line in lines if "authorization: Bearer redacted-" in line]
    assert " | x-api-key: redacted-" in credentials
    assert "planted" not in shown.text


def test_there_is_no_original_of_a_flow_from_a_file():
    made = flow("/v1/messages", REQUESTS["Anthropic"][1])
    shown = contentviews.prettify_message(made.request, made, "Detour: original and forwarded")
    assert shown.syntax_highlight == "error" and "Detour did not route this request" in shown.text


def test_columns():
    assert [row.split() for row in side_by_side(["a", "b"], ["a", "c", "d"], "L", "R")[2:]] == [
        ["a", "a"],
        ["b", "|", "c"],
        [">", "d"],
    ]
    assert all(len(row) <= 160 for row in side_by_side(["x" * 500], ["y" * 500], "L", "R"))


def test_flows_are_found_by_provider_model_and_credential(addon, routed):
    made, call = routed
    addon.request(made)
    for expression in ("provider=anthropic", "model=claude-x", "credential=cred-1", "format=anthropic"):
        assert flowfilter.match(f"~meta {expression}", made)
    assert not flowfilter.match("~meta provider=openai", made)
    assert call.exchange
    call.exchange.attempts.append(Attempt(2, PROVIDER, ENDPOINT, "claude-x", "another"))
    addon.upstream_attempt(call)
    assert flowfilter.match("~meta credential=another", made) and flowfilter.match("~meta attempts=2", made)
    made.get_state()  # what is in the metadata can be saved


async def test_the_suite_fits_into_mitmweb_which_then_keeps_streams(tmp_path):
    """mitmweb has addons that mitmdump has not; two of one name are refused."""
    config = tmp_path / "detour.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n")
    master = WebMaster(options.Options(), with_termlog=False)
    suite = Suite()
    master.addons.add(suite)
    master.options.update(detour_config=str(config))
    view = next(addon for addon in suite.addons if isinstance(addon, Contentview))
    assert not master.options.store_streamed_bodies
    view.running()
    assert master.options.store_streamed_bodies
    assert set(REQUESTS) <= {view.name for view in contentviews.registry.values()}
