"""The refresh of an OAuth 2 access token (RFC 6749 section 6)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import orjson

from router_core.credentials.model import CredentialError

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 30.0
MAX_ANSWER: Final = 256 << 10
DEFAULT_LIFE: Final = 3600.0
"""Seconds, where neither the answer nor the token says how long it lives."""

PERMANENT: Final = frozenset(
    {
        # RFC 6749 section 5.2
        "invalid_grant",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        # auth.openai.com
        "refresh_token_expired",
        "refresh_token_reused",
        "refresh_token_invalidated",
    }
)

type Client = Callable[[], httpx.AsyncClient]
"""Makes a client with the credential's proxy and trusted certificates; it is closed after use."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a refresh needs."""

    token_url: str
    refresh_token: str = field(repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    scope: str | None = None
    encoding: Literal["form", "json"] = "form"


@dataclass(frozen=True, slots=True)
class Granted:
    access_token: str = field(repr=False)
    expires_at: float
    """Seconds since the epoch."""
    refresh_token: str | None = field(default=None, repr=False)
    """The next one, where the old one is spent."""
    id_token: str | None = field(default=None, repr=False)


async def refresh(grant: Grant, client: Client, now: Callable[[], float]) -> Granted:
    """A new access token. Raises CredentialError, permanent where a login is needed."""
    if not _is_safe(grant.token_url):
        raise CredentialError(
            f"the token endpoint {grant.token_url} is not https, so no token is sent to it",
            permanent=True,
        )
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": grant.refresh_token,
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "scope": grant.scope,
    }
    body = {k: v for k, v in fields.items() if v is not None}
    status, document = await _post(grant, body, client)
    if status >= 400 or not isinstance(document, dict):
        raise _refused(status, document)
    access = document.get("access_token")
    if not isinstance(access, str) or not access or not access.isprintable():
        raise CredentialError(f"the token endpoint answered {status} without an access_token")
    rotated = document.get("refresh_token")
    identity = document.get("id_token")
    return Granted(
        access,
        _expiry(document, access, now()),
        rotated if isinstance(rotated, str) and rotated else None,
        identity if isinstance(identity, str) else None,
    )


async def _post(grant: Grant, body: Mapping[str, str], client: Client) -> tuple[int, Any]:
    import httpx  # not above: a tenth of every command's start, which most have no use for

    sent: dict[str, Any] = {"json": body} if grant.encoding == "json" else {"data": body}
    try:
        async with (
            client() as http,
            http.stream("POST", grant.token_url, headers={"accept": "application/json"}, **sent) as response,
        ):
            data = b""
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > MAX_ANSWER:
                    raise CredentialError("the token endpoint's answer is too large")
    except httpx.TimeoutException:
        raise CredentialError(f"the token endpoint did not answer within {TIMEOUT:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        # Its words may hold the proxy's password.
        raise CredentialError(f"the token endpoint cannot be reached: {type(e).__name__}") from None
    try:
        return response.status_code, orjson.loads(data)
    except orjson.JSONDecodeError:
        return response.status_code, None


def _refused(status: int, document: Any) -> CredentialError:
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        error = error.get("code") or error.get("type")
    code = error if isinstance(error, str) and error.isprintable() and len(error) <= 64 else ""
    if code in PERMANENT:
        return CredentialError(f"the refresh token was refused ({code}); log in again", permanent=True)
    return CredentialError(f"the token endpoint answered {status} {code}".rstrip())


def _expiry(document: Mapping[str, Any], access: str, now: float) -> float:
    try:
        seconds = float(document["expires_in"])
        if 0 < seconds < 1e9:
            return now + seconds
    except (KeyError, TypeError, ValueError):
        pass
    stated: float = claims(access).get("exp", 0.0)
    # One that has ended when it is granted has not: the clocks differ.
    return stated if stated > now else now + DEFAULT_LIFE


def claims(token: str | None) -> dict[str, Any]:
    """The claims of a JSON Web Token, unverified: it is our own. Empty for anything else."""
    try:
        payload = (token or "").split(".")[1]
        decoded = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    if not isinstance(decoded, dict):
        return {}
    expires = decoded.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        decoded.pop("exp", None)
    return decoded


def _is_safe(url: str) -> bool:
    """https, or http on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return True
    if parts.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
