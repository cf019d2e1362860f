"""The tunnel's files: who is in them, and what happens when they cannot be used."""

from __future__ import annotations

import stat
from pathlib import Path

import mitmproxy_rs
import pytest

from detour.wireguard.store import PeerError, Store, new_key, public_of
from router_core.config.schema import WireGuard

CONFIG = WireGuard()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_peer_gets_a_key_and_an_address_of_its_own(store):
    first = store.add("laptop", CONFIG, "box:51820")
    second = store.add("phone", CONFIG, "box:51820", all_traffic=True)

    assert store.peers() == [first, second]
    assert first.public_key == mitmproxy_rs.wireguard.pubkey(first.private_key)
    assert first.public_key != second.public_key
    tunnel = store.tunnel(CONFIG)
    assert tunnel.names == {
        "10.87.0.2": "laptop",
        "fd87:de70:a1::2": "laptop",
        "10.87.0.3": "phone",
        "fd87:de70:a1::3": "phone",
    }
    assert tunnel.own == {"10.87.0.1", "fd87:de70:a1::1"}


def test_only_the_owner_can_read_the_keys_and_no_repr_shows_them(store):
    entry = store.add("laptop", CONFIG, "box:51820")
    tunnel = store.tunnel(CONFIG)

    for file in (store.key_file, store.peers_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    shown = repr(entry) + repr(tunnel)
    assert entry.private_key not in shown
    assert store.server_key() not in shown


def test_the_servers_key_stays(store):
    assert store.server_key() == store.server_key()


def test_a_place_that_is_free_again_is_given_to_the_next(store):
    for name in ("a", "b", "c"):
        store.add(name, CONFIG, "box:51820")
    store.remove("b")

    assert store.add("d", CONFIG, "box:51820").number == 3
    assert [entry.name for entry in store.peers()] == ["a", "c", "d"]


def test_a_device_may_have_made_its_key_itself(store):
    public = public_of(new_key())

    entry = store.add("server", CONFIG, "box:51820", public_key=public)

    assert (entry.public_key, entry.private_key) == (public, None)
    with pytest.raises(PeerError, match="with this public key already"):
        store.add("again", CONFIG, "box:51820", public_key=public)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "ä"])
def test_a_name_that_is_none_is_refused(store, name):
    with pytest.raises(PeerError, match="cannot be a peer's name"):
        store.add(name, CONFIG, "box:51820")


def test_a_name_is_given_once(store):
    store.add("laptop", CONFIG, "box:51820")

    with pytest.raises(PeerError, match="there is a peer 'laptop' already"):
        store.add("laptop", CONFIG, "box:51820")


@pytest.mark.parametrize("key", ["", "short", "A" * 44, "!" * 43 + "="])
def test_a_key_that_is_none_is_refused(store, key):
    with pytest.raises(PeerError, match="no WireGuard public key"):
        store.add("laptop", CONFIG, "box:51820", public_key=key)


def test_an_unknown_peer_is_named(store):
    with pytest.raises(PeerError, match=r"there is no peer 'laptop'.*peer list"):
        store.remove("laptop")


def test_full_networks_are_named(store):
    config = WireGuard(network4="10.87.0.0/29")
    for number in range(5):
        store.add(f"p{number}", config, "box:51820")

    with pytest.raises(PeerError, match="networks are full"):
        store.add("one-more", config, "box:51820")
    with pytest.raises(PeerError, match="no address for p1, p2, p3, p4; write larger"):
        store.tunnel(WireGuard(network4="10.87.0.0/30", network6="fd87::/125"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"peers": [{"name": "x"}]}', '{"peers": [{"name": "x", "bad": 1}]}']
)
def test_a_damaged_file_is_named_with_the_remedy(store, content):
    store.folder.mkdir()
    store.peers_file.write_text(content)

    with pytest.raises(PeerError, match=r"peers\.json: is damaged; restore it"):
        store.peers()


def test_a_damaged_key_is_named_with_the_remedy(store):
    store.folder.mkdir()
    store.key_file.write_text("no key")

    with pytest.raises(PeerError, match=r"server\.key: holds no WireGuard key; restore it"):
        store.tunnel(CONFIG)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "wireguard").write_text("a file")

    with pytest.raises(PeerError, match=r"/wireguard: File exists"):
        Store(tmp_path).server_key()
