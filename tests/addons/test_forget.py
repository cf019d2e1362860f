"""Sessions may last for hours, and what they relay has any size."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy.tcp import TCPMessage
from mitmproxy.test import taddons, tflow
from mitmproxy.udp import UDPMessage
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from addons.forget import KEEP, Forget
from addons.suite import chain
from addons.websocket import Websocket
from router_core.config.loader import load
from router_core.core import Core


class Looking:
    """Stands for the addon by which mitmweb shows flows."""

    name = "view"


def session(kind: str) -> tuple[Any, list[Any], Any]:
    """A flow of that kind, where its messages are kept, and what makes one of some bytes."""
    if kind == "websocket":
        flow = tflow.twebsocketflow()
        assert flow.websocket
        flow.websocket.messages.clear()
        return flow, flow.websocket.messages, lambda data: WebSocketMessage(Opcode.BINARY, True, data)
    if kind == "tcp":
        flow = tflow.ttcpflow(messages=[])
        return flow, flow.messages, lambda data: TCPMessage(True, data)
    flow = tflow.tudpflow(messages=[])
    return flow, flow.messages, lambda data: UDPMessage(True, data)


@pytest.mark.parametrize("kind", ["websocket", "tcp", "udp"])
@pytest.mark.parametrize("looked_at", [False, True])
def test_messages_are_kept_only_for_who_looks(kind: str, looked_at: bool) -> None:
    forget, (flow, messages, message) = Forget(), session(kind)
    with taddons.context(*[Looking()] * looked_at):
        for number in range(1000):
            messages.append(message(b"%d" % number))
            getattr(forget, f"{kind}_message")(flow)
    assert len(messages) == (1000 if looked_at else KEEP)
    assert messages[-1].content == b"999"


def test_who_reads_messages_comes_first() -> None:
    kinds = [type(addon) for addon in chain(Core(load(None)))]
    assert kinds.index(Websocket) < kinds.index(Forget)
