"""What belongs to a flow and lives exactly as long as it does.

A value is an attribute of its flow, so it is no part of what mitmproxy copies or saves of the flow, and it may
refer to the flow. In a `WeakKeyDictionary` such a value would keep its flow, and itself, for ever.
"""

from __future__ import annotations

from mitmproxy import http


class Attached[T]:
    """A mapping of flows to values, with a `name` that no other has."""

    def __init__(self, name: str) -> None:
        self._name = f"detour_{name}"

    def get(self, flow: http.HTTPFlow) -> T | None:
        return flow.__dict__.get(self._name)

    def pop(self, flow: http.HTTPFlow) -> T | None:
        return flow.__dict__.pop(self._name, None)

    def __setitem__(self, flow: http.HTTPFlow, value: T) -> None:
        flow.__dict__[self._name] = value

    def __contains__(self, flow: http.HTTPFlow) -> bool:
        return self._name in flow.__dict__
