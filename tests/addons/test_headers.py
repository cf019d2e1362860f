"""The quick look-up answers what mitmproxy's own does."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from mitmproxy.http import Headers

from addons.headers import contains, get, init, pairs

NAMES = st.sampled_from([b"Host", b"host", b"X-A", b"x-a", b"Set-Cookie", b"content-length", b"X-\xe4"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=8)), max_size=6)
MISSING = object()


@given(FIELDS, NAMES | st.sampled_from(["HOST", "x-A", "absent", "x-\udce4"]))
def test_as_mitmproxy_answers(fields: list[tuple[bytes, bytes]], name: str | bytes) -> None:
    headers = Headers(fields)
    own = ", ".join(headers.get_all(name)) if headers.get_all(name) else MISSING
    assert get(headers, name, MISSING) == own
    assert contains(headers, name) is (own is not MISSING)


@pytest.mark.parametrize("name", [None, 5])
def test_what_is_no_name_is_not_there(name: object) -> None:
    assert not contains(Headers(), name)


@given(FIELDS)
def test_pairs_are_items(fields: list[tuple[bytes, bytes]]) -> None:
    headers = Headers(fields)
    assert pairs(headers) == list(headers.items(multi=True))


@given(FIELDS, st.dictionaries(st.sampled_from(["host", "x_a", "accept"]), st.sampled_from(["a", b"b"])))
def test_made_as_mitmproxy_makes_them(
    fields: list[tuple[bytes, bytes]], more: dict[str, str | bytes]
) -> None:
    made = Headers()
    init(made, fields, **more)
    assert made.fields == Headers(fields, **more).fields


@pytest.mark.parametrize("field", [("a", b"b"), (b"a", "b")])
def test_fields_are_bytes(field: tuple) -> None:
    with pytest.raises(TypeError):
        init(Headers(), [field])
