"""Settings files as bytes in, bytes out: what is not set stays as it was written.

Each function raises ValueError for a file that it cannot read; its message completes ``FILE: ...``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from detour.setup import jsonc
from router_core.json_document import parse


def json_set(text: bytes, values: Mapping[str, Any]) -> bytes:
    """`values` merged into the JSON object `text`; an empty file is an empty object."""
    if not text.strip():
        return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"
    before = _object(text)
    return jsonc.edited(text, before, _merged(before, values))


def json_change(text: bytes, key: str, change: Callable[[Any], Any]) -> bytes:
    """The value of `key` in the JSON object `text` (None where it has none) as `change` makes it."""
    if not text.strip():
        return json_set(text, {key: change(None)})
    before = _object(text)
    found, wanted = before.get(key), change(before.get(key))
    return text if wanted == found else jsonc.edited(text, before, {**before, key: wanted})


def _object(text: bytes) -> dict[str, Any]:
    try:
        before = parse(jsonc.plain(text))
    except ValueError:
        raise ValueError("is not valid JSON, even with comments") from None
    if not isinstance(before, dict):
        raise ValueError("holds no JSON object")
    return before


def _merged(before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A new object that shares every value of `before` that is not set."""
    after = dict(before)
    for name, value in values.items():
        inner = before.get(name)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            after[name] = _merged(inner, value)
        elif name not in before or before[name] != value:
            after[name] = value
    return after


def toml_set(text: bytes, key: str, value: str, table: str, members: Mapping[str, Any]) -> bytes:
    """The top-level `key` and the whole `table` set in the TOML document `text`."""
    try:
        before = text.decode("utf-8")
        tomllib.loads(before)
    except ValueError:
        raise ValueError("is not valid TOML") from None
    newline = "\r\n" if "\r\n" in before else "\n"
    lines = _without_table(before.splitlines(keepends=True), table)
    lines = _with_key(lines, key, f"{key} = {_toml(value)}{newline}")
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += newline
    if lines and lines[-1].strip():
        lines.append(newline)
    lines.append(f"[{table}]{newline}")
    lines += [f"{name} = {_toml(member)}{newline}" for name, member in members.items()]
    after = "".join(lines)
    # Text was edited as lines; a multi-line string that looked like a table would show here.
    found = tomllib.loads(after)
    wanted: Any = found
    for part in table.split("."):
        wanted = wanted.get(part, {})
    if found.get(key) != value or wanted != members:
        raise ValueError("is written in a way that cannot be edited safely")
    return after.encode()


_HEADER = re.compile(r"\s*\[{1,2}\s*(?P<name>[^\]]+?)\s*\]{1,2}\s*(?:#.*)?$")


def _table_of(line: str) -> str | None:
    match = _HEADER.match(line.rstrip("\r\n"))
    return match["name"].replace('"', "").replace(" ", "") if match else None


def _without_table(lines: list[str], table: str) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in lines:
        name = _table_of(line)
        if name is not None:
            inside = name == table or name.startswith(f"{table}.")
        if not inside:
            kept.append(line)
    return kept


def _with_key(lines: list[str], key: str, written: str) -> list[str]:
    """`written` in the place of `key` above the first table, or as the first line."""
    pattern = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    for number, line in enumerate(lines):
        if _table_of(line) is not None:
            break
        if pattern.match(line):
            return [*lines[:number], written, *lines[number + 1 :]]
    return [written, *lines]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(inner)}" for name, inner in value.items()) + " }"
    # JSON's strings are TOML's basic strings, but for the one control character that JSON leaves alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def dotenv_set(text: bytes, values: Mapping[str, str]) -> bytes:
    """NAME=VALUE lines set; one that is there is replaced, others are added at the end."""
    try:
        lines = text.decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    newline = "\r\n" if any(line.endswith("\r\n") for line in lines) else "\n"
    left = dict(values)
    for number, line in enumerate(lines):
        match = re.match(r"\s*(?:export\s+)?(?P<name>\w+)\s*=", line)
        if match and match["name"] in values:
            lines[number] = f"{match['name']}={_quoted(values[match['name']])}{newline}"
            left.pop(match["name"], None)
    if lines and left and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += newline
    return "".join([*lines, *(f"{name}={_quoted(value)}{newline}" for name, value in left.items())]).encode()


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.:/@%+~-]+", value):
        return value
    if "'" in value and '"' in value:
        raise ValueError("a client key with both kinds of quotes cannot be written into it")
    return f'"{value}"' if "'" in value else f"'{value}'"
