"""A credential whose upstream traffic goes through a SOCKS5 proxy; the next one takes over when it is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Start
from tests.e2e.wire import SHAPES, fresh_model
from tests.upstream import FakeThread


class SocksProxy:
    """Relays to wherever it is asked; in a thread of its own. `seen` are the destinations."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = (await reader.readexactly(2))[1]
        await reader.readexactly(count)
        writer.write(b"\x05\x02")
        length = (await reader.readexactly(2))[1]
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01\x00" if (user, password) == (b"me", b"s3cret") else b"\x01\x01")
        head = await reader.readexactly(4)
        if head[3] == 3:
            name = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            name = ".".join(str(b) for b in await reader.readexactly(4))
        port = int.from_bytes(await reader.readexactly(2))
        self.seen.append((name, port))
        upstream_reader, upstream_writer = await asyncio.open_connection(name, port)
        writer.write(b"\x05\x00\x00\x01\0\0\0\0\0\0")
        await asyncio.gather(_pipe(reader, upstream_writer), _pipe(upstream_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@pytest.fixture
def socks() -> Iterator[SocksProxy]:
    proxy = SocksProxy()
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_credential_behind_socks(start: Start, fakes: FakeThread, socks: SocksProxy, scheme: str) -> None:
    fake = fakes.start("behind-socks")
    proxies = {
        "wrong": f"{scheme}://me:wrong@127.0.0.1:{socks.port}",
        "right": f"{scheme}://me:s3cret@127.0.0.1:{socks.port}",
    }
    detour = start(
        providers={"anthropic": {"base_url": fake.base_url("anthropic")}},
        credentials=[
            {"id": name, "provider": "anthropic", "api_key": f"secret-{name}", "proxy": url, "priority": -n}
            for n, (name, url) in enumerate(proxies.items())
        ],
    )
    path, headers, body = SHAPES["anthropic"].request(fresh_model())
    with detour.client() as client:
        answer = client.post(f"https://api.anthropic.com{path}", headers=headers, json=body)
    assert answer.status_code == 200
    assert socks.seen == [("localhost", fake.port)]
    (seen,) = fake.record.requests
    assert seen.key == "secret-right"
