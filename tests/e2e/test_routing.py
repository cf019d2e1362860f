"""Routing under trouble: limits, flapping upstreams, expiring tokens, reloads, and two Detours on one Redis."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import Call
from detour.fakes.steps import Reply, Step
from tests.e2e.conftest import Start
from tests.e2e.instance import ROOT, TIMEOUT, Detour, base_config
from tests.e2e.routes import TokenEndpoint, anthropic, ask, credential, eventually, limited, rewrite, used
from tests.upstream import FakeThread

REDIS = shutil.which("redis-server") or shutil.which("valkey-server")


# Long enough for a busy machine; nothing here waits for them.
CALM = {"connect_timeout": "30s", "first_byte_timeout": "60s", "idle_timeout": "60s"}


def calm(ca_bundle: Path) -> dict[str, Any]:
    config = base_config(ca_bundle)
    config["upstream"] |= CALM
    return config


@pytest.fixture
def start(start: Start) -> Start:
    def begin(env: dict[str, str] | None = None, **changes: Any) -> Detour:
        return start(env, **{**changes, "upstream": CALM})

    return begin


@pytest.fixture
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start()


def test_a_storm_of_limits_is_not_seen_by_clients(start: Start, fake: FakeUpstream) -> None:
    names = [f"c{i}" for i in range(6)]
    for name in names[:5]:
        fake.script.add(limited(300), key=f"secret-{name}")
    detour = start(providers=anthropic(fake), credentials=[credential(n) for n in names])
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: ask(detour, f"question {i}"), range(60)))
    assert Counter(a.status_code for a in answers) == {200: 60}
    asked = Counter(used(fake))
    # Those that refuse are asked a few times by requests that began together, and then left alone.
    assert asked["c5"] == 60
    assert sum(asked[n] for n in names[:5]) <= 5 * 16


def test_when_all_are_limited_the_wait_is_named_and_nobody_is_asked(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(300), key="secret-a")
    fake.script.add(limited(120), key="secret-b")
    detour = start(providers=anthropic(fake), credentials=[credential("a"), credential("b")])
    first = ask(detour)
    # The upstream's own answer, the one that ends sooner.
    assert (first.status_code, first.headers["retry-after"]) == (429, "120")
    second = ask(detour)
    assert (second.status_code, second.headers["x-detour-error"]) == (429, "all_cooling")
    assert 110 <= int(second.headers["retry-after"]) <= 125
    assert second.json()["error"]["type"] == "rate_limit_error"
    assert used(fake) == ["a", "b"]


def test_a_short_limit_is_waited_for(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(1), key="secret-a", times=1)
    detour = start(providers=anthropic(fake), credentials=[credential("a")], routing={"max_wait": "10s"})
    answer = ask(detour)
    assert answer.status_code == 200
    assert used(fake) == ["a", "a"]


def test_traffic_returns_when_a_limit_ends(start: Start, fake: FakeUpstream) -> None:
    fake.script.add(limited(1), key="secret-first", times=1)
    detour = start(
        providers=anthropic(fake), credentials=[credential("first", priority=1), credential("second")]
    )
    assert [ask(detour, f"q{i}").status_code for i in range(3)] == [200] * 3
    assert used(fake) == ["first", "second", "second", "second"]
    eventually(lambda: ask(detour, str(time.time())).status_code == 200 and used(fake)[-1] == "first")


def test_a_flapping_upstream_is_smoothed(start: Start, fake: FakeUpstream) -> None:
    for number in range(1, 40, 2):
        fake.script.add(Fault.status(503), key="secret-flaps", number=number)
    detour = start(providers=anthropic(fake), credentials=[credential("flaps"), credential("steady")])
    assert {ask(detour, f"q{i}").status_code for i in range(40)} == {200}
    # One failure, and it is left alone for a minute.
    assert used(fake).count("flaps") <= 3


def test_turns_are_taken_and_a_named_conversation_stays(start: Start, fake: FakeUpstream) -> None:
    detour = start(providers=anthropic(fake), credentials=[credential(n) for n in "abc"])
    for _ in range(2):
        for _ in "abc":
            assert ask(detour).status_code == 200
    assert used(fake) == list("abcabc")
    for _ in range(4):
        ask(detour, **{"x-claude-code-session-id": "s-1"})
    assert len(set(used(fake)[6:])) == 1


def test_a_conversation_that_moves_leaves_its_signatures(start: Start, fake: FakeUpstream) -> None:
    detour = start(providers=anthropic(fake), credentials=[credential("a"), credential("b")])
    session = {"x-claude-code-session-id": "s-1"}
    assert ask(detour, **session).status_code == 200
    owner = used(fake)[0]
    fake.script.add(limited(300), key=f"secret-{owner}")
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64,
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "EqoBCkgIARABGAIiQLx2dGVzdA=="},
                    {"type": "text", "text": "hi"},
                ],
            },
            {"role": "user", "content": "and?"},
        ],
    }
    headers = {"anthropic-version": "2023-06-01", **session}
    answer = httpx.post(
        f"{detour.gateway_url}/v1/messages", json=body, headers=headers, timeout=TIMEOUT, trust_env=False
    )
    assert answer.status_code == 200
    stayed, moved = (json.loads(r.body) for r in tuple(fake.record.requests)[1:])
    assert stayed["messages"][1]["content"][0]["signature"] == "EqoBCkgIARABGAIiQLx2dGVzdA=="
    assert moved["messages"][1]["content"] == [{"type": "text", "text": "hi"}]


# -- tokens


def oauth(tokens: TokenEndpoint, path: Path) -> dict[str, Any]:
    path.write_text(json.dumps({"refresh_token": "refresh-0"}))
    path.chmod(0o600)
    return {
        "id": "mine",
        "provider": "anthropic",
        "oauth": {"token_url": tokens.url, "token_file": str(path)},
    }


def test_a_token_is_fetched_once_and_refreshed_when_it_is_refused(
    start: Start, fake: FakeUpstream, tokens: TokenEndpoint, tmp_path: Path
) -> None:
    path = tmp_path / "token.json"
    detour = start(providers=anthropic(fake), credentials=[oauth(tokens, path)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(detour, f"q{i}").status_code, range(16)))
    assert answers == [200] * 16
    assert len(tokens.asked) == 1
    assert set(used(fake)) == {"access-1"}
    assert json.loads(path.read_text())["refresh_token"] == "refresh-1"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_refresh_endpoint_that_fails_is_left_alone_and_others_serve(
    start: Start, fake: FakeUpstream, tokens: TokenEndpoint, tmp_path: Path
) -> None:
    tokens.failing = True
    known = [{**oauth(tokens, tmp_path / "token.json"), "priority": 9}, credential("spare")]
    detour = start(providers=anthropic(fake), credentials=known)
    assert {ask(detour, f"q{i}").status_code for i in range(20)} == {200}
    assert set(used(fake)) == {"spare"}
    assert len(tokens.asked) <= 2


def test_a_token_that_ends_soon_is_renewed_ahead_of_time(
    start: Start, fake: FakeUpstream, tokens: TokenEndpoint, tmp_path: Path
) -> None:
    tokens.expires_in = 6
    detour = start(providers=anthropic(fake), credentials=[oauth(tokens, tmp_path / "token.json")])
    assert ask(detour).status_code == 200
    tokens.expires_in = 3600
    eventually(lambda: len(tokens.asked) == 2)
    assert tokens.asked[1]["refresh_token"] == "refresh-1"
    eventually(lambda: ask(detour, str(time.time())).status_code == 200 and used(fake)[-1] == "access-2")


def test_a_key_file_is_read_again_when_it_changes(start: Start, fake: FakeUpstream, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("secret-old")
    path.chmod(0o600)
    fake.script.add(Fault.status(401), key="secret-old")
    detour = start(providers=anthropic(fake), credentials=[credential("a", api_key=f"file:{path}")])
    assert ask(detour).status_code == 401
    path.write_text("secret-new")
    eventually(lambda: ask(detour, str(time.time())).status_code == 200)
    assert used(fake)[-1] == "new"


# -- reload


def test_a_reload_under_open_streams_drops_none(start: Start, fake: FakeUpstream) -> None:
    streams = 200
    fake.script.add(Fault.gate("hold"))
    detour = start(
        providers=anthropic(fake),
        credentials=[credential("a"), credential("b")],
    )
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64,
        "stream": True,
        "messages": [{"role": "user", "content": "hello"}],
    }
    begun, ended = [], []

    def stream(number: int) -> None:
        with httpx.stream(
            "POST", f"{detour.gateway_url}/v1/messages", json=body, timeout=60, trust_env=False
        ) as answer:
            text = ""
            for piece in answer.iter_text():
                if not text:
                    begun.append(number)
                text += piece
            ended.append(text)

    with ThreadPoolExecutor(streams) as pool:
        running = [pool.submit(stream, i) for i in range(streams)]
        eventually(lambda: len(begun) == streams, within=60)
        # "a" goes while it has a hundred streams under way.
        config = json.loads(detour.config.read_text())
        rewrite(detour, credentials=[c for c in config["credentials"] if c["id"] == "b"])
        eventually(lambda: "read again" in detour.log.read_text())
        assert ended == []
        fake.open("hold")
        for each in running:
            each.result(60)
    assert len(ended) == streams
    assert all("message_stop" in text for text in ended)
    before = len(used(fake))
    assert {ask(detour, f"q{i}").status_code for i in range(4)} == {200}
    assert set(used(fake)[before:]) == {"b"}


def test_an_invalid_change_is_reported_and_changes_nothing(start: Start, fake: FakeUpstream) -> None:
    detour = start(providers=anthropic(fake), credentials=[credential("a")])
    good = detour.config.read_text()
    detour.config.write_text(good.replace('"credentials"', '"credentails"'))
    eventually(lambda: "the one in force stays" in detour.log.read_text())
    assert str(detour.config) + ":" in detour.log.read_text()
    assert ask(detour).status_code == 200


def test_a_limit_outlives_the_process(start: Start, fake: FakeUpstream, tmp_path: Path) -> None:
    fake.script.add(limited(600), key="secret-a")
    known = [credential("a", priority=1), credential("b")]
    detour = start(providers=anthropic(fake), credentials=known)
    ask(detour)
    detour.__exit__()
    again = start(providers=anthropic(fake), credentials=known)
    assert ask(again).status_code == 200
    assert used(fake) == ["a", "b", "b"]


def test_a_subscription_first_then_back(start: Start, fakes: FakeThread, tmp_path: Path) -> None:
    """The recipe of docs/routing.md, word by word."""
    page = (ROOT / "docs" / "routing.md").read_text().partition("## Subscription first, then back")[2]
    recipe = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    subscription, paid = fakes.start("subscription"), fakes.start("paid")
    login = {"claudeAiOauth": {"accessToken": "secret-plan", "expiresAt": int(time.time() + 3600) * 1000}}
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text(json.dumps(login))
    resets: list[int] = []

    def used_up(call: Call, reply: Reply) -> list[Step]:
        """The plan's window as Claude Code meets it: no Retry-After, but when it begins anew."""
        resets.append(int(time.time()) + 8)
        windows = [
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-reset", str(resets[-1])),
        ]
        return Fault.status(429, windows).build(call, reply)

    subscription.script.add(Fault("used-up", used_up), key="secret-plan", number=2)
    detour = start(
        {"OPENROUTER_API_KEY": "secret-paid"},
        providers={
            "anthropic": {"base_url": subscription.base_url("anthropic")},
            "openrouter": {"base_url": paid.base_url("openai-chat")},
        },
        **recipe,
    )
    models = ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-haiku-4-5"]
    assert [ask(detour, f"q{i}", model).status_code for i, model in enumerate(models)] == [200] * 3
    assert used(subscription) == ["plan", "plan"]
    asked = [r.document["model"] for r in tuple(paid.record.requests)]
    assert asked == ["anthropic/claude-sonnet-4.5", "anthropic/claude-haiku-4.5"]
    status = detour.credentials()["claude-max"]
    assert (status["state"], status["until"] - resets[0] < 3) == ("cooling", True)
    # It returns by itself.
    eventually(lambda: ask(detour, str(time.time())).status_code == 200 and len(used(subscription)) > 2, 20)
    assert detour.credentials()["claude-max"]["state"] == "ready"


# -- two Detours on one token file


def test_two_detours_with_one_token_file_never_use_a_refresh_token_twice(
    fake: FakeUpstream, tokens: TokenEndpoint, ca_bundle: Path, tmp_path: Path
) -> None:
    tokens.expires_in = 6
    config = calm(ca_bundle) | {
        "providers": anthropic(fake),
        "credentials": [oauth(tokens, tmp_path / "token.json")],
    }
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Detour(config, tmp_path / "one") as one, Detour(config, tmp_path / "two") as two:
        # Each token has to be renewed three seconds after it came, by one of them.
        end = time.monotonic() + 10
        with ThreadPoolExecutor(4) as pool:
            while time.monotonic() < end and len(tokens.asked) < 4:
                asked = [pool.submit(ask, each, str(time.time())) for each in (one, two, one, two)]
                assert {each.result().status_code for each in asked} == {200}
    spent = [asked["refresh_token"] for asked in tokens.asked]
    assert len(spent) > 1
    assert spent == [f"refresh-{number}" for number in range(len(spent))]


# -- two Detours on one Redis


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    if REDIS is None:
        pytest.skip("no redis-server is installed")
    folder = tmp_path_factory.mktemp("r")
    socket = folder / "redis.sock"
    options = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    process = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(socket.exists)
    yield f"unix://{socket}", process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


@pytest.fixture
def redis(redis_server: tuple[str, subprocess.Popen[bytes]]) -> str:
    return redis_server[0]


@pytest.mark.redis
def test_one_cooldown_is_seen_by_both(
    redis: str, fake: FakeUpstream, ca_bundle: Path, tmp_path: Path
) -> None:
    config = calm(ca_bundle) | {
        "state": redis,
        "providers": anthropic(fake),
        "credentials": [credential("a", priority=1), credential("b")],
    }
    fake.script.add(limited(600), key="secret-a")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Detour(config, tmp_path / "one") as one, Detour(config, tmp_path / "two") as two:
        assert ask(one).status_code == 200
        eventually(lambda: [m["state"] for m in two.credentials()["a"]["models"]] == ["cooling"])
        assert ask(two).status_code == 200
    assert used(fake) == ["a", "b", "b"]


@pytest.mark.redis
def test_a_frozen_redis_under_load_is_not_noticed(
    redis_server: tuple[str, subprocess.Popen[bytes]], fake: FakeUpstream, ca_bundle: Path, tmp_path: Path
) -> None:
    url, process = redis_server
    config = calm(ca_bundle) | {
        "state": url,
        "providers": anthropic(fake),
        # A shared limit, since that is asked for on the way of each request.
        "credentials": [credential("a", priority=1, concurrency=50), credential("b", concurrency=50)],
    }
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Detour(config, tmp_path / "one") as one, Detour(config, tmp_path / "two") as two:
        with ThreadPoolExecutor(8) as pool:

            def load(requests: int) -> set[int]:
                asked = [pool.submit(ask, (one, two)[i % 2], f"q{i}") for i in range(requests)]
                return {each.result().status_code for each in asked}

            assert load(16) == {200}
            process.send_signal(signal.SIGSTOP)
            assert load(80) == {200}
            # What is learned meanwhile holds here, and there as soon as Redis is back.
            fake.script.add(limited(600), key="secret-a")
            assert load(20) == {200}
            assert one.credentials()["a"]["models"][0]["state"] == "cooling"
            eventually(lambda: "does not answer" in one.log.read_text())
            process.send_signal(signal.SIGCONT)
            eventually(lambda: one.log.read_text().count("is shared through Redis") == 2, within=20)
            assert load(16) == {200}
        process.kill()
        assert ask(one).status_code == ask(two).status_code == 200
