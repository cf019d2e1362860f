"""Whose socket it is, asked about real sockets and real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from router_core import processes

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells")

CONNECT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print(connection.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_client_of_a_connection_is_found(tmp_path, host):
    if host == "::1" and not Path("/proc/net/tcp6").exists():
        pytest.skip("there is no IPv6 here")
    script = tmp_path / "a-tool"
    script.write_text(CONNECT)
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        port = server.getsockname()[1]
        command = [sys.executable, str(script), host, str(port), "not-to-be-shown"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tool:
            peer, (*_,) = server.accept()
            local = int(tool.stdout.readline())
            found = processes.client((host, local), (host, port))
            tool.stdin.close()
            peer.close()

    assert found == processes.Process(tool.pid, found.command, "a-tool")
    assert found.command.startswith("python")


def test_the_listener_of_a_port_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert processes.listener(server.getsockname()[1]).pid == os.getpid()


def test_nobody_is_found_at_a_connection_that_is_not_there():
    assert processes.client(("192.0.2.1", 1), ("192.0.2.2", 2)) is None
