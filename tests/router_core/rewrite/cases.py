"""What a case of a rule is: the wire before and after."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from router_core.exchange import Headers
from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.prepare import Outgoing
from router_core.providers.model import ModelInfo
from router_core.rewrite import catalogue
from router_core.rewrite.rules import Rules
from tests.router_core import wire


@dataclass(frozen=True)
class Case:
    """A request body under one rule; `after` None where the rule must leave it alone, byte for byte."""

    rule: str
    about: str
    before: dict[str, Any]
    after: dict[str, Any] | None
    format: Format
    quirks: frozenset[str] = frozenset()
    provider: str | None = None
    model: str | None = None
    models: tuple[ModelInfo, ...] = ()
    operation: Operation = Operation.GENERATE
    headers: tuple[tuple[str, str], ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    """Headers that must be there afterwards."""
    stream: bool | None = None
    session: str | None = None
    effort: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}"

    def again(self) -> Case:
        """The rule meeting its own result."""
        assert self.after is not None
        return replace(self, before=self.after, after=None, added=())

    def prepared(self) -> Outgoing:
        x = wire.exchange(
            self.format,
            serialise(self.before),
            operation=self.operation,
            headers=[("content-type", "application/json"), *self.headers],
            model=self.model or "m",
            stream=self.stream,
            session=self.session,
            path=self.path,
        )
        to = wire.provider(self.format, self.provider, quirks=set(self.quirks), models=self.models)
        return wire.prepared(
            x, to, rules=Rules([catalogue.BY_NAME[self.rule]]), model=self.model or "m", effort=self.effort
        )

    def check(self, order: bool = True) -> None:
        out = self.prepared()
        expected = self.before if self.after is None else self.after
        body = parse(out.body)
        body.pop("model", None)
        assert body == {k: v for k, v in expected.items() if k != "model"}
        if self.after is not None and order:
            assert list(body) == [k for k in expected if k != "model"]
        fired = [name for name in out.fired if name != "model-name"]
        assert fired == ([] if self.after is None else [self.rule])
        headers: Headers = [(n.lower(), v) for n, v in out.headers]
        for header in self.added:
            assert header in headers


@dataclass(frozen=True)
class Defaults:
    """Case values that a file's cases share."""

    values: dict[str, Any] = field(default_factory=dict)

    def __call__(
        self, rule: str, about: str, before: dict[str, Any], after: dict[str, Any] | None, **kwargs: Any
    ) -> Case:
        return Case(rule, about, before, after, **(self.values | kwargs))
