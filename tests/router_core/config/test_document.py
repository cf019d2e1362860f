"""YAML into values with lines: what it means, and what is said about what it cannot mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from router_core.config import document
from router_core.config.document import MAX_DEPTH, read


def plain(text: str) -> object:
    tree, problems = read(text.encode(), "c.yaml")
    assert problems == []
    return tree.plain()


def said(data: str | bytes) -> list[str]:
    return [str(p) for p in read(data.encode() if isinstance(data, str) else data, "c.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("12:30", "12:30"),
        ("2025-09-29", "2025-09-29"),
        ("10", 10),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("3e2", 300.0),
        ("~", None),
        ("", None),
        ("'10'", "10"),
        ("!!str 10", "10"),
        ("1" * 5000, "1" * 5000),
    ],
)
def test_scalars_are_read_by_the_core_schema(text: str, value: object) -> None:
    assert plain(f"key: {text}\n") == {"key": value}


def test_json_is_yaml() -> None:
    assert plain('{"a": [1, 2.5, null, true, "x"], "b": {"c": "\\u00e9"}}') == {
        "a": [1, 2.5, None, True, "x"],
        "b": {"c": "é"},
    }


def test_json_escapes_beyond_the_basic_plane() -> None:
    assert plain(json.dumps({"a": "\U0001f600 \u00e9"})) == {"a": "\U0001f600 \u00e9"}
    assert plain('{"a": "\\u0041"}') == {"a": "A"}


def test_keys_are_names_whatever_they_look_like() -> None:
    assert plain("3.5: a\nnull: b\ntrue: c\n") == {"3.5": "a", "null": "b", "true": "c"}


def test_an_empty_document_is_an_empty_mapping() -> None:
    assert plain("") == {}
    assert plain("# nothing\n---\n") in ({}, None)


def test_every_value_knows_its_line() -> None:
    tree, _ = read(b"a: 1\nb:\n  - x\n  - c:\n      d: 2\n", "c.yaml")
    lines = {
        path: tree.place_of(path)[1]
        for path in [("a",), ("b",), ("b", 0), ("b", 1, "c"), ("b", 1, "c", "d"), ("z",)]
    }
    assert lines == {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1, "c"): 4, ("b", 1, "c", "d"): 5, ("z",): 1}


def test_merge_keys_fill_in_what_is_not_given() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none: {<<: *b, x: 9}\nboth: {<<: [*b, *m]}\n"
    assert plain(text)["one"] == {"x": 9, "y": 2}  # type: ignore[index]
    assert plain(text)["both"] == {"x": 1, "y": 2, "z": 4}  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "c.yaml:3: key 'a' is given twice; it stands first on line 1; remove one of them",
        ),
        (
            "a:\n  b: 1\n  b: 2\n",
            "c.yaml:3: key 'b' is given twice; it stands first on line 2; remove one of them",
        ),
        ("? [x]\n: 1\n", "c.yaml:1: a key is a list or a mapping; write a plain text as key"),
        (
            "a: !!python/object:os.system x\n",
            "c.yaml:1: the tag 'tag:yaml.org,2002:python/object:os.system' is not understood; leave it out",
        ),
        ("a: {<<: 3}\n", "c.yaml:1: '<<' merges a mapping or a list of mappings; write <<: *NAME"),
    ],
)
def test_what_is_written_wrongly_is_said_with_its_line(text: str, problem: str) -> None:
    assert said(text) == [problem]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1, 2\nb: 3\n", 2), ("a:\n\t- b\n", 2), ("a: *nope\n", 1), ("a: 'x\n", 2), ("--- a\n--- b\n", 2)],
)
def test_broken_yaml_names_a_line(text: str, line: int) -> None:
    (problem,) = read(text.encode(), "c.yaml")[1]
    assert problem.line == line
    assert problem.what.startswith("not valid YAML")


def test_tabs_have_their_own_remedy() -> None:
    assert said("a:\n\t- b\n")[0].endswith("indent with spaces, not tabs")


def test_several_duplicates_are_said_at_once() -> None:
    assert len(said("a: 1\na: 2\nb: {c: 1, c: 2}\nb: 3\n")) == 3


def test_bytes_that_are_no_text() -> None:
    assert said(b"a: 1\nb: \xff\n") == ["c.yaml:2: not UTF-8 text; save the file as UTF-8"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 5_000, "a: &x [*x]"])
def test_depth_is_bounded(text: str) -> None:
    (problem,) = read(text.encode(), "c.yaml")[1]
    assert f"more than {MAX_DEPTH} levels deep" in problem.what


def test_a_few_lines_of_aliases_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_NODES", 1000)
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20)
    )
    (problem,) = read(bomb.encode(), "c.yaml")[1]
    assert problem.what == "more than 1000 values"


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 1 << 20)
    assert said(b" " * (1 << 20) + b"a: 1") == ["c.yaml: larger than 1 MB; split or shorten it"]


TEXT = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cn"]), max_size=20
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet="abcxyz_", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(alphabet="abcxyz_", min_size=1, max_size=6), JSON, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_json_is_read_as_itself(value: dict[str, object]) -> None:
    tree, problems = read(json.dumps(value, ensure_ascii=False).encode(), "c.yaml")
    assert problems == []
    assert tree.plain() == value


@given(
    st.binary(max_size=300) | st.text(alphabet="[]{}:,-&*!|>'\"%@#? \n\tab01<", max_size=120).map(str.encode)
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_tree_or_a_problem(data: bytes) -> None:
    tree, problems = read(data, "c.yaml")
    assert tree.line >= 1
    assert all(p.line >= 0 and p.what for p in problems)
