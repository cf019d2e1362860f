"""What becomes of the authority while an instance runs: hosts are added, files are replaced or broken."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detour import ca
from router_core.config.loader import load
from tests.e2e.instance import Detour, base_config
from tests.e2e.wire import tunnel


@pytest.fixture(scope="module")
def detour(ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detour]:
    config = base_config(ca_bundle) | {"ca": {"refusals": 0}}
    with Detour(config, tmp_path_factory.mktemp("authority")) as detour:
        yield detour


def said(detour: Detour, words: str, before: int = 0) -> bool:
    """Whether `words` are logged after the first `before` characters; waits for it a while."""
    deadline = time.monotonic() + 60
    while words not in detour.log.read_text()[before:] and time.monotonic() < deadline:
        time.sleep(0.05)
    return words in detour.log.read_text()[before:]


def shows(detour: Detour, host: str) -> bool:
    """Whether the certificate for `host` is one that a client accepts that trusts the authority's file."""
    with tunnel(detour.proxy, f"{host}:443") as raw:
        try:
            with detour.tls().wrap_socket(raw, server_hostname=host):
                return True
        except ssl.SSLCertVerificationError:
            return False


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not (it := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return it


def test_hosts_that_are_added_are_signed_for(detour: Detour) -> None:
    earlier = detour.ca_file.read_bytes()
    config = json.loads(detour.config.read_text())
    config["providers"]["late"] = {
        "format": "anthropic",
        "hosts": ["late.test"],
        "base_url": "https://late.test",
    }
    detour.config.write_text(json.dumps(config))

    assert said(detour, "issued the certificate authority again (it does not name late.test)")
    assert "Where" in detour.log.read_text() and "install it anew" in detour.log.read_text()
    assert detour.ca_file.read_bytes() != earlier
    assert eventually(lambda: shows(detour, "late.test"))


def test_an_authority_that_was_replaced_is_taken_up(detour: Detour) -> None:
    loaded = load(detour.config, env=detour.env)
    before = len(detour.log.read_text())

    ca.rotate(loaded.config, loaded.registry, {})

    assert said(
        detour, "the certificate authority was replaced: certificates are signed with the key", before
    )
    assert shows(detour, "api.anthropic.com")


def test_one_that_is_broken_or_gone_is_named_and_not_taken_up(detour: Detour) -> None:
    key = detour.ca_file.with_name("mitmproxy-ca.pem")
    content = key.read_bytes()
    for change in (lambda: key.write_text("no key"), key.unlink):
        before = len(detour.log.read_text())
        change()
        assert said(detour, "was replaced by one that cannot be used", before)
        assert "goes on with the earlier one" in detour.log.read_text()[before:]
        assert shows(detour, "api.anthropic.com")

    key.write_bytes(content)
    assert shows(detour, "api.anthropic.com")
