"""Token files: those that the user's own tools keep, and Detour's own.

============  ==================================  =====================================  =================
kind          file                                shape                                  refreshed by us
============  ==================================  =====================================  =================
claude        ``~/.claude/.credentials.json``     ``claudeAiOauth.{accessToken,          no: it holds no
                                                  refreshToken, expiresAt (ms)}``        client id
codex         ``~/.codex/auth.json``              ``tokens.{access_token, id_token,      yes: the id token
                                                  refresh_token, account_id}``,          names issuer and
                                                  ``OPENAI_API_KEY``                     client
google        ``~/.gemini/oauth_creds.json``      ``{access_token, refresh_token,        no: it holds no
                                                  expiry_date (ms)}``                    client
adc           application default credentials     ``{type: authorized_user, client_id,   yes
              of Google Cloud                     client_secret, refresh_token}``
plain         any other, and Detour's own         ``{access_token, refresh_token,        with ``token_url``
                                                  expires_at, token_url, client_id ...}``
============  ==================================  =====================================  =================

Shapes as written by Claude Code 2, Codex CLI 0.50 and Gemini CLI 0.10. A file is only written after a
refresh, and then everything in it that did not change stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from router_core.credentials.model import Token
from router_core.credentials.oauth import Grant, Granted, claims
from router_core.credentials.sources import looks_like_oauth
from router_core.times import moment

GOOGLE_TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
"""https://cloud.google.com/docs/authentication/application-default-credentials"""
_OPENAI_CLAIM: Final = "https://api.openai.com/auth"


@dataclass(frozen=True, slots=True)
class TokenFile:
    kind: str
    access_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Seconds since the epoch."""
    api_key: str | None = field(default=None, repr=False)
    account: str | None = None
    """The account's id, where the file names it."""
    grant: Grant | None = field(default=None, repr=False)
    """What a refresh needs, where the file carries all of it."""
    refresh_token: str | None = field(default=None, repr=False)
    document: dict[str, Any] = field(default_factory=dict, repr=False)


def parse(document: Any) -> TokenFile:
    """Reads any of the shapes above. Raises ValueError, which names what is missing."""
    if not isinstance(document, dict):
        raise ValueError("it holds no JSON object")
    if isinstance(document.get("claudeAiOauth"), dict):
        return _claude(document, document["claudeAiOauth"])
    if isinstance(document.get("tokens"), dict) or _text(document, "OPENAI_API_KEY"):
        tokens = document.get("tokens")
        return _codex(document, tokens if isinstance(tokens, dict) else {})
    if document.get("type") == "authorized_user":
        return _adc(document)
    if "expiry_date" in document:
        return _google(document)
    if _text(document, "access_token") or _text(document, "refresh_token"):
        return _plain(document)
    raise ValueError("it has no access_token, claudeAiOauth or tokens")


def _text(document: dict[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value and value.isprintable() else None


def _claude(document: dict[str, Any], tokens: dict[str, Any]) -> TokenFile:
    access = _text(tokens, "accessToken")
    if access is None:
        raise ValueError("its claudeAiOauth has no accessToken")
    return TokenFile("claude", access, _moment(tokens.get("expiresAt")), document=document)


def _codex(document: dict[str, Any], tokens: dict[str, Any]) -> TokenFile:
    access, api_key = _text(tokens, "access_token"), _text(document, "OPENAI_API_KEY")
    if access is None and api_key is None:
        raise ValueError("it has neither tokens.access_token nor OPENAI_API_KEY")
    if access is None:
        return TokenFile("codex", api_key=api_key, document=document)
    identity = claims(_text(tokens, "id_token"))
    own = identity.get(_OPENAI_CLAIM)
    account = _text(tokens, "account_id") or (
        _text(own, "chatgpt_account_id") if isinstance(own, dict) else None
    )
    refresh_token = _text(tokens, "refresh_token")
    audience = identity.get("aud")
    client = audience[0] if isinstance(audience, list) and audience else audience
    issuer = _text(identity, "iss")
    grant = None
    if refresh_token and issuer and isinstance(client, str):
        grant = Grant(issuer.rstrip("/") + "/oauth/token", refresh_token, client, encoding="json")
    expires = claims(access).get("exp")
    return TokenFile("codex", access, expires, None, account, grant, refresh_token, document)


def _google(document: dict[str, Any]) -> TokenFile:
    access = _text(document, "access_token")
    if access is None:
        raise ValueError("it has no access_token")
    grant = _own_grant(document, None)
    return TokenFile("google", access, _moment(document["expiry_date"]), grant=grant, document=document)


def _adc(document: dict[str, Any]) -> TokenFile:
    grant = _own_grant(document, GOOGLE_TOKEN_URL)
    if grant is None or grant.client_id is None:
        raise ValueError("it lacks client_id or refresh_token")
    expires = _moment(document.get("expires_at"))
    return TokenFile("adc", _text(document, "access_token"), expires, grant=grant, document=document)


def _plain(document: dict[str, Any]) -> TokenFile:
    access = _text(document, "access_token")
    expires = next((_moment(document[k]) for k in ("expires_at", "expiry", "expires") if k in document), None)
    return TokenFile(
        "plain",
        access,
        expires if expires is not None else claims(access).get("exp"),
        account=_text(document, "account_id"),
        grant=_own_grant(document, None),
        refresh_token=_text(document, "refresh_token"),
        document=document,
    )


def _own_grant(document: dict[str, Any], token_url: str | None) -> Grant | None:
    url = _text(document, "token_url") or _text(document, "token_uri") or token_url
    refresh_token = _text(document, "refresh_token")
    if url is None or refresh_token is None:
        return None
    return Grant(
        url,
        refresh_token,
        _text(document, "client_id"),
        _text(document, "client_secret"),
        _text(document, "scope"),
    )


def _moment(value: object) -> float | None:
    found = moment(value)
    return found if found is not None and found > 0 else None


def updated(file: TokenFile, granted: Granted, now: float) -> TokenFile:
    """`file` after a refresh; what the answer did not change stays as it was."""
    document = dict(file.document)
    if file.kind == "codex":
        tokens = dict(document["tokens"])
        tokens["access_token"] = granted.access_token
        tokens |= {
            k: v for k, v in (("refresh_token", granted.refresh_token), ("id_token", granted.id_token)) if v
        }
        document["tokens"] = tokens
        document["last_refresh"] = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
    else:
        document["access_token"] = granted.access_token
        if granted.refresh_token:
            document["refresh_token"] = granted.refresh_token
        if file.kind == "google":
            document["expiry_date"] = int(granted.expires_at * 1000)
        else:
            document["expires_at"] = int(granted.expires_at)
    refresh_token = granted.refresh_token or file.refresh_token
    grant = (
        replace(file.grant, refresh_token=granted.refresh_token or file.grant.refresh_token)
        if file.grant
        else None
    )
    return replace(
        file,
        access_token=granted.access_token,
        expires_at=granted.expires_at,
        refresh_token=refresh_token,
        grant=grant,
        document=document,
    )


def token_of(file: TokenFile) -> Token | None:
    """The token that requests are sent with."""
    if file.access_token is not None:
        account = [("chatgpt-account-id", file.account)] if file.kind == "codex" and file.account else []
        return Token(file.access_token, oauth=True, expires_at=file.expires_at, headers=account)
    if file.api_key is not None:
        return Token(file.api_key, oauth=looks_like_oauth(file.api_key))
    return None
