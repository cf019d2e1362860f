"""What tests of the routing core share."""

from __future__ import annotations

import pytest

NOW = 1_800_000_000.0
"""Where the clock begins: 2027-01-15 08:00 UTC."""


class Clock:
    """Seconds, which only pass when somebody moves `now`."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
