"""What each built-in rule makes of a request: the client's before, the upstream's after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from router_core.rewrite.openai_responses import session_key
from router_core.rewrite.shortening import shortened

type Body = dict[str, Any]

MESSAGES: Final = "/v1/messages"
CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
CLAUDE: Final = "claude-sonnet-4-5-20250929"


@dataclass(frozen=True)
class Case:
    rule: str
    provider: str
    """The gateway's requests are pinned to it; empty lets the model's name choose."""
    path: str
    sent: Body
    expected: Body
    headers: dict[str, str] = field(default_factory=dict)
    """The client's, besides the usual ones."""
    added: dict[str, str] = field(default_factory=dict)
    """The upstream's, as far as they tell of the rule."""
    also: frozenset[str] = frozenset()
    """Other rules that fire on the same request."""


def _claude(rule: str, sent: Body, expected: Body, **more: Any) -> Case:
    provider, path = more.pop("provider", "anthropic"), more.pop("path", MESSAGES)
    common = {
        "model": CLAUDE,
        **({"max_tokens": 4096} if "max_tokens" not in sent and path == MESSAGES else {}),
    }
    if rule == "anthropic-max-tokens":
        common = {"model": CLAUDE}
    return Case(rule, provider, path, common | sent, common | expected, **more)


def _chat(rule: str, provider: str, sent: Body, expected: Body, model: str, **more: Any) -> Case:
    return Case(rule, provider, CHAT, {"model": model} | sent, {"model": model} | expected, **more)


_CODEX: Final[Body] = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "instructions": "x",
    "prompt_cache_key": "k",
}
"""A request with which ChatGPT's backend has no quarrel."""


def _codex(rule: str, sent: Body, expected: Body, without: tuple[str, ...] = (), **more: Any) -> Case:
    common = {key: value for key, value in _CODEX.items() if key not in without}
    more = {"path": RESPONSES, "headers": {"session_id": "k"}} | more
    return Case(rule, "codex", sent=common | sent, expected=common | expected, **more)


def _gemini(rule: str, sent: Body, expected: Body, provider: str = "gemini", model: str = "gemini-3-pro-preview", **more: Any) -> Case:  # fmt: skip
    return Case(rule, provider, f"/v1beta/models/{model}:generateContent", sent, expected, **more)


def user(*blocks: Any) -> Body:
    return {"role": "user", "content": list(blocks) or "hi"}


def said(*blocks: Any) -> Body:
    return {"role": "assistant", "content": list(blocks)}


def text(value: str, **more: Any) -> Body:
    return {"type": "text", "text": value, **more}


def thought(signature: str | None = None) -> Body:
    return {"type": "thinking", "thinking": "hm", **({} if signature is None else {"signature": signature})}


ASK: Final = user()
SYSTEM: Final = {"role": "system", "content": "Be brief."}
OF_CLAUDE: Final = "EqoDCkYIBBgCKkBbUa2Txf0smQkxOwbam/e/WOWs"
OF_GEMINI: Final = "EsEHCr4HAb4+9vspyEj0mfPBpYCAMq/8S8uo1g=="
CARRIER: Final = "ZGV0b3VyWyJnZW1pbmkiLCJhYmMiXQ=="
USE: Final = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT: Final = {"type": "tool_result", "tool_use_id": "t1", "content": "1"}
MARK: Final = {"cache_control": {"type": "ephemeral"}}
HOUR: Final = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
LONG: Final = "mcp__server__" + "y" * 60
SHORT: Final = shortened(LONG)
ITEM: Final = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
CALL: Final = {
    "id": "call_abcdefghijkl",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}
SESSION: Final = "5f2b7a44-0f6d-4c1f-9a3e-6d2b1c0e8f11"


def history(reasoning: Body) -> list[Body]:
    return [ASK, {"role": "assistant", "content": "a", **reasoning}, ASK]


def chat_tool(name: str) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def turn(role: str, *parts: Body) -> Body:
    return {"role": role, "parts": list(parts)}


HELLO: Final = turn("user", {"text": "hi"})
F_CALL: Final = {"functionCall": {"name": "f", "args": {}}}

ANTHROPIC: Final = (
    _claude("carried-reasoning", {"messages": [ASK, said(thought(CARRIER), text("a")), ASK]},
            {"messages": [ASK, said(text("a")), ASK]}),
    _claude("state-of-another-account", {"messages": [ASK, said(thought(OF_CLAUDE), text("a")), ASK]},
            {"messages": [ASK, said(text("a")), ASK]}, provider="two-accounts"),
    _claude("asked-effort", {"model": f"{CLAUDE}(8192)", "max_tokens": 20000, "messages": [ASK]},
            {"max_tokens": 20000, "messages": [ASK], "thinking": {"type": "enabled", "budget_tokens": 8192}},
            also=frozenset({"model-name"})),
    _claude("anthropic-betas-header", {"messages": [ASK], "betas": ["b-1", "a-1"]}, {"messages": [ASK]},
            headers={"anthropic-beta": "a-1"}, added={"anthropic-beta": "a-1,b-1"}),
    _claude("anthropic-unsigned-thinking", {"messages": [ASK, said(thought(), text("a")), ASK]},
            {"messages": [ASK, said(text("a")), ASK]}),
    # Another conversation, which is to belong to another account.
    _claude("anthropic-echo-thinking", {"messages": [user(text("look")), said(text("a"), USE), user(RESULT)]},
            {"messages": [user(text("look")), said({"type": "thinking", "thinking": " ", "signature": ""}, text("a"), USE), user(RESULT)]},
            provider="wants-thoughts"),
    _claude("anthropic-foreign-thinking", {"messages": [ASK, said(thought(OF_GEMINI), text("a")), ASK]},
            {"messages": [ASK, said(text("a")), ASK]}),
    _claude("anthropic-tool-signatures", {"messages": [ASK, said({**USE, "signature": ""}), user(RESULT)]},
            {"messages": [ASK, said(USE), user(RESULT)]}),
    _claude("anthropic-max-tokens", {"messages": [ASK]}, {"messages": [ASK], "max_tokens": 64000}),
    _claude("anthropic-forced-tool",
            {"messages": [ASK], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"},
             "thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"messages": [ASK], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}}),
    _claude("anthropic-thinking-budget", {"messages": [ASK], "thinking": {"type": "enabled", "budget_tokens": 9000}},
            {"messages": [ASK], "thinking": {"type": "enabled", "budget_tokens": 4095}}),
    _claude("anthropic-sampling", {"messages": [ASK], "temperature": 0.2, "top_p": 0.5}, {"messages": [ASK], "temperature": 0.2}),
    _claude("anthropic-cache-marks", {"messages": [user(*(text(str(i), **MARK) for i in range(6)))]},
            {"messages": [user(text("0"), text("1"), *(text(str(i), **MARK) for i in range(2, 6)))]}),
    _claude("anthropic-cache-ttl", {"messages": [user(text("a", **MARK), text("b", **HOUR))]},
            {"messages": [user(text("a", **MARK), text("b", **MARK))]}),
    _claude("anthropic-empty-domains",
            {"messages": [ASK], "tools": [{"type": "web_search_20250305", "name": "web_search", "allowed_domains": []}]},
            {"messages": [ASK], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    _claude("anthropic-count-tokens", {"messages": [ASK], "metadata": {"user_id": "u"}, "max_tokens": 5}, {"messages": [ASK]},
            path=MESSAGES + "/count_tokens"),
    _claude("anthropic-oauth-beta", {"messages": [ASK]}, {"messages": [ASK]}, provider="by-token",
            headers={"anthropic-beta": "a-1"}, added={"anthropic-beta": "a-1,oauth-2025-04-20"}),
    _claude("minimax-output-config", {"model": "MiniMax-M2", "messages": [ASK], "output_config": {"effort": "low"}},
            {"model": "MiniMax-M2", "messages": [ASK]}, provider="minimax"),
)  # fmt: skip

OPENAI: Final = (
    _chat("force-stream", "codebuddy", {"messages": [SYSTEM, ASK]},
          {"messages": [SYSTEM, ASK], "stream": True, "stream_options": {"include_usage": True}}, "gpt-5.5",
          also=frozenset({"chat-include-usage"})),
    _chat("chat-max-tokens", "openai", {"messages": [ASK], "max_tokens": 50}, {"messages": [ASK], "max_completion_tokens": 50}, "gpt-5.1"),
    _chat("chat-include-usage", "openai", {"messages": [ASK], "stream": True},
          {"messages": [ASK], "stream": True, "stream_options": {"include_usage": True}}, "gpt-4.1"),
    _chat("chat-no-stream-options", "mistral", {"messages": [ASK], "stream": True, "stream_options": {"include_usage": True}},
          {"messages": [ASK], "stream": True}, "devstral-2512"),
    _chat("chat-ensure-system", "codebuddy", {"messages": [ASK], "stream": True, "stream_options": {"include_usage": True}},
          {"messages": [{"role": "system", "content": "You are a helpful assistant."}, ASK], "stream": True,
           "stream_options": {"include_usage": True}}, "gpt-5.5"),
    _chat("chat-reasoning-history", "deepseek", {"messages": history({"reasoning": "hm"})},
          {"messages": history({"reasoning_content": "hm"})}, "deepseek-v4-pro"),
    _chat("chat-echo-reasoning", "deepseek",
          {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": CALL["id"], "content": "1"}]},
          {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": " "},
                        {"role": "tool", "tool_call_id": CALL["id"], "content": "1"}]}, "deepseek-v4-pro"),
    _chat("chat-effort-dialect", "deepseek", {"messages": [ASK], "reasoning_effort": "high"},
          {"messages": [ASK], "thinking": {"type": "enabled"}}, "deepseek-v4-pro"),
    _chat("chat-vendor-parameters", "groq", {"messages": [{**ASK, "name": "me"}], "logprobs": True}, {"messages": [ASK]}, "openai/gpt-oss-120b"),
    _chat("chat-empty-tools", "iflow", {"messages": [ASK], "tools": []}, {"messages": [ASK]}, "qwen3-coder-plus"),
    _chat("chat-thinking-tool-choice", "qwen", {"messages": [ASK], "tools": [chat_tool("f")], "enable_thinking": True, "tool_choice": "required"},
          {"messages": [ASK], "tools": [chat_tool("f")], "enable_thinking": True, "tool_choice": "auto"}, "qwen3-max"),
    _chat("mistral-tool-ids", "mistral",
          {"messages": [ASK, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": CALL["id"], "content": "1"}]},
          {"messages": [ASK, {"role": "assistant", "tool_calls": [{**CALL, "id": "f553c190c"}]}, {"role": "tool", "tool_call_id": "f553c190c", "content": "1"}]},
          "devstral-2512"),
    _chat("chat-long-names", "openai", {"messages": [ASK], "tools": [chat_tool(LONG)]}, {"messages": [ASK], "tools": [chat_tool(SHORT)]}, "gpt-4.1"),
    _chat("openrouter-usage", "openrouter", {"messages": [ASK]}, {"messages": [ASK], "usage": {"include": True}}, "z-ai/glm-5"),
    _chat("openrouter-provider", "openrouter", {"messages": [ASK], "usage": {"include": True}},
          {"messages": [ASK], "usage": {"include": True}, "provider": {"order": ["moonshotai"], "allow_fallbacks": False}}, "moonshotai/kimi-k2.5"),
    _codex("codex-unsupported-parameters", {"input": [ITEM], "temperature": 1, "safety_identifier": "u"}, {"input": [ITEM]}),
    _codex("codex-connection-state", {"input": [ITEM], "generate": False, "stream_options": {"reasoning_summary_delivery": "x", "include_obfuscation": False}},
           {"input": [ITEM], "stream_options": {"reasoning_summary_delivery": "x"}}),
    _codex("responses-store-false", {"input": [ITEM]}, {"input": [ITEM], "store": False}, without=("store",)),
    _codex("codex-instructions", {"input": [ITEM]}, {"input": [ITEM], "instructions": ""}, without=("instructions",)),
    _codex("codex-input-message", {"input": "hi"}, {"input": [ITEM]}),
    _codex("codex-developer-role", {"input": [{"role": "system", "content": "x"}, ITEM]}, {"input": [{"role": "developer", "content": "x"}, ITEM]}),
    _codex("codex-web-search", {"input": [ITEM], "tools": [{"type": "web_search_preview"}]}, {"input": [ITEM], "tools": [{"type": "web_search"}]}),
    _codex("codex-compact", {"input": [ITEM], "stream": True}, {"input": [ITEM]}, without=("stream", "store"), path=RESPONSES + "/compact"),
    Case("responses-foreign-reasoning", "openai", RESPONSES,
         {"model": "gpt-5.1", "input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": OF_CLAUDE}, ITEM]},
         {"model": "gpt-5.1", "input": [{"type": "reasoning", "summary": []}, ITEM]}),
    Case("responses-long-names", "openai", RESPONSES,
         {"model": "gpt-5.1", "input": [ITEM], "tools": [{"type": "function", "name": LONG}]},
         {"model": "gpt-5.1", "input": [ITEM], "tools": [{"type": "function", "name": SHORT}]}),
    _codex("codex-cache-key", {"input": [ITEM]}, {"input": [ITEM], "prompt_cache_key": session_key(SESSION)},
           without=("prompt_cache_key",), headers={"x-session-id": SESSION}, added={"session-id": session_key(SESSION) or ""}),
)  # fmt: skip

GOOGLE: Final = (
    _gemini("code-assist-envelope", {"contents": [HELLO]}, {"model": "gemini-2.5-pro", "request": {"contents": [HELLO]}},
            "gemini-code-assist", "gemini-2.5-pro"),
    _gemini("gemini-tool-schemas",
            {"contents": [HELLO], "tools": [{"functionDeclarations": [{"name": "f", "parameters": {
                "type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}, "additionalProperties": False}}]}]},
            {"contents": [HELLO], "tools": [{"functionDeclarations": [{"name": "f", "parameters": {
                "type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}]}]}),
    _gemini("gemini-max-output-tokens", {"contents": [HELLO], "generationConfig": {"maxOutputTokens": 100000, "topK": 1}},
            {"contents": [HELLO], "generationConfig": {"maxOutputTokens": 65536, "topK": 1}}),
    _gemini("gemini-turn-order", {"contents": [turn("model", {"text": "a"}), HELLO]},
            {"contents": [turn("user", {"text": " "}), turn("model", {"text": "a"}), HELLO]}),
    _gemini("gemini-thought-signatures", {"contents": [HELLO, turn("model", {**F_CALL, "thoughtSignature": OF_CLAUDE}), HELLO]},
            {"contents": [HELLO, turn("model", {**F_CALL, "thoughtSignature": "skip_thought_signature_validator"}), HELLO]}),
    _gemini("antigravity-part-order", {"contents": [HELLO, turn("model", F_CALL, {"text": "a"}, {"text": "t", "thought": True}), HELLO]},
            {"model": "gemini-2.5-pro", "request": {"contents": [HELLO, turn("model", {"text": "t", "thought": True}, {"text": "a"}, F_CALL), HELLO]}},
            "gemini-code-assist", "gemini-2.5-pro", also=frozenset({"code-assist-envelope"})),
)  # fmt: skip

ALWAYS: Final = (
    Case("format-translation", "anthropic", CHAT,
         {"model": CLAUDE, "max_tokens": 9, "messages": [SYSTEM, ASK], "stop": ["END"]},
         {"model": CLAUDE, "max_tokens": 9, "messages": [ASK], "system": [text("Be brief.")], "stop_sequences": ["END"]}),
    Case("model-name", "", MESSAGES, {"model": "clever", "max_tokens": 9, "messages": [ASK]},
         {"model": CLAUDE, "max_tokens": 9, "messages": [ASK]}),
)  # fmt: skip

CASES: Final = (*ANTHROPIC, *OPENAI, *GOOGLE, *ALWAYS)
