from __future__ import annotations

from pathlib import Path

from router_core.config.schema import CA, Config
from router_core.paths import paths


def test_xdg_folders_are_used():
    found = paths(Config(), {"HOME": "/home/ann", "XDG_DATA_HOME": "/data", "XDG_STATE_HOME": "relative"})

    assert found.data == Path("/data/detour")
    # A relative path is invalid by the specification.
    assert found.state == Path("/home/ann/.local/state/detour")
    assert found.ca == Path("/data/detour/ca")
    assert found.runtime == Path("/home/ann/.local/state/detour/runtime.json")


def test_everything_lies_under_data_dir():
    found = paths(Config(data_dir="/srv/detour"), {"HOME": "/home/ann", "XDG_DATA_HOME": "/data"})

    assert {found.data, found.state} == {Path("/srv/detour")}
    assert found.runtime.is_relative_to("/srv/detour")
    assert found.captures.main.is_relative_to("/srv/detour")
    assert found.ledger.is_relative_to("/srv/detour")


def test_a_folder_of_its_own_wins():
    config = Config(data_dir="/srv/detour", ca=CA(dir="/etc/detour/ca"))

    assert paths(config, {}).ca == Path("/etc/detour/ca")
