"""An answer in the intermediate form: a stream of events, of which a complete answer is the fold::

    Start (PartStart (Delta | Citation)* PartEnd | UsageReport | KeepAlive)* Finish+ UsageReport* End

Parts of one choice never overlap. `Failure` may stand anywhere and ends the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from router_core.exchange import Usage

if TYPE_CHECKING:
    from router_core.formats.ir import Citation, Part, Signature


class Stop(StrEnum):
    """Why an answer ended; the formats' own words are in `router_core.formats.stops`."""

    END = "end"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    STOP_SEQUENCE = "stop_sequence"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    """A server tool's turn was interrupted; the client continues by sending it back (Anthropic)."""
    CONTEXT = "context"
    """The context window is full."""
    OTHER = "other"


@dataclass(slots=True)
class Start:
    id: str | None = None
    model: str | None = None
    created: int | None = None


@dataclass(slots=True)
class PartStart:
    """`part` tells the kind and what is known at once; the rest follows as deltas."""

    index: int
    """Unique within the answer and ascending."""
    part: Part
    choice: int = 0


@dataclass(slots=True)
class Delta:
    """More of the part: text, reasoning, a refusal, or a call's arguments (JSON text, or free text)."""

    index: int
    text: str


@dataclass(slots=True)
class Cite:
    index: int
    citation: Citation


@dataclass(slots=True)
class PartEnd:
    index: int
    signature: Signature | None = None
    instead: str | None = None
    """The whole arguments or input of a call whose deltas said something else."""


@dataclass(slots=True)
class UsageReport:
    """Cumulative: it replaces earlier reports."""

    usage: Usage


@dataclass(slots=True)
class Logprobs:
    """Of the text delta before it, in the shape of Chat Completions' ``logprobs.content``."""

    content: list[dict[str, Any]]
    choice: int = 0


@dataclass(slots=True)
class Finish:
    stop: Stop
    choice: int = 0
    sequence: str | None = None
    """The stop sequence that was met."""
    detail: str | None = None
    """The upstream's own words for it."""


@dataclass(slots=True)
class Failure:
    """An error: `kind` is a row of `router_core.formats.failures`."""

    kind: str
    message: str
    status: int | None = None
    """The upstream's HTTP status, None for an error inside a stream."""
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None


@dataclass(slots=True)
class KeepAlive:
    pass


@dataclass(slots=True)
class End:
    """The upstream said all it has to say."""


type Event = (
    Start | PartStart | Delta | Cite | PartEnd | UsageReport | Logprobs | Finish | Failure | KeepAlive | End
)
