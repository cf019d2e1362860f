"""Where Detour listens, who may use it, how upstreams are reached, and what bounds it."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from router_core.config.problems import shown
from router_core.config.sections.base import Address, PathText, Secret, Section
from router_core.config.sections.credentials import QuotaLimit
from router_core.config.units import Duration, Size


class Listen(Section):
    proxy: Address | None = "127.0.0.1:8080"
    """Address of the HTTPS_PROXY listener, ``HOST:PORT``; null switches it off. Port 0 lets the system choose."""
    gateway: Address | None = "127.0.0.1:8317"
    """Address of the base-URL gateway: ``/v1/...``, ``/{provider}/...``."""
    admin: Address | None = "127.0.0.1:8318"
    """Address of the dashboard, ``/api``, ``/metrics`` and ``/healthz``."""
    transparent: Address | None = None
    """Address to which a gateway box redirects connections; ``[::]:PORT`` takes IPv4 and IPv6."""
    wireguard: Address | None = None
    """Address of the WireGuard server (UDP), ``0.0.0.0:51820``; its peers' keys let them in."""
    drain: Duration = 30.0
    """How long requests and streams may go on after SIGTERM; what is open then is cut. 0 cuts at once."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that serve; above 1 another one starts them and answers on the admin port for all."""


class AccessKey(Section):
    name: str
    """The client's name in logs, usage and budgets."""
    key: Secret
    """What the client presents."""
    limits: tuple[QuotaLimit, ...] = ()
    """Limits on its use, kept as quota windows."""


def parse_network(value: object) -> object:
    """``ADDRESS/LENGTH`` as it is, or one address. Raises ValueError with the remedy for anything else."""
    text = str(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a network; write e.g. 192.168.1.0/24 or fd00::/8") from None
    raise ValueError(f"{shown(text)} is an address inside a network; write {meant} to mean the network")


Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    BeforeValidator(parse_network),
    WithJsonSchema({"type": "string", "examples": ["192.168.1.0/24", "fd00::/8"]}),
]


class AccessNetwork(Section):
    """A network that clients come from."""

    network: Network
    """``ADDRESS/LENGTH``, or one address."""
    name: str | None = Field(None, min_length=1)
    """The name of its clients in logs, usage and budgets, where no key names them; networks may share one."""


def _whole_network(value: object) -> object:
    return value if isinstance(value, dict | AccessNetwork) else {"network": value}


class Access(Section):
    keys: tuple[AccessKey, ...] = ()
    """Keys that clients must present, needed as soon as a listener is not loopback."""
    networks: tuple[
        Annotated[
            AccessNetwork,
            BeforeValidator(_whole_network, json_schema_input_type=str | AccessNetwork),
        ],
        ...,
    ] = ()
    """Networks that clients may come from, all others are cut off; `listen.transparent` has no keys and needs them. A
    text stands for ``{network: TEXT}``."""


class Transparent(Section):
    """How a gateway box finds the connections that belong to providers. ``docs/gateway.md`` is its recipe."""

    addresses: Literal["resolve", "dnsmasq"] = "resolve"
    """Who puts the providers' addresses into the rules: Detour, which asks the DNS itself, or the box's dnsmasq."""
    grace: Duration = Field(86400.0, ge=3600.0)
    """How long an address stays in the rules after it was last in an answer or last used; at least an hour."""
    local: bool = True
    """Whether the connections of the box's own programs are redirected too."""
    mark: int | None = Field(0xDE70, ge=1, le=0xFFFFFFFF)
    """Mark of Detour's own connections, by which the rules leave them alone; null to go by `user` alone."""
    user: str | None = None
    """User, by name or number, whose connections are left alone: the one that Detour runs as."""


class WireGuard(Section):
    """The tunnel to which laptops and phones connect; `detour gateway peer` keeps who they are."""

    endpoint: str | None = None
    """``HOST:PORT`` or ``HOST`` by which peers reach this machine; the address of the listener when absent."""
    network4: Network = ipaddress.ip_network("10.87.0.0/24")
    """Addresses in the tunnel: the first is Detour's own, the others are its peers'."""
    network6: Network = ipaddress.ip_network("fd87:de70:a1::/64")
    """The same for IPv6."""


class Upstream(Section):
    connect_timeout: Duration = 10.0
    """For the TCP and TLS handshakes with an upstream."""
    first_byte_timeout: Duration = 120.0
    """From the request to the first byte of the answer; 0 waits for ever."""
    idle_timeout: Duration = 300.0
    """Between two reads of an answer; 0 waits for ever."""
    proxy: str | None = Field(None, repr=False)
    """Outbound proxy for all upstream traffic: ``http://user:pass@host:port``, https, socks5 or socks5h."""
    ca_bundle: PathText | None = None
    """PEM file of authorities that are trusted for upstreams besides the system's."""
    http2: Literal["mirror", "always", "never"] = "mirror"
    """What is offered to upstreams: what the client offered, or HTTP/2 always or never."""


class CA(Section):
    dir: PathText | None = None
    """Folder of the certificate authority; below the data folder when absent."""
    name_constrained: bool = True
    """Limit the authority to the intercepted hosts."""
    refusals: int = Field(3, ge=0)
    """Times in a row that a client may refuse the certificate of a host before its connections there are tunnelled; 0 never tunnels."""
    tunnel_for: Duration = 600.0
    """How long they are tunnelled before the client is tried again."""


class Limits(Section):
    body: Size = 64 << 20
    """Largest request body on a routed surface."""
    connections: int = Field(512, gt=0)
    """Concurrent upstream connections per client connection and address."""
    backlog: int = Field(4096, gt=0)
    """Connections that wait to be accepted, per listener."""
    hold_bytes: Size = 64 << 10
    """Most of an answer that is held back while a failover is possible."""
    hold_events: int = Field(200, gt=0)
    """Most events that are held back."""
    hold_time: Duration = 2.0
    """Longest time that content is held back."""
    error_body: Size = 1 << 20
    """Most of an error answer that is read."""
    json_answer: Size = 2 << 20
    """Largest JSON answer that is rewritten; larger ones pass as they are."""


class Log(Section):
    """What is logged, and where besides standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    file: PathText | None = None
    """JSON lines are appended to it."""
    size: Size = 10 << 20
    """At which the file is set aside."""
    keep: int = Field(5, ge=1)
    """How many files that were set aside are kept."""
