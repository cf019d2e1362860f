"""The HTTP layer of a client connection, without a network."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st
from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.test import taddons

from addons.failover.layer import JOIN, FailoverLayer, fork, joined
from addons.options import Options

CLIENT = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
SERVER = Server(address=("upstream.test", 443))
PEERS = st.sampled_from([CLIENT, SERVER])
DATA = st.sampled_from([b"", b"a", b"bc", b"d" * JOIN])
COMMANDS = st.builds(commands.SendData, PEERS, DATA) | st.builds(commands.CloseConnection, PEERS)


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


@given(st.lists(COMMANDS))
def test_joining_changes_no_byte_and_no_order(made: list[commands.ConnectionCommand]) -> None:
    def told(those: list[commands.ConnectionCommand]) -> list[list]:
        """Each run of pieces for one peer as its bytes, everything else as itself."""
        runs: list[list] = []
        for command in those:
            data = command.data if isinstance(command, commands.SendData) else None
            if data is not None and runs and runs[-1][0] is command.connection and runs[-1][1] is not None:
                runs[-1][1] += data
            else:
                runs.append([command.connection, data])
        return runs

    out = list(joined(iter(made)))  # type: ignore[arg-type]
    assert told(out) == told(made)
    assert len(out) <= len(made)


def test_a_head_and_its_body_are_one_piece() -> None:
    pieces = iter([commands.SendData(CLIENT, b"head"), commands.SendData(CLIENT, b"body")])
    (one,) = joined(pieces)  # type: ignore[arg-type]
    assert one.data == b"headbody"


def test_a_fork_is_what_mitmproxy_makes() -> None:
    original = context.Context(CLIENT, Options())
    original.server = SERVER
    assert fork(original).__dict__ == original.fork().__dict__
    assert fork(original).layers is not original.layers
