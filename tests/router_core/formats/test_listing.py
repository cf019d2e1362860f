"""When fields that a translation loses are looked for: as soon as somebody asks, and not before."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from router_core.explain import told
from router_core.formats import Format
from router_core.formats.translator import FormatTranslator
from router_core.prepare import Outgoing, prepare
from router_core.rewrite.rules import Rules
from tests.router_core import wire

ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "top_k": 3,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "feeling": "glad"}]}],
}
LISTED = [
    "translate: top_k is dropped",
    "translate: messages[].content[text].feeling is dropped",
]


def sent() -> Outgoing:
    x = wire.exchange(Format.ANTHROPIC, json.dumps(ASKED).encode())
    attempt = wire.attempt(x, wire.provider(Format.OPENAI_CHAT), model="kimi-k2")
    x.attempts.append(attempt)
    out = prepare(x, attempt, Rules(translator=FormatTranslator()))
    assert isinstance(out, Outgoing)
    return out


def test_who_asks_is_told_all_and_nobody_else_pays_for_it() -> None:
    out = sent()
    assert out.context.said == LISTED[:1]
    assert "feeling" not in told(out.context.exchange)
    assert out.notes == LISTED
    assert out.notes == LISTED
    assert told(out.context.exchange).splitlines()[-2:] == [f"note: {line}" for line in LISTED]


def test_the_debug_log_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "router_core.rewrite.context"):
        out = sent()
    assert [record.getMessage() for record in caplog.records] == [f"x1 {line}" for line in LISTED]
    assert out.notes == LISTED
    assert len(caplog.records) == len(LISTED)
