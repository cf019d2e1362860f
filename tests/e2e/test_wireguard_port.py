"""Who has the tunnel's port, where several processes serve and one instance takes another's place."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.instance import Detour, base_config


def port_of(detour: Detour) -> int:
    match = re.search(r" wireguard=127\.0\.0\.1:(\d+)$", "".join(detour.output).strip())
    assert match, detour.output
    return int(match[1])


def taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def said(detour: Detour, words: str) -> bool:
    deadline = time.monotonic() + 60
    while words not in detour.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    return words in detour.log.read_text()


@pytest.fixture
def instances() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_left_to_the_instance_that_takes_the_place(
    instances: ExitStack, ca_bundle: Path, tmp_path: Path, workers: int
) -> None:
    config = base_config(ca_bundle) | {"data_dir": str(tmp_path / "data")}
    config["listen"] |= {"wireguard": "127.0.0.1:0", "workers": workers}
    old = instances.enter_context(Detour(config, tmp_path))
    port = port_of(old)
    assert taken(port)
    for name in ("proxy", "gateway", "admin"):
        config["listen"][name] = getattr(old, name)
    config["listen"]["wireguard"] = f"127.0.0.1:{port}"
    (tmp_path / "new").mkdir()

    new = instances.enter_context(Detour(config, tmp_path / "new", options=["--replace"]))

    assert port_of(new) == port
    assert said(new, "the WireGuard server has its port")
    assert old.process.wait(60) == 0
    assert taken(port)


def test_one_that_is_taken_is_named(ca_bundle: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        config = base_config(ca_bundle)
        config["listen"]["wireguard"] = f"127.0.0.1:{holder.getsockname()[1]}"

        with pytest.raises(RuntimeError, match=r"listen\.wireguard: cannot listen on .* already in use"):
            Detour(config, tmp_path).__enter__()
