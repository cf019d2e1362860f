"""Upstream connections as they really behave: closed when idle, shut down in good order, full, shared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import Call
from detour.fakes.steps import Data, Goaway, Reply, Stall, Step
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import SHAPES, Http2Client, Stream, fresh_model
from tests.upstream import FakeThread

END = b'data: {"type":"message_stop"}\n\n'


@dataclass
class Upstreams:
    """A Detour with a provider for each upstream, whose host is ``NAME.test``."""

    fakes: dict[str, FakeUpstream]
    detour: Detour = field(init=False)


@pytest.fixture(scope="module")
def upstreams(
    fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upstreams]:
    upstreams = Upstreams(
        {
            "h1": fakes.start("h1", alpn=("http/1.1",)),
            "h2": fakes.start("h2", alpn=("h2",)),
            "narrow": fakes.start("narrow", alpn=("h2",), max_streams=2),
        }
    )
    config = base_config(ca_bundle)
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "10s", "idle_timeout": "10s"}
    for name, fake in upstreams.fakes.items():
        config["providers"][name] = {
            "format": "anthropic",
            "hosts": [f"{name}.test"],
            "base_url": fake.base_url("anthropic"),
        }
        config["credentials"] += [
            {"id": f"{name}-{which}", "provider": name, "api_key": f"secret-{which}", "priority": priority}
            for which, priority in (("bad", 1), ("good", 0))
        ]
    with Detour(config, tmp_path_factory.mktemp("connections")) as upstreams.detour:
        yield upstreams


def h2_client(upstreams: Upstreams, name: str) -> Http2Client:
    return Http2Client(upstreams.detour.proxy, f"{name}.test", upstreams.detour.tls())


def send(client: Http2Client, model: str) -> int:
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    return client.send("POST", path, headers, json.dumps(body).encode())


def begun(stream: Stream) -> bool:
    return b'"Hello "' in stream.data


@pytest.mark.parametrize("name", ["h1", "h2"])
@pytest.mark.parametrize(
    "fault", [Fault.close_after(), Fault.close_before_first_byte()], ids=lambda f: f.name
)
def test_an_idle_connection_that_is_gone_is_no_failure(upstreams: Upstreams, name: str, fault: Fault) -> None:
    """A closed keep-alive connection says nothing about the credential: the same one is asked again."""
    fake, model = upstreams.fakes[name], fresh_model()
    # The race: the upstream closes as the second request comes in on a connection that was used before.
    fake.script.add(fault, model=model, number=1 if fault.name == "close-after" else 2)
    path, headers, body = SHAPES["anthropic"].request(model)
    with upstreams.detour.client() as client:
        for _ in range(3):
            answer = client.post(f"https://{name}.test{path}", headers=headers, json=body)
            assert answer.status_code == 200
    seen = [r for r in fake.record.requests if r.model == model]
    assert {r.key for r in seen} == {"secret-bad"}
    assert len(seen) in (3, 4)


def test_requests_of_one_client_share_an_upstream_connection(upstreams: Upstreams) -> None:
    fake, model = upstreams.fakes["h1"], fresh_model()
    path, headers, body = SHAPES["anthropic"].request(model)
    with upstreams.detour.client() as client:
        for _ in range(5):
            assert client.post(f"https://h1.test{path}", headers=headers, json=body).status_code == 200
    assert len({r.connection.id for r in fake.record.requests if r.model == model}) == 1


def test_an_informational_answer_is_not_the_answer(upstreams: Upstreams) -> None:
    """103 Early Hints (RFC 8297), which a content network may send first."""
    fake, model = upstreams.fakes["h1"], fresh_model()
    fake.script.add(Fault.early_hints(), model=model)
    path, headers, body = SHAPES["anthropic"].request(model)
    with upstreams.detour.client() as client:
        answer = client.post(f"https://h1.test{path}", headers=headers, json=body)
    assert answer.status_code == 200
    assert answer.json()["content"][0]["text"] == fake.text


def test_a_graceful_goaway_lets_running_streams_end(upstreams: Upstreams) -> None:
    """RFC 9113 6.8: streams up to the last one named go on; providers do this every so many requests."""
    fake, model = upstreams.fakes["h2"], fresh_model()
    fake.script.add(Fault.goaway_mid_stream(), model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    with upstreams.detour.client(http2=True) as client:
        for _ in range(2):
            answer = client.post(f"https://h2.test{path}", headers=headers, json=body)
            assert answer.status_code == 200
            assert answer.content.endswith(END)


def test_a_stream_that_a_goaway_leaves_out_is_sent_again_while_others_go_on(upstreams: Upstreams) -> None:
    fake, stays, left_out = upstreams.fakes["h2"], fresh_model(), fresh_model()

    def goaway_alone(call: Call, reply: Reply) -> list[Step]:
        return [Goaway(), Stall()]

    fake.script.add(Fault.gate(stays), model=stays)
    fake.script.add(Fault("goaway-alone", goaway_alone), model=left_out, number=1)
    with h2_client(upstreams, "h2") as client:
        first = send(client, stays)
        client.until(lambda streams: begun(streams[first]))
        second = send(client, left_out)
        client.until(lambda streams: streams[second].ended)
        assert client.streams[second].data.endswith(END)
        fake.open(stays)
        streams = client.until(lambda streams: streams[first].ended)
    assert streams[first].data.endswith(END)


@pytest.mark.parametrize("name", ["h1", "h2", "narrow"])
def test_more_streams_than_one_connection_takes_all_begin(upstreams: Upstreams, name: str) -> None:
    fake, model = upstreams.fakes[name], fresh_model()
    fake.script.add(Fault.gate(model), model=model)
    with h2_client(upstreams, name) as client:
        for _ in range(12):
            send(client, model)
        client.until(lambda streams: all(begun(s) for s in streams.values()))
        fake.open(model)
        streams = client.until(lambda streams: all(s.ended for s in streams.values()))
    assert all(s.data.endswith(END) for s in streams.values())


@pytest.mark.parametrize("name", ["h1", "h2", "narrow"])
def test_a_burst_fails_over_as_one(upstreams: Upstreams, name: str) -> None:
    """Forty streams whose first credential fails at the same moment: forty clean answers."""
    fake, model = upstreams.fakes[name], fresh_model()
    fake.script.add(Fault.sse_error_before_content(), key="secret-bad", model=model)
    with h2_client(upstreams, name) as client:
        for _ in range(40):
            send(client, model)
        streams = client.until(lambda streams: all(s.ended for s in streams.values()))
    assert {s.status for s in streams.values()} == {200}
    assert all(s.data.endswith(END) and s.data.count(b"message_start\n") == 1 for s in streams.values())
    assert len({s.data for s in streams.values()}) == 1
    good = [r for r in fake.record.requests if r.model == model and r.key == "secret-good"]
    assert len(good) == 40


def test_a_reset_of_one_stream_leaves_its_neighbours_alone(upstreams: Upstreams) -> None:
    fake, stays, breaks = upstreams.fakes["h2"], fresh_model(), fresh_model()
    fake.script.add(Fault.gate(stays), model=stays)
    fake.script.add(Fault.reset_mid_stream(), model=breaks)
    with h2_client(upstreams, "h2") as client:
        first, second = send(client, stays), send(client, breaks)
        client.until(lambda streams: begun(streams[first]) and streams[second].ended)
        fake.open(stays)
        streams = client.until(lambda streams: streams[first].ended)
    assert streams[first].data.endswith(END)
    assert not streams[second].data.endswith(END)


def test_a_client_that_leaves_during_a_failover_is_forgotten(upstreams: Upstreams) -> None:
    """The second attempt, too, is cancelled at once."""
    fake, model = upstreams.fakes["h2"], fresh_model()
    fake.script.add(Fault.status(500), key="secret-bad", model=model)
    fake.script.add(Fault.never_answer(), key="secret-good", model=model)
    with h2_client(upstreams, "h2") as client:
        send(client, model)
        assert fake.record.wait_for(
            lambda r: any(
                q.key == "secret-good" and q.state == "answering" for q in r.requests if q.model == model
            )
        )
    (second,) = [r for r in fake.record.requests if r.model == model and r.key == "secret-good"]
    assert fake.record.wait_for(lambda _: second.state == "cancelled")


def test_a_slow_reader_does_not_fill_the_memory_nor_stop_its_neighbours(upstreams: Upstreams) -> None:
    """An answer that nobody reads waits at its provider; another stream of the same client goes on."""
    fake, big, small = upstreams.fakes["h1"], fresh_model(), fresh_model()
    part = b"event: content_block_delta\ndata: " + b" " * 65536 + b"{}\n\n"

    def endless(call: Call, reply: Reply) -> list[Step]:
        return [reply.head(), *map(Data, reply.parts[:4]), *[Data(part)] * 2000]

    fake.script.add(Fault("endless", endless), model=big)
    before = resident(upstreams.detour.process.pid)
    with upstreams.detour.client() as client:
        path, headers, body = SHAPES["anthropic"].request(big, stream=True)
        with client.stream("POST", f"https://h1.test{path}", headers=headers, json=body) as answer:
            next(answer.iter_raw())
            path, headers, body = SHAPES["anthropic"].request(small)
            with upstreams.detour.client() as other:
                assert other.post(f"https://h1.test{path}", headers=headers, json=body).status_code == 200
            (request,) = [r for r in fake.record.requests if r.model == big]
            assert request.sent < 2000 * len(part)
            assert resident(upstreams.detour.process.pid) - before < 60 << 20


def resident(pid: int) -> int:
    """Bytes of memory that process `pid` has in RAM."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("resident memory is read from Linux's /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def test_nothing_is_left_open(upstreams: Upstreams) -> None:
    """Connections of clients that are gone are closed on both sides."""
    fds = Path(f"/proc/{upstreams.detour.process.pid}/fd")
    if not fds.exists():
        pytest.skip("open files are read from Linux's /proc")
    fake = upstreams.fakes["h1"]
    for _ in range(30):
        path, headers, body = SHAPES["anthropic"].request(fresh_model(), stream=True)
        with upstreams.detour.client() as client:
            assert client.post(f"https://h1.test{path}", headers=headers, json=body).status_code == 200
    assert fake.record.wait_for(lambda r: all(c.closed for c in r.connections))
    # A listening socket has several descriptors.
    sockets = {link for f in fds.iterdir() if f.is_symlink() and "socket:" in (link := str(f.readlink()))}
    assert len(sockets) < 20
