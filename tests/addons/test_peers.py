"""Where the tunnel does not lead."""

from __future__ import annotations

import pytest

from addons.peers import may_be_reached


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1%eth0",
        "0.0.0.0",
        "::",
        "224.0.0.251",
        "ff02::fb",
        "no-address",
    ],
)
def test_not_to_the_box_itself(host):
    assert not may_be_reached(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "10.1.2.3", "2001:db8::1", "::ffff:192.0.2.1"])
def test_but_to_any_other_machine(host):
    assert may_be_reached(host)
