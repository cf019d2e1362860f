"""Every recorded request in every other format: valid by the official library's types, and by the API's rules."""

import json
from typing import Any

import pytest

from router_core.errors import Code, Refusal
from router_core.formats import Format, Operation
from router_core.formats.translate import TranslatedRequest, request
from tests.router_core.formats.conformity import assert_conforms
from tests.router_core.formats.invariants import assert_holds
from tests.router_core.formats.translated import UPSTREAMS
from tests.router_core.wire import CORPUS, Pair, pairs

pytestmark = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").exists(), reason=f"no recorded pairs in {CORPUS} (DETOUR_WIRE_CORPUS)"
)
MODELS = {
    Format.ANTHROPIC: ("claude-sonnet-4-5-20250929", "claude-opus-4-8", "glm-4.7"),
    Format.OPENAI_CHAT: ("gpt-5.2", "gpt-4o", "kimi-k2"),
    Format.OPENAI_RESPONSES: ("gpt-5.2", "gpt-4o"),
    Format.GEMINI: ("gemini-2.5-flash", "gemini-3-pro-preview"),
}
REQUESTS = [
    pytest.param(pair, upstream, id=f"{pair}-{upstream}")
    for pair in pairs()
    for upstream in UPSTREAMS
    if pair.request and upstream is not pair.format and pair.status == 200
]
INEXPRESSIBLE = ("choice", "logprobs", "audio", "file id", "answers in", "files by URL", "file_", "stored at")


@pytest.mark.parametrize(("pair", "upstream"), REQUESTS)
def test_is_valid_in_another_format(pair: Pair, upstream: Format) -> None:
    document = json.loads(pair.request or b"")
    before = json.dumps(document)
    for model in MODELS[upstream]:
        translated = request(pair.format, upstream, Operation.GENERATE, document, model=model, stream=False)
        if isinstance(translated, Refusal):
            assert translated.code is Code.UNSUPPORTED
            assert any(words in translated.message for words in INEXPRESSIBLE), translated.message
            continue
        assert isinstance(translated, TranslatedRequest)
        assert_conforms(upstream, translated.document)
        assert_holds(upstream, translated.document)
        assert_says_the_same(pair.format, document, upstream, translated.document)
    assert json.dumps(document) == before


def assert_says_the_same(client: Format, document: Any, upstream: Format, written: Any) -> None:
    """Every text of the conversation is there, in order."""
    text = json.dumps(written, ensure_ascii=False)
    position = 0
    for words in texts(client, document):
        found = text.find(json.dumps(words.strip(), ensure_ascii=False)[1:-1], position)
        assert found >= 0, words
        position = found


def texts(client: Format, document: Any) -> list[str]:
    found: list[str] = []
    if client is Format.GEMINI:
        for content in document["contents"]:
            found += [p["text"] for p in content["parts"] if p.get("text") and not p.get("thought")]
        return found
    for message in document.get("messages") or document["input"]:
        if isinstance(message, str):
            return [document["input"]]
        if message.get("role") not in ("user", "assistant"):
            continue
        content = message.get("content") or ()
        if isinstance(content, str):
            found.append(content)
        else:
            found += [block["text"] for block in content if block.get("text")]
    return found
