"""Whose signatures are whose, by recorded ones of each provider."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from router_core.formats import Format
from router_core.formats.placeholder import PLACEHOLDERS
from router_core.rewrite.signatures import is_claude, is_gemini, is_openai
from tests.router_core import wire

FIELD = {
    Format.ANTHROPIC: rb'\\?"signature\\?":\s*\\?"([^"\\]{40,})',
    Format.GEMINI: rb'\\?"thoughtSignature\\?":\s*\\?"([^"\\]{40,})',
    Format.OPENAI_RESPONSES: rb'\\?"encrypted_content\\?":\s*\\?"([^"\\]{40,})',
}


def signatures(pair: wire.Pair) -> Iterator[str]:
    for body in (pair.request or b"", pair.response):
        for found in re.findall(FIELD[pair.format], body):
            yield found.decode()


@wire.recorded(lambda pair: pair.format in FIELD and next(signatures(pair), None) is not None)
def test_recorded_signatures_are_their_makers_alone(pair: wire.Pair) -> None:
    for signature in signatures(pair):
        seen = (is_claude(signature), is_gemini(signature), is_openai(signature))
        assert seen == (
            pair.format is Format.ANTHROPIC,
            pair.format is Format.GEMINI,
            pair.format is Format.OPENAI_RESPONSES,
        )


@pytest.mark.parametrize("signature", sorted(PLACEHOLDERS))
def test_documented_texts_stand_for_geminis(signature: str) -> None:
    assert is_gemini(signature) and not is_claude(signature)


def test_claudes_encoded_twice() -> None:
    once = "EqoDCkYIBBgCKkBbUa2Txf0smQkxOwbam/e/WOWs"
    assert is_claude(base64.b64encode(once.encode()).decode())


@pytest.mark.parametrize("signature", ["", " ", "foreign", "#", "RRRR", "E" * 3, "gAAAA", "AAAA", "é"])
def test_fragments_do_not_raise(signature: str) -> None:
    assert is_openai(signature) is False
    is_claude(signature)
    is_gemini(signature)


@given(st.text(max_size=80))
def test_any_text(signature: str) -> None:
    assert sum((is_openai(signature), is_claude(signature))) <= 1
