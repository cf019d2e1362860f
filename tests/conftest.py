"""Fixtures that every package's tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstream import FakeThread


@pytest.fixture(scope="session")
def fakes() -> Iterator[FakeThread]:
    """A running thread of fake providers; start your own with ``fakes.start(...)``."""
    with FakeThread() as thread:
        yield thread
