"""The scenes of the demo: each does one thing and looks at what client and provider saw of it."""

from __future__ import annotations

import asyncio
import difflib
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from detour.demo.stage import ACCOUNTS, CLIENT_KEY, Stage
from detour.fakes import Fault
from detour.fakes.record import SeenRequest

HOST = "api.anthropic.com"
URL = f"https://{HOST}/v1/messages"
HEADERS = {"x-api-key": CLIENT_KEY, "anthropic-version": "2023-06-01"}
MODEL = "claude-sonnet-4-5-20250929"

# An ordinary program: Python's own HTTP client, which looks at HTTPS_PROXY and SSL_CERT_FILE and knows no Detour.
_PROGRAM = """
import sys, urllib.request
url, key, body = sys.argv[1:]
headers = {"content-type": "application/json", "x-api-key": key, "anthropic-version": "2023-06-01"}
request = urllib.request.Request(url, body.encode(), headers)
with urllib.request.urlopen(request, timeout=15) as answer:
    sys.stdout.buffer.write(answer.read())
"""


class Failed(Exception):
    """The scene did not go as it should; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Scene:
    title: str
    proves: str
    play: Callable[[Stage, Console], Awaitable[None]]


async def intercept(stage: Stage, console: Console) -> None:
    environment = {"HTTPS_PROXY": f"http://{stage.proxy}", "SSL_CERT_FILE": str(stage.ca_file)}
    tell(
        console,
        f"$ HTTPS_PROXY=http://{stage.proxy} SSL_CERT_FILE=.../{stage.ca_file.name} python program.py {URL}",
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _PROGRAM, URL, CLIENT_KEY, json.dumps(body())),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    expect(process.returncode == 0, f"the program failed: {errors.decode(errors='replace').strip()[-300:]}")
    text = json.loads(output)["content"][0]["text"]
    tell(console, f"It asked {HOST} and got: {text!r}")
    expect(text == stage.anthropic.text, "this is not what the fake provider says")
    expect(len(stage.anthropic.record.requests) == 1, "the fake provider saw no request")


async def swap(stage: Stage, console: Console) -> None:
    seen = last(stage)
    tell(console, f"the program sent      x-api-key: {CLIENT_KEY}")
    tell(console, f"the provider received x-api-key: {seen.header('x-api-key')}")
    expect(seen.key == stage.key(ACCOUNTS[0]), "the provider did not get the configured credential")
    expect(CLIENT_KEY not in repr(seen.headers), "the client's own key went along")


async def stream(stage: Stage, console: Console) -> None:
    """The provider writes a word only after the client has had the one before, so nothing can be kept back."""
    stage.anthropic.script.add(Fault.gates("word"), times=1)
    written: list[float] = []

    def write_next() -> None:
        written.append(time.monotonic())
        stage.anthropic.open(f"word-{len(written) - 1}")

    words = []
    async with (
        stage.client() as client,
        client.stream("POST", URL, headers=HEADERS, json=body(stream=True)) as answer,
    ):
        expect(answer.status_code == 200, f"the answer is {answer.status_code}")
        write_next()
        async for line in answer.aiter_lines():
            if not line.startswith("data: ") or '"text_delta"' not in line:
                continue
            words.append(json.loads(line[6:])["delta"]["text"])
            took = (time.monotonic() - written[-1]) * 1000
            at = (written[-1] - written[0]) * 1000
            tell(
                console,
                f"{at:6.0f} ms  the provider writes {words[-1]!r:12} the client has it {took:5.1f} ms later",
            )
            await asyncio.sleep(0.05)
            write_next()
    expect("".join(words) == stage.anthropic.text, f"the client got {''.join(words)!r}")


async def failover(stage: Stage, console: Console) -> None:
    await fail_over(stage, console, Fault.status(429, [("retry-after", "30")]), "429 rate_limit_error", 0)


async def failover_in_stream(stage: Stage, console: Console) -> None:
    what = "200, message_start, ping, then an overloaded_error"
    await fail_over(stage, console, Fault.sse_error_before_content(pings=1), what, 1)


async def fail_over(stage: Stage, console: Console, fault: Fault, what: str, account: int) -> None:
    first, second = ACCOUNTS[account : account + 2]
    stage.anthropic.script.add(fault, key=stage.key(first))
    before = len(stage.anthropic.record.requests)
    async with stage.client() as client:
        answer = await client.post(URL, headers=HEADERS, json=body(stream=True))
    for seen in list(stage.anthropic.record.requests)[before:]:
        name = next((a for a in ACCOUNTS if stage.key(a) == seen.key), "nobody")
        tell(
            console,
            f"the provider, asked by {name:13}: {what if seen.key == stage.key(first) else '200, the whole answer'}",
        )
    tell(
        console, f"the client: {answer.status_code}, {answer.text.count('event: ')} events, one message_start"
    )
    keys = [r.key for r in list(stage.anthropic.record.requests)[before:]]
    expect(keys == [stage.key(first), stage.key(second)], f"the provider was asked by {keys}")
    expect(answer.status_code == 200, f"the client saw {answer.status_code}")
    expect(answer.text.count("event: message_start") == 1, "the client saw two beginnings")
    expect("error" not in answer.text and "message_stop" in answer.text, "the client saw the failure")


async def rewrite(stage: Stage, console: Console) -> None:
    sent = {
        "model": "fast",
        "messages": [{"role": "user", "content": "Say hello."}],
        "reasoning_effort": "high",
        "metadata": {"team": "blue"},
    }
    url = f"http://{stage.gateway}/v1/chat/completions"
    headers = {"authorization": f"Bearer {CLIENT_KEY}"}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, headers=headers, json=sent)
    tell(console, f"POST {url}")
    expect(answer.status_code == 200, f"the answer is {answer.status_code}: {answer.text[:200]}")
    seen = stage.openai.record.requests[-1]
    show_diff(console, sent, seen.document)
    expected = {"model": "gpt-5-mini", "messages": sent["messages"], "reasoning_effort": "low"}
    expect(seen.document == {**expected, "max_completion_tokens": 256}, "this is not what the rule says")
    expect(seen.key == stage.key("openai-account"), "the provider did not get the configured credential")
    expect(answer.json()["choices"][0]["message"]["content"] == stage.openai.text, "the answer is another's")


async def tunnel(stage: Stage, console: Console) -> None:
    own = await issuer(
        stage, f"localhost:{stage.origin.port}", "example.test", stage.origin_ca.client_context()
    )
    ours = await issuer(stage, f"{HOST}:443", HOST, ssl.create_default_context(cafile=str(stage.ca_file)))
    tell(console, f"example.test      shows a certificate of {own!r}")
    tell(console, f"{HOST} shows a certificate of {ours!r}")
    expect(own == "An authority that Detour has never seen", "the tunnel was opened")
    expect(ours != own, "the provider's host was not decrypted")


SCENES = (
    Scene(
        "A program behind HTTPS_PROXY is intercepted, trusting Detour's certificate",
        "its request for Anthropic's host reached the provider that Detour is configured with",
        intercept,
    ),
    Scene("The credential is swapped", "the provider saw your account's key, and never the tool's", swap),
    Scene(
        "Answers stream as they happen", "every word was with the client before the next was written", stream
    ),
    Scene("A failover that the client does not see", "one clean answer, from the second account", failover),
    Scene(
        "A failover inside a stream that has begun",
        "what came before the error was held back; one clean answer, from the third account",
        failover_in_stream,
    ),
    Scene(
        "The gateway for base URLs, and what is rewritten", "nothing but what is shown was changed", rewrite
    ),
    Scene(
        "A host that is no provider's stays untouched", "its own certificate came through the tunnel", tunnel
    ),
)


def tell(console: Console, line: str) -> None:
    console.print(f"   {line}", markup=False, soft_wrap=True)


def expect(condition: bool, problem: str) -> None:
    if not condition:
        raise Failed(problem)


def body(*, stream: bool = False) -> dict[str, Any]:
    fields = {"stream": True} if stream else {}
    return {
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Say hello."}],
        **fields,
    }


def last(stage: Stage) -> SeenRequest:
    if not stage.anthropic.record.requests:
        raise Failed("the fake provider saw no request")
    return stage.anthropic.record.requests[-1]


def show_diff(console: Console, before: Any, after: Any) -> None:
    """Two documents as a coloured line diff."""
    old, new = (json.dumps(d, indent=2).splitlines() for d in (before, after))
    styles = {"+": "green", "-": "red"}
    for line in difflib.ndiff(old, new):
        if not line.startswith("?"):
            console.print(Text(f"   {line}", style=styles.get(line[0], "dim")), soft_wrap=True)


async def issuer(stage: Stage, target: str, sni: str, tls: ssl.SSLContext) -> str:
    """Whose certificate a client sees that goes through the proxy to `target`; fails unless `tls` trusts it."""
    host, _, port = stage.proxy.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        expect(b" 200 " in head.splitlines()[0], f"CONNECT was answered {head!r}")
        await writer.start_tls(tls, server_hostname=sni)
        certificate = writer.get_extra_info("peercert")
        return next(value for part in certificate["issuer"] for name, value in part if name == "commonName")
    finally:
        writer.close()
