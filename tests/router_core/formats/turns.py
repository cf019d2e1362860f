"""One turn of a model that thinks, speaks and calls two tools, and what clients make of it for the next turn."""

from __future__ import annotations

import json
from typing import Any

from router_core.formats import Format

SIGNATURE = "EpwCCkYIBxgCKkBsignatureOfClaude+/=="
ENCRYPTED = "gAAAAABqencryptedReasoningOfOpenAI" + "A" * 40 + "=="
THOUGHT = "CiQBjz1rThoughtSignatureOfGemini+/A="
REASONING = "I should look at both files."
CALLS = [("read_file", {"path": "a.txt"}), ("read_file", {"path": "b.txt"})]
TOOL = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "Where it is"}},
    "required": ["path"],
}


def answer(upstream: Format) -> dict[str, Any]:
    """The model's turn in the words of its own format."""
    return _ANSWERS[upstream]()


def _anthropic() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": [
            {"type": "thinking", "thinking": REASONING, "signature": SIGNATURE},
            {"type": "text", "text": "Let me look."},
            *(
                {"type": "tool_use", "id": f"toolu_0{n}", "name": name, "input": arguments}
                for n, (name, arguments) in enumerate(CALLS)
            ),
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 20},
    }


def _chat() -> dict[str, Any]:
    calls = [
        {
            "id": f"call_0{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(CALLS)
    ]
    message = {
        "role": "assistant",
        "content": "Let me look.",
        "reasoning_content": REASONING,
        "tool_calls": calls,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "kimi-k2-thinking",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }


def _responses() -> dict[str, Any]:
    calls = [
        {
            "type": "function_call",
            "id": f"fc_0{n}",
            "call_id": f"call_0{n}",
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for n, (name, arguments) in enumerate(CALLS)
    ]
    said = [{"type": "output_text", "text": "Let me look.", "annotations": []}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.2",
        "status": "completed",
        "output": [
            {
                "type": "reasoning",
                "id": "rs_01",
                "summary": [{"type": "summary_text", "text": REASONING}],
                "encrypted_content": ENCRYPTED,
            },
            {"type": "message", "id": "msg_01", "role": "assistant", "status": "completed", "content": said},
            *calls,
        ],
        "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30},
    }


def _gemini() -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": REASONING, "thought": True}, {"text": "Let me look."}]
    parts += [{"functionCall": {"name": name, "args": arguments}} for name, arguments in CALLS]
    parts[2]["thoughtSignature"] = THOUGHT
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 20, "totalTokenCount": 30},
        "modelVersion": "gemini-3-pro-preview",
        "responseId": "r1",
    }


_ANSWERS = {
    Format.ANTHROPIC: _anthropic,
    Format.OPENAI_CHAT: _chat,
    Format.OPENAI_RESPONSES: _responses,
    Format.GEMINI: _gemini,
}


def first(client: Format) -> dict[str, Any]:
    """The client's first request, with thinking switched on and one tool."""
    ask = "Compare a.txt and b.txt."
    match client:
        case Format.ANTHROPIC:
            return {
                "max_tokens": 16000,
                "thinking": {"type": "enabled", "budget_tokens": 8192},
                "tools": [{"name": "read_file", "description": "Reads a file", "input_schema": TOOL}],
                "messages": [{"role": "user", "content": ask}],
            }
        case Format.OPENAI_CHAT:
            function = {"name": "read_file", "description": "Reads a file", "parameters": TOOL}
            return {
                "reasoning_effort": "medium",
                "tools": [{"type": "function", "function": function}],
                "messages": [{"role": "user", "content": ask}],
            }
        case Format.OPENAI_RESPONSES:
            function = {
                "name": "read_file",
                "description": "Reads a file",
                "parameters": TOOL,
                "strict": False,
            }
            return {
                "reasoning": {"effort": "medium", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
                "store": False,
                "tools": [{"type": "function", **function}],
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ask}]}
                ],
            }
        case Format.GEMINI:
            function = {"name": "read_file", "description": "Reads a file", "parametersJsonSchema": TOOL}
            thinking = {"includeThoughts": True, "thinkingBudget": 8192}
            return {
                "generationConfig": {"thinkingConfig": thinking},
                "tools": [{"functionDeclarations": [function]}],
                "contents": [{"role": "user", "parts": [{"text": ask}]}],
            }
    function = {"name": "read_file", "description": "Reads a file", "parameters": TOOL}
    return {
        "think": True,
        "tools": [{"type": "function", "function": function}],
        "messages": [{"role": "user", "content": ask}],
    }


def follow(
    client: Format, request: dict[str, Any], read: dict[str, Any], *, forgetful: bool = False
) -> dict[str, Any]:
    """The client's next request: what it `read`, and the results of the calls.

    A `forgetful` client returns only what its format's reference names.
    """
    results = ["alpha", "beta"]
    match client:
        case Format.ANTHROPIC:
            calls = [block["id"] for block in read["content"] if block["type"] == "tool_use"]
            answers = [
                {"type": "tool_result", "tool_use_id": id, "content": text}
                for id, text in zip(calls, results, strict=True)
            ]
            turns = [{"role": "assistant", "content": read["content"]}, {"role": "user", "content": answers}]
            return {**request, "messages": [*request["messages"], *turns]}
        case Format.OPENAI_CHAT:
            message = read["choices"][0]["message"]
            if forgetful:
                message = {key: message[key] for key in ("role", "content", "tool_calls")}
                message["tool_calls"] = [
                    {key: call[key] for key in ("id", "type", "function")} for call in message["tool_calls"]
                ]
            answers = [
                {"role": "tool", "tool_call_id": call["id"], "content": text}
                for call, text in zip(message["tool_calls"], results, strict=True)
            ]
            return {**request, "messages": [*request["messages"], message, *answers]}
        case Format.OPENAI_RESPONSES:
            calls = [item["call_id"] for item in read["output"] if item["type"] == "function_call"]
            answers = [
                {"type": "function_call_output", "call_id": id, "output": text}
                for id, text in zip(calls, results, strict=True)
            ]
            return {**request, "input": [*request["input"], *read["output"], *answers]}
        case Format.GEMINI:
            content = read["candidates"][0]["content"]
            if forgetful:
                # Gemini CLI leaves the thoughts out of its history and keeps the signatures.
                content = {**content, "parts": [part for part in content["parts"] if not part.get("thought")]}
            calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
            answers = [
                {"functionResponse": {"name": call["name"], "id": call["id"], "response": {"output": text}}}
                for call, text in zip(calls, results, strict=True)
            ]
            return {
                **request,
                "contents": [*request["contents"], content, {"role": "user", "parts": answers}],
            }
    message = read["message"]
    answers = [
        {"role": "tool", "tool_name": call["function"]["name"], "content": text}
        for call, text in zip(message["tool_calls"], results, strict=True)
    ]
    if forgetful:
        message = {key: message[key] for key in ("role", "content", "tool_calls")}
    return {**request, "messages": [*request["messages"], message, *answers]}
