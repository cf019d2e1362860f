"""Recorded traffic through a real Detour: where no rule fires, each byte of request and answer is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from router_core.formats import Format
from router_core.rewrite import catalogue
from tests.e2e.instance import TIMEOUT, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.router_core import wire
from tests.upstream import FakeThread

PROVIDERS = {
    Format.ANTHROPIC: ("anthropic", "api.anthropic.com", "/v1/messages"),
    Format.OPENAI_CHAT: ("openai", "api.openai.com", "/v1/chat/completions"),
    Format.OPENAI_RESPONSES: ("openai", "api.openai.com", "/v1/responses"),
    Format.GEMINI: ("gemini", "generativelanguage.googleapis.com", "/v1beta/models/{model}:{action}"),
}
PIECE = 997
"""Bytes of an answer that are sent at once; a prime cuts lines, events and characters anywhere."""


@pytest.fixture(scope="module")
def upstream(fakes: FakeThread) -> FakeUpstream:
    return fakes.start("recorded", lenient=True)


@pytest.fixture(scope="module")
def detour(
    upstream: FakeUpstream, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Detour]:
    config = base_config(ca_bundle)
    for format, (name, *_) in PROVIDERS.items():
        config["providers"][name] = {"base_url": upstream.base_url(str(format))}
    config["credentials"] = [
        {"id": name, "provider": name, "api_key": f"key-of-{name}"} for name in config["providers"]
    ]
    config["disable_rewrites"] = sorted(catalogue.BY_NAME)
    with Detour(config, tmp_path_factory.mktemp("fidelity")) as running:
        yield running


def body_of(pair: wire.Pair) -> bytes:
    """The recorded request, or one as good, asking for what was recorded as its answer."""
    body = pair.request or json.dumps(SHAPES[pair.format].body).encode()
    wanted = {} if pair.format is Format.GEMINI else {"model": pair.model or "m", "stream": pair.streams}
    document = json.loads(body)
    missing = {key: value for key, value in wanted.items() if not document.get(key) and value}
    return body.rstrip()[:-1] + b"," + json.dumps(missing)[1:].encode() if missing else body


@pytest.mark.parametrize("way", ["gateway", "proxy", "h2"])
def test_recorded_pairs_pass_byte_for_byte(detour: Detour, upstream: FakeUpstream, way: str) -> None:
    """A third of the pairs each way. Errors are left out, since after one its credential is spared for a while."""
    pairs = [pair for pair in wire.pairs() if pair.status == 200][["gateway", "proxy", "h2"].index(way) :: 3]
    if not pairs:
        pytest.skip(f"no recorded wire data at {wire.CORPUS.name}; set DETOUR_WIRE_CORPUS")
    client = (
        httpx.Client(trust_env=False, timeout=TIMEOUT)
        if way == "gateway"
        else detour.client(http2=way == "h2")
    )
    with client:
        for pair in pairs:
            provider, host, path = PROVIDERS[pair.format]
            array = pair.response.lstrip().startswith(b"[")
            action = (
                f"streamGenerateContent{'' if array else '?alt=sse'}" if pair.streams else "generateContent"
            )
            base = f"{detour.gateway_url}/{provider}" if way == "gateway" else f"https://{host}"
            media = "text/event-stream" if pair.streams and not array else "application/json"
            pieces = [pair.response[i : i + PIECE] for i in range(0, len(pair.response), PIECE)]
            upstream.script.rules.clear()
            upstream.script.add(Fault.raw_answer(200, media, *pieces))
            answer = client.post(
                base + path.format(model=pair.model or "m", action=action),
                content=body_of(pair),
                headers={"content-type": "application/json"},
            )
            assert answer.status_code == 200, (pair.path, answer.text)
            assert answer.content == pair.response, pair.path
            assert upstream.record.requests[-1].body == body_of(pair), pair.path
