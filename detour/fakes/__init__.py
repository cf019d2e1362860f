"""Fake providers on loopback, for `detour demo` and for the tests."""

from detour.fakes.certificates import ThrowawayCA
from detour.fakes.faults import Fault
from detour.fakes.upstream import FakeUpstream

__all__ = ["FakeUpstream", "Fault", "ThrowawayCA"]
