"""Rules of the configuration and of provider files, compiled into the same `Rule`s as the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from router_core.formats import Format, Operation
from router_core.json_document import Json
from router_core.rewrite import catalogue
from router_core.rewrite.context import Context
from router_core.rewrite.headers import HeaderEdit
from router_core.rewrite.paths import GONE, Key, Path, edit, parse_key, parse_path, rename
from router_core.rewrite.rule import BodyTest, Origin, Rule, When
from router_core.rewrite.schema import BodyConfig, HeadersConfig, RuleConfig, WhenConfig

type BodyEdit = Callable[[Json, Json], Json]
"""(body, the body before any rule) to the new body."""


def compile_rule(config: RuleConfig, name: str, origin: Origin, provider: str | None = None) -> Rule:
    """`config` as a rule; `provider` restricts it to the provider that states it."""
    when = _when(config.when, provider)
    edits = _edits(config)
    action = catalogue.BY_NAME[config.action] if config.action else None
    common: dict[str, Any] = {
        "name": config.name or name,
        "reason": config.because or "stated in the configuration",
        "source": "the configuration" if origin is Origin.USER else f"provider {provider}",
        "when": when,
        "origin": origin,
        "own": origin is Origin.USER,
    }
    if config.on == "answer":
        return _answer_rule(config, edits, action, common)
    headers = config.headers if config.edits_headers else None

    paths = _paths(config)

    def request(body: Json, context: Context) -> Json:
        if body is not None:
            _note_misfits(context, common["name"], paths, body)
            body = edits(body, context.original)
        if headers is not None:
            apply_headers(headers, context.headers)
        if action is not None and action.request is not None and (body is not None or action.bodiless):
            body = action.request(body, context)
        return body

    rule = Rule(request=request, bodiless=headers is not None or bool(action and action.bodiless), **common)
    # Some actions take back in the answer what they did to the request.
    return replace(rule, **_answer_half(action)) if action is not None and action.answers else rule


def _paths(config: RuleConfig) -> list[Path]:
    """What the edits go through; one key alone fits every object."""
    texts = (*config.set, *config.default, *config.drop, *config.rename, *config.append)
    return [path for path in map(parse_path, texts) if len(path.steps) > 1]


def _note_misfits(context: Context, name: str, paths: list[Path], body: Json) -> None:
    for path in paths:
        if misfit := path.misfit(body):
            context.note(name, f"left alone, {misfit}")


def _answer_half(action: Rule) -> dict[str, Any]:
    """What makes an action's answer functions run as they do by themselves."""
    fields = (
        "answer",
        "event",
        "answer_headers",
        "status",
        "armed",
        "whole",
        "client_side",
        "needles",
        "concerns",
    )
    return {name: getattr(action, name) for name in fields}


def _answer_rule(config: RuleConfig, edits: BodyEdit, action: Rule | None, common: dict[str, Any]) -> Rule:
    tests = common["when"].body
    half = _answer_half(action) if action else {}
    # Under the user's own condition.
    half.pop("armed", None)

    paths = _paths(config)

    def combined(function: str) -> Callable[[Json, Context], Json] | None:
        also = half.get(function)
        if not edits_body and also is None:
            return None

        def answer(value: Json, context: Context) -> Json:
            if not all(test.holds(value) for test in tests):
                return value
            # Events are of many shapes.
            if function == "answer":
                _note_misfits(context, common["name"], paths, value)
            value = edits(value, value)
            return also(value, context) if also else value

        return answer

    edits_body = bool(config.set or config.default or config.drop or config.rename or config.append)
    if edits_body:
        half |= {"concerns": None, "needles": () if action else _needles(config)}
    half |= {"answer": combined("answer"), "event": combined("event")}
    if config.edits_headers:
        half["answer_headers"] = lambda context: apply_headers(config.headers, context.headers)
    return Rule(**common, **half)


def _needles(config: RuleConfig) -> tuple[bytes, ...]:
    """Keys of which an answer must hold one for the edits to find anything; empty where that cannot be said."""
    if config.set or config.default or config.append:
        return ()
    paths = [parse_path(p) for p in (*config.drop, *config.rename)]
    keys = [[s.name for s in p.steps if isinstance(s, Key)][-1:] for p in paths]
    if not all(k and k[0].isascii() and k[0].isprintable() for k in keys):
        return ()
    return tuple(f'"{k[0]}"'.encode() for k in keys)


def _when(config: WhenConfig, provider: str | None) -> When:
    return When(
        provider=(provider,) if provider else config.provider,
        format=config.format,
        surface=tuple(map(_surface, config.surface)),
        quirk=config.quirk,
        model=config.model,
        client=config.client,
        header=tuple((n.lower(), v) for n, v in config.header.items()),
        stream=config.stream,
        body=tuple(_tests(config.body)),
    )


_FORMATS: Final = {str(f): f for f in Format}


def _surface(text: str) -> tuple[Format | None, Operation | None]:
    names = text.split("/")
    operation = next((Operation(n) for n in names if n not in _FORMATS), None)
    return _FORMATS.get(names[0]), operation


def _tests(config: BodyConfig) -> list[BodyTest]:
    return [
        *(BodyTest(parse_path(p), "present") for p in config.present),
        *(BodyTest(parse_path(p), "absent") for p in config.absent),
        *(BodyTest(parse_path(p), "equals", v) for p, v in config.equals.items()),
        *(BodyTest(parse_path(p), "matches", pattern=re.compile(v)) for p, v in config.matches.items()),
    ]


def _edits(config: RuleConfig) -> BodyEdit:
    steps: list[BodyEdit] = [
        *(_set(parse_path(p), v) for p, v in config.set.items()),
        *(_default(parse_path(p), v) for p, v in config.default.items()),
        *(_drop(parse_path(p)) for p in config.drop),
        *(_rename(parse_path(p), parse_key(name)) for p, name in config.rename.items()),
        *(_append(parse_path(p), v) for p, v in config.append.items()),
    ]

    def apply(body: Json, original: Json) -> Json:
        for step in steps:
            body = step(body, original)
        return body

    return apply


def _set(path: Path, value: Json) -> BodyEdit:
    return lambda body, _: edit(body, path, lambda old: old if same(old, value) else value, create=True)


def _default(path: Path, value: Json) -> BodyEdit:
    plain = all(isinstance(step, Key) for step in path.steps)

    def default(body: Json, original: Json) -> Json:
        if plain and path.present(original):
            return body
        return edit(body, path, lambda old: value if old is GONE else old, create=True)

    return default


def _drop(path: Path) -> BodyEdit:
    return lambda body, _: edit(body, path, lambda _: GONE)


def _rename(path: Path, name: str) -> BodyEdit:
    return lambda body, _: rename(body, path, name)


def _append(path: Path, value: Json) -> BodyEdit:
    """Lists grow by the value (by each of a list's), texts are continued, and what is missing or null begins."""
    items = value if isinstance(value, list) else [value]

    def appended(old: Json) -> Json:
        if isinstance(old, list):
            return [*old, *items]
        if isinstance(old, str) and isinstance(value, str):
            return old + value
        return items if old is GONE or old is None else old

    return lambda body, _: edit(body, path, appended, create=True)


def same(a: Json, b: Json) -> bool:
    """Whether two JSON values are the same; in Python 1 equals True and 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def apply_headers(config: HeadersConfig, headers: HeaderEdit) -> None:
    for name, value in config.set.items():
        headers.set(name, value)
    for name, value in config.default.items():
        headers.default(name, value)
    for name in config.drop:
        headers.drop(name)
    for name, values in config.merge.items():
        headers.merge(name, values)
