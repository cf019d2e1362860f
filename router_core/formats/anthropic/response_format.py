"""Answers in JSON: Anthropic's structured outputs, which compile a schema to a grammar, or words that ask for it.

Source: Anthropic, "Structured outputs", "JSON Schema limitations". Constraints that a grammar lacks are kept as
words in the description; a schema that none can hold is asked for in words as a whole.
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import ir
from router_core.formats.context import Target
from router_core.formats.conversation import FORMAT_IN_WORDS, asked_for_json
from router_core.formats.schema import MAX_DEPTH, Schema, describe, mapping, object_root, resolve

_AS_IT_IS: Final = frozenset({"$ref", "type", "title", "description", "enum", "const", "required", "default"})
_BRANCHES: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NAMED: Final = ("properties", "$defs", "definitions")
_ONLY: Final = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
}
"""Keys that belong to one type."""
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def write_response_format(
    document: dict[str, Any],
    request: ir.Request,
    system: list[dict[str, Any]],
    version: tuple[int, int] | None,
    target: Target,
) -> None:
    """Sets ``output_config.format``; where the model or its grammar cannot hold what is wanted, `system` says it."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return
    if wanted.kind == "schema" and wanted.schema is not None:
        schema = object_root(wanted.schema)
        if version is not None and version >= (4, 5) and fits(schema):
            document["output_config"] = {"format": {"type": "json_schema", "schema": for_answers(schema)}}
            target.drop("response format's description", wanted.description)
            return
    target.note(FORMAT_IN_WORDS)
    target.drop("response format's description", wanted.description)
    system.append({"type": "text", "text": asked_for_json(wanted)})


def fits(schema: Schema) -> bool:
    """Whether a grammar can hold what `schema` allows: it ends somewhere, and all names and places are known."""
    return _fits(schema, schema, ())


def _fits(node: Any, root: Schema, trail: tuple[str, ...]) -> bool:
    if not isinstance(node, dict):
        return True
    if len(trail) > MAX_DEPTH or "patternProperties" in node or "prefixItems" in node:
        return False
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = resolve(reference, root)
        if target is None or reference in trail or not _fits(target, root, (*trail, reference)):
            return False
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        return False
    if (node.get("type") == "object" or extra) and not node.get("properties") and extra is not False:
        return False
    inner = [*mapping(node.get("properties")).values(), node.get("items")]
    inner += [branch for key in _BRANCHES for branch in node.get(key) or ()]
    return all(_fits(value, root, trail) for value in inner)


def for_answers(schema: Schema) -> Schema:
    """`schema` with closed objects, one type at each place, and what else is no part of the grammar in words."""
    return _written(schema, 0)


def _written(node: Any, depth: int) -> Any:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return node
    out: Schema = {}
    words: list[str] = []
    for key, value in _branched(node).items():
        if key in _AS_IT_IS:
            out[key] = value
        elif key in _NAMED:
            out[key] = {name: _written(inner, depth + 1) for name, inner in mapping(value).items()}
        elif key in _BRANCHES:
            out[_BRANCHES[key]] = [_written(inner, depth + 1) for inner in value]
        elif key == "items":
            out[key] = _written(value, depth + 1)
        elif (key == "minItems" and value in (0, 1)) or (key == "format" and value in _FORMATS):
            out[key] = value
        elif isinstance(value, int | float | str) and value is not False and not key.startswith("$"):
            words.append(f"{key}: {value}")
    for word in words:
        describe(out, word)
    if "properties" in out or out.get("type") == "object":
        out["additionalProperties"] = False
    return out


def _branched(node: Schema) -> Schema:
    """`node` with a branch for each of several types; where the values are listed, types say nothing more."""
    kinds = node.get("type")
    if not isinstance(kinds, list):
        return node
    rest = {key: value for key, value in node.items() if key != "type"}
    if "enum" in node or "const" in node:
        return rest
    about: Schema = {key: rest.pop(key) for key in ("title", "description", "default") if key in rest}
    return {**about, "anyOf": [_of_kind(rest, kind) for kind in kinds]}


def _of_kind(rest: Schema, kind: str) -> Schema:
    if kind == "null":
        return {"type": kind}
    return {**{key: value for key, value in rest.items() if _ONLY.get(key, kind) == kind}, "type": kind}
