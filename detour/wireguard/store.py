"""Who may come through the tunnel, in two files of mode 0600 in the data folder.

``server.key`` is the server's private key as ``wg genkey`` writes it, ``peers.json`` is ``{"peers": [...]}`` with
the fields of `PeerEntry`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import SecretStr

from detour.files import alone_in, write_atomic
from router_core.config.schema import WireGuard
from router_core.ownership import private_folder
from router_core.peers import FILE, GATEWAY, Peer, Tunnel

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class PeerError(Exception):
    """The tunnel's files cannot be used, or not as asked; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """One peer in ``peers.json``."""

    name: str
    public_key: str
    number: int
    """Its place in the tunnel's networks."""
    endpoint: str
    """``HOST:PORT`` by which it reaches the server."""
    private_key: str | None = None
    """Base64; None where the device made its key itself."""
    all_traffic: bool = False
    """Whether everything goes through the tunnel, or only what goes to providers."""

    def __repr__(self) -> str:
        return f"PeerEntry({self.name!r})"


class Store:
    def __init__(self, data: Path) -> None:
        self.peers_file = data / FILE
        self.folder = self.peers_file.parent
        self.key_file = self.folder / "server.key"

    def tunnel(self, config: WireGuard) -> Tunnel:
        """What is to be served; the server's key is made where there is none. Raises PeerError."""
        entries = self.peers()
        peers = tuple(Peer(entry.name, entry.public_key, entry.number) for entry in entries)
        networks = (config.network4, config.network6)
        room = min(network.num_addresses for network in networks) - 1
        if outside := [peer.name for peer in peers if peer.number >= room]:
            raise PeerError(
                f"wireguard.network4 and network6 have no address for {', '.join(outside)}; write larger networks"
            )
        return Tunnel(SecretStr(self.server_key()), peers, networks)

    def server_key(self) -> str:
        """The server's private key, made where there is none. Raises PeerError."""
        with self._changing():
            if not self.key_file.exists():
                write_atomic(self.key_file, new_key().encode() + b"\n")
            text = self.key_file.read_text(errors="replace").strip()
        if not is_key(text):
            raise PeerError(
                f"{self.key_file}: holds no WireGuard key; restore it, or delete it to get a new one"
            )
        return text

    def peers(self) -> list[PeerEntry]:
        """In the order in which they were added. Raises PeerError."""
        try:
            content = self.peers_file.read_bytes() if self.peers_file.exists() else b'{"peers": []}'
        except OSError as error:
            raise PeerError(f"{self.peers_file}: {error.strerror}") from None
        try:
            entries = [PeerEntry(**entry) for entry in json.loads(content)["peers"]]
            if not all(is_key(entry.public_key) and entry.number > GATEWAY for entry in entries):
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise PeerError(
                f"{self.peers_file}: is damaged; restore it, or delete it to begin anew"
            ) from None
        return entries

    def find(self, name: str) -> PeerEntry:
        """Raises PeerError."""
        found = next((entry for entry in self.peers() if entry.name == name), None)
        if found is None:
            raise PeerError(f"there is no peer {name!r}; `detour gateway peer list` names them")
        return found

    def add(
        self,
        name: str,
        config: WireGuard,
        endpoint: str,
        *,
        all_traffic: bool = False,
        public_key: str | None = None,
    ) -> PeerEntry:
        """A new peer, with a key of its own unless the device has made one. Raises PeerError."""
        if not NAME.fullmatch(name):
            raise PeerError(f"{name!r} cannot be a peer's name; use letters, digits and . _ -, at most 64")
        if public_key is not None and not is_key(public_key):
            raise PeerError("this is no WireGuard public key; `wg pubkey` prints one")
        with self._changing():
            entries = self.peers()
            if any(entry.name == name for entry in entries):
                raise PeerError(f"there is a peer {name!r} already; remove it first, or choose another name")
            if any(entry.public_key == public_key for entry in entries):
                raise PeerError("there is a peer with this public key already")
            taken = {entry.number for entry in entries}
            room = min(config.network4.num_addresses, config.network6.num_addresses) - 1
            number = next((n for n in range(GATEWAY + 1, room) if n not in taken), None)
            if number is None:
                raise PeerError(
                    "the tunnel's networks are full; write larger ones as wireguard.network4 and network6"
                )
            private_key = None if public_key else new_key()
            entry = PeerEntry(
                name, public_key or public_of(private_key or ""), number, endpoint, private_key, all_traffic
            )
            self._write([*entries, entry])
        return entry

    def remove(self, name: str) -> None:
        """Raises PeerError."""
        with self._changing():
            entry = self.find(name)
            self._write([other for other in self.peers() if other != entry])

    def _write(self, entries: list[PeerEntry]) -> None:
        document = {"peers": [asdict(entry) for entry in entries]}
        write_atomic(self.peers_file, json.dumps(document, indent=2).encode() + b"\n")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with alone_in(private_folder(self.folder)):
                yield
        except OSError as error:
            raise PeerError(f"{error.filename or self.folder}: {error.strerror}") from None


def new_key() -> str:
    """A private key, base64."""
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def public_of(private_key: str) -> str:
    """The public key of `private_key`, both base64."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private_key))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        return False
