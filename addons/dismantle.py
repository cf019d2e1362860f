"""Layers that are over are taken apart.

Each refers to itself, through its state and through its context, so it would wait for the collector; and with it
OpenSSL's memory for a TLS connection and the tables of HTTP/2, which the collector knows nothing of.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType

from h2.connection import H2Connection
from mitmproxy.proxy.layer import Layer


def dismantle(outermost: Layer) -> bool:
    """Let `outermost` and all layers in it go. False, and nothing done, if one of them still waits for something.

    No event may come to them any more, and none of them may be at work on one.
    """
    layers = _within(outermost)
    if any(vars(each).get("_paused") for each in layers):
        return False
    for each in layers:
        for value in vars(each).values():
            if isinstance(value, H2Connection):
                vars(value).clear()
        vars(each).clear()
    return True


def _within(outermost: Layer) -> set[Layer]:
    found = {outermost}
    left = [outermost]
    while left:
        for value in vars(left.pop()).values():
            for each in _layers_in(value):
                if each not in found:
                    found.add(each)
                    left.append(each)
    return found


def _layers_in(value: object) -> Iterator[Layer]:
    """Those that an attribute of a layer refers to."""
    if isinstance(value, MethodType):
        value = value.__self__
    if isinstance(value, Layer):
        yield value
    elif isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, Layer))
