"""The official SDKs as clients, through the proxy and through the gateway, streaming and not."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as google_errors

from detour.fakes import Fault
from tests import clients
from tests.e2e.conftest import House

MESSAGES = [{"role": "user", "content": "hello"}]
CLAUDE, GPT, GEMINI = "claude-sonnet-4-5-20250929", "gpt-5.1", "gemini-2.5-flash"


@pytest.fixture(params=["proxy", "gateway"])
def via(request: pytest.FixtureRequest) -> str:
    return request.param


def sdk(house: House, via: str, make: Any, root: str) -> Any:
    """An SDK of `make`: with its own base URL behind the proxy, or with the gateway's."""
    if via == "proxy":
        return make(ca=house.detour.tls(), proxy=house.detour.proxy_url)
    return make(house.detour.gateway_url + root, ca=house.detour.tls())


def test_anthropic(house: House, via: str) -> None:
    with sdk(house, via, clients.anthropic_sdk, "") as client:
        message = client.messages.create(model=CLAUDE, max_tokens=64, messages=MESSAGES)
        assert message.content[0].text == house.anthropic.text
        assert message.usage.output_tokens == 8
        with client.messages.stream(model=CLAUDE, max_tokens=64, messages=MESSAGES) as stream:
            assert "".join(stream.text_stream) == house.anthropic.text
            assert stream.get_final_message().stop_reason == "end_turn"
        assert client.messages.count_tokens(model=CLAUDE, messages=MESSAGES).input_tokens > 0
        assert CLAUDE in [m.id for m in client.models.list().data]
        with client.with_options(max_retries=0) as strict, pytest.raises(anthropic.BadRequestError) as bad:
            strict.messages.create(model=CLAUDE, max_tokens=64, messages=[])
        assert "at least one message" in str(bad.value)
    assert {r.key for r in house.anthropic.record.requests if r.model == CLAUDE} == {"secret-anthropic"}


def test_openai_chat(house: House, via: str) -> None:
    with sdk(house, via, clients.openai_sdk, "/v1") as client:
        answer = client.chat.completions.create(model=GPT, messages=MESSAGES)
        assert answer.choices[0].message.content == house.openai.text
        chunks = list(
            client.chat.completions.create(
                model=GPT, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == house.openai.text
        assert chunks[-1].usage.completion_tokens == 8
        assert GPT in [m.id for m in client.models.list().data]
        embedded = client.embeddings.create(model="text-embedding-3-small", input="hello")
        assert embedded.data[0].embedding == [0.25, -0.5, 1.0]


def test_openai_responses(house: House, via: str) -> None:
    with sdk(house, via, clients.openai_sdk, "/v1") as client:
        assert client.responses.create(model=GPT, input="hello").output_text == house.openai.text
        events = list(client.responses.create(model=GPT, input="hello", stream=True))
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == house.openai.text
        assert events[-1].type == "response.completed"
        assert [e.sequence_number for e in events] == list(range(len(events)))
        with pytest.raises(openai.BadRequestError) as bad:
            client.responses.create(model=GPT)
        assert bad.value.param == "input"


def test_a_response_that_breaks_off_is_told(house: House, via: str) -> None:
    house.openai.script.add(Fault.close_mid_stream(), model="gpt-5-breaks")
    with (
        sdk(house, via, clients.openai_sdk, "/v1") as client,
        pytest.raises(openai.APIError, match="closed connection"),
        client.responses.stream(model="gpt-5-breaks", input="hello") as stream,
    ):
        list(stream)


def test_google(house: House, via: str) -> None:
    client = sdk(house, via, clients.google_sdk, "")
    assert client.models.generate_content(model=GEMINI, contents="hello").text == house.gemini.text
    chunks = client.models.generate_content_stream(model=GEMINI, contents="hello")
    assert "".join(c.text or "" for c in chunks) == house.gemini.text
    assert client.models.count_tokens(model=GEMINI, contents="hello").total_tokens > 0
    embedded = client.models.embed_content(model=GEMINI, contents="hello")
    assert embedded.embeddings[0].values == [0.25, -0.5, 1.0]
    house.gemini.script.add(Fault.status(400), model="gemini-strict")
    with pytest.raises(google_errors.ClientError) as bad:
        client.models.generate_content(model="gemini-strict", contents="hello")
    assert (bad.value.code, bad.value.status) == (400, "INVALID_ARGUMENT")


def test_a_stream_of_googles_that_fails(house: House, via: str) -> None:
    for fault in (Fault.close_mid_stream(), Fault.sse_error_after_content()):
        model = f"gemini-{fault.name}"
        house.gemini.script.add(fault, model=model)
        client = sdk(house, via, clients.google_sdk, "")
        seen = []
        with pytest.raises(google_errors.ServerError):
            seen.extend(client.models.generate_content_stream(model=model, contents="hello"))
        assert house.gemini.text.startswith("".join(chunk.text or "" for chunk in seen))


def test_asynchronous_clients(house: House, via: str) -> None:
    async def ask() -> list[str]:
        tls = house.detour.tls()
        proxy = house.detour.proxy_url if via == "proxy" else None
        base = None if via == "proxy" else house.detour.gateway_url
        http = anthropic.DefaultAsyncHttpxClient(verify=tls, proxy=proxy)
        async with anthropic.AsyncAnthropic(api_key="k", base_url=base, http_client=http) as client:

            async def one() -> str:
                messages: Any = MESSAGES
                async with client.messages.stream(model=CLAUDE, max_tokens=9, messages=messages) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(one() for _ in range(10)))

    assert asyncio.run(ask()) == [house.anthropic.text] * 10
