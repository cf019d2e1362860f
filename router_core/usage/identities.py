"""Each format's usage object, brought to one identity (`router_core.exchange.Usage`).

==================  ===========================  =========================  ============================
format              prompt figure holds caches   output holds reasoning     source
==================  ===========================  =========================  ============================
anthropic           no                           yes                        docs.anthropic.com, Messages
openai-chat         yes                          yes, but see `_hidden`     platform.openai.com, Chat
openai-responses    yes                          yes, but see `_hidden`     platform.openai.com, Responses
gemini              yes (tool prompt does not)   no                         ai.google.dev, UsageMetadata
ollama              no caches                    yes                        Ollama's docs/api.md
==================  ===========================  =========================  ============================

The functions take any value and never raise: a figure that cannot be one is left out and noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from router_core.exchange import Usage
from router_core.formats import Format
from router_core.usage.columns import TOKENS

MAX_TOKENS: Final = 10**9
"""Above this a count is taken for a mistake; the largest context windows hold about 10**7 tokens."""
MAX_COST: Final = Decimal(100_000)
"""US dollars of one exchange."""
XAI_TICKS_PER_DOLLAR: Final = Decimal(10) ** 10
PRICED_TIERS: Final = frozenset({"batch", "fast", "flex", "priority"})
"""Tiers and speeds with prices of their own; ``standard``, ``default`` and the like have none."""
MAX_NOTES: Final = 16
MAX_NAMES: Final = 32
"""Server tools and further models that are kept by name."""


class Figures:
    """A usage object that is read one checked figure at a time; what is wrong with it ends in `notes`."""

    __slots__ = ("notes", "raw")

    def __init__(self, raw: Mapping[str, Any], notes: list[str] | None = None):
        self.raw = raw
        self.notes: list[str] = [] if notes is None else notes

    def note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < MAX_NOTES:
            self.notes.append(text)

    def count(self, *names: str) -> int | None:
        """The first of `names` that holds a usable count."""
        for name in names:
            value = self.raw.get(name)
            if value is None:
                continue
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool):
                self.note(f"{name}: not a count")
            elif value < 0:
                self.note(f"{name}: negative")
            elif value > MAX_TOKENS:
                self.note(f"{name}: too large")
            else:
                return value
        return None

    def money(self, *names: str, unit: Decimal = Decimal(1)) -> Decimal | None:
        """Dollars of the first of `names` that holds a usable amount, a number or a decimal string.

        `unit` is how much of the figure makes a dollar.
        """
        for name in names:
            value = self.raw.get(name)
            if value is None or isinstance(value, Mapping):
                continue
            try:
                amount = None if isinstance(value, bool) else Decimal(str(value)[:64]) / unit
            except InvalidOperation:
                amount = None
            if amount is None or not amount.is_finite():
                self.note(f"{name}: not an amount")
            elif not 0 <= amount <= MAX_COST:
                self.note(f"{name}: out of range")
            else:
                return amount
        return None

    def inner(self, name: str) -> Figures:
        value = self.raw.get(name)
        return Figures(value if isinstance(value, Mapping) else {}, self.notes)


def anthropic(raw: Mapping[str, Any]) -> Usage:
    figures = Figures(raw)
    usage = _anthropic_counts(figures)
    usage.server_tools = _requests(figures.inner("server_tool_use"))
    usage.tier = _tier(raw.get("speed")) or _tier(raw.get("service_tier"))
    # The totals leave out the passes that summarised the conversation and those of other models; both are
    # billed (Anthropic: "Compaction", "Advisor tool").
    iterations = raw.get("iterations")
    for item in iterations if isinstance(iterations, list) else ():
        if not isinstance(item, Mapping):
            continue
        counts = _anthropic_counts(Figures(item, figures.notes))
        if item.get("type") == "compaction":
            add(usage, counts)
        elif item.get("type") == "advisor_message" and len(usage.others) < MAX_NAMES:
            add(usage.others.setdefault(_text(item.get("model")) or "unknown", Usage()), counts)
    usage.notes = tuple(figures.notes)
    return usage


def _anthropic_counts(figures: Figures) -> Usage:
    creation = figures.inner("cache_creation")
    short, long = creation.count("ephemeral_5m_input_tokens"), creation.count("ephemeral_1h_input_tokens")
    write = figures.count("cache_creation_input_tokens")
    if write is None and (short is not None or long is not None):
        write = (short or 0) + (long or 0)
    return Usage(
        input=figures.count("input_tokens"),
        output=figures.count("output_tokens"),
        reasoning=figures.inner("output_tokens_details").count("thinking_tokens"),
        cache_read=figures.count("cache_read_input_tokens"),
        cache_write=write,
        cache_write_1h=None if long is None or write is None else min(long, write),
    )


def openai_chat(raw: Mapping[str, Any]) -> Usage:
    return _openai(raw, ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


def openai_responses(raw: Mapping[str, Any]) -> Usage:
    return _openai(raw, ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))


def _openai(raw: Mapping[str, Any], prompt_names: tuple[str, ...], output_names: tuple[str, ...]) -> Usage:
    figures = Figures(raw)
    into = figures.inner(f"{prompt_names[0]}_details")
    out = figures.inner(f"{output_names[0]}_details")
    prompt, output = figures.count(*prompt_names), figures.count(*output_names)
    # DeepSeek, Moonshot, Mistral and the gateways that grew out of Anthropic's names put their cache counts on top.
    read = into.count("cached_tokens")
    if read is None:
        read = figures.count(
            "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"
        )
    write = into.count("cache_write_tokens", "cache_creation_tokens")
    if write is None:
        write = figures.count("cache_creation_input_tokens")
    reasoning = out.count("reasoning_tokens")
    if output is not None:
        output, reasoning = _hidden(figures, prompt, output, reasoning)
    usage = Usage(
        input=_without(figures, prompt, read, write),
        output=output,
        reasoning=reasoning,
        cache_read=read,
        cache_write=write,
        input_audio=into.count("audio_tokens"),
        output_audio=out.count("audio_tokens"),
        input_image=into.count("image_tokens"),
        output_image=out.count("image_tokens"),
        server_tools=_requests(figures.inner("server_side_tool_usage_details")),
        tier=_tier(raw.get("service_tier")),
        cost=_openai_cost(figures),
    )
    usage.notes = tuple(figures.notes)
    return usage


def _hidden(
    figures: Figures, prompt: int | None, output: int, reasoning: int | None
) -> tuple[int, int | None]:
    """(output, reasoning) where the output figure may leave out the reasoning.

    OpenAI includes it. xAI adds it to the total only; Gemini's compatible surface does the same without
    naming it; some gateways name more reasoning than output and leave it out of the total as well.
    """
    total = figures.count("total_tokens")
    beyond = total - (prompt or 0) - output if total is not None else 0
    if reasoning and (reasoning > output or beyond == reasoning):
        return output + reasoning, reasoning
    if beyond > 0 and not reasoning:
        return output + beyond, beyond
    if beyond and total:
        figures.note("total_tokens: not the sum of its parts")
    return output, reasoning


def _openai_cost(figures: Figures) -> Decimal | None:
    """Dollars: OpenRouter's ``cost`` (its own fee only when the user's key paid upstream) or xAI's ticks."""
    ticks = figures.money("cost_in_usd_ticks", unit=XAI_TICKS_PER_DOLLAR)
    if ticks is not None:
        return ticks
    cost = figures.money("cost")
    if cost is None:
        cost = figures.inner("cost").money("total_cost")  # Perplexity
    upstream = figures.inner("cost_details").money("upstream_inference_cost")
    if upstream is not None and (figures.raw.get("is_byok") is True or not cost):
        return (cost or Decimal(0)) + upstream
    return cost


def gemini(raw: Mapping[str, Any]) -> Usage:
    figures = Figures(raw)
    prompt = figures.count("promptTokenCount", "prompt_token_count")
    read = figures.count("cachedContentTokenCount", "cached_content_token_count")
    tools = figures.count("toolUsePromptTokenCount", "tool_use_prompt_token_count")
    answer = figures.count("candidatesTokenCount", "candidates_token_count", "responseTokenCount")
    thoughts = figures.count("thoughtsTokenCount", "thoughts_token_count")
    total = figures.count("totalTokenCount", "total_token_count")
    if answer is None and total is not None and prompt is not None:
        # Left out when it is 0, or where thinking spent the whole limit.
        answer = max(0, total - prompt - (tools or 0) - (thoughts or 0))
    output = None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0)
    fresh = _without(figures, prompt, read, None)
    if tools is not None:
        fresh = (fresh or 0) + tools
    into, out = _modalities(raw, "promptTokensDetails"), _modalities(raw, "candidatesTokensDetails")
    usage = Usage(
        input=fresh,
        output=output,
        reasoning=thoughts,
        cache_read=read,
        input_audio=into.get("AUDIO"),
        output_audio=out.get("AUDIO"),
        input_image=into.get("IMAGE"),
        output_image=out.get("IMAGE"),
    )
    usage.notes = tuple(figures.notes)
    return usage


def _modalities(raw: Mapping[str, Any], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    details = raw.get(name)
    for item in details[:MAX_NAMES] if isinstance(details, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("modality"), str):
            count = Figures(item).count("tokenCount")
            if count is not None:
                found[item["modality"]] = count
    return found


def ollama(raw: Mapping[str, Any]) -> Usage:
    figures = Figures(raw)
    usage = Usage(input=figures.count("prompt_eval_count"), output=figures.count("eval_count"))
    usage.notes = tuple(figures.notes)
    return usage


def _without(figures: Figures, prompt: int | None, read: int | None, write: int | None) -> int | None:
    """The prompt without its cached parts."""
    if prompt is None:
        return None
    rest = prompt - (read or 0) - (write or 0)
    if rest < 0:
        # The caches cannot be parts of it, so they stand beside it.
        figures.note("prompt: smaller than its cached parts")
        return prompt
    return rest


def _requests(figures: Figures) -> dict[str, int]:
    """``{"web_search_requests": 1}`` as ``{"web_search": 1}``, without the zeros."""
    found = {}
    for name in list(figures.raw)[:MAX_NAMES]:
        count = figures.count(name)
        if count and isinstance(name, str):
            found[name.removesuffix("_requests").removesuffix("_calls")[:64]] = count
    return found


def _tier(value: object) -> str | None:
    return value if isinstance(value, str) and value in PRICED_TIERS else None


def _text(value: object) -> str | None:
    return value[:64] if isinstance(value, str) and value else None


def add(into: Usage, more: Usage) -> None:
    """Adds what `more` knows to `into`; unknown plus known is known."""
    for name in TOKENS:
        value = getattr(more, name)
        if value is not None:
            setattr(into, name, (getattr(into, name) or 0) + value)
    for name, calls in more.server_tools.items():
        into.server_tools[name] = into.server_tools.get(name, 0) + calls
    for model, usage in more.others.items():
        add(into.others.setdefault(model, Usage()), usage)
    if more.cost is not None:
        into.cost = (into.cost or Decimal(0)) + more.cost
    into.tier = more.tier or into.tier
    into.notes = tuple(dict.fromkeys((*into.notes, *more.notes)))[:MAX_NOTES]


IDENTITIES: Final[dict[Format, Callable[[Mapping[str, Any]], Usage]]] = {
    Format.ANTHROPIC: anthropic,
    Format.OPENAI_CHAT: openai_chat,
    Format.OPENAI_RESPONSES: openai_responses,
    Format.GEMINI: gemini,
    Format.OLLAMA: ollama,
}
