"""Names of headers, parameters and keys behind which credentials and account identities stand.

Tables only; `router_core.capture.detector` and `router_core.capture.redaction` apply them. Names of keys are
compared without case, ``_`` and ``-`` (``clientSecret``, ``client_secret`` and ``CLIENT-SECRET`` are one name).
"""

from __future__ import annotations

import re
from typing import Final

SECRET_HEADER: Final = re.compile(
    r"(?:^|[-_])(?:authorization|authentication|auth|token|secret|password|passwd|api[-_]?key|pass[-_]?key"
    r"|(?<!cache-)(?<!idempotency-)(?<!partition-)(?<!routing-)(?<!surrogate-)(?<!websocket-)key"
    r"|(?:set-)?cookie2|bearer|credentials?|(?:csrf|xsrf)(?:-?token)?|(?:device|user)[-_]code|jwt|otp|signature"
    r"|assertion)$"
)
"""Names (lower case) of headers whose value is a credential. ``...-tokens`` are counts and stay."""

ACCOUNT_HEADER: Final = re.compile(
    r"(?:^|[-_])(?:account|customer|enterprise|org|organi[sz]ation|project|team|tenant|user|workspace)"
    r"(?:[-_]?(?:id|uuid|email|name))?$|^x-(?:forwarded-)?email$"
)
"""Names (lower case) of headers that say whose request it is."""

ACCOUNT_PATH: Final = re.compile(
    r"(?<=/)(?:accounts?|customers?|enterprises?|org(?:anization)?s?|projects?|teams?|tenants?|users?|workspaces?)/"
    r"(?P<id>[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]{6,}|(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_-]{16,})(?=/|$)"
)
"""An account's id in the path of a URL."""

URL_HEADERS: Final = frozenset(
    {
        "content-location",
        "link",
        "location",
        "origin",
        "referer",
        "refresh",
        "x-forwarded-uri",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
    }
)

SECRET_ENDINGS: Final = (
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "appkey",
    "authcode",
    "authkey",
    "authorization",
    "authorizationcode",
    "authtoken",
    "bearertoken",
    "clientassertion",
    "clientkey",
    "clientsecret",
    "codeverifier",
    "cookie",
    "copilottoken",
    "devicecode",
    "encryptionkey",
    "githubtoken",
    "idtoken",
    "jwt",
    "masterkey",
    "oauthtoken",
    "passcode",
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
    "signingkey",
    "subscriptionkey",
    "usercode",
)
"""A body key that ends so holds a credential. Not ``token`` alone: logprobs spell every token under it."""

RANDOM_ONLY: Final = frozenset({"auth", "bearer", "credential", "credentials", "openaikey", "pass", "token"})
"""Keys of any body whose value is a credential if it is long and looks random."""

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
    b"jwt",
    b"bearer",
    b"credential",
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
        "auth",
        "bearer",
        "code",
        "codechallenge",
        "credential",
        "hmac",
        "idtokenhint",
        "key",
        "loginhint",
        "mfacode",
        "nonce",
        "oauthverifier",
        "otp",
        "pass",
        "pin",
        "pwd",
        "relaystate",
        "samlrequest",
        "samlresponse",
        "sig",
        "signature",
        "state",
        "subjecttoken",
        "ticket",
        "totp",
        "username",
        "xamzcredential",
        "xamzsignature",
        "xgoogcredential",
        "xgoogsignature",
    }
)
"""Secret in queries, in forms and in login traffic; ordinary words in any other body."""
LOGIN_ENDING: Final = re.compile(r"(?<!continuation)(?<!cursor)(?<!next)(?<!page)(?<!sync)token$")
"""So does a secret end there too, but for the places where a list goes on."""

LOGIN_PATH: Final = re.compile(
    r"oauth|/token\b|log-?in|sign-?in|authorize|device[/_-]?(?:code|auth)|/auth\b|callback|/sso\b",
    re.IGNORECASE,
)
LOGIN_HOST: Final = re.compile(r"^(?:auth|login|accounts|oauth2?|sso)\d*\.", re.IGNORECASE)

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
