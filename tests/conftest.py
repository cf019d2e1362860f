"""Fixtures that every package's tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.upstream import FakeThread

# How long an example takes says more about the machine than about the code.
settings.register_profile("detour", deadline=None)
settings.load_profile("detour")


@pytest.fixture(scope="session")
def fakes() -> Iterator[FakeThread]:
    """A running thread of fake providers; start your own with ``fakes.start(...)``."""
    with FakeThread() as thread:
        yield thread
