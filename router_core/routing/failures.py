"""Which failure is whose fault, as one table.

`classify` tries the rows from top to bottom, the user's own (``routing.failures``) first; the first whose
every stated condition holds decides. A row says what kind of failure it is, what it covers, and how long
the credential then rests where the provider names no time itself:

    kind               retried elsewhere   cools
    success            -                   nothing, and clears
    client_fault       no                  nothing: every credential would answer the same
    request_miss       no                  nothing: what the request refers to is not there
    auth               yes                 the credential
    payment            yes                 the credential
    not_found          yes                 the model on this credential
    model_unsupported  yes                 the model on this credential
    rate_limit         yes                 the model or the credential, as the row and the headers say
    capacity           yes                 the model on this credential
    transient          yes                 the model on this credential
    challenge          yes                 the credential's road: a page for browsers came instead of an API
    cancelled          no                  nothing: the client went away
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router_core.capture.spellings import spellings
from router_core.config.units import parse_duration
from router_core.exchange import Outcome
from router_core.formats import Operation
from router_core.formats.upstream_errors import UpstreamError, read_error
from router_core.routing.failure_table import MINUTE, TABLE, Row, codes, phrases
from router_core.routing.resets import Reset, Scope, anthropic_scope, read_reset, retry_after
from router_core.verdict import FailureKind

RETRIED: Final = frozenset(FailureKind) - {
    FailureKind.SUCCESS,
    FailureKind.CLIENT_FAULT,
    FailureKind.REQUEST_MISS,
    FailureKind.CANCELLED,
}

_K = FailureKind

_COMPACT_COUNTS: Final = frozenset({401, 402, 403, 429})
"""Compaction is its own service: its troubles say nothing about the model, except about keys and limits."""

_FREE: Final = frozenset({Operation.COUNT_TOKENS, Operation.LIST_MODELS, Operation.PASSTHROUGH})
"""Operations with limits of their own: a model's generation goes on when they are refused."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What one outcome means. Success and neutral outcomes are Failures too, with nothing to cool."""

    kind: FailureKind
    reason: str
    """In words, without secrets: ``429 usage_limit_reached: The usage limit has been reached``."""
    status: int | None = None
    scope: Scope = "model"
    cooldown: float = 0.0
    backoff: float = 0.0
    reset: Reset | None = None
    """The provider's own reset time."""
    transport: bool = False
    """No answer came at all: connection, TLS or timeout."""

    @property
    def cools(self) -> bool:
        return bool(self.cooldown or self.backoff or self.reset)


_USEFULNESS: Final = (
    FailureKind.SUCCESS,
    FailureKind.CLIENT_FAULT,
    FailureKind.REQUEST_MISS,
    FailureKind.RATE_LIMIT,
    FailureKind.CAPACITY,
    FailureKind.PAYMENT,
    FailureKind.AUTH,
    FailureKind.MODEL_UNSUPPORTED,
    FailureKind.NOT_FOUND,
    FailureKind.TRANSIENT,
    FailureKind.CHALLENGE,
    FailureKind.CANCELLED,
)
"""Kinds by how much their answer tells a client."""


def usefulness(failure: Failure) -> tuple[int, float]:
    """The smaller, the more the failure's answer tells the client."""
    return _USEFULNESS.index(failure.kind), failure.reset.until if failure.reset else math.inf


def classify(
    outcome: Outcome,
    *,
    provider: str,
    oauth: bool = False,
    operation: Operation = Operation.GENERATE,
    now: float,
    rows: Sequence[Row] = (),
    secrets: Iterable[str] = (),
) -> Failure:
    """The failure of an attempt's outcome; `now` is the wall clock, `rows` are tried before the table.

    `secrets` are those of the request, which its answer may quote and the failure's reason must not.
    """
    if outcome.cancelled:
        return Failure(_K.CANCELLED, "the client went away", outcome.status)
    error = read_error(outcome)
    if error.status is None or (error.status < 400 and (outcome.error or outcome.timeout)):
        return _transport(outcome, error)
    if error.status < 400 and not outcome.body:
        return Failure(_K.SUCCESS, "", error.status)
    row = next((r for r in (*rows, *TABLE) if r.matches(error, outcome.phase, provider, oauth)), None)
    if row is None:
        # An error event in a 200 stream that names neither a status nor a known type.
        row = Row(_K.TRANSIENT, "an error inside an answer", cooldown=MINUTE)
    reset, scope = _reset(row, error, now, provider)
    cooldown, backoff = (
        (row.cooldown, row.backoff) if _cools(row.kind, error.status, operation) else (0.0, 0.0)
    )
    if not cooldown and not backoff:
        reset = None
    return Failure(row.kind, _reason(row.kind, error, secrets), error.status, scope, cooldown, backoff, reset)


def _transport(outcome: Outcome, error: UpstreamError) -> Failure:
    words = outcome.error or ("no answer in time" if outcome.timeout else "the connection broke")
    # Inside an answer a cut says nothing about the credential: servers restart and networks change.
    cooldown = 0.0 if outcome.phase in ("body", "done") else MINUTE
    return Failure(_K.TRANSIENT, words, error.status, cooldown=cooldown, transport=True)


def _cools(kind: FailureKind, status: int | None, operation: Operation) -> bool:
    if operation in _FREE:
        return kind in (_K.AUTH, _K.PAYMENT) and status in (401, 402)
    return operation is not Operation.COMPACT or status in _COMPACT_COUNTS


def _reset(row: Row, error: UpstreamError, now: float, provider: str) -> tuple[Reset | None, Scope]:
    if row.kind is _K.RATE_LIMIT:
        reset = read_reset(error, now, provider)
        scope = anthropic_scope(error.headers) or (reset.scope if reset else None) or row.scope
        return reset, scope
    if row.kind is _K.CAPACITY and row.backoff:
        return read_reset(error, now, provider), row.scope
    if row.kind in (_K.CAPACITY, _K.TRANSIENT, _K.PAYMENT):
        # Quota headers stand on every answer; of other failures only Retry-After speaks.
        return retry_after(error.headers, now), row.scope
    return None, row.scope


_SECRET_LIKE: Final = re.compile(
    r"\b(?:sk|ck|pk|rk|gsk|xai|AIza|ya29|ghu|gho|eyJ|Bearer )[-_.A-Za-z0-9*]{6,}"
)
MAX_REASON: Final = 200


def _reason(kind: FailureKind, error: UpstreamError, secrets: Iterable[str]) -> str:
    head = " ".join(p for p in (str(error.status or ""), error.code if not error.code.isdigit() else "") if p)
    # Refusals of a key tend to quote it.
    if kind is _K.AUTH or not error.message:
        return head
    message = " ".join(error.message.split())
    for spelt in (word.decode("utf-8", "replace") for secret in secrets for word in spellings(secret)):
        message = message.replace(spelt, "[secret]")
    return f"{head}: {_SECRET_LIKE.sub('[secret]', message)}"[:MAX_REASON]


_ROW_KEYS: Final = frozenset(
    {
        "class",
        "status",
        "code",
        "text",
        "header",
        "provider",
        "oauth",
        "phase",
        "scope",
        "cooldown",
        "backoff",
    }
)


def parse_row(entry: Mapping[str, Any]) -> Row:
    """A row of ``routing.failures``. Raises ValueError with the remedy.

    ``class`` (a kind of the table above) is required, and at least one condition; ``status`` is a number,
    a list or ``500-599``; ``code`` and ``phase`` are a text or a list; ``text`` is a phrase or a list of
    phrases in which ``*`` stands for anything; ``header`` is ``{name: text}``; ``cooldown`` and ``backoff``
    are durations.
    """
    unknown = set(entry) - _ROW_KEYS
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}; a row has {', '.join(sorted(_ROW_KEYS))}")
    try:
        kind = FailureKind(entry["class"])
    except (KeyError, ValueError):
        raise ValueError(f"class must be one of {', '.join(FailureKind)}") from None
    if not set(entry) & {"status", "code", "text", "header"}:
        raise ValueError("a row needs at least one of status, code, text, header")
    scope = entry.get("scope", "model")
    if scope not in ("model", "credential"):
        raise ValueError("scope must be model or credential")
    header = entry.get("header")
    if header is not None and not (isinstance(header, Mapping) and len(header) == 1):
        raise ValueError("header is written as {NAME: TEXT}")
    phases = frozenset(_texts(entry.get("phase", ())))
    if not phases <= {"connect", "headers", "opening", "body", "done"}:
        raise ValueError("phase must be one of connect, headers, opening, body, done")
    wordings = _texts(entry.get("text", ()))
    return Row(
        kind,
        "routing.failures",
        status=_statuses(entry.get("status", ())),
        codes=codes(*_texts(entry.get("code", ()))),
        text=phrases(*wordings) if wordings else None,
        header=next(((str(k).lower(), str(v).lower()) for k, v in header.items()), None) if header else None,
        provider=entry.get("provider"),
        oauth=entry.get("oauth"),
        phases=phases,
        scope=scope,
        cooldown=parse_duration(entry.get("cooldown", 0)),
        backoff=parse_duration(entry.get("backoff", 0)),
    )


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(v, str | int) and not isinstance(v, bool) and str(v) for v in values):
        raise ValueError(f"{value!r} is not a text or a list of texts")
    return tuple(str(v) for v in values)


def _statuses(value: object) -> tuple[int, ...] | range:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{3})-(\d{3})", value)
        if match:
            return range(int(match[1]), int(match[2]) + 1)
    values = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(v, int) and not isinstance(v, bool) and 200 <= v <= 599 for v in values):
        raise ValueError(
            f"status {value!r} is not a number from 200 to 599, a list of them or a range 500-599"
        )
    return tuple(values)
