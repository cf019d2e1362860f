"""Other traffic stays in the kernel: the box forwards it as fast with the rules as without."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from detour.gateway.ruleset import REMOVAL
from tests.gateway.conftest import Box, until
from tests.gateway.network import ORIGIN

LOOK: Final = 0.1
"""Seconds for which one rate is measured. Two that follow each other see the same machine, however busy."""
PAIRS: Final = 40
MOST_PAIRS: Final = 160
"""On a busy machine the median takes more of them to settle."""
ENOUGH: Final = 0.95

TRACKING: Final = """
table ip box {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
"""
"""A box in front of a network translates addresses, so its kernel tracks connections with and without Detour's rules."""


def received(box: Box) -> int:
    """Bytes that came to the gateway from the client so far."""
    with box.network.inside("gateway"):
        table = Path("/proc/thread-self/net/dev").read_text()
    (line,) = [line for line in table.splitlines() if line.strip().startswith("client:")]
    return int(line.split()[1])


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs the program iperf3")
def test_other_traffic_is_as_fast_as_without_the_rules(box: Box) -> None:
    rules = box.network.run("gateway", "nft", "list", "table", "inet", "detour").stdout
    box.network.run("gateway", "nft", "-f", "-", input=TRACKING)

    def rate(script: str) -> float:
        box.network.run("gateway", "nft", "-f", "-", input=script)
        began, before = time.monotonic(), received(box)
        time.sleep(LOOK)
        return (received(box) - before) / (time.monotonic() - began)

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = box.network.start("origin", "iperf3", "--server", "--one-off", **quiet)
    until(lambda: "5201" in box.network.run("origin", "ss", "-Hltn").stdout, "iperf3's start")
    client = box.network.start("client", "iperf3", "--time", "0", "--client", ORIGIN[0], **quiet)
    ratios: list[float] = []
    try:
        start = received(box)
        until(lambda: received(box) > start + (1 << 26), "the stream's start")
        while len(ratios) < PAIRS or (statistics.median(ratios) < ENOUGH and len(ratios) < MOST_PAIRS):
            # Each order as often as the other, so that what came before favours neither.
            if len(ratios) % 2:
                without = rate(REMOVAL)
                ratios.append(rate(REMOVAL + rules) / without)
            else:
                beside = rate(REMOVAL + rules)
                ratios.append(beside / rate(REMOVAL))
    finally:
        box.network.run("gateway", "nft", "-f", "-", input=REMOVAL + rules + "delete table ip box")
        client.terminate()
        server.terminate()
    assert statistics.median(ratios) >= ENOUGH, sorted(ratios)
