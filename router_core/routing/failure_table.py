"""The failure table: which answer means what, row by row, with the place where each is documented.

`router_core.routing.failures` says how it is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from router_core.formats.gemini.endings import GIVEN_UP
from router_core.formats.openai_chat.endings import MODEL_ERROR
from router_core.formats.upstream_errors import UpstreamError
from router_core.routing.resets import Scope
from router_core.verdict import FailureKind

MINUTE, HALF_HOUR, HOUR = 60.0, 1800.0, 3600.0
BACKOFF_LIMIT: Final = HALF_HOUR
"""Longest wait of an exponential backoff."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Conditions that are not stated hold for everything."""

    kind: FailureKind
    source: str
    """Where it is documented or was observed."""
    status: tuple[int, ...] | range = ()
    codes: frozenset[str] = frozenset()
    """Any of these among the error's types, codes, statuses and reasons, in lower case."""
    text: re.Pattern[str] | None = None
    """Searched in the body in lower case."""
    header: tuple[str, str] | None = None
    """(name, text that its value contains), both in lower case."""
    provider: str | None = None
    oauth: bool | None = None
    """Only for OAuth (subscription) credentials, or only for keys."""
    phases: frozenset[str] = frozenset()
    scope: Scope = "model"
    cooldown: float = 0.0
    """Seconds, where no reset time is sent."""
    backoff: float = 0.0
    """First wait of an exponential backoff in seconds, instead of a fixed cooldown."""

    def matches(self, error: UpstreamError, phase: str, provider: str, oauth: bool) -> bool:
        return (
            (not self.status or error.status in self.status)
            and (self.provider is None or self.provider == provider)
            and (self.oauth is None or self.oauth is oauth)
            and (not self.phases or phase in self.phases)
            and (not self.codes or any(c.lower() in self.codes for c in error.codes))
            and (self.header is None or self.header[1] in error.headers.get(self.header[0], "\0").lower())
            and (self.text is None or self.text.search(error.text) is not None)
        )


def codes(*names: str) -> frozenset[str]:
    return frozenset(n.lower() for n in names)


def phrases(*phrases: str) -> re.Pattern[str]:
    """Matches any of the phrases; ``*`` in a phrase stands for up to 200 characters."""
    return re.compile("|".join(re.escape(p.lower()).replace(r"\*", ".{0,200}?") for p in phrases), re.DOTALL)


_K = FailureKind
_ANTHROPIC = "docs.anthropic.com/en/api/errors"
_OPENAI = "platform.openai.com/docs/guides/error-codes"
_GOOGLE = "ai.google.dev/gemini-api/docs/troubleshooting"
_OPENROUTER = "openrouter.ai/docs/api-reference/errors"
_COPILOT = "docs.github.com/en/copilot/concepts/rate-limits"
_ZAI = "docs.z.ai/api-reference/api-code"
_MINIMAX = "platform.minimax.io/docs/api-reference/errorcode"
_MOONSHOT = "platform.moonshot.ai/docs/api/errors"
_CODEX = "ChatGPT backend, observed from Codex CLI's traffic"
_CLAUDE_CODE = "api.anthropic.com, observed from Claude Code's traffic"
_RFC = "RFC 9110 section 15"
_SDK = "x-should-retry, which the Anthropic and OpenAI SDKs follow before the status (_base_client.py, _should_retry)"

# fmt: off
TABLE: Final[tuple[Row, ...]] = (
    # What concerns the request alone, though its status may say otherwise.
    Row(_K.REQUEST_MISS, _OPENAI, status=(400, 404), codes=codes("previous_response_not_found")),
    Row(_K.REQUEST_MISS, _OPENAI, status=(400, 404), text=phrases("item with id*not found", "items are not persisted when `store`")),
    Row(_K.CLIENT_FAULT, _OPENAI, codes=codes("cyber_policy", "content_policy_violation", "context_length_exceeded", "message_too_big", "string_above_max_length", "invalid_prompt")),
    Row(_K.CLIENT_FAULT, _CLAUDE_CODE, status=(429,), text=phrases("usage credits"), provider="anthropic"),
    Row(_K.CLIENT_FAULT, "CodeBuddy: 11101 answers a request that the backend does not take", codes=codes("11101"), provider="codebuddy"),
    # Pages for browsers.
    Row(_K.CHALLENGE, "developers.cloudflare.com/cloudflare-challenges", header=("cf-mitigated", "challenge"), scope="credential", backoff=10),
    Row(_K.CHALLENGE, "developers.cloudflare.com/cloudflare-challenges", status=(403, 429, 503), text=phrases("challenge-platform", "<title>just a moment", "<html*cloudflare", "cloudflare*<html"), scope="credential", backoff=10),
    # An answer that the model spoilt.
    Row(_K.TRANSIENT, "ai.google.dev/api/generate-content, FinishReason: the next answer may be whole, so nothing rests", codes=codes(*GIVEN_UP, MODEL_ERROR)),
    # A backend that is full, whatever the status.
    Row(_K.CAPACITY, _CODEX, text=phrases("selected model is at capacity", "model is at capacity. please try a different model"), backoff=1),
    Row(_K.CAPACITY, _CODEX, codes=codes("server_is_overloaded", "slow_down", "service_unavailable_error"), cooldown=MINUTE),
    Row(_K.TRANSIENT, _CODEX + ": the connection's hour is over, the account is well", codes=codes("websocket_connection_limit_reached")),
    # Accounts without money or without the plan.
    Row(_K.RATE_LIMIT, "Qwen Code: its free tier says so with 403", status=(403,), codes=codes("insufficient_quota"), provider="qwen", scope="credential", backoff=1),
    Row(_K.PAYMENT, _OPENAI, codes=codes("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _ANTHROPIC, status=(400, 402, 403), text=phrases("credit balance is too low"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _CLAUDE_CODE + ": such a request is not in the plan, others are, so nothing rests", status=(400, 429), text=phrases("out of extra usage", "draw from your extra usage", "extra usage is required"), provider="anthropic"),
    Row(_K.PAYMENT, _CODEX, codes=codes("usage_not_included"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _ZAI, codes=codes("1113"), provider="glm", scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _MINIMAX, codes=codes("1008"), provider="minimax", scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _MOONSHOT, codes=codes("exceeded_current_quota_error"), provider="kimi", scope="credential", cooldown=HALF_HOUR),
    Row(_K.RATE_LIMIT, _COPILOT, status=(402,), text=phrases("additional usage limit", "premium request"), provider="github-copilot", scope="credential", cooldown=HALF_HOUR),
    # Limits by the provider's own names.
    Row(_K.RATE_LIMIT, _CODEX, codes=codes("usage_limit_reached"), scope="credential", backoff=1),
    Row(_K.RATE_LIMIT, _ANTHROPIC, status=(400,), text=phrases("reached your specified api usage limits"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.RATE_LIMIT, _ZAI, codes=codes("1304", "1308", "1310"), provider="glm", scope="credential", cooldown=5 * MINUTE),
    Row(_K.RATE_LIMIT, _ZAI, codes=codes("1302", "1303", "1305"), provider="glm", backoff=1),
    Row(_K.RATE_LIMIT, _MINIMAX, codes=codes("2056"), provider="minimax", scope="credential", cooldown=5 * MINUTE),
    Row(_K.RATE_LIMIT, _MINIMAX, codes=codes("1002", "1039", "1041"), provider="minimax", backoff=1),
    Row(_K.AUTH, _MINIMAX, codes=codes("1004", "2049"), provider="minimax", scope="credential", cooldown=HALF_HOUR),
    Row(_K.RATE_LIMIT, _COPILOT, codes=codes("user_global_rate_limited", "quota_exceeded"), provider="github-copilot", scope="credential", backoff=1),
    Row(_K.RATE_LIMIT, "xAI: the free allowance is per day", codes=codes("free-usage-exhausted"), provider="xai", scope="credential", cooldown=24 * HOUR),
    Row(_K.RATE_LIMIT, "xAI: the free allowance is per day", status=(429,), text=phrases("free-usage-exhausted"), provider="xai", scope="credential", cooldown=24 * HOUR),
    Row(_K.RATE_LIMIT, _OPENROUTER, status=(429,), text=phrases("free-models-per-"), provider="openrouter", scope="credential", backoff=1),
    Row(_K.CAPACITY, _MOONSHOT, codes=codes("engine_overloaded_error"), provider="kimi", cooldown=MINUTE),
    Row(_K.CAPACITY, "docs.mistral.ai: capacity of the service tier", status=(429,), text=phrases("service tier capacity exceeded"), provider="mistral", backoff=1),
    # Keys and tokens that are refused under another status than 401.
    Row(_K.AUTH, _GOOGLE, status=(400, 403), codes=codes("API_KEY_INVALID", "API_KEY_EXPIRED"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, _GOOGLE, status=(400, 403), text=phrases("api key not valid", "api key expired"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, "RFC 6749 section 5.2", status=(400, 401), codes=codes("invalid_grant"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, "docs.x.ai: 400 and 403 for keys that it does not know", status=(400, 403), text=phrases("incorrect api key", "bad-credentials"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, _CLAUDE_CODE, status=(403,), text=phrases("token has been revoked", "oauth token has expired", "invalid bearer token"), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, _OPENAI, status=(400, 403), codes=codes("invalid_api_key", "authentication_error", "refresh_token_reused"), scope="credential", cooldown=HALF_HOUR),
    # Models that this account cannot use.
    Row(_K.MODEL_UNSUPPORTED, _COPILOT, status=(400, 403, 422), codes=codes("model_not_supported", "unsupported_model", "unsupported_api_for_model"), cooldown=12 * HOUR),
    Row(_K.MODEL_UNSUPPORTED, "wordings of OpenAI-compatible hosts: ChatGPT backend, Copilot, OpenRouter, DeepSeek, Z.ai", status=(400, 422), text=phrases("model is not supported", "model not supported", "model is unsupported", "unsupported model", "model_not_supported", "not a valid model", "model not exist", "unknown model", "model_not_found", "model does not exist"), cooldown=12 * HOUR),
    # By status.
    Row(_K.AUTH, _RFC, status=(401,), scope="credential", cooldown=HALF_HOUR),
    Row(_K.PAYMENT, _RFC, status=(402,), scope="credential", cooldown=HALF_HOUR),
    Row(_K.AUTH, _RFC + "; a model may be closed to a key that opens others", status=(403,), cooldown=HALF_HOUR),
    Row(_K.NOT_FOUND, _RFC, status=(404,), cooldown=12 * HOUR),
    Row(_K.CLIENT_FAULT, _SDK, status=(408, 409, 425, *range(500, 529), *range(530, 600)), header=("x-should-retry", "false")),
    Row(_K.TRANSIENT, _RFC, status=(408, 425), cooldown=MINUTE),
    Row(_K.CAPACITY, "conflicts that providers report under load", status=(409,), text=phrases("overload", "capacity", "lock timeout", "try again", "temporarily"), cooldown=MINUTE),
    Row(_K.RATE_LIMIT, _CLAUDE_CODE + ": subscriptions rest for minutes where no reset time is sent", status=(429,), oauth=True, cooldown=5 * MINUTE),
    Row(_K.RATE_LIMIT, _RFC + ", RFC 6585 section 4", status=(429,), backoff=1),
    Row(_K.CAPACITY, _ANTHROPIC, status=(529,), cooldown=MINUTE),
    Row(_K.CAPACITY, _ANTHROPIC, status=(498,), provider="groq", cooldown=MINUTE),
    Row(_K.TRANSIENT, _RFC + "; 407 comes from the outbound proxy", status=(407,), cooldown=MINUTE),
    Row(_K.TRANSIENT, _SDK, status=range(400, 500), header=("x-should-retry", "true"), backoff=1),
    Row(_K.CLIENT_FAULT, _RFC, status=range(400, 500)),
    Row(_K.TRANSIENT, _RFC, status=range(500, 600), cooldown=MINUTE),
)
# fmt: on
"""Durations are those that users of multi-account gateways rely on: 30 minutes for keys and money, 12 hours
for models, one minute for servers, exponential from 1 second for limits without a reset time."""
