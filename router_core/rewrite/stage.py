"""Answer rules over events and bodies: a look at the bytes first, and a parse only where a rule may apply."""

from __future__ import annotations

from router_core.json_document import Json, splice
from router_core.rewrite.context import Context
from router_core.rewrite.rule import DROPPED, AnswerFunction, Look, Rule
from router_core.sse import Event, replace_data


class Stage:
    """Rules over events or bodies of one format."""

    def __init__(self, rules: list[Rule], context: Context) -> None:
        self._context = context
        self._events = [
            (rule, rule.event, _glance(rule, context)) for rule in rules if rule.event is not None
        ]
        self._answers = [
            (rule, rule.answer, _glance(rule, context)) for rule in rules if rule.answer is not None
        ]
        rules = [rule for rule, *_ in self._events]
        self._needles = dict.fromkeys(
            needle for rule in rules if not rule.concerns for needle in rule.needles
        )
        # What no needle says is asked of the rules, without looking twice for the needles of others.
        self._asked = [step[2] for step in self._events if step[0].concerns or not step[0].needles]
        self.whole = any(rule.whole for rule, *_ in self._answers)
        """Whether a rule needs all of a body, however long it is."""

    def quiet(self, events: bytes) -> bool:
        """Whether no rule is concerned by any of these whole events."""
        for needle in self._needles:
            if needle in events:
                return False
        return not any(concerned(events) for concerned in self._asked)

    def event(self, event: Event) -> Event | None:
        """`event` after the rules; itself where none changed it, None where one removed it."""
        raw = event.raw
        concerned = [step for step in self._events if step[2](raw)]
        if not concerned:
            return event
        data = event.data
        if not data:
            return event
        try:
            before = event.document
        except ValueError:
            return event
        value = self._run(concerned, before)
        if value is before:
            return event
        return None if value is DROPPED else replaced(event, splice(data, before, value), value)

    def body(self, value: Json, raw: bytes) -> Json:
        """A whole answer after the rules."""
        return self._run([step for step in self._answers if step[2](raw)], value)

    def _run(self, steps: list[Step], value: Json) -> Json:
        for rule, function, _ in steps:
            try:
                changed = function(value, self._context)
            except (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError) as e:
                self._context.note(
                    rule.name, f"left alone, the answer has another shape ({type(e).__name__})"
                )
                continue
            if changed is not value:
                mark(rule, self._context)
                value = changed
                if value is DROPPED:
                    break
        return value


type Step = tuple[Rule, AnswerFunction, Look]


def _glance(rule: Rule, context: Context) -> Look:
    """Whether bytes may concern `rule`: what is asked before anything is parsed."""
    if rule.concerns is not None:
        return rule.concerns(context)
    match rule.needles:
        case ():
            return lambda raw: True
        case (one,):
            return lambda raw: one in raw
        case (one, two):
            return lambda raw: one in raw or two in raw
        case needles:
            return lambda raw: any(needle in raw for needle in needles)


def mark(rule: Rule, context: Context) -> None:
    """Notes that `rule` changed the answer."""
    context.mark(rule.name, rule.reason)
    if rule.name not in context.exchange.fired:
        context.exchange.fired.append(rule.name)


def replaced(event: Event, data: bytes, document: Json) -> Event:
    """`event` with other data, whose value is `document`, framed as it came."""
    old = event.data or b""
    if event.raw.endswith(old) and not event.raw.lstrip().startswith(
        (b"data", b"event", b":", b"id", b"retry")
    ):
        raw = event.raw[: len(event.raw) - len(old)] + data
        return Event(raw, event.name, data, parsed=True, document=document)
    return replace_data(event, data, document)
