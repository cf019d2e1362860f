"""What a translated request leaves behind for its answer, and what it knows of its target."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from router_core.formats import Format
from router_core.formats.ir import ServerToolUse, Unsupported
from router_core.formats.names import ClientTool
from router_core.providers.model import ModelInfo

if TYPE_CHECKING:
    from router_core.formats.embeddings import Wanted
    from router_core.formats.memory import SessionMemory
    from router_core.formats.openai_responses.stored import Answering


DONE: Final[dict[str, Any]] = {"done": True}
"""Stands for ``[DONE]``, which is no JSON, among the documents of a stream."""
COMMENT: Final[dict[str, Any]] = {"comment": True}
"""Stands for a comment, which keeps a connection alive."""


@dataclass(slots=True)
class Context:
    """Of one exchange between a client and an upstream of different formats."""

    model: str = ""
    """The name that the client asked for, and is told again."""
    upstream_model: str = ""
    upstream: Format | None = None
    """Whose answer it is; None where that does not matter."""
    tools: Mapping[str, ClientTool] = field(default_factory=dict)
    """Upstream tool name to the client's, where they differ."""
    customs: frozenset[str] = frozenset()
    """The client's tools that take free text."""
    typed: frozenset[str] = frozenset()
    """The client's tools whose calls have a type of their own in its format (Responses)."""
    stop: list[str] = field(default_factory=list)
    """Stop sequences that the upstream was not told, so that the answer is cut here."""
    hide_reasoning: bool = False
    """The client said that it does not want to see reasoning."""
    carry_reasoning: bool = True
    """Whether the client may be given opaque reasoning to send back."""
    reasoning_field: str = "reasoning_content"
    include_usage: bool = True
    choices: int = 1
    counts: bool = False
    """The client asked for a token count, not for an answer."""
    compacts: bool = False
    """The client asked for a compaction, not for an answer."""
    embeds: Wanted | None = None
    """The client asked for embeddings of this."""
    memory: SessionMemory | None = None
    answering: Answering | None = None
    """Keeps the answer, should the client refer to it (Responses)."""
    echo: dict[str, Any] = field(default_factory=dict)
    """Fields of the request that the client's format repeats in its answers (Responses)."""
    created: int = 0
    """Seconds since the epoch."""
    seed: bytes = field(default_factory=lambda: os.urandom(12))
    """Makes the ids of one answer its own; the same seed gives the same ids."""

    def id(self, prefix: str, number: int | str = "", length: int = 24) -> str:
        """An id for something that the upstream gave none."""
        digest = hashlib.blake2b(
            f"{prefix}{number}".encode(errors="surrogatepass"), key=self.seed, digest_size=24
        ).hexdigest()
        return prefix + digest[:length]


@dataclass(slots=True)
class Target:
    """Where a request goes, while it is written."""

    client: Format
    format: Format
    model: str
    stream: bool
    info: ModelInfo | None = None
    quirks: frozenset[str] = frozenset()
    """Of the provider: ``short_tool_ids`` (Mistral), ``cache_control`` (marks are understood in chats),
    ``openai_reasoning`` (OpenAI itself), ``claude_api`` (Anthropic itself)."""
    context: Context = field(default_factory=Context)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def drop(self, name: str, given: object = True) -> None:
        """Lists a field that was `given` and is not expressed."""
        if given and name not in self.dropped:
            self.dropped.append(name)

    def drop_options(self, use: ServerToolUse, *read: str) -> None:
        """Lists the options of a provider's tool that its counterpart does not know; `read` are those it does."""
        for name, value in use.options.items():
            if name not in read and name not in ("type", "name"):
                self.drop(f"tools[{use.name}].{name}", value)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def note_effort(self, asked: str, given: str) -> None:
        """Says of the effort that the client `asked` for that the model is `given` another."""
        if given != asked:
            what = "least" if asked == "none" else f"nearest to {asked}"
            self.note(f"reasoning: {given} is the {what} that {self.model} takes")

    def lacks(self, capability: str) -> bool:
        """Whether the model is known not to have `capability`; an unknown model may have it."""
        return bool(self.info and self.info.capabilities and capability not in self.info.capabilities)

    def require(self, capability: str, what: str) -> None:
        """Raises Unsupported where the model is known not to take `what`."""
        if self.lacks(capability):
            raise Unsupported(f"{what}: model {self.model} does not take them")
