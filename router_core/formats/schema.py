"""JSON Schema in the dialects of the formats; Gemini's own ``Schema`` is in `router_core.formats.gemini.schema`.

Tools and structured outputs carry JSON Schema. OpenAI and Anthropic want an object at the root; Anthropic's
structured outputs reject most constraints. What a dialect cannot say is kept as words in the description
where it tells the model something.
"""

from __future__ import annotations

from typing import Any, Final

type Schema = dict[str, Any]

MAX_DEPTH: Final = 40
"""Levels; what is nested deeper, or refers to itself, becomes an object of any shape."""

EMPTY: Final[Schema] = {"type": "object", "properties": {}}


def object_root(schema: Schema | None) -> Schema:
    """`schema` with ``type: object`` and no anyOf, oneOf or allOf at its root."""
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and not any(key in schema for key in ("anyOf", "oneOf", "allOf")):
        return schema if "properties" in schema else {**schema, "properties": {}}
    root = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "allOf", "type")}
    properties = dict(mapping(root.get("properties")))
    required = list(root.get("required") or ())
    for key in ("allOf", "anyOf", "oneOf"):
        branches = [b for b in schema.get(key) or () if isinstance(b, dict)]
        for branch in branches:
            for name, value in mapping(branch.get("properties")).items():
                properties.setdefault(name, value)
        if key == "allOf":
            required += [n for b in branches for n in b.get("required") or () if n not in required]
        elif branches:
            shared = set(branches[0].get("required") or ()).intersection(
                *(b.get("required") or () for b in branches[1:])
            )
            required += sorted(shared.difference(required))
    root["type"] = "object"
    root["properties"] = properties
    if required:
        root["required"] = required
    return root


def is_strict(schema: Schema) -> bool:
    """Whether OpenAI's strict mode takes `schema`: closed objects in which everything is required."""
    if schema.get("type") == "object" or "properties" in schema:
        properties = mapping(schema.get("properties"))
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != set(properties):
            return False
        if not all(is_strict(value) for value in properties.values() if isinstance(value, dict)):
            return False
    items = schema.get("items")
    if isinstance(items, dict) and not is_strict(items):
        return False
    branches = [b for key in ("anyOf", "allOf", "oneOf") for b in schema.get(key) or ()]
    branches += list(mapping(schema.get("$defs")).values())
    return all(is_strict(branch) for branch in branches if isinstance(branch, dict))


_JSON_SCHEMA_KEPT: Final = frozenset(
    {"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"}
    | {"prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"}
    | {"additionalProperties", "required", "propertyOrdering"}
)


def for_gemini_answers(schema: Schema) -> Schema:
    """`schema` with the keys that Gemini's ``responseJsonSchema`` names as supported, and no others."""
    return _filtered(schema, _JSON_SCHEMA_KEPT, closed=False, depth=0)


_ANTHROPIC_KEPT: Final = frozenset(
    {"$defs", "definitions", "$ref", "type", "format", "title", "description", "enum", "const", "items"}
    | {"anyOf", "allOf", "properties", "additionalProperties", "required", "default"}
)


def for_anthropic_answers(schema: Schema) -> Schema:
    """`schema` for Anthropic's structured outputs: closed objects, constraints as words.

    Source: Anthropic, "Structured outputs", JSON Schema limitations.
    """
    return _filtered(schema, _ANTHROPIC_KEPT, closed=True, depth=0)


def _filtered(node: Any, kept: frozenset[str], *, closed: bool, depth: int) -> Any:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return node
    out: Schema = {}
    for key, value in node.items():
        if key == "const" and "const" not in kept:
            out["enum"] = [value]
        elif key == "oneOf" and "oneOf" not in kept:
            out["anyOf"] = [_filtered(b, kept, closed=closed, depth=depth + 1) for b in value]
        elif key not in kept:
            if isinstance(value, int | float | str) and not key.startswith("$") and value is not False:
                describe(out, f"{key}: {value}")
        elif key in ("properties", "$defs", "definitions"):
            out[key] = {
                name: _filtered(v, kept, closed=closed, depth=depth + 1) for name, v in mapping(value).items()
            }
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            out[key] = [_filtered(b, kept, closed=closed, depth=depth + 1) for b in value]
        elif key == "description" and "description" in out:
            out[key] = f"{value} ({out[key]})"
        else:
            out[key] = _filtered(value, kept, closed=closed, depth=depth + 1)
    if closed and (out.get("type") == "object" or "properties" in out):
        out["additionalProperties"] = False
    return out


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def describe(out: Schema, words: str) -> None:
    text = out.get("description")
    out["description"] = f"{text} ({words})" if isinstance(text, str) and text else words
