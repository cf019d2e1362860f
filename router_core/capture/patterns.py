"""Where credentials and account identities stand on the wire: headers, cookies, queries, bodies.

Tables only; `router_core.capture.redaction` applies them. Key names are compared without case, ``_`` and
``-`` (``clientSecret``, ``client_secret`` and ``CLIENT-SECRET`` are one name). Token shapes are those that
the issuers document for secret scanning; a shape that is missing costs nothing where the credential is
known to the pool or stands in a header, because those values are redacted wherever they appear.
"""

from __future__ import annotations

import re
from typing import Final

SECRET_HEADER: Final = re.compile(
    r"(?:^|[-_])(?:authorization|auth|token|secret|password|passwd|api[-_]?key|subscription-key"
    r"|access-key|session-key|credentials?|signature|assertion)$"
)
"""Names (lower case) of headers whose value is a credential. ``...-tokens`` are counts and stay."""

ACCOUNT_HEADERS: Final = frozenset(
    {
        "anthropic-account-id",
        "anthropic-organization-id",
        "chatgpt-account-id",
        "chatgpt-user-id",
        "openai-organization",
        "openai-project",
        "x-account-id",
        "x-email",
        "x-forwarded-email",
        "x-forwarded-user",
        "x-goog-user-project",
        "x-org-id",
        "x-organization-id",
        "x-tenant-id",
        "x-user-email",
        "x-user-id",
    }
)

URL_HEADERS: Final = frozenset({"content-location", "link", "location", "referer", "refresh"})

SECRET_ENDINGS: Final = (
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "authcode",
    "authorization",
    "authorizationcode",
    "authtoken",
    "bearertoken",
    "clientassertion",
    "clientsecret",
    "codeverifier",
    "cookie",
    "copilottoken",
    "devicecode",
    "githubtoken",
    "idtoken",
    "oauthtoken",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "securitytoken",
    "sessionkey",
    "sessiontoken",
)
"""A body key that ends so holds a credential. Not ``token`` alone: logprobs spell every token under it."""

EMAIL_ENDINGS: Final = ("email", "emailaddress")

ACCOUNT_ENDINGS: Final = (
    "accountid",
    "accountuuid",
    "cloudaicompanionproject",
    "enterpriselist",
    "organisationid",
    "organizationid",
    "organizationlist",
    "organizationloginlist",
    "organizationname",
    "organizationuuid",
    "orgid",
    "orguuid",
    "safetyidentifier",
    "userid",
    "useruuid",
)

KEY_ROOTS: Final = (
    b"token",
    b"secret",
    b"key",
    b"pass",
    b"verifier",
    b"device",
    b"auth",
    b"assertion",
    b"cookie",
    b"account",
    b"enterprise",
    b"org",
    b"user",
    b"email",
    b"safety",
    b"companion",
)
"""Each key of the tables above holds one of these; searching for them is far cheaper than any pattern."""

LOGIN_NAMES: Final = frozenset(
    {
        "assertion",
        "code",
        "codechallenge",
        "key",
        "nonce",
        "sig",
        "signature",
        "state",
        "subjecttoken",
        "ticket",
        "token",
        "usercode",
        "username",
        "xamzcredential",
        "xamzsignature",
        "xgoogcredential",
        "xgoogsignature",
    }
)
"""Secret in queries, in forms and in login traffic; ordinary words in any other body."""

LOGIN_PATH: Final = re.compile(
    r"oauth|/token\b|log-?in|sign-?in|authorize|device[/_-]?(?:code|auth)|/auth\b|callback|/sso\b",
    re.IGNORECASE,
)
LOGIN_HOST: Final = re.compile(r"^(?:auth|login|accounts|oauth2?|sso)\d*\.", re.IGNORECASE)

TOKENS: Final = re.compile(
    rb"|".join(
        (
            rb"sk[-_][A-Za-z0-9_-]{10,}",
            rb"ck_[0-9A-Za-z]{3,}\.[0-9A-Za-z_-]{8,}",
            rb"AIza[0-9A-Za-z_-]{30,}",
            rb"ya29\.[0-9A-Za-z_.-]{16,}",
            rb"1//[0-9A-Za-z_-]{20,}",
            rb"4/[01][0-9A-Za-z_-]{20,}",
            rb"GOCSPX-[0-9A-Za-z_-]{20,}",
            rb"gh[pousr]_[0-9A-Za-z]{20,}",
            rb"github_pat_[0-9A-Za-z_]{20,}",
            rb"glpat-[0-9A-Za-z_-]{16,}",
            rb"sg(?:p|amp)_[0-9A-Za-z_-]{16,}",
            rb"xai-[0-9A-Za-z]{20,}",
            rb"gsk_[0-9A-Za-z]{20,}",
            rb"hf_[0-9A-Za-z]{20,}",
            rb"r8_[0-9A-Za-z]{20,}",
            rb"pplx-[0-9A-Za-z]{24,}",
            rb"nvapi-[0-9A-Za-z_-]{24,}",
            rb"rt[._][0-9A-Za-z_.-]{40,}",
            rb"(?:AKIA|ASIA)[0-9A-Z]{16}",
            rb"xox[abposr]-[0-9A-Za-z-]{10,}",
            rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        )
    )
)
"""Credentials by their shape: OpenAI and look-alikes, CodeBuddy, Google, GitHub, GitLab, Sourcegraph, xAI,
Groq, Hugging Face, Replicate, Perplexity, NVIDIA, Codex, AWS, Slack, JSON Web Tokens (RFC 7519)."""

ACCOUNT_IDS: Final = re.compile(rb"(?:org-|user-|proj_)[A-Za-z0-9]{16,}")
"""OpenAI's organisations, users and projects, which its errors name."""

_PEOPLE: Final = frozenset(
    {
        *(
            "analyticstrackingid",
            "displayname",
            "familyname",
            "fullname",
            "givenname",
            "id",
            "login",
            "name",
            "nickname",
        ),
        *("picture", "preferredusername", "sub", "title", "trackingid", "uuid"),
    }
)
_GITHUB: Final = frozenset(
    {
        *("avatarurl", "bio", "blog", "company", "description", "eventsurl", "followersurl", "followingurl"),
        *("gistsurl", "gravatarid", "hooksurl", "htmlurl", "issuesurl", "location", "membersurl", "nodeid"),
        *("organizationsurl", "publicmembersurl", "receivedeventsurl", "reposurl", "starredurl"),
        *("subscriptionsurl", "twitterusername", "url"),
    }
)
"""What GitHub says of a user or an organisation besides; its addresses hold the login."""
ACCOUNTS_AT: Final = (
    # Answers that say who somebody is: Anthropic, OpenAI, Google (OpenID Connect), GitHub and its Copilot.
    (
        re.compile(
            r"/oauth/(?:profile|account)|/userinfo\b|/v1/me\b|/copilot_internal/(?:v\d+/)?\w+|^/user(?:/orgs)?$"
        ),
        _PEOPLE,
    ),
    (re.compile(r"^/user(?:/orgs)?$"), _GITHUB),
    # Token answers name the account and the organisation beside the tokens.
    (re.compile(r"/oauth2?/(?:v\d+/)?token\b|/v\d+/oauth/token\b"), frozenset({"uuid", "name", "sub"})),
    # Google's Code Assist sends the account's project with each request.
    (re.compile(r"/v1internal\b"), frozenset({"project", "projectid"})),
)
"""Paths, and the plain names of the keys that identify an account there; ordinary words anywhere else."""

RUN: Final = 14
"""Every shape above is a run of at least so many `TOKEN_BYTES`."""

_ALPHANUMERIC: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ALPHANUMERIC: Final = frozenset(_ALPHANUMERIC)
TOKEN_BYTES: Final = frozenset(_ALPHANUMERIC + b"_-./+=~%")
NAME_BYTES: Final = frozenset(_ALPHANUMERIC + b"_-")
LOCAL_PART: Final = frozenset(_ALPHANUMERIC + b"._%+-")

BEARER: Final = re.compile(
    rb"bearer(?:\s|%20|\+)+(?P<secret>[A-Za-z0-9._~+/-]{8,}+={0,2}+)(?!\")", re.IGNORECASE
)
SUBPROTOCOL: Final = re.compile(
    r"(?:api-key|bearer|token|authorization)[.-](?P<secret>[^\s,\"]{8,})", re.IGNORECASE
)
"""Browsers' WebSockets cannot set headers: the key travels in ``Sec-WebSocket-Protocol``."""

PEM: Final = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.+?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
PEM_MARK: Final = b"PRIVATE KEY-----"

DOMAIN: Final = re.compile(rb"(?:@|%40)(?:[A-Za-z0-9-]{1,63}\.)+(?P<tld>[A-Za-z]{2,24})(?![A-Za-z0-9(])")
NOT_TLD: Final = frozenset({b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"git", b"js", b"ts", b"py"})
"""File name endings behind an @ (``icon@2x.png``)."""
NOT_PEOPLE: Final = frozenset({b"git", b"noreply"})

ANY_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{2,40}(?=\\*[\"']?\s*[:=])")
AFTER_KEY: Final = re.compile(
    rb"(?P<quote>\\*[\"'])?\s*(?P<sign>[:=])\s*(?:"
    rb"\"(?P<plain>[^\"\\]*+(?:\\.[^\"\\]*+)*+)"
    rb"|(?P<open>\\+[\"']|')(?P<escaped>.{0,4096}?)(?:(?<!\\)(?P=open)|\Z)"
    rb"|(?P<bare>[^\s&\"'<>;,\\(){}\[\]]+))",
    re.DOTALL,
)
"""What follows a key's name: the sign and a value in quotes, in escaped quotes, or bare."""

LIST: Final = re.compile(
    rb"\"\s*:\s*\[(?P<items>(?:\"(?:[^\"\\]|\\.)*+\"|[^\"\[\]{}])*+)(?:\]|\Z)", re.DOTALL
)
"""What follows a key of JSON whose value is a list of texts or numbers."""
OPEN_LIST: Final = re.compile(rb"_list\"\s*(?::\s*(?:\[[^\[\]{}]*)?)?\Z")
"""The unfinished list of an account's organisations in JSON that is written over several lines."""
LIST_ITEM: Final = re.compile(
    rb"\"(?P<text>(?:[^\"\\]|\\.)*+)\"|(?<![\w.+-])(?P<number>[0-9]{4,})(?![\w.])", re.DOTALL
)

FORM_FIELD: Final = re.compile(
    rb"name=\"(?P<name>[^\"]{1,64})\"[^\r\n]*\r?\n(?:[A-Za-z-]+:[^\r\n]*\r?\n)*\r?\n(?P<value>[^\r\n]+)"
)
"""A field of multipart/form-data (RFC 7578)."""

STAND_IN: Final = re.compile(
    rb"(?:\$|<|\{|\*{3}|\.{3}|x{3}|%[A-Z]|redacted-)|(?:null|none|true|false|undefined|string)$",
    re.IGNORECASE,
)
"""What people write where a secret would stand (``$NAME``, ``<your key>``, ``***``), and our own placeholders."""
LOOKS_RANDOM: Final = re.compile(rb"(?!redacted-)(?=\S*[0-9])(?=\S*[A-Za-z])[A-Za-z0-9._~+/=%-]{12,}")
