"""The HTTP layer of a client connection, without a network."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.test import taddons

from addons.failover.layer import FailoverLayer


@pytest.fixture
def ctx() -> Iterator[context.Context]:
    with taddons.context(Proxyserver()) as tctx:
        assert isinstance(tctx.options, options.Options)
        client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), state=ConnectionState.OPEN)
        yield context.Context(client, tctx.options)


def test_a_bug_ends_the_clients_connection(
    ctx: context.Context, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise NotImplementedError("something that nobody thought of")

    layer = FailoverLayer(ctx, HTTPMode.regular)
    list(layer.handle_event(events.Start()))
    monkeypatch.setattr(layer.connections[ctx.client], "_handle_event", broken)

    made = list(layer.handle_event(events.DataReceived(ctx.client, b"GET / HTTP/1.1\r\n\r\n")))

    assert [type(c) for c in made] == [commands.CloseConnection]
    assert [(r.levelno, "nobody thought of" in str(r.exc_info)) for r in caplog.records] == [
        (logging.ERROR, True)
    ]
