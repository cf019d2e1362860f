"""What credentials and account identities look like in bytes, and what surrounds them.

Tables only; `router_core.capture.detector` applies them. Token shapes are those that the issuers document for
secret scanning; a shape that is missing costs nothing where the credential is known to the pool or stands in a
header, because those values are redacted wherever they appear.
"""

from __future__ import annotations

import re
from typing import Final

_BEGIN: Final = rb"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
"""Not inside a word, but behind a percent escape."""
TOKENS: Final = re.compile(
    _BEGIN
    + rb"(?:"
    + rb"|".join(
        (
            rb"(?:sk|csk|sess|tvly)[-_][A-Za-z0-9_-]{10,}",
            rb"(?:fw|vck|sbp|glsa|npm|ntn|shpat|tgp_v1|dop_v1|lin_api)_[0-9A-Za-z_]{20,}",
            rb"bce-v3/ALTAK-[0-9A-Za-z]{8,}/[0-9a-f]{20,}",
            rb"LTAI[0-9A-Za-z]{12,}",
            rb"AQ\.[0-9A-Za-z_-]{30,}",
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
            rb"(?:xox[abposr]|xapp)-[0-9A-Za-z-]{10,}",
            rb"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",
            rb"ATATT3x[0-9A-Za-z_-]{20,}",
            rb"hvs\.[0-9A-Za-z_-]{20,}",
            rb"pypi-AgE[0-9A-Za-z_-]{20,}",
            rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){1,3}\.?",
        )
    )
    + rb")"
)
"""Credentials by their shape: OpenAI and look-alikes, Fireworks and others, Baidu, Alibaba, Google,
CodeBuddy, GitHub, GitLab, Sourcegraph, xAI, Groq, Hugging Face, Replicate, Perplexity, NVIDIA, Codex,
AWS, Slack, SendGrid, Vault, PyPI, JSON Web Tokens (RFC 7519), signed and encrypted."""

DOTTED: Final = re.compile(_BEGIN + rb"[0-9a-f]{32}\.[0-9A-Za-z]{16}(?![0-9A-Za-z])")
"""Zhipu's: apart, since nearly everything may begin one."""

ACCOUNT_IDS: Final = re.compile(rb"(?:org-|user-|proj_)[A-Za-z0-9]{16,}")
"""OpenAI's organisations, users and projects, which its errors name."""

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

BASIC: Final = re.compile(
    rb"basic(?:\s|%20|\+)+(?P<secret>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9+/=])", re.IGNORECASE
)
"""Basic authentication (RFC 7617), if it is base64 of ``user:password``."""

PEM: Final = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?P<secret>.+?)(?:-----END [A-Z ]*PRIVATE KEY|\Z)",
    re.DOTALL,
)
PEM_MARK: Final = b"PRIVATE KEY"

USER_INFO: Final = re.compile(
    rb"://[^/?#\s:@\"'<>\\]{0,64}:(?P<secret>[^@/?#\s\"'<>\\]{3,256})@(?=[A-Za-z0-9\[])"
)
"""The password of a URL's user."""
CURL_USER: Final = re.compile(rb"\s(?:-u|--user)[ =]*[\\\"']*[^\s:\"'\\]{1,64}:(?P<secret>[^\s\"'\\]{3,256})")
"""The password that curl is told on its command line."""
PARAMETER: Final = re.compile(
    rb"[?&;6](?:(?<=[?&])|(?<=&amp;)|(?<=u0026))(?P<name>[A-Za-z0-9_.-]{2,40})=(?P<secret>[^&#\s\"'<>\\]{8,2048})"
)
"""A parameter of a URL."""
NAMED_VALUE: Final = re.compile(
    rb"(?P<q>\\*\")(?:name|key|header)(?P=q)\s*:\s*(?P=q)(?P<name>[A-Za-z0-9_.-]{2,64})(?P=q)\s*,\s*"
    rb"(?P=q)value(?P=q)\s*:\s*(?P=q)(?P<secret>[^\"\\]{1,4096})(?P=q)",
)
PAIR: Final = re.compile(
    rb"\[\s*(?P<q>\\*\")(?P<name>[A-Za-z0-9_.-]{2,64})(?P=q)\s*,\s*(?P=q)(?P<secret>[^\"\\]{8,4096})(?P=q)\s*\]"
)
"""Headers and variables as lists of JSON have them."""
XML_VALUE: Final = re.compile(rb">\s*(?P<secret>[^<>\s]{4,4096})\s*</")

DOMAIN: Final = re.compile(rb"(?:@|%40)(?:[A-Za-z0-9-]{1,63}\.)+(?P<tld>[A-Za-z]{2,24})(?![A-Za-z0-9(])")
NOT_TLD: Final = frozenset({b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"git", b"js", b"ts", b"py"})
"""File name endings behind an @ (``icon@2x.png``)."""
NOT_PEOPLE: Final = frozenset({b"git", b"noreply"})

ANY_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{2,40}(?=\]?\\*[\"']?\s*[:=])")
AFTER_KEY: Final = re.compile(
    rb"\]?(?P<quote>\\*[\"'])?(?:\s*(?P<sign>[:=])\s*|[ ])(?:"
    rb"\"(?P<plain>[^\"\\]*+(?:\\.[^\"\\]*+)*+)"
    rb"|(?P<open>\\+[\"']|')(?P<escaped>.{0,4096}?)(?:(?<!\\)(?P=open)|\Z)"
    rb"|(?P<bare>(?:(?i:bearer|basic|token|apikey) +)?[^\s&\"'<>;,\\(){}\[\]]+))",
    re.DOTALL,
)
"""What follows a key's name: the sign, or a space, and a value in quotes, in escaped quotes, or bare."""
RAW_QUOTE: Final = re.compile(rb"(?<!\\)(?:\\\\)*\"")
"""Where a text of JSON ends at the latest."""

LIST: Final = re.compile(
    rb"\"\s*:\s*\[(?P<items>(?:\"(?:[^\"\\]|\\.)*+\"|[^\"\[\]{}])*+)(?:\]|\Z)", re.DOTALL
)
"""What follows a key of JSON whose value is a list of texts or numbers."""
OPEN_KEY: Final = re.compile(rb"\"(?P<name>[A-Za-z0-9_-]{2,40})\"\s*(?::\s*(?:\[[^\[\]{}]*)?)?\Z")
"""A key of JSON whose value, perhaps a list, is still to come on another line."""
CAPITALS: Final = re.compile(rb"[A-Z][A-Z0-9_]*")
"""A variable's name."""
LIST_ITEM: Final = re.compile(
    rb"\"(?P<text>(?:[^\"\\]|\\.)*+)\"|(?<![\w.+-])(?P<number>[0-9]{4,})(?![\w.])", re.DOTALL
)

FORM_FIELD: Final = re.compile(
    rb"(?<!file)name=(?P<quote>[\"']?)(?P<name>[^\"';\s]{1,64})(?P=quote)[^\r\n]*\r?\n(?:[A-Za-z-]+:[^\r\n]*\r?\n)*"
    rb"\r?\n(?P<value>.*?)(?:\r?\n--|\Z)",
    re.DOTALL,
)
"""A field of multipart/form-data (RFC 7578)."""
FIELD_MARK: Final = b"content-disposition:"

STAND_IN: Final = re.compile(
    rb"(?:\$|<|\{|\*{3}|\.{3}|x{3}|%[A-Z]|redacted-)|(?:null|none|true|false|undefined|string)$",
    re.IGNORECASE,
)
"""What people write where a secret would stand (``$NAME``, ``<your key>``, ``***``), and our own placeholders."""
LOOKS_RANDOM: Final = re.compile(rb"(?!redacted-)(?=\S*[0-9])(?=\S*[A-Za-z])[A-Za-z0-9._~+/=%-]{12,}")
