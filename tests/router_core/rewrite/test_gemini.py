"""The rules for Gemini and the envelope of Code Assist, each by the wire before and after."""

from __future__ import annotations

from typing import Any

import pytest

from router_core.formats import Format, Operation
from router_core.json_document import parse, serialise
from router_core.providers.model import ModelInfo
from tests.router_core import wire
from tests.router_core.rewrite.cases import Case, Defaults

case = Defaults({"format": Format.GEMINI, "model": "gemini-3-pro"})
OWN = "EsEHCr4HAb4+9vspyEj0mfPBpYCAMq/8S8uo1g=="
CLAUDE = "EqoDCkYIBBgCKkBbUa2Txf0smQkxOwbam/e/WOWs"
BYPASS = "skip_thought_signature_validator"


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts or ({"text": "hi"},))}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def call(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}}, **more}


def talk(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"contents": [user(), *turns], **more}


def tool(schema: dict[str, Any], key: str = "functionDeclarations") -> dict[str, Any]:
    return talk(tools=[{key: [{"name": "f", "parameters": schema}]}])


ANY = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/A"}},
    "$defs": {"A": {"type": "string"}},
    "additionalProperties": False,
}
CLEAN = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}

CASES = [
    case("gemini-tool-schemas", "references and closed objects", tool(ANY), tool(CLEAN)),
    case("gemini-tool-schemas", "in snake_case", tool(ANY, "function_declarations"), tool(CLEAN, "function_declarations")),
    case("gemini-tool-schemas", "lists of types", tool({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}),
         tool({"type": "OBJECT", "properties": {"a": {"nullable": True, "type": "STRING"}}})),
    case("gemini-tool-schemas", "required without a property", tool({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}),
         tool(CLEAN)),
    case("gemini-tool-schemas", "what the API knows stays", tool({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"], "default": "x"}}}), None),
    case("gemini-tool-schemas", "parametersJsonSchema is JSON Schema", talk(tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": ANY}]}]), None),
    case("gemini-max-output-tokens", "capped", talk(generationConfig={"maxOutputTokens": 100000, "topK": 1}),
         talk(generationConfig={"maxOutputTokens": 65536, "topK": 1}), models=(ModelInfo("gemini-3-pro", 65536),)),
    case("gemini-max-output-tokens", "in snake_case", talk(generation_config={"max_output_tokens": 100000}),
         talk(generation_config={"max_output_tokens": 65536}), models=(ModelInfo("gemini-3-pro", 65536),)),
    case("gemini-max-output-tokens", "an unknown limit", talk(generationConfig={"maxOutputTokens": 100000}), None),
    case("gemini-turn-order", "the model first", {"contents": [model({"text": "a"}), user()]},
         {"contents": [user({"text": " "}), model({"text": "a"}), user()]}),
    case("gemini-turn-order", "the user first", talk(), None),
    case("gemini-turn-order", "to be counted", {"generateContentRequest": {"model": "models/gemini-3-pro", "contents": [model({"text": "a"})]}},
         {"generateContentRequest": {"model": "models/gemini-3-pro", "contents": [user({"text": " "}), model({"text": "a"})]}},
         operation=Operation.COUNT_TOKENS, path="/v1beta/models/m:countTokens"),
    case("gemini-thought-signatures", "another provider's, first call", talk(model(call(thoughtSignature=CLAUDE), call("g"))),
         talk(model(call(thoughtSignature=BYPASS), call("g")))),
    case("gemini-thought-signatures", "none", talk(model(call())), talk(model(call(thoughtSignature=BYPASS)))),
    case("gemini-thought-signatures", "older models check nothing", talk(model(call())), None, model="gemini-2.5-flash"),
    case("gemini-thought-signatures", "another provider's, on text", talk(model({"text": "a", "thoughtSignature": CLAUDE})),
         talk(model({"text": "a"})), model="gemini-2.5-flash"),
    case("gemini-thought-signatures", "its own", talk(model({"text": "", "thoughtSignature": OWN}, call(thoughtSignature=OWN))), None),
    case("antigravity-part-order", "thinking, other, calls", talk(model(call(), {"text": "a"}, {"text": "t", "thought": True})),
         talk(model({"text": "t", "thought": True}, {"text": "a"}, call())), quirks=frozenset({"code_assist_envelope"})),
    case("antigravity-part-order", "in the envelope", {"model": "m", "request": talk(model(call(), {"text": "a"}))},
         {"model": "m", "request": talk(model({"text": "a"}, call()))}, quirks=frozenset({"code_assist_envelope"})),
    case("antigravity-part-order", "the Gemini API takes any", talk(model(call(), {"text": "a"})), None),
    case("code-assist-envelope", "wrapped", talk(), {"model": "gemini-3-pro", "request": talk()},
         quirks=frozenset({"code_assist_envelope"})),
    case("code-assist-envelope", "unwrapped", {"model": "x", "project": "p", "request": talk()}, talk()),
    case("code-assist-envelope", "what only Code Assist knows goes with it", {"model": "x", "request": talk(session_id="s")}, talk()),
    case("code-assist-envelope", "as it should be", {"model": "x", "request": talk()}, None, quirks=frozenset({"code_assist_envelope"})),
]  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *(c.again() for c in CASES if c.after is not None)], ids=str)
def test_wire(case: Case) -> None:
    case.check()


CHUNK = b'{"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}}]}'
STREAM = b"data: " + CHUNK + b"\r\n\r\n"
WRAPPED = b'data: {"response": ' + CHUNK + b', "traceId": "1"}\r\n\r\n'
ASSIST = {"code_assist_envelope"}


def test_the_envelope_of_an_answer_is_taken_off() -> None:
    x = wire.exchange(
        Format.GEMINI, serialise(talk()), path="/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    )
    to = wire.provider(Format.GEMINI, "gemini-code-assist", quirks=ASSIST)
    assert wire.answered(x, WRAPPED * 2, to, media="text/event-stream", step=7)[0] == STREAM * 2


def test_a_client_of_code_assist_gets_its_envelope_from_anyone() -> None:
    body = serialise({"model": "gemini-3-pro", "project": "p", "request": talk()})
    x = wire.exchange(Format.GEMINI, body, path="/v1internal:streamGenerateContent?alt=sse", stream=True)
    out, _ = wire.answered(x, STREAM, media="text/event-stream", model="gemini-3-pro")
    assert out == b'data: {"response": ' + CHUNK + b"}\r\n\r\n"


def test_code_assist_to_itself_is_left_alone() -> None:
    body = serialise({"model": "gemini-3-pro", "project": "p", "request": talk()})
    x = wire.exchange(Format.GEMINI, body, path="/v1internal:streamGenerateContent?alt=sse", stream=True)
    to = wire.provider(Format.GEMINI, "gemini-code-assist", quirks=ASSIST)
    assert wire.prepared(x, to).body is body
    assert wire.answered(x, WRAPPED, to, media="text/event-stream")[0] == WRAPPED


def test_the_rules_reach_into_the_envelope() -> None:
    body = serialise({"model": "gemini-3-pro", "request": {"contents": [model({"text": "a"})]}})
    x = wire.exchange(Format.GEMINI, body, path="/v1internal:generateContent")
    sent = parse(wire.prepared(x, wire.provider(Format.GEMINI, "gemini-code-assist", quirks=ASSIST)).body)
    assert [turn["role"] for turn in sent["request"]["contents"]] == ["user", "model"]
