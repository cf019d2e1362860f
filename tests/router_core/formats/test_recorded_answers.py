"""Every recorded answer in every other format, read by that format's official library."""

from typing import Any

import pytest

from router_core.formats import Format
from tests.router_core.formats import clients, recordings
from tests.router_core.formats.meaning import Meaning
from tests.router_core.formats.translated import UPSTREAMS, translated
from tests.router_core.wire import CORPUS, Pair, pairs

pytestmark = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").exists(), reason=f"no recorded pairs in {CORPUS} (DETOUR_WIRE_CORPUS)"
)
ANSWERS = [
    pytest.param(pair, client, id=f"{pair}-{client}")
    for pair in pairs()
    for client in UPSTREAMS
    if pair.status == 200 and client is not pair.format
]
ERRORS = [
    pytest.param(pair, client, id=f"{pair}-{client}")
    for pair in pairs()
    for client in UPSTREAMS
    if pair.status >= 400 and client is not pair.format
]


@pytest.mark.parametrize(("pair", "client"), ANSWERS)
def test_means_the_same_in_another_format(pair: Pair, client: Format) -> None:
    expected = in_the_words_of(client, recordings.meaning(pair))
    for streaming in (True, False):
        status, body = translated(
            client, pair.format, pair.response, streamed=pair.streams, streaming=streaming
        )
        read = clients.read(client, body, streaming=streaming, status=status)
        assert read.text == expected.text
        assert len(read.calls) == len(expected.calls)
        for call, recorded in zip(read.calls, expected.calls, strict=True):
            assert_same_call(call, recorded)
        assert read.reasoning == expected.reasoning
        assert read.stop == expected.stop
        assert (read.prompt, read.cached, read.output) == (expected.prompt, expected.cached, expected.output)
        assert bool(read.signatures) >= bool(expected.signatures)


def in_the_words_of(client: Format, said: Meaning) -> Meaning:
    """What `client` can be told of it."""
    if said.refusal and client in (Format.ANTHROPIC, Format.GEMINI):
        # The words of a refusal are text there.
        said.text += said.refusal
        if client is Format.ANTHROPIC:
            said.stop = "filter"
    if client is Format.OPENAI_RESPONSES:
        # The other choices follow as messages of their own.
        said.text += "".join(said.more)
    return said


def assert_same_call(call: tuple[str, Any], recorded: tuple[str, Any]) -> None:
    (name, arguments), (recorded_name, text) = call, recorded
    assert name == recorded_name
    if isinstance(text, str) and isinstance(arguments, dict):
        if text.startswith("{"):
            # Cut off by the token limit: what is left of it is an object.
            assert str(arguments).replace("'", '"')[:10] in text or arguments == {}
        else:
            assert arguments == {"input": text}
    else:
        assert arguments == text


@pytest.mark.parametrize(("pair", "client"), ERRORS)
def test_errors_keep_their_class(pair: Pair, client: Format) -> None:
    status, body = translated(
        client, pair.format, pair.response, streamed=False, streaming=False, status=pair.status
    )
    assert status == pair.status
    error = clients.error(client, body, status)
    assert error.status == status
    assert error.message
    assert error.message in pair.response.decode()
