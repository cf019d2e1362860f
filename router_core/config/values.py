"""What a text of the configuration must look like: URLs, host names, addresses, header fields.

Each function returns (what, remedy) for everything that is wrong, so that callers add the place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from router_core.config.problems import shown

type Fault = tuple[str, str]
"""(what is wrong, how to mend it)."""

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def split_url(url: str) -> SplitResult | None:
    """The parts of `url`, or None where it is none (also with a bad port or blanks in it)."""
    if re.search(r"[\s\\\x00-\x20\x7f]", url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme and parts.hostname else None


def base_url_faults(url: str, insecure: bool) -> list[Fault]:
    """An upstream's URL: https, or http to this machine or where `insecure` allows it."""
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not is_host(parts.hostname or ""):
        return [(f"{shown(url)} is not a URL", "write https://HOST/PATH")]
    found: list[Fault] = []
    if parts.username is not None or parts.password is not None:
        found.append(("the URL holds a user or a password", "give the secret to a credential instead"))
    if parts.query or parts.fragment:
        found.append(("the URL has a query or a fragment", "leave out everything from ? or # on"))
    if re.search(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", parts.path, re.IGNORECASE):
        found.append(("the URL's path goes through . or ..", "write the path out"))
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname or ""):
        remedy = "write https://, or insecure: true if the network between is yours"
        found.append((f"credentials would go to {parts.hostname} over plain http", remedy))
    return found


def proxy_faults(url: str) -> list[Fault]:
    """An outbound proxy: ``http://user:pass@host:port``, https, socks5 or socks5h."""
    parts = split_url(url)
    if parts is None or parts.scheme not in PROXY_SCHEMES:
        return [(f"{shown(url)} is not a proxy", f"write one of {', '.join(PROXY_SCHEMES)}://HOST:PORT")]
    if parts.path not in ("", "/") or parts.query:
        return [("the proxy has a path", "write SCHEME://HOST:PORT")]
    return []


def parse_address(text: str) -> tuple[str, int] | None:
    """``HOST:PORT`` or ``[IPV6]:PORT``; port 0 lets the system choose."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        return (host, int(port)) if _version(host) == 6 else None
    return (host, int(port)) if _version(host) == 4 or _HOST.fullmatch(host.lower()) else None


def _version(host: str) -> int:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, without brackets."""
    return bool(_version(host))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_host(text: str) -> bool:
    """Whether `text` is one exact host name or address, without port."""
    if _version(text):
        return True
    name = text.lower().removesuffix(".")
    # A last label of digits is an address gone wrong, not a name (RFC 3696, section 2).
    return len(name) <= 253 and bool(_HOST.fullmatch(name)) and not name.rpartition(".")[2].isdecimal()


def is_header_name(name: str) -> bool:
    return bool(_TOKEN.fullmatch(name))


def header_faults(headers: Mapping[str, str]) -> list[tuple[str, Fault]]:
    """(header, fault) for names and values that HTTP does not allow (RFC 9110, section 5)."""
    found: list[tuple[str, Fault]] = []
    for name, value in headers.items():
        if not is_header_name(name):
            found.append((name, (f"{shown(name)} is not a header name", "use letters, digits and hyphens")))
        elif any(c in value for c in "\r\n\0"):
            found.append((name, (f"the value of {shown(name)} holds a line break", "write it on one line")))
        elif name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
            found.append((name, (f"{shown(name)} belongs to the connection", "remove it")))
    return found
