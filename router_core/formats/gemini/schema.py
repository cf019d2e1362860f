"""Gemini's ``Schema``: a subset of OpenAPI 3.0 that rejects every key that it does not know.

Source: ai.google.dev, "Schema". What it cannot say is kept as words in the description.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router_core.formats.schema import MAX_DEPTH, Schema, describe, mapping, object_root, resolve

_GEMINI_KEPT: Final = frozenset(
    {"title", "minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "pattern"}
    | {"minimum", "maximum", "description", "nullable"}
)
_GEMINI_FORMATS: Final[dict[str, frozenset[str]]] = {
    "string": frozenset({"enum", "date-time"}),
    "integer": frozenset({"int32", "int64"}),
    "number": frozenset({"float", "double"}),
}
_HINTS: Final = ("default", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "format")


def for_gemini(schema: Schema | None) -> Schema:
    """`schema` as Gemini's ``Schema`` (ai.google.dev, "Schema"); references are written out."""
    schema = schema or {}
    return _gemini(schema, schema, 0, ())


def _gemini(node: Any, root: Schema, depth: int, trail: tuple[str, ...]) -> Schema:
    if not isinstance(node, dict):
        # ``true``, or a malformed node: anything goes.
        return {"type": "OBJECT"} if depth == 0 else {"type": "STRING"}
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = resolve(reference, root)
        if target is None or reference in trail or depth > MAX_DEPTH:
            return _described({"type": "OBJECT"}, node)
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _gemini({**target, **rest}, root, depth + 1, (*trail, reference))
    if depth > MAX_DEPTH:
        return {"type": "OBJECT"}
    node = _merge_all_of(node, root, trail)
    if "$ref" in node:
        return _gemini(node, root, depth + 1, trail)
    out: Schema = {key: node[key] for key in _GEMINI_KEPT if key in node and node[key] is not None}
    branches = [b for b in (*(node.get("anyOf") or ()), *(node.get("oneOf") or ())) if isinstance(b, dict)]
    if branches:
        return _gemini_union(out, node, branches, root, depth, trail)
    type_ = node.get("type")
    if isinstance(type_, list):
        kinds = [t for t in type_ if t != "null"]
        if "null" in type_:
            out["nullable"] = True
        if len(kinds) > 1:
            rest = {key: value for key, value in node.items() if key not in ("type", "description")}
            out["anyOf"] = [_gemini({**rest, "type": kind}, root, depth + 1, trail) for kind in kinds]
            return {key: out[key] for key in ("anyOf", "nullable", "description") if key in out}
        type_ = kinds[0] if kinds else "string"
    if not isinstance(type_, str):
        type_ = _inferred(node)
    type_ = type_.lower()
    out["type"] = type_.upper() if type_ != "null" else "STRING"
    if type_ == "null":
        out["nullable"] = True
    _gemini_values(out, node, type_)
    if type_ == "object":
        _gemini_object(out, node, root, depth, trail)
    elif type_ == "array":
        items = node.get("items")
        if isinstance(items, list) or (items is None and node.get("prefixItems")):
            items = (items or node["prefixItems"])[0]
        out["items"] = _gemini(items, root, depth + 1, trail) if items else {"type": "STRING"}
    return _hinted(out, node)


def _gemini_values(out: Schema, node: Schema, type_: str) -> None:
    """enum and const: Gemini's enums are strings."""
    values = [node["const"]] if "const" in node else node.get("enum")
    if isinstance(values, list) and values:
        if None in values:
            out["nullable"] = True
        words = [v if isinstance(v, str) else orjson.dumps(v).decode() for v in values if v is not None]
        if type_ == "string":
            out["enum"] = words
            out["format"] = "enum"
        else:
            describe(out, f"one of {', '.join(words)}")
    format_ = node.get("format")
    if isinstance(format_, str) and format_ in _GEMINI_FORMATS.get(type_, ()) and "format" not in out:
        out["format"] = format_


def _gemini_object(out: Schema, node: Schema, root: Schema, depth: int, trail: tuple[str, ...]) -> None:
    properties = mapping(node.get("properties"))
    if properties:
        out["properties"] = {
            name: _gemini(value, root, depth + 1, trail) for name, value in properties.items()
        }
    required = [name for name in node.get("required") or () if name in properties]
    if required:
        out["required"] = required
    extra = node.get("additionalProperties")
    if isinstance(extra, dict) and not properties:
        describe(out, f"values: {orjson.dumps(extra).decode()[:200]}")


def _gemini_union(
    out: Schema, node: Schema, branches: list[Schema], root: Schema, depth: int, trail: tuple[str, ...]
) -> Schema:
    nullable = any(branch.get("type") == "null" for branch in branches)
    rest = [branch for branch in branches if branch.get("type") != "null"]
    base = {k: v for k, v in node.items() if k not in ("anyOf", "oneOf", "description", "title")}
    if len(rest) == 1:
        single = _gemini({**base, **rest[0]}, root, depth + 1, trail)
        if "description" in out:
            single["description"] = out["description"]
        out = single
    elif depth == 0:
        # Parameters are an object, and a union at the root is none.
        out = _gemini(object_root(node), root, depth + 1, trail)
    else:
        out["anyOf"] = [_gemini(branch, root, depth + 1, trail) for branch in rest]
        # Gemini takes nothing beside anyOf but these.
        out = {key: out[key] for key in ("anyOf", "nullable", "description", "title") if key in out}
    if nullable:
        out["nullable"] = True
    return out


def _merge_all_of(node: Schema, root: Schema, trail: tuple[str, ...]) -> Schema:
    branches = node.get("allOf")
    if not isinstance(branches, list):
        return node
    merged: Schema = {key: value for key, value in node.items() if key != "allOf"}
    for branch in branches:
        if isinstance(branch, dict) and isinstance(branch.get("$ref"), str) and branch["$ref"] not in trail:
            branch = {
                **(resolve(branch["$ref"], root) or {}),
                **{k: v for k, v in branch.items() if k != "$ref"},
            }
        for key, value in mapping(branch).items():
            if key == "properties":
                merged["properties"] = {**mapping(merged.get("properties")), **mapping(value)}
            elif key == "required" and isinstance(value, list):
                merged["required"] = list(dict.fromkeys([*(merged.get("required") or ()), *value]))
            else:
                merged.setdefault(key, value)
    return merged


def _inferred(node: Schema) -> str:
    if "properties" in node or "additionalProperties" in node:
        return "object"
    if "items" in node or "prefixItems" in node:
        return "array"
    values = [node["const"]] if "const" in node else node.get("enum") or ()
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "boolean"
    if kinds and kinds <= {int}:
        return "integer"
    if kinds and kinds <= {int, float}:
        return "number"
    return "string" if kinds or "pattern" in node or "format" in node else "object"


def _hinted(out: Schema, node: Schema) -> Schema:
    """Constraints that the dialect lacks, as words."""
    for key in _HINTS:
        value = node.get(key)
        if value is not None and value is not False and not (key == "format" and "format" in out):
            describe(out, f"{key}: {value if isinstance(value, str) else orjson.dumps(value).decode()[:200]}")
    return out


def _described(out: Schema, node: Schema) -> Schema:
    if isinstance(node.get("description"), str):
        out["description"] = node["description"]
    return out


def from_gemini(schema: Schema) -> Schema:
    """Gemini's ``Schema`` as JSON Schema: types in lower case, ``nullable`` as a type, fields in camelCase."""
    out: Schema = {}
    for key, value in schema.items():
        match key:
            case "type" if isinstance(value, str):
                if value.upper() != "TYPE_UNSPECIFIED":
                    out["type"] = value.lower()
            case "properties" | "defs" if isinstance(value, dict):
                inner = {n: from_gemini(v) if isinstance(v, dict) else v for n, v in value.items()}
                out["$defs" if key == "defs" else key] = inner
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = from_gemini(value)
            case "anyOf" | "any_of":
                out["anyOf"] = [from_gemini(v) for v in value if isinstance(v, dict)]
            case "ref":
                out["$ref"] = value
            case "nullable" | "propertyOrdering" | "property_ordering":
                continue
            case "format" if value == "enum":
                continue
            case "example":
                out["examples"] = [value]
            case "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties":
                out[key] = int(value) if isinstance(value, str) and value.isdigit() else value
            case _:
                out[key] = value
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
        if isinstance(out.get("enum"), list) and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]
    return out
