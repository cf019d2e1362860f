"""Names of hosts are read as mitmproxy reads them, and what is long is not kept."""

from __future__ import annotations

import pytest
from mitmproxy.net.http import url

from addons import names
from addons.names import LONGEST, MANY, remembered


def test_what_was_read_is_not_read_again() -> None:
    read: list[str] = []
    quick = remembered(lambda text, check=False: read.append(text) or (text.upper(), check))
    assert [quick("a"), quick("a"), quick("a", check=True), quick("b")] == [
        ("A", False),
        ("A", False),
        ("A", True),
        ("B", False),
    ]
    assert read == ["a", "a", "b"]


def test_long_names_and_old_ones_are_let_go() -> None:
    read: list[str] = []
    quick = remembered(lambda text: read.append(text))
    quick("x" * (LONGEST + 1))
    quick("x" * (LONGEST + 1))
    assert len(read) == 2
    quick("first")
    for number in range(MANY):
        quick(str(number))
    quick("first")
    assert read.count("first") == 2


def test_errors_are_raised_each_time() -> None:
    names.install()
    for _ in range(2):
        with pytest.raises(ValueError):
            url.parse_authority("bad host:99999", check=True)
    assert url.parse(b"http://Example.com:81/a?b") == (b"http", b"example.com", 81, b"/a?b")
    assert url.parse("http://example.com:81/a?b") == (b"http", b"example.com", 81, b"/a?b")
    assert url.parse_authority(b"example.com:81", check=True) == ("example.com", 81)


def test_installing_twice_changes_nothing_more() -> None:
    names.install()
    before = url.parse, url.parse_authority, url.is_valid_host
    names.install()
    assert (url.parse, url.parse_authority, url.is_valid_host) == before
