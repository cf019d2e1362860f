"""Requests to Anthropic's Messages API. https://docs.claude.com/en/api/messages"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.anthropic_cache import limit_cache_marks, order_cache_ttls
from router_core.rewrite.anthropic_thinking import (
    CLAUDE,
    drop_foreign_thinking,
    drop_unsigned_thinking,
    echo_thinking,
    reads_claude,
    unsign_tools,
)
from router_core.rewrite.context import Context
from router_core.rewrite.rule import Rule, When
from router_core.rewrite.trees import at, without

GENERATE: Final = ((None, Operation.GENERATE),)
COUNT: Final = ((None, Operation.COUNT_TOKENS),)
BOTH: Final = (*GENERATE, *COUNT)
MIN_BUDGET: Final = 1024
UNKNOWN_MAX_TOKENS: Final = 1024

type Body = dict[str, Any]


def default_max_tokens(body: Body, context: Context) -> Body:
    info = context.model_info
    if body.get("max_tokens") is not None or not (info or fnmatchcase(context.model, "claude-*")):
        return body
    return body | {"max_tokens": (info.max_output_tokens if info else None) or UNKNOWN_MAX_TOKENS}


def forced_tool_without_thinking(body: Body, context: Context) -> Body:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") not in ("any", "tool"):
        return body
    thinking = body.get("thinking")
    if not (isinstance(thinking, dict) and thinking.get("type") == "disabled"):
        body = without(body, "thinking")
    output = body.get("output_config")
    if isinstance(output, dict) and "effort" in output:
        rest = without(output, "effort")
        body = body | {"output_config": rest} if rest else without(body, "output_config")
    return body


def budget_below_max_tokens(body: Body, context: Context) -> Body:
    thinking, limit = body.get("thinking"), body.get("max_tokens")
    if not isinstance(thinking, dict) or type(limit) is not int:
        return body
    budget = thinking.get("budget_tokens")
    if type(budget) is not int or budget < limit or limit - 1 < MIN_BUDGET:
        return body
    if "interleaved-thinking" in (context.headers.get("anthropic-beta") or "") and body.get("tools"):
        # There the budget is that of a whole turn and may be over max_tokens.
        return body
    return body | {"thinking": thinking | {"budget_tokens": limit - 1}}


_BOTH_SAMPLERS: Final = (
    "claude-2*", "claude-3*", "claude-instant*", "claude-sonnet-4-0", "claude-opus-4-0",
    "claude-sonnet-4-20*", "claude-opus-4-20*",
)  # fmt: skip
"""Models that still take temperature and top_p together."""


def one_sampler(body: Body, context: Context) -> Body:
    if not reads_claude(context):
        return body
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive", "auto"):
        body = without(body, "top_k")
        if body.get("temperature") not in (None, 1):
            body = without(body, "temperature")
        if isinstance(top_p := body.get("top_p"), int | float) and top_p < 0.95:
            body = without(body, "top_p")
    both = body.get("temperature") is not None and body.get("top_p") is not None
    if both and not any(fnmatchcase(context.model, m) for m in _BOTH_SAMPLERS):
        body = without(body, "top_p")
    return body


def drop_empty_domains(body: Body, context: Context) -> Body:
    def tool(value: Json) -> Json:
        if not isinstance(value, dict) or not str(value.get("type", "")).startswith(
            ("web_search", "web_fetch")
        ):
            return value
        return without(value, *(k for k in ("allowed_domains", "blocked_domains") if value.get(k) == []))

    return at(body, "tools", tool)


def betas_to_header(body: Body, context: Context) -> Body:
    betas = body.get("betas")
    if not isinstance(betas, list) or not all(isinstance(b, str) and b.isprintable() for b in betas):
        return body
    if betas:
        context.headers.merge("anthropic-beta", [b.strip() for b in betas])
    return without(body, "betas")


def count_only_what_counts(body: Body, context: Context) -> Body:
    return without(body, "metadata", "context_management", "diagnostics", "max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "service_tier")  # fmt: skip


def oauth_beta(body: Json, context: Context) -> Json:
    if any(name.lower() == "authorization" for name, _ in context.attempt.auth):
        context.headers.merge("anthropic-beta", ["oauth-2025-04-20"])
    return body


def drop_output_config(body: Body, context: Context) -> Body:
    return without(body, "output_config")


_CPA: Final = "CLIProxyAPI internal/runtime/executor/claude_executor_*.go"

RULES: Final = (
    Rule(
        name="anthropic-betas-header",
        reason="`betas` is a parameter of the SDKs; on the wire it is the header anthropic-beta.",
        source="https://docs.claude.com/en/api/beta-headers",
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=betas_to_header,
        messages=False,
    ),
    Rule(
        name="anthropic-unsigned-thinking",
        reason="The API answers 400 to thinking blocks without a signature, such as other models and clients leave "
        "in a conversation.",
        source="https://docs.claude.com/en/docs/build-with-claude/extended-thinking; CLIProxyAPI internal/api/modules/amp",
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        own=True,
        request=drop_unsigned_thinking,
        reads=("messages",),
    ),
    Rule(
        name="anthropic-foreign-thinking",
        reason="After a switch of models a conversation holds thinking that another provider signed; Claude answers "
        '400 "Invalid signature in thinking block".',
        source="CLIProxyAPI internal/signature; issues #1584, #2172, #3052",
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=drop_foreign_thinking,
        reads=("messages",),
    ),
    Rule(
        name="anthropic-echo-thinking",
        reason='DeepSeek ("The `content[].thinking` in the thinking mode must be passed back to the API.") and Kimi ("thinking '
        'is enabled but reasoning_content is missing in assistant tool call message") want thinking before each call; a '
        "blank stands for what another model or a forgetful client left out.",
        source="github.com/QwenLM/qwen-code/pull/3788; github.com/openclaw/openclaw/issues/70565",
        when=When(format=(Format.ANTHROPIC,), surface=GENERATE, quirk=("echo_reasoning",)),
        request=echo_thinking,
        reads=("messages",),
    ),
    Rule(
        name="anthropic-tool-signatures",
        reason='Amp\'s tool_use blocks have a `signature`, to which the API answers 400 "Extra inputs are not permitted".',
        source="CLIProxyAPI internal/api/modules/amp/response_rewriter.go at 8122b9fe4^",
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        own=True,
        request=unsign_tools,
        reads=("messages",),
    ),
    Rule(
        name="anthropic-max-tokens",
        reason="`max_tokens` is required; a known Claude model gets its own maximum, or 1024 where that is not known.",
        source=_CPA,
        when=When(format=(Format.ANTHROPIC,), surface=GENERATE),
        request=default_max_tokens,
    ),
    Rule(
        name="anthropic-forced-tool",
        reason='The API answers 400 "Thinking may not be enabled when tool_choice forces tool use".',
        source="https://docs.claude.com/en/docs/build-with-claude/extended-thinking; " + _CPA,
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=forced_tool_without_thinking,
        reads=("tool_choice", "thinking", "output_config"),
    ),
    Rule(
        name="anthropic-thinking-budget",
        reason="`budget_tokens` must be below `max_tokens`; left alone where it would fall under the minimum of 1024.",
        source="https://docs.claude.com/en/docs/build-with-claude/extended-thinking",
        when=When(format=(Format.ANTHROPIC,), surface=GENERATE),
        request=budget_below_max_tokens,
        reads=("thinking", "max_tokens"),
    ),
    Rule(
        name="anthropic-sampling",
        reason="Claude's thinking takes no temperature, top_k or low top_p, and its newer models refuse temperature and "
        "top_p together.",
        source=_CPA + " (native sampling rule, verified live)",
        when=When(format=(Format.ANTHROPIC,), surface=GENERATE),
        request=one_sampler,
        reads=("thinking", "temperature", "top_p"),
    ),
    Rule(
        name="anthropic-cache-marks",
        reason='The API answers 400 "A maximum of 4 blocks with cache_control"; the earliest go, the last of system and '
        "tools at the end, since they cover all before them.",
        source="https://docs.claude.com/en/docs/build-with-claude/prompt-caching; " + _CPA,
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=limit_cache_marks,
        reads=("system", "tools", "messages"),
    ),
    Rule(
        name="anthropic-cache-ttl",
        reason="The API answers 400 where a mark with ttl 1h comes after one with 5m, in the order tools, system, messages.",
        source="https://docs.claude.com/en/docs/build-with-claude/prompt-caching; " + _CPA,
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=order_cache_ttls,
        reads=("system", "tools", "messages"),
    ),
    Rule(
        name="anthropic-empty-domains",
        reason='The API answers 400 "Empty list of domains is ambiguous" to web search tools, as LiteLLM writes them.',
        source=_CPA,
        when=When(format=(Format.ANTHROPIC,), surface=BOTH),
        request=drop_empty_domains,
        reads=("tools",),
    ),
    Rule(
        name="anthropic-count-tokens",
        reason='count_tokens answers 400 "Extra inputs are not permitted" to what only matters for an answer.',
        source=_CPA,
        when=When(format=(Format.ANTHROPIC,), surface=COUNT, quirk=(CLAUDE,)),
        request=count_only_what_counts,
    ),
    Rule(
        name="anthropic-oauth-beta",
        reason="An OAuth access token is accepted only with this beta; all others stay as the client sent them.",
        source=_CPA,
        when=When(format=(Format.ANTHROPIC,), quirk=("oauth_beta",)),
        request=oauth_beta,
        bodiless=True,
        messages=False,
    ),
    Rule(
        name="minimax-output-config",
        reason="MiniMax's Messages endpoint refuses `output_config`.",
        source="9router 0.5.69, quirk dropOutputConfig",
        when=When(format=(Format.ANTHROPIC,), quirk=("drop_output_config",)),
        request=drop_output_config,
    ),
)
