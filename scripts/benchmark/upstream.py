"""A fast fake upstream for load: one small JSON answer, or a stream of events. HTTP/1.1, no TLS.

Prints ``ready PORT``. Run in a process of its own: ``python -m scripts.benchmark.upstream``.
"""

from __future__ import annotations

import asyncio
import re

import orjson

ANSWER = orjson.dumps(
    {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "x" * 600}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 34},
    }
)
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(name: bytes, data: object) -> bytes:
    raw = b"event: %s\ndata: %s\n\n" % (name, orjson.dumps(data))
    return b"%x\r\n%s\r\n" % (len(raw), raw)


START = event(
    b"message_start",
    {
        "type": "message_start",
        "message": {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [],
            "usage": {"input_tokens": 12, "output_tokens": 1},
        },
    },
) + event(
    b"content_block_start",
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
DELTA = event(
    b"content_block_delta",
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y" * 100}},
)
STOP = (
    event(b"content_block_stop", {"type": "content_block_stop", "index": 0})
    + event(
        b"message_delta",
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 34}},
    )
    + event(b"message_stop", {"type": "message_stop"})
    + b"0\r\n\r\n"
)


class Upstream(asyncio.Protocol):
    """Answers each request; ``x-events: COUNT/INTERVAL_MS`` asks for a stream of that many deltas, and
    ``/answered`` how many requests there have been."""

    answered = 0

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            match = re.search(rb"\r\ncontent-length: (\d+)", head)
            total = end + 4 + (int(match[1]) if match else 0)
            if len(self.buffer) < total:
                return
            self.buffer = self.buffer[total:]
            self.answer(head)

    def answer(self, head: bytes) -> None:
        if head.startswith(b"get /answered "):
            number = b"%d" % Upstream.answered
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(number), number))
            return
        Upstream.answered += 1
        wanted = re.search(rb"\r\nx-events: (\d+)/(\d+)", head)
        if wanted:
            self.transport.write(SSE + START + DELTA)
            self.deltas(int(wanted[1]) - 1, int(wanted[2]) / 1000)
        else:
            self.transport.write(JSON)

    def deltas(self, left: int, interval: float) -> None:
        if self.transport.is_closing():
            return
        if not interval:
            self.transport.write(DELTA * left + STOP)
        elif left == 0:
            self.transport.write(STOP)
        else:
            self.transport.write(DELTA)
            asyncio.get_running_loop().call_later(interval, self.deltas, left - 1, interval)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
