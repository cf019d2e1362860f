"""JSON Schema in the dialects of the formats, which tools and structured outputs carry.

Gemini's own ``Schema`` is in `router_core.formats.gemini.schema`, what Anthropic's answers may be in
`router_core.formats.anthropic.response_format`. OpenAI and Anthropic want an object at the root. What a dialect cannot say is
kept as words in the description where it tells the model something.
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
    return _filtered(schema, 0)


def _filtered(node: Any, depth: int) -> Any:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return node
    out: Schema = {}
    for key, value in node.items():
        if key == "const":
            out["enum"] = [value]
        elif key not in _JSON_SCHEMA_KEPT:
            if isinstance(value, int | float | str) and not key.startswith("$") and value is not False:
                describe(out, f"{key}: {value}")
        elif key in ("properties", "$defs"):
            out[key] = {name: _filtered(v, depth + 1) for name, v in mapping(value).items()}
        elif key in ("anyOf", "oneOf", "prefixItems"):
            out[key] = [_filtered(b, depth + 1) for b in value]
        elif key == "description" and "description" in out:
            out[key] = f"{value} ({out[key]})"
        else:
            out[key] = _filtered(value, depth + 1)
    return out


def resolve(reference: str, root: Schema) -> Schema | None:
    """The node of a local reference, ``#/$defs/Name``; None where there is none."""
    if not reference.startswith("#"):
        return None
    node: Any = root
    for step in reference[1:].split("/")[1:]:
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def describe(out: Schema, words: str) -> None:
    text = out.get("description")
    out["description"] = f"{text} ({words})" if isinstance(text, str) and text else words
