"""mitmproxy's addons one by one: only what is asked for is imported, and everything can be asked for."""

from __future__ import annotations

import subprocess
import sys


def says(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_serves_imports_neither_a_web_framework_nor_an_ldap_client() -> None:
    program = (
        "import sys, detour.instance; print(*sorted({'flask', 'ldap3', 'werkzeug'} & sys.modules.keys()))"
    )
    assert says(program) == ""


def test_an_addon_is_imported_when_it_is_asked_for() -> None:
    program = (
        "import addons, mitmproxy.addons as m; print(m.export.Export.__name__, hasattr(m, '__nothing__'))"
    )
    assert says(program) == "Export False"


def test_all_of_them_can_be_had() -> None:
    program = "import addons; from mitmproxy.addons import default_addons as all; print(len(all()) > 25)"
    assert says(program) == "True"


def test_a_process_that_has_them_keeps_them() -> None:
    program = (
        "import mitmproxy.addons as before, addons, sys; print(sys.modules['mitmproxy.addons'] is before, "
        "type(before).__name__)"
    )
    assert says(program) == "True module"
