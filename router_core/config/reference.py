"""The configuration described for editors and for people, both out of the schema.

``python -m router_core.config.reference docs/configuration.md`` writes the tables of that page anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import yaml
from pydantic import BaseModel

from router_core.config import schema as config_schema, sections
from router_core.config.document import Node, read
from router_core.config.schema import Config
from router_core.config.units import DURATION_PATTERN, SIZE_PATTERN, write_duration, write_size
from router_core.rewrite import schema as rewrite_schema

BEGIN: Final = "<!-- The rest of this section is written by `python -m router_core.config.reference`. -->"
END: Final = "<!-- End of the written section. -->"

# In the order of the page: a heading, what the mapping is, and its name in the schema.
TOP: Final = "The file"
SECTIONS: Final = (
    (TOP, "Config"),
    ("listen", "Listen"),
    ("access", "Access"),
    ("access.keys[]", "AccessKey"),
    ("access.networks[]", "AccessNetwork"),
    ("transparent", "Transparent"),
    ("wireguard", "WireGuard"),
    ("upstream", "Upstream"),
    ("providers.NAME", "ProviderConfig"),
    ("providers.NAME.endpoints[]", "EndpointConfig"),
    ("providers.NAME.auth[], providers.NAME.oauth[]", "AuthHeaderConfig"),
    ("providers.NAME.models[]", "ModelConfig"),
    ("providers.NAME.models[].provider", "HostChoice"),
    ("credentials[]", "CredentialConfig"),
    ("credentials[].oauth", "OAuth"),
    ("credentials[].models", "ModelFilter"),
    ("credentials[].limits[]", "QuotaLimit"),
    ("models.NAME", "VirtualModel"),
    ("models.NAME.targets[]", "TargetConfig"),
    ("models.NAME.targets[].when", "Condition"),
    ("routing", "Routing"),
    ("routing.breaker, providers.NAME.breaker", "Breaker"),
    ("rewrites[]", "RuleConfig"),
    ("rewrites[].when", "WhenConfig"),
    ("rewrites[].when.body", "BodyConfig"),
    ("rewrites[].headers", "HeadersConfig"),
    ("capture", "Capture"),
    ("capture.rules[]", "CaptureRule"),
    ("capture.retain", "Retain"),
    ("ca", "CA"),
    ("limits", "Limits"),
    ("usage", "UsageConfig"),
    ("usage.retain", "RetainUsage"),
    ("usage.prices[]", "Price"),
    ("usage.budgets[]", "Budget"),
    ("log", "Log"),
)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a configuration, with the meaning and the default of each key."""
    schema = Config.model_json_schema()
    described = descriptions()
    for name, part in {**schema["$defs"], "Config": schema}.items():
        for key, entry in part.get("properties", {}).items():
            if text := described.get((name, key)):
                entry["description"] = text
            entry.pop("title", None)
            _write_default(entry)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _write_default(entry: dict[str, Any]) -> None:
    """The default as it would stand in a file: with a unit, and none for a whole section."""
    pattern, default = entry.get("pattern"), entry.get("default")
    if pattern == DURATION_PATTERN and isinstance(default, int | float):
        entry["default"] = write_duration(default) if default else 0
    elif pattern == SIZE_PATTERN and isinstance(default, int):
        entry["default"] = write_size(default)
    elif "$ref" in entry and isinstance(default, dict):
        del entry["default"]


@cache
def descriptions() -> dict[tuple[str, str], str]:
    """(model, key) to the docstring below the key in the source of the schema."""
    rooms = (import_module(f"{sections.__name__}.{each.name}") for each in iter_modules(sections.__path__))
    return dict(pair for module in (config_schema, rewrite_schema, *rooms) for pair in _docstrings(module))


def _docstrings(module: ModuleType) -> Iterator[tuple[tuple[str, str], str]]:
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                yield (
                    (node.name, field.target.id),
                    " ".join(str(below.value.value).replace("``", "`").split()),
                )


def tables() -> str:
    """Every key with type, default, meaning and an example, as Markdown."""
    schema = json_schema()
    parts = {**schema["$defs"], "Config": schema}
    return "\n\n".join(_table(heading, parts[name], parts) for heading, name in SECTIONS)


def _table(heading: str, part: dict[str, Any], parts: dict[str, Any]) -> str:
    places = [] if heading == TOP else heading.split(", ")
    title = ", ".join(f"`{place}`" for place in places) or TOP
    lines = [
        f"### {title}",
        "",
        "| key | type | default | meaning | example |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, entry in part["properties"].items():
        type_ = _type(entry, parts)
        default = "required" if key in part.get("required", ()) else _default(entry)
        # Sections have a table of their own, with examples; a list that may also hold texts shows how they stand in it.
        shown = "section" not in type_ or type_ == "list of texts or sections"
        written = example(places[0] if places else "", key) if shown else ""
        cells = (f"`{key}`", type_, default, entry.get("description", ""), f"`{written}`" if written else "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def example(place: str, key: str) -> str | None:
    """What the example of every key writes for `key` in the section at `place`, on one line; None for nothing."""
    for section in nodes(place):
        node = section.child(key)
        if node is not None and node.value is not None:
            text = yaml.safe_dump(node.plain(), default_flow_style=True, width=10_000, allow_unicode=True)
            return text.removesuffix("\n...\n").strip()
    return None


def nodes(place: str) -> list[Node]:
    """The mappings that stand at `place`, e.g. ``credentials[].limits[]``, in the example of every key."""
    found = [_example()]
    for step in place.split(".") if place else ():
        name = step.removesuffix("[]")
        found = [each for node in found for each in _children(node, name)]
        if step.endswith("[]"):
            found = [item for node in found for item in _children(node, None)]
    return [node for node in found if isinstance(node.value, dict)]


def _children(node: Node, name: str | None) -> list[Node]:
    """The child of that name; all of them for ``NAME``, and for the items of a list."""
    if name is None or name == "NAME":
        values = node.value.values() if isinstance(node.value, dict) else node.value
        return list(values) if isinstance(node.value, dict | list) else []
    child = node.child(name)
    return [child] if child is not None else []


@cache
def _example() -> Node:
    file = resources.files("configs") / "examples" / "every-key.yaml"
    return read(file.read_bytes(), str(file))[0]


def _default(entry: dict[str, Any]) -> str:
    default = entry.get("default")
    if default is None or default in ({}, [], ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _type(entry: dict[str, Any], parts: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in entry:
        target = parts[entry["$ref"].rpartition("/")[2]]
        return _type(target, parts) if "properties" not in target else "section"
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return " or ".join(f"`{each}`" for each in entry["enum"])
    if entry.get("pattern") in (DURATION_PATTERN, SIZE_PATTERN):
        return "duration" if entry["pattern"] == DURATION_PATTERN else "size"
    branches = entry.get("anyOf") or entry.get("oneOf")
    if branches:
        if any("command" in branch.get("properties", {}) for branch in branches):
            return "secret"
        # That a key may be left out is no type of it.
        optional = "default" in entry and entry["default"] is None
        branches = [b for b in branches if not (optional and b.get("type") == "null")]
        words = list(dict.fromkeys(_type(branch, parts) for branch in branches))
        if "number" in words:
            return "number"
        return " or ".join(words)
    match entry.get("type"):
        case "array":
            return f"list of {_plural(_type(entry.get('items', {}), parts))}"
        case "object":
            inner = entry.get("additionalProperties")
            return (
                f"mapping to {_plural(_type(inner, parts))}"
                if isinstance(inner, dict) and inner
                else "mapping"
            )
        case "string":
            return "text"
        case "integer" | "number":
            return "number"
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "`null`"
    return "anything"


def _plural(words: str) -> str:
    return " or ".join(
        f"{w}s" if re.fullmatch(r"text|number|section|mapping|size", w) else w for w in words.split(" or ")
    )


def models() -> set[str]:
    """The names of the models that a configuration consists of: each has its place in `SECTIONS`."""
    found: set[str] = set()
    waiting: list[Any] = [Config]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, typing.TypeAliasType):
            waiting.append(hint.__value__)
        elif isinstance(hint, type) and issubclass(hint, BaseModel):
            # A secret is written as a text or a command; that it becomes a model is nobody's business.
            if hint.__name__ not in found and hint is not config_schema.SecretRef:
                found.add(hint.__name__)
                waiting += [field.annotation for field in hint.model_fields.values()]
        else:
            waiting += typing.get_args(hint)
    return found


def write(page: str) -> str:
    """`page` with the tables between its two marks written anew."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError("the page has no place for the tables")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(write(page.read_text()))
