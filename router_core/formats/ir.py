"""The intermediate form between the wire formats: requests, and answers as a stream of events.

Each format reads its requests and answers into this form and writes them from it, so N formats need N
readers and N writers. Nothing here belongs to one format; what only its maker can read (signatures,
encrypted reasoning) is kept as an opaque `Signature` with its origin.

An answer is a sequence of events, which are in `router_core.formats.events` and seen through this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from router_core.formats import Format
from router_core.formats.events import (
    Cite as Cite,
    Delta as Delta,
    End as End,
    Event as Event,
    Failure as Failure,
    Finish as Finish,
    KeepAlive as KeepAlive,
    Logprobs as Logprobs,
    PartEnd as PartEnd,
    PartStart as PartStart,
    Start as Start,
    Stop as Stop,
    UsageReport as UsageReport,
)

type Role = Literal["user", "assistant", "system"]
type Arguments = str | dict[str, Any]
"""Of a tool call: JSON text as it came, or the parsed object."""


class Unsupported(Exception):
    """The other side cannot express a thing that must not be lost silently. The text names it."""


class Malformed(Exception):
    """The client's document is not of its own format. Its text names the place."""

    def __init__(self, problem: str, place: str = ""):
        super().__init__(f"{place}: {problem}" if place else problem)
        self.problem = problem
        self.place = place

    def within(self, place: str) -> Malformed:
        """The same, seen from outside of `place`."""
        dot = "." if self.place and not self.place.startswith("[") else ""
        return Malformed(self.problem, f"{place}{dot}{self.place}")


@dataclass(slots=True)
class Signature:
    """What proves reasoning to the model that made it, unreadable to all others."""

    origin: Format
    data: str
    id: str | None = None
    """The item's id (Responses) or the call it belongs to (OpenRouter)."""
    dialect: str | None = None
    """The field or block it stood in, where a format has several (Chat Completions, Anthropic)."""
    model: str | None = None
    """The model that made it, where not every model of the origin's format takes it back."""


@dataclass(slots=True)
class Citation:
    """A source of the text part that it follows or stands in."""

    url: str | None = None
    title: str | None = None
    cited: str | None = None
    start: int | None = None
    end: int | None = None
    """Characters of the part's text, where the source tells them."""
    native: tuple[Format, dict[str, Any]] | None = None


@dataclass(slots=True)
class Text:
    text: str
    cache: str | None = None
    """A cache mark and its time to live (``5m``, ``1h``)."""
    citations: list[Citation] | None = None
    signature: Signature | None = None


@dataclass(slots=True)
class Media:
    """An image, a file, a recording: by value (base64), by URL, or by a provider's own file id."""

    kind: Literal["image", "file", "audio", "video"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    detail: str | None = None
    context: str | None = None
    cache: str | None = None
    signature: Signature | None = None


@dataclass(slots=True)
class ToolCall:
    id: str
    name: str
    arguments: Arguments
    kind: Literal["function", "custom"] = "function"
    """`custom`: the arguments are free text, not JSON."""
    namespace: str | None = None
    cache: str | None = None
    signature: Signature | None = None


@dataclass(slots=True)
class ToolResult:
    id: str
    content: str | list[Part]
    """Texts and media."""
    name: str | None = None
    error: bool = False
    kind: Literal["function", "custom"] = "function"
    namespace: str | None = None
    cache: str | None = None


@dataclass(slots=True)
class Thinking:
    """Reasoning, as far as it is shown; `redacted` when there is only the signature."""

    text: str
    signature: Signature | None = None
    redacted: bool = False


@dataclass(slots=True)
class Refused:
    """The model's words for why it will not answer."""

    text: str


@dataclass(slots=True)
class ServerTool:
    """A tool that the provider ran: the call, or a result. Never a client's tool call."""

    tool: Literal["web_search", "code_execution", "other"]
    id: str
    input: dict[str, Any] | None = None
    """Of a call; None for a result."""
    sources: list[Citation] | None = None
    """What a web search found."""
    native: tuple[Format, dict[str, Any]] | None = None


type Part = Text | Media | ToolCall | ToolResult | Thinking | Refused | ServerTool


@dataclass(slots=True)
class Turn:
    role: Role
    content: str | list[Part]
    """One text with nothing beside it, as most turns are, or parts."""

    @property
    def parts(self) -> list[Part]:
        """The content as parts; what is changed in them is changed in the turn."""
        content = self.content
        if type(content) is str:
            content = self.content = [Text(content)] if content else []
        return content  # type: ignore[return-value]


@dataclass(slots=True)
class Tool:
    """A tool of the client. `schema` is JSON Schema of an object; None where the source has none."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    kind: Literal["function", "custom"] = "function"
    strict: bool | None = None
    namespace: str | None = None
    grammar: dict[str, Any] | None = None
    """A custom tool's input format."""
    typed: bool = False
    """A provider's own tool that the client runs, whose calls the client knows by a type, not by a name."""
    cache: str | None = None


@dataclass(slots=True)
class ServerToolUse:
    """A tool that the client asks the provider to run."""

    tool: Literal["web_search", "code_execution", "other"]
    name: str
    """The source's own type name."""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ToolChoice:
    mode: Literal["auto", "none", "required"]
    names: list[str] | None = None
    """Only these tools; one name with `required` forces that tool."""

    @property
    def narrows(self) -> bool:
        """Whether it is a list of allowed tools, and no single one that is forced."""
        names = set(self.names or ())
        return bool(names) and (self.mode != "required" or len(names) > 1)


@dataclass(slots=True)
class Reasoning:
    enabled: bool | None = None
    """None where the source leaves it to the model."""
    effort: str | None = None
    """none, minimal, low, medium, high, xhigh, max."""
    budget: int | None = None
    """Tokens; -1 leaves it to the model."""
    adaptive: bool = False
    show: bool | None = None
    """Whether the client wants to see it; None where it did not say."""


@dataclass(slots=True)
class ResponseFormat:
    kind: Literal["text", "json", "schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(slots=True)
class Request:
    turns: list[Turn]
    model: str | None = None
    system: list[Text] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    server_tools: list[ServerToolUse] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None
    """How many alternatives; 0 for the chosen tokens only."""
    n: int = 1
    reasoning: Reasoning | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    """Lower case; None means text."""
    user: str | None = None
    """The end user as the client names them to the provider."""
    verbosity: str | None = None
    service_tier: str | None = None
    openai: dict[str, Any] = field(default_factory=dict)
    """Fields that both OpenAI formats spell alike and the others lack, e.g. ``prompt_cache_key``."""
    compacts: bool = False
    """The answer is to be a summary that takes the conversation's place (`router_core.formats.compaction`)."""
    stream: bool = False
    include_usage: bool = True
    """Whether a streaming client wants token counts."""
    reasoning_field: str = "reasoning_content"
    """The field in which a Chat Completions client looks for reasoning."""
    echo: dict[str, Any] = field(default_factory=dict)
    """Fields that the client's format repeats in its answers (Responses)."""
