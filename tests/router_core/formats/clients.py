"""The official client libraries as readers of answers, without a network."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import anthropic
import httpx
import httpx2
import openai
from google import genai
from google.genai import errors, types

from router_core.formats import Format
from tests.router_core.formats.meaning import STOPS, Meaning

_ANSWER: dict[str, Any] = {}
"""What the next request of a client gets: body, status, media type."""


@cache
def _http(library: Any = httpx) -> Any:
    """A client of httpx, or of httpx2, on which newer libraries stand."""

    def respond(request: Any) -> Any:
        headers = {"content-type": _ANSWER["media"]}
        return library.Response(_ANSWER["status"], headers=headers, content=_ANSWER["body"], request=request)

    return library.Client(transport=library.MockTransport(respond))


@cache
def _anthropic() -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k", base_url="http://detour.test", http_client=_http(httpx2), max_retries=0
    )


@cache
def _openai() -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://detour.test/v1", http_client=_http(), max_retries=0)


@cache
def _gemini() -> genai.Client:
    options = types.HttpOptions(base_url="http://detour.test", httpx_client=_http())
    return genai.Client(api_key="k", http_options=options)


def read(format: Format, body: bytes, *, streaming: bool, status: int = 200) -> Meaning:
    """What the format's library makes of `body`; raises what it raises."""
    media = "text/event-stream" if streaming else "application/json"
    _ANSWER.update(body=body, status=status, media=media)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _READERS[format](streaming).settle()


class StreamError(Exception):
    """An error inside a stream for which a library has no exception."""


STREAM_ERRORS = (anthropic.APIError, openai.APIError, errors.APIError, StreamError)


@dataclass
class ClientError:
    status: int
    type: str | None
    code: str | None
    message: str


def error(format: Format, body: bytes, status: int) -> ClientError:
    """The error that the format's library raises for `body`."""
    _ANSWER.update(body=body, status=status, media="application/json")
    try:
        _READERS[format](False)
    except (anthropic.APIStatusError, openai.APIStatusError) as raised:
        value: Any = raised.body
        value = value.get("error", value)
        return ClientError(raised.status_code, value["type"], value.get("code"), value["message"])
    except errors.APIError as raised:
        return ClientError(raised.code, raised.status, None, raised.message or "")
    raise AssertionError("no error was raised")


def _read_anthropic(streaming: bool) -> Meaning:
    request: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    if streaming:
        with _anthropic().messages.stream(**request) as stream:
            message: Any = stream.get_final_message()
    else:
        message = _anthropic().messages.create(**request)
    meaning = Meaning(stop=STOPS[message.stop_reason])
    for block in message.content:
        match block.type:
            case "text":
                meaning.text += block.text
            case "tool_use":
                meaning.calls.append((block.name, block.input))
            case "thinking":
                meaning.reasoning += block.thinking
                meaning.signatures += bool(block.signature)
            case "redacted_thinking":
                meaning.signatures += bool(block.data)
    usage = message.usage
    meaning.cached = usage.cache_read_input_tokens or 0
    meaning.prompt = usage.input_tokens + meaning.cached + (usage.cache_creation_input_tokens or 0)
    meaning.output = usage.output_tokens
    return meaning


def _read_chat(streaming: bool) -> Meaning:
    request: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    if streaming:
        options = {"include_usage": True}
        with _openai().chat.completions.stream(**request, stream_options=options) as stream:
            for _ in stream:
                pass
            completion: Any = stream.current_completion_snapshot
    else:
        completion = _openai().chat.completions.create(**request)
    choice = completion.choices[0]
    message = choice.message
    extra = message.model_extra or {}
    meaning = Meaning(message.content or "", stop=STOPS[choice.finish_reason])
    meaning.reasoning = extra.get("reasoning_content") or extra.get("reasoning") or ""
    meaning.refusal = message.refusal or ""
    for detail in extra.get("reasoning_details") or ():
        meaning.signatures += bool(detail.get("signature") or detail.get("data"))
    for call in message.tool_calls or ():
        meaning.calls.append((call.function.name, _parsed(call.function.arguments)))
        google = ((call.model_extra or {}).get("extra_content") or {}).get("google") or {}
        meaning.signatures += bool(google.get("thought_signature"))
    usage = completion.usage
    if usage is not None:
        meaning.prompt, meaning.output = usage.prompt_tokens, usage.completion_tokens
        meaning.cached = usage.prompt_tokens_details.cached_tokens or 0
        assert usage.total_tokens == meaning.prompt + meaning.output
    return meaning


def _read_responses(streaming: bool) -> Meaning:
    if streaming:
        numbers = []
        response: Any = None
        with _openai().responses.stream(model="m", input="hi") as stream:
            for event in stream:
                numbers.append(event.sequence_number)
                if event.type == "response.failed":
                    raise StreamError(event.response.error.code, event.response.error.message)
                if event.type in ("response.completed", "response.incomplete"):
                    response = event.response
        assert numbers == list(range(len(numbers)))
        assert response is not None
    else:
        response = _openai().responses.create(model="m", input="hi")
    meaning = Meaning(
        stop=STOPS[response.status if response.status != "incomplete" else response.incomplete_details.reason]
    )
    for item in response.output:
        match item.type:
            case "message":
                for block in item.content:
                    if block.type == "refusal":
                        meaning.refusal += block.refusal
                    else:
                        meaning.text += block.text
            case "function_call":
                meaning.calls.append((item.name, _parsed(item.arguments)))
            case "custom_tool_call":
                meaning.calls.append((item.name, item.input))
            case "reasoning":
                meaning.reasoning += "".join(block.text for block in item.summary)
                meaning.signatures += bool(item.encrypted_content)
    usage = response.usage
    if usage is not None:
        meaning.prompt, meaning.output = usage.input_tokens, usage.output_tokens
        meaning.cached = usage.input_tokens_details.cached_tokens
        assert usage.total_tokens == meaning.prompt + meaning.output
    return meaning


def _read_gemini(streaming: bool) -> Meaning:
    models = _gemini().models
    if streaming:
        chunks = list(models.generate_content_stream(model="m", contents="hi"))
    else:
        chunks = [models.generate_content(model="m", contents="hi")]
    meaning = Meaning()
    usage = None
    for chunk in chunks:
        usage = chunk.usage_metadata or usage
        for candidate in (chunk.candidates or ())[:1]:
            if candidate.index:
                continue
            if candidate.finish_reason:
                meaning.stop = STOPS[candidate.finish_reason.value]
            for part in (candidate.content.parts if candidate.content else None) or ():
                meaning.signatures += bool(part.thought_signature)
                if part.function_call:
                    meaning.calls.append((part.function_call.name, part.function_call.args or {}))
                elif part.text and part.thought:
                    meaning.reasoning += part.text
                elif part.text:
                    meaning.text += part.text
    if usage is not None:
        meaning.prompt = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
        meaning.cached = usage.cached_content_token_count or 0
        meaning.output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return meaning


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_READERS = {
    Format.ANTHROPIC: _read_anthropic,
    Format.OPENAI_CHAT: _read_chat,
    Format.OPENAI_RESPONSES: _read_responses,
    Format.GEMINI: _read_gemini,
}
