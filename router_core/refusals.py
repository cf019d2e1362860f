"""Clients that do not accept Detour's certificate: counted, and let through undecrypted for a while.

A client that does not know Detour's authority breaks off when it is shown the certificate. That is right of
it, but its user has a broken tool, so after some refusals in a row its connections to that host are tunnelled:
the tool works as it would without Detour, and the log says what to do about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import LRUCache

from router_core.processes import Process

MAX_CLIENTS: Final = 1024
"""Clients that are remembered; beyond it those that were heard of least recently are forgotten."""
FORGET: Final = 3600.0
"""Seconds without a refusal after which a client begins anew."""


@dataclass(frozen=True, slots=True)
class Client:
    """One TLS client and one host: programs of one machine trust different stores."""

    address: str
    host: str
    hello: str
    """What its ClientHellos have in common, e.g. ``9c1f03ab``; tells the TLS libraries of one machine apart."""


@dataclass(slots=True)
class Refusal:
    """What is known of a client that refuses. Times without a unit are seconds of the monotonic clock."""

    client: Client
    count: int = 0
    """In a row."""
    reason: str = ""
    """The client's words, or what it did instead of saying them."""
    tool: str | None = None
    """From its CONNECT."""
    process: Process | None = None
    """On this machine, where it could be found."""
    last: float = 0.0
    tunnelled_until: float = 0.0
    at: float = field(default_factory=time.time)
    """Of the last refusal, seconds since the epoch."""

    @property
    def name(self) -> str:
        """The client, for people."""
        who = str(self.process) if self.process else self.tool
        return f"{who} at {self.client.address}" if who else f"a client at {self.client.address}"

    @property
    def remedy(self) -> str:
        return remedy(self.tool, self.process)


class Refusals:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: LRUCache[Client, Refusal] = LRUCache(MAX_CLIENTS)
        self._trusting: LRUCache[Client, bool] = LRUCache(MAX_CLIENTS)
        self.told: Callable[..., None] = lambda *news: None
        """Called with news for the processes that serve beside this one, for their `hear`."""

    def find(self, client: Client) -> Refusal | None:
        """What is known of `client`, if it refused lately."""
        found = self._known.get(client)
        if found is None:
            return None
        if self._clock() - max(found.last, found.tunnelled_until) > FORGET:
            del self._known[client]
            return None
        return found

    def is_tunnelled(self, client: Client) -> bool:
        found = self.find(client)
        return found is not None and found.tunnelled_until > self._clock()

    def refused(
        self, client: Client, reason: str, *, limit: int, tunnel_for: float, tool: str | None = None
    ) -> Refusal:
        """Count a refusal; the `limit`-th in a row has the client tunnelled for `tunnel_for` seconds.

        When they are over the client is tried again, and one further refusal is enough.
        """
        self.told("refused", client, reason, limit, tunnel_for, tool)
        return self._refused(client, reason, limit, tunnel_for, tool)

    def _refused(
        self, client: Client, reason: str, limit: int, tunnel_for: float, tool: str | None
    ) -> Refusal:
        found = self.find(client) or Refusal(client)
        found.count, found.reason = found.count + 1, reason
        found.tool = tool or found.tool
        found.last, found.at = self._clock(), time.time()
        if limit and found.count >= limit:
            found.tunnelled_until = found.last + tunnel_for
        self._known[client] = found
        self._trusting.pop(client, None)
        return found

    def accepted(self, client: Client) -> Refusal | None:
        """The certificate was accepted, which makes up for all refusals. Returns what is forgotten."""
        if client in self._known or client not in self._trusting:
            self.told("accepted", client)
        return self._accepted(client)

    def _accepted(self, client: Client) -> Refusal | None:
        self._trusting[client] = True
        return self._known.pop(client, None)

    def hear(self, what: str, client: Client, *rest: Any) -> None:
        """What another process told."""
        if what == "refused":
            self._refused(client, *rest)
        else:
            self._accepted(client)

    def known(self) -> tuple[list[Refusal], list[Client]]:
        """All that is remembered, for the `learn` of another process of this machine."""
        return self.listed()[::-1], list(self._trusting)

    def learn(self, refusals: list[Refusal], trusting: list[Client]) -> None:
        """What another process remembers, for one that has just begun; what this one saw itself is newer."""
        for refusal in refusals:
            if refusal.client not in self._trusting:
                self._known.setdefault(refusal.client, refusal)
        for client in trusting:
            if client not in self._known:
                self._trusting[client] = True

    def has_trusted(self, client: Client) -> bool:
        """Whether `client` has accepted the certificate before."""
        return client in self._trusting

    def listed(self) -> list[Refusal]:
        """All that refused lately, the latest first."""
        found = [r for client in list(self._known) if (r := self.find(client))]
        return sorted(found, key=lambda r: r.last, reverse=True)

    def tunnelled_for(self, refusal: Refusal) -> float:
        """Seconds for which the client is still tunnelled; 0 if it is not."""
        return max(0.0, refusal.tunnelled_until - self._clock())

    def forget(self) -> None:
        """Try every client again, as after its trust was mended."""
        self._known.clear()
        self._trusting.clear()


GENERAL: Final = (
    'start it with `detour exec`, or after `eval "$(detour env)"`, which name the authority to it, '
    "or run `detour ca install` for programs that read the system's store"
)
REMEDIES: Final = (
    # What the names of programs begin with, and what such a program reads; docs/recipes/trust.md says more.
    (
        ("node", "claude", "gemini", "opencode", "amp", "copilot", "codebuddy", "qwen", "bun", "npm", "npx"),
        "it reads NODE_EXTRA_CA_CERTS when it starts",
    ),
    (("codex",), "it reads CODEX_CA_CERTIFICATE, then SSL_CERT_FILE"),
    (("python", "uv", "pip", "anthropic-sdk", "openai-sdk"), "it reads SSL_CERT_FILE or REQUESTS_CA_BUNDLE"),
    (("curl",), "it reads CURL_CA_BUNDLE"),
    (("git",), "it reads GIT_SSL_CAINFO"),
    (("java",), "it has a store of its own: `detour ca install java`"),
    (("firefox", "chrom"), "it has a store of its own: `detour ca install nss`"),
    (("deno",), "it reads the file that DENO_CERT names"),
)


def remedy(tool: str | None, process: Process | None) -> str:
    """What makes the program trust the authority."""
    names = [process.program.lower(), process.command.lower()] if process else []
    names += [tool.lower()] if tool else []
    for name in names:
        for beginnings, words in REMEDIES:
            if name.startswith(beginnings):
                return f"{words}; {GENERAL}"
    return GENERAL
