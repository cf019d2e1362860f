"""YAML as a tree of values that know their places.

The YAML 1.2 core schema is read, not YAML 1.1: ``off``, ``yes`` and ``12:30`` stay what they look like,
since a bare ``mode: off`` that turns into False, or a time of day into 750, is nobody's intention.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from router_core.config.problems import Problem, nearest, shown

if TYPE_CHECKING:
    Base = yaml.SafeLoader
else:
    # libyaml where PyYAML was built with it: ten thousand credentials load in a second, not in ten.
    Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES: Final = 16 << 20
MAX_DEPTH: Final = 48
MAX_NODES: Final = 1_000_000
"""Values after anchors are expanded, so that a few lines of nested aliases cannot fill the memory."""

# JSON writes characters beyond the basic plane as two escapes, which YAML has no notion of.
_PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")

type Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A value with the file and the line in which it stands; for an entry of a mapping, the line of its key."""

    value: Any
    """None, bool, int, float, str, ``list[Node]`` or ``dict[str, Node]``."""
    line: int
    file: str

    def plain(self) -> Any:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, key: str | int) -> Node | None:
        if isinstance(self.value, dict):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            return self.value[key]
        return None

    def has(self, path: Iterable[str | int]) -> bool:
        node: Node | None = self
        for key in path:
            node = node.child(key) if node is not None else None
        return node is not None

    def place_of(self, path: Iterable[str | int]) -> tuple[str, int]:
        """File and line of the deepest part of `path` that exists."""
        node = self
        for key in path:
            below = node.child(key)
            if below is None:
                break
            node = below
        return node.file, node.line


class _Loader(Base):
    """Resolves plain scalars by the core schema (YAML 1.2, section 10.3.2)."""


_Loader.yaml_implicit_resolvers = {}
_CORE = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
)
for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first)


class _Reader:
    """Turns composed nodes into `Node`s and collects what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.count = 0

    def report(self, mark: yaml.Mark, what: str, remedy: str = "") -> None:
        self.problems.append(Problem(self.file, mark.line + 1, what, remedy))

    def read(self, node: yaml.Node, depth: int = 0) -> Node:
        self.count += 1
        if self.count > MAX_NODES:
            raise _Abort(node.start_mark, f"more than {MAX_NODES} values", "use fewer aliases")
        if depth > MAX_DEPTH:
            raise _Abort(node.start_mark, f"nested more than {MAX_DEPTH} levels deep", "flatten it")
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return Node(self.mapping(node, depth), line, self.file)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(item, depth + 1) for item in node.value], line, self.file)
        assert isinstance(node, yaml.ScalarNode)
        return Node(self.scalar(node), line, self.file)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.report(key_node.start_mark, "a key is a list or a mapping", "write a plain text as key")
                continue
            # A key is a name, whatever its spelling would mean as a value (a model may be called 3.5).
            key, line = key_node.value, key_node.start_mark.line + 1
            value = self.read(value_node, depth + 1)
            if key == "<<" and not key_node.style:
                merged = self.merge(value, key_node.start_mark) | merged
                continue
            if key in found:
                remedy = f"it stands first on line {found[key].line}; remove one of them"
                self.report(key_node.start_mark, f"key {shown(key)} is given twice", remedy)
                continue
            value.line = line
            found[key] = value
        return merged | found

    def merge(self, value: Node, mark: yaml.Mark) -> dict[str, Node]:
        sources = value.value if isinstance(value.value, list) else [value]
        if not all(isinstance(source.value, dict) for source in sources):
            self.report(mark, "'<<' merges a mapping or a list of mappings", "write <<: *NAME")
            return {}
        merged: dict[str, Node] = {}
        for source in sources:
            merged = source.value | merged
        return merged

    def scalar(self, node: yaml.ScalarNode) -> Any:
        tag, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
        if tag in ("str", "!"):
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        try:
            if tag == "int":
                return int(text, 0 if text[:2] in ("0o", "0x") else 10)
            if tag == "float":
                return float(text)
        except ValueError:
            # Hundreds of digits, or a tag that the text does not bear out: a text is what it is then.
            return text
        self.report(node.start_mark, f"the tag {shown(node.tag)} is not understood", "leave it out")
        return text


class _Abort(Exception):
    def __init__(self, mark: Any, what: str, remedy: str) -> None:
        super().__init__(what)
        self.mark, self.what, self.remedy = mark, what, remedy


def read(data: bytes, file: str) -> tuple[Node, list[Problem]]:
    """The document in `data` (one YAML or JSON document in UTF-8) and every mistake in its writing.

    An empty document is an empty mapping. Where nothing can be read the tree is an empty mapping too
    and the problems say why.
    """
    empty = Node({}, 1, file)
    if len(data) > MAX_BYTES:
        return empty, [Problem(file, 0, f"larger than {MAX_BYTES >> 20} MB", "split or shorten it")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return empty, [Problem(file, line, "not UTF-8 text", "save the file as UTF-8")]
    reader = _Reader(file)
    text = _PAIR.sub(lambda pair: json.loads(f'"{pair[0]}"'), text)
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            return empty, []
        return reader.read(root), reader.problems
    except _Abort as error:
        reader.report(error.mark, error.what, error.remedy)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        reader.problems.append(
            Problem(file, mark.line + 1 if mark else 1, f"not valid YAML: {what}", _hint(text, mark))
        )
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.problems.append(Problem(file, line, "holds a character that YAML forbids", "remove it"))
    except yaml.YAMLError:
        reader.problems.append(Problem(file, 1, "not valid YAML"))
    return empty, reader.problems


def _check_depth(text: str) -> None:
    # Before composing, which recurses: in libyaml's binding a deep document would overflow the C stack.
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Abort(event.start_mark, f"nested more than {MAX_DEPTH} levels deep", "flatten it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _events(text: str) -> Iterator[yaml.Event]:
    return yaml.parse(text, Loader=_Loader)


def _hint(text: str, mark: yaml.Mark | None) -> str:
    if mark is None:
        return ""
    lines = text.splitlines()
    near = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in near[: len(near) - len(near.lstrip())]:
        return "indent with spaces, not tabs"
    return "look at this line and the one before: indentation, quotes, brackets"


def suggest_key(key: str, known: Iterable[str]) -> str:
    """The remedy for an unknown key: the nearest known one, else all of them."""
    known = sorted(known)
    return nearest(key, known) or (f"known here: {', '.join(known)}" if known else "remove it")
