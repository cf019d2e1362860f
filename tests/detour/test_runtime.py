from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

from detour import runtime
from detour.runtime import Runtime

HERE = Runtime(proxy="127.0.0.1:8080", gateway="127.0.0.1:8317", admin=None, config="/etc/detour.yaml")


def test_a_running_instance_is_found(tmp_path):
    file = tmp_path / "state" / "runtime.json"

    runtime.write(file, HERE)

    found = runtime.read(file)
    assert found is not None
    assert (found.pid, found.proxy, found.admin, found.config) == (
        os.getpid(),
        "127.0.0.1:8080",
        None,
        "/etc/detour.yaml",
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_that_has_died_is_not(tmp_path):
    file = tmp_path / "runtime.json"
    program = (
        "import sys; from pathlib import Path; from detour import runtime; "
        "runtime.write(Path(sys.argv[1]), runtime.Runtime(None, None, None, None))"
    )

    subprocess.run([sys.executable, "-c", program, str(file)], check=True)

    assert file.exists()
    assert runtime.read(file) is None


def test_a_later_process_with_the_same_number_is_not_mistaken_for_it(tmp_path):
    file = tmp_path / "runtime.json"
    runtime.write(file, HERE)
    document = json.loads(file.read_text())

    file.write_text(json.dumps({**document, "born": "another birth"}))

    assert runtime.read(file) is None


def test_what_is_no_runtime_file_is_none(tmp_path):
    file = tmp_path / "runtime.json"
    for content in ("", "[]", "{}", '{"pid": 1, "unknown": 2}', "\x00"):
        file.write_text(content)
        assert runtime.read(file) is None
    assert runtime.read(tmp_path / "absent.json") is None


def test_only_ones_own_announcement_is_taken_back(tmp_path):
    file = tmp_path / "runtime.json"
    runtime.write(file, HERE)

    runtime.remove(file, pid=1)
    assert file.exists()

    runtime.remove(file)
    assert not file.exists()
    runtime.remove(file)


def test_a_zombie_is_dead(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert runtime.birth_mark(child.pid) is None
    child.wait()
