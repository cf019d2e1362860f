"""Every way in which a first upstream fails x client protocol x upstream protocol x format where it matters.

Each case has a provider of its own with two credentials: ``bad``, which is preferred and whose upstream
fails, and ``good``. Both live on one host wherever the failure lets them, so that on HTTP/2 the second
attempt goes out on the connection of the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.paths import read_call
from detour.fakes.record import SeenRequest
from detour.fakes.upstream import Listener
from tests.e2e.instance import SHORT, Detour, base_config
from tests.e2e.wire import SHAPES
from tests.upstream import FakeThread

PROTOCOLS = {"h1": ("http/1.1",), "h2": ("h2",)}
CLIENT_KEY = "client-key-that-goes-nowhere"

UNPROCESSED = (Fault.reset_stream(7), Fault.goaway(), Fault.goaway(reset=True))
"""On HTTP/2 these say that the request was not processed."""
RETRIED: tuple[Fault, ...] = (
    *(Fault.status(code) for code in (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 529)),
    Fault.status(429, [("retry-after", "7")], framing="chunked"),
    Fault.status(500, framing="eof"),
    Fault.status(529, framing="chunked", slow_body=30),
    Fault.short_body(5000),
    Fault.reset_before_first_byte(),
    Fault.close_before_first_byte(),
    *UNPROCESSED,
    Fault.reset_stream(11),
    Fault.garbage(),
    Fault.never_answer(),
    Fault.head_then_reset(),
    Fault.sse_error_before_content(),
    Fault.sse_error_before_content(pings=3),
    Fault.sse_error_before_content(opening=0),
    *(
        Fault.raw_answer(status, "text/html", b"<html>sign in</html>", framing="length")
        for status in (200, 302)
    ),
)
NO_ANSWERS = tuple(
    Fault.raw_answer(200, "application/json", body, framing="length")
    for body in (b"", b'{"type":"message","content":[{"ty', b'{"error":{"message":"None left","code":429}}')
)
"""Bodies of a 200 that is none."""
LISTENERS: tuple[Listener, ...] = ("refuse", "close", "reset", "mute", "wrong_certificate", "wrong_name")
FINAL = tuple(Fault.status(code) for code in (400, 413, 422))
BROKEN = (
    Fault.sse_error_after_content(),
    Fault.reset_mid_stream(),
    Fault.close_mid_stream(),
    Fault.stall_mid_stream(),
)
BY_FORMAT = (
    ("openai-chat", Fault.sse_error_before_content()),
    ("openai-chat", Fault.sse_error_before_content(pings=2)),
    ("openai-responses", Fault.sse_error_before_content()),
    ("openai-responses", Fault.sse_error_before_content("flat")),
    ("openai-responses", Fault.sse_error_before_content("failed")),
    ("gemini", Fault.sse_error_before_content()),
    ("gemini", Fault.sse_error_before_content("429")),
    *(
        (format, Fault.status(code))
        for format in ("openai-chat", "openai-responses", "gemini")
        for code in (401, 429, 503)
    ),
)


@dataclass(frozen=True)
class Case:
    number: int
    client: str
    upstream: str
    format: str = "anthropic"
    fault: Fault | None = None
    listener: str = "serve"
    stream: bool = True
    apart: bool = False
    """The two credentials have upstreams of their own."""
    everywhere: bool = False
    """The fault befalls the second credential too."""

    @property
    def provider(self) -> str:
        return f"p{self.number}"

    @property
    def host(self) -> str:
        return f"{self.provider}.test"

    @property
    def model(self) -> str:
        return f"model-{self.number}"

    def key(self, name: str) -> str:
        return f"secret-{name}-{self.number}"

    @property
    def id(self) -> str:
        what = self.fault.name if self.fault else self.listener
        kind = ("" if self.stream else "-json") + ("-apart" if self.apart else "")
        return f"{self.client}-{self.upstream}-{self.format}-{what}{kind}-{self.number}"


def cases(offset: int, rows: Any) -> list[Case]:
    return [
        Case(offset + n, *pair, **row)
        for n, (pair, row) in enumerate(product(product(PROTOCOLS, PROTOCOLS), rows))
    ]


FAILOVER = cases(
    0,
    [
        *({"fault": f} for f in RETRIED),
        *({"listener": name, "apart": True} for name in (*LISTENERS, "dns")),
        *(
            {"fault": f, "apart": True}
            for f in (Fault.status(429), Fault.reset_before_first_byte(), Fault.sse_error_before_content())
        ),
        *(
            {"fault": f, "stream": False}
            for f in (
                Fault.status(429),
                Fault.reset_before_first_byte(),
                Fault.status(529, framing="chunked", slow_body=30),
                *NO_ANSWERS,
            )
        ),
    ],
)
FORMATS = cases(1000, [{"format": format, "fault": f} for format, f in BY_FORMAT])
NO_FAILOVER = cases(2000, [{"fault": f, "stream": s} for f in FINAL for s in (True, False)])
MID_STREAM = cases(3000, [{"fault": f} for f in BROKEN])
ALL_FAIL = cases(
    4000,
    [
        {"fault": Fault.status(429, [("retry-after", "7")]), "everywhere": True},
        {"fault": Fault.sse_error_before_content(), "everywhere": True},
        {"fault": Fault.reset_before_first_byte(), "everywhere": True},
    ],
)


@dataclass
class Matrix:
    serving: dict[str, FakeUpstream]
    """By protocol: where the good credentials live, and the bad ones that are not apart."""
    apart: dict[str, FakeUpstream]
    listeners: dict[str, FakeUpstream]
    detour: Detour = field(init=False)

    def first(self, case: Case) -> FakeUpstream | None:
        """Where the bad credential's requests go; None where there is nothing."""
        if case.listener != "serve":
            return self.listeners.get(case.listener)
        return self.apart[case.upstream] if case.apart else self.serving[case.upstream]

    def seen(self, case: Case, name: str) -> list[SeenRequest]:
        """The requests that carried the credential `name` of `case`."""
        fakes = [*self.serving.values(), *self.apart.values(), *self.listeners.values()]
        return [r for fake in fakes for r in fake.record.with_key(case.key(name))]

    def expect_clean(self, case: Case) -> None:
        """No upstream saw a credential that is not its own, nor anything of Detour's."""
        keys = {case.key("bad"), case.key("good")}
        for fake in (*self.serving.values(), *self.apart.values(), *self.listeners.values()):
            for request in (r for r in tuple(fake.record.requests) if r.model == case.model):
                text = request.target + repr(request.headers)
                assert request.key in keys
                assert CLIENT_KEY not in text
                assert not any(other in text for other in keys - {request.key})
                assert not any(name.lower().startswith("x-detour") for name, _ in request.headers)
        if case.apart and (first := self.first(case)):
            assert not first.record.with_key(case.key("good"))


@pytest.fixture(scope="module")
def matrix(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    serving = {name: fakes.start(f"good-{name}", alpn=alpn) for name, alpn in PROTOCOLS.items()}
    apart = {name: fakes.start(f"bad-{name}", alpn=alpn) for name, alpn in PROTOCOLS.items()}
    listeners: dict[str, FakeUpstream] = {name: fakes.start(name, listener=name) for name in LISTENERS}
    config = base_config(ca_bundle) | {"limits": {"hold_time": "1s"}}
    config["upstream"] |= SHORT
    matrix = Matrix(serving, apart, listeners)
    for case in (*FAILOVER, *FORMATS, *NO_FAILOVER, *MID_STREAM, *ALL_FAIL):
        good = serving[case.upstream]
        first = matrix.first(case)
        base = first.base_url(case.format) if first else "https://no-such-host.invalid"
        config["providers"][case.provider] = {
            "format": case.format,
            "hosts": [case.host],
            "base_url": good.base_url(case.format),
        }
        config["credentials"] += [
            {"id": f"{case.provider}-{name}", "provider": case.provider, "api_key": case.key(name), **more}
            for name, more in (("bad", {"priority": 10, "base_url": base}), ("good", {}))
        ]
        if case.fault and first:
            first.script.add(case.fault, key=case.key("bad"))
        if case.everywhere and case.fault:
            good.script.add(case.fault, key=case.key("good"))
        elif case.stream:
            good.script.add(Fault.gate(case.model), key=case.key("good"))
    with Detour(config, tmp_path_factory.mktemp("matrix")) as matrix.detour:
        yield matrix


def ask(matrix: Matrix, case: Case, client: httpx.Client) -> Any:
    path, headers, body = SHAPES[case.format].request(case.model, stream=case.stream, key=CLIENT_KEY)
    return client.stream("POST", f"https://{case.host}{path}", headers=headers, json=body)


def answer_of(fake: FakeUpstream, case: Case) -> tuple[bytes, ...]:
    """The parts of the answer that `fake` gives where nothing befalls it."""
    path, headers, body = SHAPES[case.format].request(case.model, stream=case.stream)
    call = read_call("POST", path, [*headers.items()], json.dumps(body).encode(), fake.text)
    assert call
    return call.wire.answer(call).parts


@pytest.mark.parametrize("case", [*FAILOVER, *FORMATS], ids=lambda c: c.id)
def test_the_client_sees_one_clean_answer(matrix: Matrix, case: Case) -> None:
    good = matrix.serving[case.upstream]
    expected = b"".join(answer_of(good, case))
    with matrix.detour.client(http2=case.client == "h2") as client, ask(matrix, case, client) as answer:
        assert answer.status_code == 200
        assert answer.http_version == {"h1": "HTTP/1.1", "h2": "HTTP/2"}[case.client]
        assert "content-encoding" not in answer.headers
        parts = answer.iter_raw()
        body = b""
        if case.stream:
            while b"Hello " not in body:
                body += next(parts)
            # The client has content while the upstream is still at the gate: nothing waits for the end.
            assert matrix.seen(case, "good")[0].state == "answering"
        good.open(case.model)
        body += b"".join(parts)
    assert body == expected

    (seen,) = matrix.seen(case, "good")
    assert seen.protocol == {"h1": "http/1.1", "h2": "h2"}[case.upstream]
    sent = SHAPES[case.format].request(case.model, stream=case.stream)[2]
    # Where an OpenAI stream would not tell its usage, it is asked to.
    assert {k: v for k, v in json.loads(seen.body).items() if k != "stream_options"} == sent
    first = matrix.seen(case, "bad")
    if case.upstream == "h2" and case.fault in UNPROCESSED:
        # RFC 9113 8.7: it was not looked at, so the same credential may be asked once more.
        assert len(first) in (1, 2)
    else:
        assert len(first) == (1 if case.fault else 0)
    if first:
        assert first[0].body == seen.body
        assert good.record.wait_for(lambda _: first[0].state in ("answered", "failed", "cancelled"))
    matrix.expect_clean(case)


@pytest.mark.parametrize("case", NO_FAILOVER, ids=lambda c: c.id)
def test_an_answer_about_the_request_is_final(matrix: Matrix, case: Case) -> None:
    with matrix.detour.client(http2=case.client == "h2") as client, ask(matrix, case, client) as answer:
        answer.read()
    assert case.fault
    assert answer.status_code == int(case.fault.name)
    assert answer.json()["error"]
    assert "x-detour-error" not in answer.headers
    assert (len(matrix.seen(case, "bad")), matrix.seen(case, "good")) == (1, [])
    matrix.expect_clean(case)


@pytest.mark.parametrize("case", MID_STREAM, ids=lambda c: c.id)
def test_after_content_there_is_no_second_attempt(matrix: Matrix, case: Case) -> None:
    body = b""
    with matrix.detour.client(http2=case.client == "h2") as client, ask(matrix, case, client) as answer:
        assert answer.status_code == 200
        try:
            for part in answer.iter_raw():
                body += part
        except httpx.TransportError:
            pass
    parts = answer_of(matrix.serving[case.upstream], case)
    begun = b"".join(parts[:4])
    assert body.startswith(begun)
    # It may end with an error event, or be cut off, but never look complete.
    assert b"message_stop" not in body
    assert body[len(begun) :] == b"" or body[len(begun) :].startswith(b"event: error\n")
    # It is the upstream that reset, whatever mitmproxy calls it.
    assert b"by client" not in body
    assert (len(matrix.seen(case, "bad")), matrix.seen(case, "good")) == (1, [])
    matrix.expect_clean(case)


@pytest.mark.parametrize("case", ALL_FAIL, ids=lambda c: c.id)
def test_when_all_fail_the_client_gets_one_answer(matrix: Matrix, case: Case) -> None:
    with matrix.detour.client(http2=case.client == "h2") as client, ask(matrix, case, client) as answer:
        answer.read()
    assert case.fault
    if case.fault.name == "429":
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert "x-detour-error" not in answer.headers
    elif case.fault.name == "sse-error-before-content":
        assert answer.status_code >= 500
        assert answer.json()["error"]["message"]
    else:
        assert (answer.status_code, answer.headers["x-detour-error"]) == (502, "upstream_unreachable")
        assert answer.json()["type"] == "error"
    assert [len(matrix.seen(case, name)) for name in ("bad", "good")] == [1, 1]
    matrix.expect_clean(case)
