"""Fake providers for tests: `detour.fakes`, served from a thread of their own."""

from tests.upstream.thread import FakeThread

__all__ = ["FakeThread"]
