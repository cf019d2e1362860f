"""Why answers end, in the words of each format: two tables, read and write.

Sources: Anthropic "Handling stop reasons"; OpenAI Chat ``finish_reason`` and Responses ``status`` with
``incomplete_details``; Gemini ``FinishReason`` and ``BlockedReason``; Ollama ``done_reason``.
"""

from __future__ import annotations

from typing import Final

from router_core.formats import Format
from router_core.formats.ir import Stop

READ: Final[dict[Format, dict[str, Stop]]] = {
    Format.ANTHROPIC: {
        "end_turn": Stop.END,
        "max_tokens": Stop.LENGTH,
        "stop_sequence": Stop.STOP_SEQUENCE,
        "tool_use": Stop.TOOL_CALLS,
        "pause_turn": Stop.PAUSE,
        "refusal": Stop.REFUSAL,
        "model_context_window_exceeded": Stop.CONTEXT,
        "compaction": Stop.PAUSE,
    },
    Format.OPENAI_CHAT: {
        "stop": Stop.END,
        "length": Stop.LENGTH,
        "tool_calls": Stop.TOOL_CALLS,
        "function_call": Stop.TOOL_CALLS,
        "content_filter": Stop.CONTENT_FILTER,
        "model_length": Stop.CONTEXT,
        "end_turn": Stop.END,
        "eos": Stop.END,
        "max_tokens": Stop.LENGTH,
        "tool_use": Stop.TOOL_CALLS,
        "refusal": Stop.REFUSAL,
        "sensitive": Stop.CONTENT_FILTER,
        "model_context_window_exceeded": Stop.CONTEXT,
    },
    Format.OPENAI_RESPONSES: {
        "completed": Stop.END,
        "max_output_tokens": Stop.LENGTH,
        "max_tokens": Stop.LENGTH,
        "content_filter": Stop.CONTENT_FILTER,
    },
    Format.GEMINI: {
        "STOP": Stop.END,
        "MAX_TOKENS": Stop.LENGTH,
        "SAFETY": Stop.CONTENT_FILTER,
        "RECITATION": Stop.CONTENT_FILTER,
        "LANGUAGE": Stop.CONTENT_FILTER,
        "OTHER": Stop.OTHER,
        "BLOCKLIST": Stop.CONTENT_FILTER,
        "PROHIBITED_CONTENT": Stop.CONTENT_FILTER,
        "SPII": Stop.CONTENT_FILTER,
        "MODEL_ARMOR": Stop.CONTENT_FILTER,
        "IMAGE_SAFETY": Stop.CONTENT_FILTER,
        "IMAGE_PROHIBITED_CONTENT": Stop.CONTENT_FILTER,
        "IMAGE_RECITATION": Stop.CONTENT_FILTER,
        "JAILBREAK": Stop.CONTENT_FILTER,
        "ESCALATION": Stop.CONTENT_FILTER,
        "PUP_LIMITED_DISABLED": Stop.CONTENT_FILTER,
        "CONTINUATION": Stop.PAUSE,
        # Vertex writes the enum as numbers when it is asked with ``enum-encoding=int``.
        "1": Stop.END,
        "2": Stop.LENGTH,
        "3": Stop.CONTENT_FILTER,
        "4": Stop.CONTENT_FILTER,
        "6": Stop.CONTENT_FILTER,
        "7": Stop.CONTENT_FILTER,
        "8": Stop.CONTENT_FILTER,
        "10": Stop.CONTENT_FILTER,
        "11": Stop.CONTENT_FILTER,
        "12": Stop.CONTENT_FILTER,
        "13": Stop.CONTENT_FILTER,
    },
}

WRITE: Final[dict[Format, dict[Stop, str]]] = {
    Format.ANTHROPIC: {
        Stop.END: "end_turn",
        Stop.LENGTH: "max_tokens",
        Stop.TOOL_CALLS: "tool_use",
        Stop.STOP_SEQUENCE: "stop_sequence",
        Stop.CONTENT_FILTER: "refusal",
        Stop.REFUSAL: "refusal",
        Stop.PAUSE: "pause_turn",
        Stop.CONTEXT: "model_context_window_exceeded",
        Stop.OTHER: "end_turn",
    },
    Format.OPENAI_CHAT: {
        Stop.END: "stop",
        Stop.LENGTH: "length",
        Stop.TOOL_CALLS: "tool_calls",
        Stop.STOP_SEQUENCE: "stop",
        Stop.CONTENT_FILTER: "content_filter",
        Stop.REFUSAL: "content_filter",
        Stop.PAUSE: "stop",
        Stop.CONTEXT: "length",
        Stop.OTHER: "stop",
    },
    # The reason of an incomplete response, or "completed".
    Format.OPENAI_RESPONSES: {
        Stop.END: "completed",
        Stop.LENGTH: "max_output_tokens",
        Stop.TOOL_CALLS: "completed",
        Stop.STOP_SEQUENCE: "completed",
        Stop.CONTENT_FILTER: "content_filter",
        Stop.REFUSAL: "content_filter",
        Stop.PAUSE: "completed",
        Stop.CONTEXT: "max_output_tokens",
        Stop.OTHER: "completed",
    },
    Format.GEMINI: {
        Stop.END: "STOP",
        Stop.LENGTH: "MAX_TOKENS",
        Stop.TOOL_CALLS: "STOP",
        Stop.STOP_SEQUENCE: "STOP",
        Stop.CONTENT_FILTER: "SAFETY",
        Stop.REFUSAL: "SAFETY",
        Stop.PAUSE: "STOP",
        Stop.CONTEXT: "MAX_TOKENS",
        Stop.OTHER: "OTHER",
    },
    Format.OLLAMA: {
        Stop.END: "stop",
        Stop.LENGTH: "length",
        Stop.TOOL_CALLS: "stop",
        Stop.STOP_SEQUENCE: "stop",
        Stop.CONTENT_FILTER: "stop",
        Stop.REFUSAL: "stop",
        Stop.PAUSE: "stop",
        Stop.CONTEXT: "length",
        Stop.OTHER: "stop",
    },
}


def read(format: Format, reason: object) -> Stop | None:
    """The stop that a format's word stands for; None where there is none yet (null, ``""``)."""
    if reason is None or reason == "":
        return None
    return READ[format].get(str(reason), Stop.OTHER)
