"""A client that goes away takes its upstream attempt with it, at once and at every moment."""

from __future__ import annotations

import json
import ssl
from functools import partial

import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.record import Record, SeenRequest
from tests.e2e.conftest import House
from tests.e2e.wire import SHAPES, Http2Client, fresh_model, tunnel

MOMENTS = {
    "before-the-head": Fault.never_answer(),
    "before-content": Fault.pings(1, seconds=60),
    "in-the-stream": Fault.stall_mid_stream(),
}


def waiting(fake: FakeUpstream, model: str, moment: str) -> SeenRequest:
    """The request of `model`, once the upstream has got as far as `moment`."""

    def there(_: object) -> bool:
        found = [r for r in fake.record.requests if r.model == model]
        return (
            bool(found)
            and found[0].state == "answering"
            and (moment == "before-the-head" or found[0].sent > 0)
        )

    assert fake.record.wait_for(there)
    return next(r for r in fake.record.requests if r.model == model)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_http1_client_closes(house: House, moment: str) -> None:
    model = fresh_model()
    fake = house.anthropic
    fake.script.add(MOMENTS[moment], model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    content = json.dumps(body).encode()
    head = {"host": "api.anthropic.com", "content-length": str(len(content)), **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items()), "", ""]
    raw = tunnel(house.detour.proxy, "api.anthropic.com:443")
    tls = house.detour.tls().wrap_socket(raw, server_hostname="api.anthropic.com")
    tls.sendall("\r\n".join(lines).encode() + content)
    request = waiting(fake, model, moment)
    tls.close()
    assert fake.record.wait_for(lambda _: request.state == "cancelled")


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_http2_client_resets_one_stream(house: House, moment: str) -> None:
    """The other streams of the connection go on."""
    gone, stays = fresh_model(), fresh_model()
    fake = house.anthropic
    fake.script.add(MOMENTS[moment], model=gone)
    fake.script.add(Fault.gate(stays), model=stays)
    with Http2Client(house.detour.proxy, "api.anthropic.com", house.detour.tls()) as client:
        ids = []
        for model in (gone, stays):
            path, headers, body = SHAPES["anthropic"].request(model, stream=True)
            ids.append(client.send("POST", path, headers, json.dumps(body).encode()))
        request = waiting(fake, gone, moment)
        waiting(fake, stays, "in-the-stream")
        client.cancel(ids[0])
        assert fake.record.wait_for(lambda _: request.state == "cancelled")
        fake.open(stays)
        streams = client.until(lambda streams: streams[ids[1]].ended)
    assert streams[ids[1]].data.endswith(b'data: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_http2_client_closes(house: House, moment: str) -> None:
    model = fresh_model()
    fake = house.anthropic
    fake.script.add(MOMENTS[moment], model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    with Http2Client(house.detour.proxy, "api.anthropic.com", house.detour.tls()) as client:
        client.send("POST", path, headers, json.dumps(body).encode())
        request = waiting(fake, model, moment)
    assert fake.record.wait_for(lambda _: request.state == "cancelled")


def test_the_credential_of_a_client_that_left_stays_in_use(house: House) -> None:
    """A cancelled attempt says nothing about its upstream."""
    model = fresh_model()
    house.anthropic.script.add(Fault.never_answer(), model=model)
    path, headers, body = SHAPES["anthropic"].request(model, stream=True)
    for _ in range(6):
        with Http2Client(house.detour.proxy, "api.anthropic.com", house.detour.tls()) as client:
            seen = len(house.anthropic.record.requests)
            client.send("POST", path, headers, json.dumps(body).encode())
            assert house.anthropic.record.wait_for(partial(longer_than, seen))
    path, headers, body = SHAPES["anthropic"].request(fresh_model())
    with house.detour.client() as client:
        assert client.post(f"https://api.anthropic.com{path}", headers=headers, json=body).status_code == 200


def longer_than(count: int, record: Record) -> bool:
    return len(record.requests) > count


def test_a_tunnel_is_closed_on_both_sides(house: House) -> None:
    """An opaque tunnel ends at its origin when its client ends."""
    raw = tunnel(house.detour.proxy, f"127.0.0.1:{house.own.port}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_socket(raw, server_hostname="tunnel.test")
    assert house.own.record.wait_for(lambda r: any(c.sni == "tunnel.test" for c in r.connections))
    connection = next(c for c in house.own.record.connections if c.sni == "tunnel.test")
    tls.close()
    assert house.own.record.wait_for(lambda _: connection.closed is not None)
