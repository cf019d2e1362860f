"""Ollama's ``/api/chat`` request as types (github.com/ollama/ollama, docs/api.md and docs/modelfile.mdx)."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict


class Function(TypedDict, total=False):
    name: Required[str]
    arguments: Required[dict[str, Any]]
    description: str


class ToolCall(TypedDict, total=False):
    function: Required[Function]
    id: str


class System(TypedDict, total=False):
    role: Required[Literal["system"]]
    content: Required[str]


class User(TypedDict, total=False):
    role: Required[Literal["user"]]
    content: Required[str]
    images: list[str]
    name: str


class Assistant(TypedDict, total=False):
    role: Required[Literal["assistant"]]
    content: Required[str]
    thinking: str
    tool_calls: list[ToolCall]


class ToolResult(TypedDict, total=False):
    role: Required[Literal["tool"]]
    content: Required[str]
    tool_name: str
    tool_call_id: str


Message = System | User | Assistant | ToolResult


class Declaration(TypedDict, total=False):
    name: Required[str]
    description: str
    parameters: dict[str, Any]
    strict: bool


class Tool(TypedDict, total=False):
    type: Required[Literal["function"]]
    function: Required[Declaration]


class Options(TypedDict, total=False):
    num_ctx: int
    num_gpu: int
    num_thread: int
    num_batch: int
    main_gpu: int
    low_vram: bool
    use_mmap: bool
    use_mlock: bool
    numa: bool
    num_keep: int
    num_predict: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    tfs_z: float
    seed: int
    stop: list[str]
    repeat_last_n: int
    repeat_penalty: float
    presence_penalty: float
    frequency_penalty: float
    mirostat: int
    mirostat_tau: float
    mirostat_eta: float
    penalize_newline: bool


class Chat(TypedDict, total=False):
    model: Required[str]
    messages: Required[list[Message]]
    tools: list[Tool]
    format: Literal["json"] | dict[str, Any]
    options: Options
    think: bool | Literal["low", "medium", "high"]
    stream: bool
    keep_alive: str
    truncate: bool
    shift: bool
    logprobs: bool
    top_logprobs: int
