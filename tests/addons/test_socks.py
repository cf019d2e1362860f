"""SOCKS5 as an outbound proxy: the bytes of RFC 1928 and 1929, and a whole request through one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from mitmproxy import connection, options
from mitmproxy.proxy import commands, context

from addons.socks import Socks5Proxy
from addons.upstream import ProxyHost, outbound_proxy


def proxy(account: tuple[bytes, bytes] | None = None, host: str = "api.test") -> Socks5Proxy:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0)
    ctx = context.Context(client, options.Options())
    ctx.server.address = (host, 443)
    name = ProxyHost("proxy.test")
    name.account = account
    return Socks5Proxy(ctx, connection.Server(address=(name, 1080)))


def say(layer: Socks5Proxy, data: bytes) -> tuple[bytes, bool, str | None]:
    """(what the layer sends, done, error) after the proxy said `data`."""
    sent, steps = b"", layer.receive_handshake_data(data)
    while True:
        try:
            command = next(steps)
        except StopIteration as end:
            return sent, *end.value
        assert isinstance(command, commands.SendData)
        sent += command.data


def greeting(layer: Socks5Proxy) -> bytes:
    (command,) = layer.start_handshake()
    assert isinstance(command, commands.SendData)
    return command.data


def test_without_an_account() -> None:
    layer = proxy()
    assert greeting(layer) == b"\x05\x01\x00"
    assert say(layer, b"\x05\x00") == (b"\x05\x01\x00\x03\x08api.test\x01\xbb", False, None)
    assert say(layer, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38") == (b"", True, None)


def test_with_an_account_and_replies_cut_anywhere() -> None:
    layer = proxy((b"me", b"secret"), host="10.1.2.3")
    assert greeting(layer) == b"\x05\x02\x00\x02"
    sent = b""
    for byte in b"\x05\x02" + b"\x01\x00" + b"\x05\x00\x00\x03\x01x\x00\x01":
        more, done, error = say(layer, bytes([byte]))
        sent += more
        assert error is None
    assert done
    assert sent == b"\x01\x02me\x06secret" + b"\x05\x01\x00\x01\x0a\x01\x02\x03\x01\xbb"


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([b"HTTP/1.1 400"], "does not speak SOCKS5"),
        ([b"\x05\xff"], "wants an account"),
        ([b"\x05\x00", b"\x05\x05\x00\x01\x00"], "connection refused"),
        ([b"\x05\x00", b"\x05\x2a\x00\x01\x00"], "reply 42"),
    ],
)
def test_refusals_are_said(replies: list[bytes], error: str) -> None:
    layer = proxy()
    for reply in replies:
        _, done, said = say(layer, reply)
    assert not done
    assert said
    assert error in said


def test_a_refused_account_is_said() -> None:
    layer = proxy((b"me", b"wrong"))
    say(layer, b"\x05\x02")
    _, done, said = say(layer, b"\x01\x01")
    assert (done, said) == (False, "the SOCKS5 proxy refused the user or password")


def test_two_accounts_of_one_proxy_share_no_connection() -> None:
    one, two = outbound_proxy("socks5h://a:1@p.test:9"), outbound_proxy("socks5://b:1@p.test:9")
    assert one != two
    assert one == outbound_proxy("socks5://a:1@p.test:9")
    assert one
    assert one[1][0].account == (b"a", b"1")  # type: ignore[attr-defined]
    assert outbound_proxy("direct") is None
    with pytest.raises(ValueError, match="ftp"):
        outbound_proxy("ftp://p.test")


@contextlib.asynccontextmanager
async def socks_server() -> AsyncIterator[tuple[int, list[str]]]:
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2 + 1)
        writer.write(b"\x05\x00")
        head = await reader.readexactly(5)
        name = (await reader.readexactly(head[4])).decode()
        asked.append(name)
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


async def test_the_name_goes_to_the_proxy() -> None:
    async with socks_server() as (port, asked):
        layer = proxy()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(greeting(layer))
        done = False
        while not done:
            sent, done, error = say(layer, await reader.read(100))
            assert error is None
            writer.write(sent)
        writer.close()
    assert asked == ["api.test"]
