"""Other traffic stays in the kernel: the box forwards it as fast with the rules as without."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from typing import Final

import pytest

from detour.gateway.ruleset import REMOVAL
from tests.gateway.conftest import Box
from tests.gateway.network import ORIGIN

PAIRS: Final = 7
MOST_PAIRS: Final = 21
"""A machine that is busy with other things needs more of them before the median settles."""
AMOUNT: Final = "200M"
"""Bytes of one transfer."""
ENOUGH: Final = 0.95


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="needs the program iperf3")
def test_other_traffic_is_as_fast_as_without_the_rules(box: Box) -> None:
    rules = box.network.run("gateway", "nft", "list", "table", "inet", "detour").stdout
    server = box.network.start("origin", "iperf3", "--server", stdout=subprocess.DEVNULL)

    def put(script: str) -> None:
        box.network.run("gateway", "nft", "-f", "-", input=script)

    def measured() -> float:
        """Bits a second from the client to the origin."""
        said = box.network.run("client", "iperf3", "--json", "--bytes", AMOUNT, "--client", ORIGIN[0])
        return json.loads(said.stdout)["end"]["sum_received"]["bits_per_second"]

    ratios: list[float] = []
    try:
        while len(ratios) < PAIRS or (statistics.median(ratios) < ENOUGH and len(ratios) < MOST_PAIRS):
            # Each order as often as the other, so that what came before cannot favour one.
            scripts = {"with": REMOVAL + rules, "without": REMOVAL}
            order = list(scripts) if len(ratios) % 2 else list(scripts)[::-1]
            found = {}
            for name in order:
                put(scripts[name])
                found[name] = measured()
            ratios.append(found["with"] / found["without"])
    finally:
        put(REMOVAL + rules)
        server.terminate()
    assert statistics.median(ratios) >= ENOUGH, sorted(ratios)
