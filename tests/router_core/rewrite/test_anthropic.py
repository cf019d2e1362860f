"""The rules for Anthropic's Messages API, each by the wire before and after."""

from __future__ import annotations

from typing import Any

import pytest

from router_core.formats import Format, Operation
from router_core.providers.model import ModelInfo
from tests.router_core.rewrite.cases import Case, Defaults

CLAUDE = "claude-sonnet-4-5-20250929"
case = Defaults({"format": Format.ANTHROPIC, "model": CLAUDE, "quirks": frozenset({"claude_api"})})

OWN = "EqoDCkYIBBgCKkBbUa2Txf0smQkxOwbam/e/WOWs"
CAIS = "CAIS5gIKhwEIEBgCKkC8CXvU023jRl9NRdOT+g=="
GEMINI = "EsEHCr4HAb4+9vspyEj0mfPBpYCAMq/8S8uo1g=="
GEMINI_OLD = "CikBjz1rXw8Ry1r5Vb6Y3Yl2o0pPzWQ="
FERNET = "gAAAAABqPBGohsoHj6Zrlp56c71sN9MnDxwsDg=="
CARRIER = "ZGV0b3VyWyJnZW1pbmkiLCJhYmMiXQ=="


def turn(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def text(value: str = "hi", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def thought(**signature: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", **signature}


ASK = turn("user", text())
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {"n": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "2"}
BUDGET = {"type": "enabled", "budget_tokens": 2048}
MARK = {"cache_control": {"type": "ephemeral"}}
ECHOES = frozenset({"echo_reasoning"})
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def talk(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [ASK, *turns], **more}


UNSIGNED = [
    case(
        "anthropic-unsigned-thinking",
        f"signature {signature!r}",
        talk(turn("assistant", thought(**signature), text("a"), CALL), ASK),
        talk(turn("assistant", text("a"), CALL), ASK),
    )
    for signature in ({}, {"signature": ""}, {"signature": " \n"}, {"signature": None}, {"signature": 7})
]

CASES = [
    *UNSIGNED,
    case("anthropic-unsigned-thinking", "signed stays", talk(turn("assistant", thought(signature=OWN), CALL), ASK), None),
    case("anthropic-unsigned-thinking", "redacted stays", talk(turn("assistant", {"type": "redacted_thinking", "data": "x"}), ASK), None),
    case("anthropic-unsigned-thinking", "only the assistant's", talk(turn("user", thought())), None),
    case("anthropic-unsigned-thinking", "an emptied last turn is []", talk(turn("assistant", thought())), talk(turn("assistant"))),
    case("anthropic-unsigned-thinking", "an emptied turn in between goes, the API refuses it",
         talk(turn("assistant", thought()), ASK), talk(ASK)),
    case("anthropic-unsigned-thinking", "at Amp it is [] everywhere",
         talk(turn("assistant", thought(signature="")), ASK), talk(turn("assistant"), ASK), quirks=frozenset({"amp_signatures"})),
    case("anthropic-unsigned-thinking", "another model signs as it likes", talk(turn("assistant", thought()), ASK), None,
         quirks=frozenset(), model="glm-4.7"),
    case("anthropic-unsigned-thinking", "content as text", talk({"role": "assistant", "content": "thinking"}, ASK), None),
    *(case("anthropic-foreign-thinking", f"{s[:6]} goes", talk(turn("assistant", thought(signature=s), text("a")), ASK),
           talk(turn("assistant", text("a")), ASK)) for s in (GEMINI, GEMINI_OLD, FERNET, CARRIER, "foreign")),
    *(case("anthropic-foreign-thinking", f"{s[:6]} stays", talk(turn("assistant", thought(signature=s), text("a")), ASK), None)
      for s in (OWN, CAIS, "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds")),
    case("anthropic-foreign-thinking", "in the middle of a tool loop the budget goes with it",
         talk(turn("assistant", thought(signature=GEMINI), CALL), turn("user", RESULT), thinking=BUDGET),
         talk(turn("assistant", CALL), turn("user", RESULT))),
    case("anthropic-foreign-thinking", "before a new question the budget stays",
         talk(turn("assistant", thought(signature=GEMINI), text("a")), ASK, thinking=BUDGET),
         talk(turn("assistant", text("a")), ASK, thinking=BUDGET)),
    case("anthropic-foreign-thinking", "Amp's servers decide", talk(turn("assistant", thought(signature=GEMINI), text()), ASK),
         None, quirks=frozenset({"amp_signatures"})),
    case("anthropic-echo-thinking", "a blank for what was dropped", talk(turn("assistant", CALL), turn("user", RESULT)),
         talk(turn("assistant", {"type": "thinking", "thinking": " ", "signature": ""}, CALL), turn("user", RESULT)), quirks=ECHOES, model="kimi-k2.6"),
    case("anthropic-echo-thinking", "it is there", talk(turn("assistant", thought(), CALL), turn("user", RESULT)), None,
         quirks=ECHOES, model="kimi-k2.6"),
    case("anthropic-echo-thinking", "no call, no thinking", talk(turn("assistant", text()), ASK), None, quirks=ECHOES, model="kimi-k2.6"),
    case("anthropic-echo-thinking", "switched off", talk(turn("assistant", CALL), turn("user", RESULT), thinking={"type": "disabled"}), None,
         quirks=ECHOES, model="kimi-k2.6"),
    case("anthropic-tool-signatures", "what Amp was given", talk(turn("assistant", {**CALL, "signature": ""}, text(signature="")), turn("user", RESULT)),
         talk(turn("assistant", CALL, text(signature="")), turn("user", RESULT))),
    case("anthropic-tool-signatures", "Amp's servers take it", talk(turn("assistant", {**CALL, "signature": ""}), turn("user", RESULT)),
         None, quirks=frozenset({"amp_signatures"})),
    case("anthropic-tool-signatures", "others decide", talk(turn("assistant", {**CALL, "signature": ""}), turn("user", RESULT)),
         None, quirks=frozenset(), model="glm-4.7"),
    case("anthropic-max-tokens", "null is none", talk(max_tokens=None), talk(max_tokens=1024)),
    case("anthropic-max-tokens", "the model's own maximum", talk(), talk(max_tokens=64000), models=(ModelInfo(CLAUDE, 64000),)),
    case("anthropic-max-tokens", "1024 where that is not known", talk(), talk(max_tokens=1024)),
    case("anthropic-max-tokens", "never over the client's", talk(max_tokens=1), None, models=(ModelInfo(CLAUDE, 64000),)),
    case("anthropic-max-tokens", "not for an unknown model", talk(), None, model="llama"),
    case("anthropic-forced-tool", "thinking and effort go",
         talk(tool_choice={"type": "any"}, thinking={"type": "enabled", "budget_tokens": 2048}, output_config={"effort": "high"}),
         talk(tool_choice={"type": "any"})),
    case("anthropic-forced-tool", "the rest of output_config stays",
         talk(tool_choice={"type": "tool", "name": "f"}, output_config={"effort": "high", "format": {"type": "json_schema"}}),
         talk(tool_choice={"type": "tool", "name": "f"}, output_config={"format": {"type": "json_schema"}})),
    case("anthropic-forced-tool", "auto forces nothing", talk(tool_choice={"type": "auto"}, thinking={"type": "adaptive"}), None),
    case("anthropic-forced-tool", "disabled is legal", talk(tool_choice={"type": "any"}, thinking={"type": "disabled"}), None),
    case("anthropic-thinking-budget", "below max_tokens", talk(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 4096}),
         talk(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 4095})),
    case("anthropic-thinking-budget", "never under the minimum", talk(max_tokens=1024, thinking={"type": "enabled", "budget_tokens": 2000}), None),
    case("anthropic-thinking-budget", "interleaved budgets are of the turn",
         talk(max_tokens=4096, tools=[{"name": "f"}], thinking={"type": "enabled", "budget_tokens": 9000}), None,
         headers=(("anthropic-beta", "interleaved-thinking-2025-05-14"),)),
    case("anthropic-sampling", "while thinking", talk(thinking={"type": "adaptive"}, temperature=0.2, top_k=5, top_p=0.5),
         talk(thinking={"type": "adaptive"})),
    case("anthropic-sampling", "what thinking allows", talk(thinking={"type": "enabled", "budget_tokens": 2000}, temperature=1, top_p=0.97), 
         talk(thinking={"type": "enabled", "budget_tokens": 2000}, temperature=1)),
    case("anthropic-sampling", "one of both", talk(temperature=0.2, top_p=0.5, top_k=3), talk(temperature=0.2, top_k=3)),
    case("anthropic-sampling", "older models take both", talk(temperature=0.2, top_p=0.5), None, model="claude-3-haiku-20240307"),
    case("anthropic-sampling", "one alone", talk(temperature=0.2), None),
    case("anthropic-sampling", "null is none", talk(temperature=None, top_p=0.5), None),
    case("anthropic-sampling", "another model takes both", talk(temperature=0.2, top_p=0.5), None, quirks=frozenset(), model="glm-4.7"),
    case("anthropic-cache-marks", "messages first, the last of system and tools stay",
         {"system": [text("s1", **MARK), text("s2", **MARK)], "tools": [{"name": "a", **MARK}, {"name": "b", **MARK}],
          "messages": [turn("user", text("1", **MARK), text("2", **MARK))]},
         {"system": [text("s1"), text("s2", **MARK)], "tools": [{"name": "a"}, {"name": "b", **MARK}],
          "messages": [turn("user", text("1", **MARK), text("2", **MARK))]}),
    case("anthropic-cache-marks", "the earliest messages, tool results included",
         talk(turn("user", {"type": "tool_result", "tool_use_id": "t", "content": [text("r", **MARK)]}),
              *(turn("user", text(str(i), **MARK)) for i in range(4))),
         talk(turn("user", {"type": "tool_result", "tool_use_id": "t", "content": [text("r")]}),
              *(turn("user", text(str(i), **MARK)) for i in range(4)))),
    case("anthropic-cache-marks", "the automatic one counts",
         talk(*(turn("user", text(str(i), **MARK)) for i in range(4)), **MARK),
         talk(turn("user", text("0")), *(turn("user", text(str(i), **MARK)) for i in range(1, 4)), **MARK)),
    case("anthropic-cache-marks", "four are enough", talk(*(turn("user", text(str(i), **MARK)) for i in range(4))), None),
    case("anthropic-cache-ttl", "system comes after tools",
         {"system": [text("s", **HOUR)], "tools": [{"name": "a", **MARK}], "messages": [ASK]},
         {"system": [text("s", **MARK)], "tools": [{"name": "a", **MARK}], "messages": [ASK]}),
    case("anthropic-cache-ttl", "longest first is right", {"tools": [{"name": "a", **HOUR}], "system": [text("s", **MARK)], "messages": [ASK]}, None),
    case("anthropic-empty-domains", "of web search",
         talk(tools=[{"type": "web_search_20250305", "name": "web_search", "allowed_domains": [], "blocked_domains": ["x.y"]}]),
         talk(tools=[{"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["x.y"]}])),
    case("anthropic-empty-domains", "of the client's own tools", talk(tools=[{"name": "f", "allowed_domains": []}]), None),
    case("anthropic-betas-header", "merged", talk(betas=["b-1", "a-1"]), talk(), headers=(("Anthropic-Beta", "a-1"),),
         added=(("anthropic-beta", "a-1,b-1"),)),
    case("anthropic-betas-header", "new", talk(betas=["b-1"]), talk(), added=(("anthropic-beta", "b-1"),)),
    case("anthropic-betas-header", "no list of texts", talk(betas="b-1"), None),
    case("anthropic-count-tokens", "extra inputs", talk(metadata={}, context_management={}, diagnostics={}, max_tokens=5), talk(),
         operation=Operation.COUNT_TOKENS, path="/v1/messages/count_tokens"),
    case("anthropic-count-tokens", "elsewhere they may be known", talk(metadata={}), None, operation=Operation.COUNT_TOKENS,
         quirks=frozenset()),
    case("anthropic-count-tokens", "an answer wants them", talk(metadata={}), None),
    case("minimax-output-config", "refused there", talk(output_config={"effort": "low"}), talk(), quirks=frozenset({"drop_output_config"})),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_wire(case: Case) -> None:
    case.check()


def test_the_oauth_beta_goes_with_an_oauth_token_only() -> None:
    bearer = case(
        "anthropic-oauth-beta",
        "",
        talk(),
        None,
        quirks=frozenset({"oauth_beta"}),
        headers=(("anthropic-beta", "a"),),
    )
    out = bearer.prepared()
    assert ("anthropic-beta", "a,oauth-2025-04-20") in out.headers
    assert out.fired == ["anthropic-oauth-beta"] or out.fired == ["anthropic-oauth-beta", "model-name"]


@pytest.mark.parametrize("case", [c.again() for c in CASES if c.after is not None], ids=str)
def test_a_second_time_changes_nothing(case: Case) -> None:
    case.check()
