"""What the failover layer adds to mitmproxy's hooks and events."""

from __future__ import annotations

from dataclasses import dataclass

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import GetHttpConnection

from addons.call import Call


@dataclass
class UpstreamAttemptHook(commands.StartHook):
    """An attempt failed and the client has seen nothing of it.

    The route addon reports the failure and either prepares `call.flow.request` for the next attempt
    (`call.exchange.attempts` grows by one) or leaves the attempts as they are: nothing is left to try.
    """

    call: Call


@dataclass
class DeadlinePassed(events.Event):
    """The deadline that `call.arm` set has passed. Enters at the top of the connection's layers."""

    call: Call


@dataclass
class HookFinished(events.Event):
    """A hook that `layer` began itself, and that had to wait for something, is through. Enters at the top."""

    layer: layer.Layer
    hook: commands.StartHook


@dataclass
class Draining(events.Event):
    """The client of `layer` is to open no further streams on its connection. Enters at the top."""

    layer: layer.Layer


class GetHttp1Connection(GetHttpConnection):
    """For a WebSocket handshake, which mitmproxy can only make over HTTP/1.1: a connection of its own."""
