"""JSON Schema in the dialects of the formats."""

from typing import Any

import pytest
from google.genai import types
from hypothesis import given, strategies as st

from router_core.formats import Format, schema
from router_core.formats.anthropic import response_format as anthropic
from router_core.formats.gemini import schema as gemini
from tests.router_core.formats.invariants import FORBIDDEN
from tests.router_core.formats.translated import MINIMAL, asks

RICH: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer", "exclusiveMinimum": 0}}}},
    "properties": {
        "point": {"$ref": "#/$defs/Point", "description": "where"},
        "kind": {"const": "a"},
        "size": {"enum": [1, 2, None]},
        "name": {"type": ["string", "null"], "format": "email", "default": "x"},
        "any": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "both": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
        "list": {"type": "array", "items": {"type": "number", "multipleOf": 2}},
        "tuple": {"type": "array", "prefixItems": [{"type": "string"}]},
        "mixed": {"type": ["string", "integer"]},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["point", "gone"],
}


def keys(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(keys, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    inner = [value for key, value in node.items() if key != "properties"]
    properties = node.get("properties") or {}
    return set(node) | set().union(set(), *map(keys, (*inner, *properties.values())))


def test_gemini_gets_nothing_that_it_does_not_know() -> None:
    written = gemini.for_gemini(RICH)
    assert not keys(written) & FORBIDDEN
    types.Schema.model_validate(written)
    properties = written["properties"]
    assert properties["point"]["properties"]["x"]["type"] == "INTEGER"
    assert properties["point"]["description"] == "where"
    assert properties["kind"]["enum"] == ["a"]
    assert properties["size"]["nullable"] is True
    assert properties["name"] == {
        "type": "STRING",
        "nullable": True,
        "description": "default: x (format: email)",
    }
    assert [branch["type"] for branch in properties["any"]["anyOf"]] == ["STRING", "INTEGER"]
    assert properties["maybe"] == {"type": "STRING", "nullable": True}
    assert properties["both"]["required"] == ["a"]
    assert properties["tuple"]["items"] == {"type": "STRING"}
    assert written["required"] == ["point"]


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert gemini.for_gemini(tree)["properties"]["children"]["items"]["type"] == "OBJECT"
    lost = {"type": "object", "properties": {"a": {"$ref": "#/$defs/Nothing"}, "b": {"$ref": "http://x"}}}
    assert gemini.for_gemini(lost)["properties"]["a"] == {"type": "OBJECT"}


@pytest.mark.parametrize("key", ["anyOf", "oneOf", "allOf"])
def test_the_root_is_an_object(key: str) -> None:
    branches = [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["a", "b"]},
    ]
    root = schema.object_root({key: branches})
    assert root["type"] == "object"
    assert set(root["properties"]) == {"a", "b"}
    assert set(root["required"]) == ({"a", "b"} if key == "allOf" else {"a"})
    assert schema.object_root(None) == schema.object_root({}) == schema.EMPTY
    plain = {"type": "object", "properties": {}}
    assert schema.object_root(plain) is plain


def test_strict_schemas_are_closed_and_complete() -> None:
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert schema.is_strict(closed)
    assert not schema.is_strict({**closed, "required": []})
    assert not schema.is_strict({**closed, "additionalProperties": True})
    assert not schema.is_strict({**closed, "properties": {"a": {**closed, "required": []}}})


def test_anthropics_answers_are_closed_and_say_constraints_in_words() -> None:
    given = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "how many"},
            "when": {"type": "string", "format": "date"},
            "who": {"type": "string", "format": "handle"},
            "list": {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 2, "title": "L"},
            "kind": {"type": ["string", "null"], "enum": ["a", None]},
        },
    }
    assert anthropic.fits(given)
    written = anthropic.for_answers(given)
    assert written["additionalProperties"] is False
    listed = {"type": "array", "items": {"type": "string"}, "description": "minItems: 2"}
    assert written["properties"] == {
        "n": {"type": "integer", "description": "how many (minimum: 1)"},
        "when": {"type": "string", "format": "date"},
        "who": {"type": "string", "description": "format: handle"},
        "list": {"title": "L", "anyOf": [listed, {"type": "null"}]},
        "kind": {"enum": ["a", None]},
    }


TREE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}}


@pytest.mark.parametrize(
    "inner",
    [
        {"$ref": "#/$defs/Node"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object"},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"$ref": "https://schemas.test/node.json"},
    ],
)
def test_what_no_grammar_can_hold_is_asked_of_claude_in_words(inner: dict[str, Any]) -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [inner, {"type": "null"}]}}}
    root = {"type": "object", "properties": {"first": inner}, "$defs": {"Node": node}}
    assert not anthropic.fits(root)
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": root}}
    document = {**MINIMAL[Format.OPENAI_CHAT], "response_format": asked}
    translated = asks(Format.OPENAI_CHAT, Format.ANTHROPIC, document, model="claude-opus-4-6")
    assert "output_config" not in translated.document
    assert '"first"' in translated.document["system"][-1]["text"]
    assert translated.notes == ["response format: asked for in words"]


def test_one_definition_in_two_places_is_no_recursion() -> None:
    name = {"type": "object", "properties": {"n": {"type": "string"}}, "additionalProperties": False}
    two = {"a": {"$ref": "#/$defs/Name"}, "b": {"$ref": "#/$defs/Name"}}
    assert anthropic.fits({"type": "object", "properties": two, "$defs": {"Name": name}})
    assert not anthropic.fits(TREE)


def test_a_listed_value_of_gemini_may_be_null() -> None:
    given = {"type": "STRING", "enum": ["x"], "format": "enum", "nullable": True}
    assert gemini.from_gemini(given) == {"type": ["string", "null"], "enum": ["x", None]}


def test_there_and_back() -> None:
    given = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "enum": ["x", "y"]},
            "b": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["a"],
    }
    assert gemini.from_gemini(gemini.for_gemini(given)) == given


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "allOf", "enum", "$ref", "required", "const", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), NODES, max_size=4))
def test_odd_schemas_do_not_get_through(properties: dict[str, Any]) -> None:
    """What is no schema is an error of the request, never another exception."""
    try:
        written = gemini.for_gemini({"type": "object", "properties": properties})
    except (TypeError, ValueError, KeyError, AttributeError):
        return
    assert not keys(written) & {"$ref", "const", "allOf", "oneOf"}
