"""What a rule is: a name, a condition, a reason, and pure functions of values.

A request rule is a function from the body's tree to the body's tree; one that changes nothing returns the
very tree that it was given. An answer rule is one function for a JSON body and one for the data of an
event. Both are called only where their condition holds, and neither may change a tree in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache
from typing import Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite.context import Context
from router_core.rewrite.paths import Path

type RequestFunction = Callable[[Json, Context], Json]
type AnswerFunction = Callable[[Json, Context], Json]
"""For an event, `DROPPED` as the result removes it."""
type Look = Callable[[bytes], bool]
"""Whether the bytes of one event, of several in a row or of a body may concern a rule."""

DROPPED: Final = object()


class Origin(StrEnum):
    """Who states a rule; also the order in which rules run."""

    FORMAT = "format"
    PROVIDER = "provider"
    USER = "user"


@dataclass(frozen=True, slots=True)
class BodyTest:
    """One condition on the body."""

    path: Path
    kind: str
    """present, absent, equals or matches"""
    value: Json = None
    pattern: re.Pattern[str] | None = None

    def holds(self, body: Json) -> bool:
        match self.kind:
            case "present":
                return self.path.present(body)
            case "absent":
                return not self.path.present(body)
            case "equals":
                return any(_equal(v, self.value) for v in self.path.select(body))
            case _:
                pattern = self.pattern
                return pattern is not None and any(
                    isinstance(v, str) and pattern.search(v) for v in self.path.select(body)
                )


def _equal(a: Json, b: Json) -> bool:
    # In Python True equals 1.
    return a == b and isinstance(a, bool) is isinstance(b, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a rule is asked. What is empty does not matter; of several values one must fit."""

    provider: tuple[str, ...] = ()
    """Globs of the provider's name."""
    kin: tuple[str, ...] = ()
    """Names of providers: the provider is one of them, or extends one."""
    format: tuple[Format, ...] = ()
    """The upstream's format."""
    surface: tuple[tuple[Format | None, Operation | None], ...] = ()
    """What the client asked for: its format, its operation, or both."""
    quirk: tuple[str, ...] = ()
    """Quirks of the provider."""
    unless_quirk: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    """Globs of the model's requested or upstream name."""
    unless_model: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    """Globs of the client's tool, e.g. ``claude-code``, or of its key's name."""
    header: tuple[tuple[str, str], ...] = ()
    """Globs of request headers' values, by name."""
    stream: bool | None = None
    """Whether the client asks for a stream."""
    body: tuple[BodyTest, ...] = ()

    def may_hold(self, context: Context) -> bool:
        """The part that is the same for all requests of an endpoint and an operation."""
        if self.format and context.format not in self.format:
            return False
        if self.quirk and context.provider.quirks.isdisjoint(self.quirk):
            return False
        if not context.provider.quirks.isdisjoint(self.unless_quirk):
            return False
        if self.provider and not fits(context.provider.name, self.provider):
            return False
        if self.kin and context.among(self.kin) is None:
            return False
        surface = context.exchange.surface
        return not self.surface or any(
            (f is None or f is surface.format) and (o is None or o is surface.operation)
            for f, o in self.surface
        )

    def holds(self, body: Json, context: Context) -> bool:
        """The rest: what differs from request to request."""
        return self.holds_but_for_body(context) and all(test.holds(body) for test in self.body)

    def holds_but_for_body(self, context: Context) -> bool:
        exchange = context.exchange
        if self.model and not any(fits(n, self.model) for n in (exchange.model, context.attempt.model) if n):
            return False
        if self.unless_model and fits(context.model, self.unless_model):
            return False
        names = (exchange.client.tool, exchange.client.name)
        if self.client and not any(fits(name, self.client) for name in names if name):
            return False
        if self.stream is not None and exchange.stream is not self.stream:
            return False
        for name, pattern in self.header:
            sent = [v for n, v in exchange.request.headers if n.lower() == name]
            if not any(fits(v, (pattern,)) for v in sent):
                return False
        return True


@lru_cache(maxsize=1024)
def _globs(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(p) for p in patterns))


def fits(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the globs matches all of `text`."""
    return _globs(patterns).match(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named deviation of what is sent or answered from what came."""

    name: str
    reason: str
    """Why the wire demands it, in a sentence; shown by ``detour explain`` and in ``docs/rewrites.md``."""
    source: str = ""
    """Where that is known from."""
    when: When = field(default_factory=When)
    origin: Origin = Origin.FORMAT
    request: RequestFunction | None = None
    reads: tuple[str, ...] = ()
    """Fields of the body that the request function expects in their format's shape (`router_core.rewrite.shapes`)."""
    bodiless: bool = False
    """The request function also wants requests whose body is no JSON object, as None."""
    messages: bool = True
    """The request function also applies to WebSocket messages."""
    own: bool = False
    """It also applies to requests that go to their own host with the client's own credential."""
    answer: AnswerFunction | None = None
    """For a JSON body with a status below 400."""
    event: AnswerFunction | None = None
    """For the data of an event."""
    answer_headers: Callable[[Context], None] | None = None
    status: Callable[[int, bytes, Context], int] | None = None
    """For an error: (upstream's status, decoded body) to the status that the client gets."""
    armed: Callable[[Context], bool] | None = None
    """Whether the answer functions have anything to do, known when the answer begins."""
    whole: bool = False
    """The answer function needs the whole body, however long it is."""
    client_side: bool = True
    """The answer functions read the client's format; else the upstream's, before a translation."""
    needles: tuple[bytes, ...] = ()
    """Texts of which an event or body must hold one for the answer functions to be asked."""
    concerns: Callable[[Context], Look] | None = None
    """Makes the same as a function, where fixed texts cannot say it."""

    @property
    def answers(self) -> bool:
        return not (
            self.answer is None and self.event is None and self.answer_headers is None and self.status is None
        )
