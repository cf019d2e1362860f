"""Plain values into schema models, and pydantic's errors into lines and remedies."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ValidationError

from router_core.config.document import Node, Path, suggest_key
from router_core.config.problems import Problem, masked, nearest, shown
from router_core.rewrite import catalogue
from router_core.rewrite.schema import FIXED_RULES, KNOWN_RULES

type ErrorDetails = Mapping[str, Any]

_WRONG_TYPE = {
    "string_type": ("a text", "write it in quotes"),
    "int_type": ("a whole number", ""),
    "int_parsing": ("a whole number", ""),
    "int_from_float": ("a whole number", ""),
    "float_type": ("a number", ""),
    "float_parsing": ("a number", ""),
    "bool_type": ("true or false", ""),
    "bool_parsing": ("true or false", ""),
    "tuple_type": ("a list", "write [A, B] or lines that begin with '- '"),
    "list_type": ("a list", "write [A, B] or lines that begin with '- '"),
    "frozen_set_type": ("a list", "write [A, B] or lines that begin with '- '"),
    "dict_type": ("a mapping", "write KEY: VALUE lines below it"),
    "model_type": ("a mapping", "write KEY: VALUE lines below it"),
    "model_attributes_type": ("a mapping", "write KEY: VALUE lines below it"),
}
_RULES = ("rewrites", "rules")
_BOUND = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def validate[M: BaseModel](
    model: type[M], tree: Node, context: Mapping[str, Any] | None = None
) -> tuple[M, Node, list[Problem]]:
    """`tree` as `model`, the part of the tree that was valid, and every mistake in the rest.

    What is wrong is cut out and the remainder validated again, so that the checks that need the whole
    configuration can still run and a person sees all mistakes at once.
    """
    problems: list[Problem] = []
    known = {**(context or {}), KNOWN_RULES: catalogue.BY_NAME, FIXED_RULES: catalogue.FIXED}
    if not isinstance(tree.value, dict):
        problems.append(Problem(tree.file, tree.line, "the file holds no mapping", "write KEY: VALUE lines"))
        tree = Node({}, tree.line, tree.file)
    first = True
    # Each round removes at least one node, or empties the document.
    while True:
        try:
            return model.model_validate(tree.plain(), context=known), tree, problems
        except ValidationError as error:
            broken: set[Path] = set()
            for details in error.errors(include_url=False):
                path = _existing(tree, details["loc"])
                # What is missing in a later round is what the first one cut out.
                if first or details["type"] != "missing":
                    problems.append(_problem(model, tree, path, details))
                broken.add(_whole(path))
            tree, first = _without(tree, broken), False


def _existing(tree: Node, loc: tuple[Any, ...]) -> Path:
    """`loc` as a path of the document: pydantic puts the names of union branches in between."""
    path: list[str | int] = []
    node = tree
    for part in loc:
        below = node.child(part)
        if below is not None:
            path.append(part)
            node = below
    return tuple(path)


def _whole(path: Path) -> Path:
    """`path`, or the rule that it leads into: what is left of one would seem to do nothing."""
    ends = (
        i + 2 for i, (key, below) in enumerate(pairwise(path)) if key in _RULES and isinstance(below, int)
    )
    return path[: next(ends, len(path))]


def _without(tree: Node, broken: set[Path], at: Path = ()) -> Node:
    if isinstance(tree.value, dict):
        pairs = tree.value.items()
        kept = {k: _without(n, broken, (*at, k)) for k, n in pairs if (*at, k) not in broken}
        return Node({} if at in broken else kept, tree.line, tree.file)
    if isinstance(tree.value, list):
        pieces = enumerate(tree.value)
        left = [_without(n, broken, (*at, i)) for i, n in pieces if (*at, i) not in broken]
        return Node(left, tree.line, tree.file)
    return tree


def _problem(model: type[BaseModel], tree: Node, path: Path, details: ErrorDetails) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    key = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    what, remedy = f"{shown(key)} cannot be read", ""
    if kind == "extra_forbidden":
        what, remedy = f"unknown key {shown(key)}", suggest_key(key, known_keys(model, path[:-1]))
    elif kind == "missing":
        missing = details["loc"][-1]
        what, remedy = f"key {missing!r} is missing", f"add {missing}: ..."
    elif kind in _WRONG_TYPE:
        expected, remedy = _WRONG_TYPE[kind]
        what = f"{shown(key)} must be {expected}"
    elif kind in ("literal_error", "enum"):
        known = context["expected"]
        what = f"{shown(key)} cannot be {shown(details['input'])}"
        remedy = nearest(str(details["input"]), re.findall("'([^']*)'", known))
        remedy = remedy or f"write {'one of ' if ' or ' in known else ''}{known}"
    elif kind.startswith("union_tag"):
        what, remedy = f"{shown(key)} must be a text or a mapping", "write PROVIDER/MODEL or {targets: [...]}"
    elif kind in _BOUND:
        name, words = _BOUND[kind]
        what = f"{shown(key)} must be {words} {context[name]}"
    elif kind == "value_error":
        what, _, remedy = masked(str(context["error"])).partition("; ")
        what = f"{shown(key)}: {what}"
    return Problem(*tree.place_of(path), what, remedy)


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that are allowed in the mapping at `path` of a document of `model`."""
    hints: list[Any] = [model]
    for part in path:
        hints = [below for hint in hints for below in _below(hint, part)]
    return sorted({name for hint in hints if hasattr(hint, "model_fields") for name in hint.model_fields})


def _below(hint: Any, part: str | int) -> list[Any]:
    """The types that may stand under `part` of a value of type `hint`; models only and what holds them."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        field = hint.model_fields.get(str(part))
        return _alternatives(field.annotation) if field else []
    item = typing.get_args(hint)[1 if typing.get_origin(hint) is dict else 0]
    return _alternatives(item)


def _alternatives(hint: Any) -> list[Any]:
    if isinstance(hint, typing.TypeAliasType):
        return _alternatives(hint.__value__)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return [each for arg in args for each in _alternatives(arg)]
    if origin is typing.Annotated:
        return _alternatives(args[0])
    if origin in (tuple, list, dict) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return [hint]
    return []
