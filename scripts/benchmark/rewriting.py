"""What rewriting costs: a request of one megabyte, and the events of a stream, by what happens to them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from rich.table import Table

from router_core.exchange import Attempt, ClientInfo, Exchange, Request, Surface
from router_core.formats import PATHS, Format, Operation
from router_core.json_document import parse, serialise
from router_core.prepare import prepare
from router_core.providers.model import Endpoint, Provider
from router_core.respond import Responder
from router_core.rewrite import catalogue
from router_core.rewrite.rules import Rules

RULES: Final = Rules(catalogue.BUILT_IN)
NONE: Final = Rules()
CODE: Final = 'def f(x):\n\treturn "a" + x  # grün\n' * 110
EVENTS: Final = 5000


def conversation(turns: int = 280, *, unsigned: tuple[int, ...] = ()) -> dict[str, Any]:
    """A prompt of about 100,000 tokens, as an agent sends it; `unsigned` are turns that begin with thinking which
    Claude refuses."""
    messages: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[i % 2], "content": [{"type": "text", "text": CODE}]}
        for i in range(turns)
    ]
    for turn in unsigned:
        messages[turn]["content"].insert(0, {"type": "thinking", "thinking": "hm", "signature": ""})
    schema = {"type": "object", "properties": {"path": {"type": "string", "description": "where"}}}
    tools = [{"name": f"tool{i}", "description": "d" * 400, "input_schema": schema} for i in range(60)]
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32000,
        "stream": True,
        "tools": tools,
        "messages": messages,
    }


def compact(body: dict[str, Any]) -> bytes:
    """As the official SDKs write."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def exchange(body: bytes, *, read: bool = True) -> Exchange:
    surface = Surface(Format.ANTHROPIC, Operation.GENERATE, None, None, False, "gateway")
    request = Request("POST", "/v1/messages", [("content-type", "application/json")], body)
    document = parse(body) if read else None
    return Exchange("x", surface, ClientInfo("127.0.0.1"), request, document, "claude-sonnet-4-5", True)


def attempt(model: str) -> Attempt:
    endpoint = Endpoint(Format.ANTHROPIC, "https://api.anthropic.com", "", tuple(PATHS[Format.ANTHROPIC]))
    provider = Provider("anthropic", "Anthropic", (), (endpoint,), (), (), quirks=frozenset({"claude_api"}))
    return Attempt(1, provider, endpoint, model, "c")


PASSED: Final = "no rule can apply (pass-through)"
BOTH: Final = "one parse and one serialisation"


def requests(rounds: int = 15) -> dict[str, tuple[float, float, float]]:
    """Row to (milliseconds a request, times the pass-through, times one parse and one serialisation).

    All but the pass-through begin with the client's bytes. Each row in turn, so that all meet the same machine.
    """
    same, other = attempt("claude-sonnet-4-5"), attempt("claude-sonnet-4-6")
    plain = compact(conversation())
    first, middle, last = (compact(conversation(unsigned=(turn,))) for turn in (1, 141, 279))
    many = compact(conversation(unsigned=tuple(range(1, 280, 20))))
    # As Python's json writes by itself: spaces behind commas and colons, and everything but ASCII escaped.
    spaced = json.dumps(conversation(unsigned=(279,))).encode()
    rows: dict[str, Callable[[], object]] = {
        PASSED: lambda: prepare(exchange(plain, read=False), same, NONE),
        BOTH: lambda: serialise(parse(plain)),
        "rules asked, none fires": lambda: prepare(exchange(plain), same, RULES),
        "the model renamed": lambda: prepare(exchange(plain), other, RULES),
        "thinking dropped at the beginning": lambda: prepare(exchange(first), same, RULES),
        "thinking dropped in the middle": lambda: prepare(exchange(middle), same, RULES),
        "thinking dropped at the end": lambda: prepare(exchange(last), same, RULES),
        "thinking dropped at the end, of spaced JSON": lambda: prepare(exchange(spaced), same, RULES),
        "thinking dropped of fourteen turns": lambda: prepare(exchange(many), same, RULES),
    }
    times: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(rounds):
        for row, run in rows.items():
            times[row].append(timed(run))
    medians = {row: statistics.median(values) * 1000 for row, values in times.items()}
    return {
        row: (median, median / medians[PASSED], median / medians[BOTH]) for row, median in medians.items()
    }


DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello world"}}\n\n'
START: Final = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-6","content":[]}}\n\n'


def events(rounds: int = 5) -> dict[str, float]:
    """Row to microseconds an event."""
    rows = {
        "no rule can apply": ("claude-sonnet-4-5", "", DELTA),
        "a rule looks and leaves it alone": ("claude-sonnet-4-6", "", DELTA),
        "all rules of Amp look": ("claude-sonnet-4-6", "amp", DELTA),
        "the model renamed": ("claude-sonnet-4-6", "", START),
    }
    times: dict[str, list[float]] = {row: [] for row in rows}
    body = b'{"model":"claude-sonnet-4-5","max_tokens":5,"stream":true,"messages":[]}'
    for _ in range(rounds):
        for row, (model, tool, piece) in rows.items():
            x, tried = exchange(body), attempt(model)
            x.client.tool = tool
            prepare(x, tried, RULES)
            responder = Responder(x, tried, RULES, 200, [("content-type", "text/event-stream")])
            times[row].append(timed(lambda: [responder.feed(piece) for _ in range(EVENTS)]) / EVENTS)  # noqa: B023
    return {row: statistics.median(values) * 1e6 for row, values in times.items()}


def timed(run: Callable[[], object]) -> float:
    # Of this process alone: what else the machine does is no cost of rewriting.
    start = time.process_time()
    run()
    return time.process_time() - start


def table(requests: dict[str, tuple[float, float, float]], events: dict[str, float]) -> Table:
    shown = Table(title="rewriting: a request of 1 MB, and an event")
    for heading in ("", "time", "times the pass-through", "times one parse and one serialisation"):
        shown.add_column(heading, justify="right" if heading else "left")
    for row, (milliseconds, times, share) in requests.items():
        shown.add_row(row, f"{milliseconds:,.3f} ms", f"{times:,.0f}", f"{share:.2f}")
    for row, microseconds in events.items():
        shown.add_row(f"event: {row}", f"{microseconds:,.2f} us")
    return shown
