"""A recorded request made ready to be sent again, with a credential that is at hand now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from router_core.capture.names import SECRET_HEADER
from router_core.capture.placeholders import PLACEHOLDER
from router_core.capture.portable import HOP_BY_HOP
from router_core.capture.record import Hop
from router_core.exchange import Headers


class Refused(ValueError):
    """The request cannot be sent as it is; the message says what is missing and who could fill it."""


@dataclass(slots=True)
class Prepared:
    method: str
    url: str
    headers: Headers = field(repr=False)
    body: bytes
    left_out: list[str]
    """Headers whose values were not recorded and that nothing replaces."""


def prepare(
    hop: Hop, auth: Headers | None, base: str | None, remedy: str, with_placeholders: bool = False
) -> Prepared:
    """The request of `hop` with `auth` as its credential, sent to its own URL or below `base`.

    `base` replaces scheme and authority, and its path comes before the recorded one. Without `auth` a request
    to its own host needs a credential if it had one. Raises Refused; `remedy` is how to name a credential.
    """
    request = hop.request
    if request is None:
        raise Refused("the record holds no request here; choose another side or attempt")
    if request.header("upgrade").lower() == "websocket":
        raise Refused("a WebSocket cannot be replayed; its messages are in `detour capture show`")
    own = {name.lower() for name, _ in auth or ()}
    headers: Headers = []
    left_out: list[str] = []
    carried: str | None = None
    for name, value in request.headers:
        lower = name.lower()
        if lower in HOP_BY_HOP or lower == "content-encoding" or name.startswith(":"):
            continue
        if lower in own or SECRET_HEADER.search(lower):
            carried = carried or (name if PLACEHOLDER.search(value) else None)
            if lower not in own and not PLACEHOLDER.search(value):
                headers.append((name, value))
        elif PLACEHOLDER.search(value):
            left_out.append(name)
        else:
            headers.append((name, value))
    url, query_secret = _without_secret_query(request.url, auth is not None)
    carried = carried or query_secret
    if carried and not auth and base is None:
        raise Refused(f"the request carried a credential ({carried}) that is not in the record; {remedy}")
    if _has_secret(url):
        raise Refused(
            f"a secret of the URL is not in the record ({_names_of(url)}); edit an export of it instead"
        )
    if not with_placeholders and (
        found := re.search(rb"redacted-(?:secret|cookie)-[0-9a-f]{12}", request.body.data)
    ):
        where = f"byte {found.start()} of the body"
        raise Refused(
            f"a secret is not in the record ({found[0].decode()} at {where}); --with-placeholders sends the body as it is recorded"
        )
    target = _rebased(url, base) if base else url
    return Prepared(request.method, target, [*headers, *(auth or ())], request.body.data, left_out)


def _without_secret_query(url: str, has_auth: bool) -> tuple[str, str | None]:
    """`url` without the parameters that carried the credential, if another takes their place; and their name."""
    split = urlsplit(url)
    kept, secret = [], None
    for pair in split.query.split("&") if split.query else ():
        name, _, value = pair.partition("=")
        if PLACEHOLDER.fullmatch(value) and value.startswith("redacted-secret"):
            secret = name
            if has_auth:
                continue
        kept.append(pair)
    return urlunsplit(split._replace(query="&".join(kept))), secret


def _rebased(url: str, base: str) -> str:
    old, new = urlsplit(url), urlsplit(base)
    return urlunsplit((new.scheme, new.netloc, new.path.rstrip("/") + old.path, old.query, ""))


def _has_secret(url: str) -> bool:
    return any(match[1] in ("secret", "cookie") for match in PLACEHOLDER.finditer(url))


def _names_of(url: str) -> str:
    names = [pair.partition("=")[0] for pair in urlsplit(url).query.split("&") if PLACEHOLDER.search(pair)]
    return ", ".join(names) or "its path"
