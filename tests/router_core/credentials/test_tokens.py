"""OAuth tokens: refreshed ahead of time, once at a time, and written back."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from router_core.config.schema import OAuth
from router_core.credentials import files
from router_core.credentials.model import CredentialError
from router_core.credentials.refresh_tokens import RefreshTokens, Shared
from router_core.credentials.token_files import parse
from router_core.credentials.token_source import TokenSource
from router_core.state.store import Alone
from tests.router_core.conftest import NOW, Clock
from tests.router_core.credentials.token_server import TokenServer, fetched, now

HOUR = 3600.0


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
    return f"h.{payload}.s"


@pytest.fixture
def server() -> TokenServer:
    return TokenServer()


def configured(server: TokenServer, clock: Clock, path: Path | None = None, **oauth: Any) -> TokenSource:
    values = {"token_url": server.url, "client_id": "me", "refresh_token": "first-refresh", **oauth}
    return TokenSource(
        "cred",
        path,
        client=server.make,
        tokens=RefreshTokens(),
        oauth=OAuth.model_validate(values),
        wall=clock,
    )


def of_file(server: TokenServer, clock: Clock, path: Path) -> TokenSource:
    return TokenSource("cred", path, client=server.make, tokens=RefreshTokens(), wall=clock)


def write(path: Path, document: Any) -> Path:
    path.write_bytes(orjson.dumps(document))
    return path


# -- the refresh itself


@pytest.mark.parametrize("encoding", ["form", "json"])
async def test_a_refresh_is_as_the_standard_says(server: TokenServer, clock: Clock, encoding: str) -> None:
    source = configured(server, clock, encoding=encoding, scope="a b", client_secret="shh")
    token = await source.token()
    assert (token.secret, token.oauth, token.expires_at) == ("access-1", True, NOW + HOUR)
    assert server.asked == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "first-refresh",
            "client_id": "me",
            "client_secret": "shh",
            "scope": "a b",
        }
    ]
    assert str(server.requests[0].url) == server.url


async def test_a_rotated_refresh_token_is_used_next_and_kept(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "cred.json"
    source = configured(server, clock, path)
    await source.token()
    kept = orjson.loads(path.read_bytes())
    # Of the configured one only a fingerprint.
    assert len(kept.pop("replaced")) == 12
    assert kept == {"access_token": "access-1", "refresh_token": "refresh-1", "expires_at": int(NOW + HOUR)}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    clock.now += HOUR
    await source.token()
    assert server.asked[1]["refresh_token"] == "refresh-1"
    # The next process goes on with what was kept.
    again = configured(server, clock, path)
    assert now(again).secret == "access-2"
    clock.now += HOUR
    await again.token()
    assert server.asked[2]["refresh_token"] == "refresh-2"


async def test_without_a_new_refresh_token_the_old_one_stays(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    server.answers = [(200, {"access_token": "x", "expires_in": 60})]
    path = tmp_path / "cred.json"
    source = configured(server, clock, path)
    await source.token()
    assert orjson.loads(path.read_bytes())["refresh_token"] == "first-refresh"


async def test_a_kept_refresh_token_that_is_refused_gives_way_to_the_configured_one(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "cred.json", {"access_token": "old", "refresh_token": "stale", "expires_at": NOW - 1}
    )
    server.answers = [(400, {"error": "invalid_grant"})]
    source = configured(server, clock, path)
    assert (await source.token()).secret == "access-2"
    assert [a["refresh_token"] for a in server.asked] == ["stale", "first-refresh"]


@pytest.mark.parametrize(
    ("body", "expires"),
    [
        ({"access_token": "t", "expires_in": "120"}, NOW + 120),
        ({"access_token": jwt(exp=NOW + 90)}, NOW + 90),
        ({"access_token": "t"}, NOW + HOUR),
        ({"access_token": "t", "expires_in": -5}, NOW + HOUR),
    ],
)
async def test_how_long_a_token_lives(server: TokenServer, clock: Clock, body: Any, expires: float) -> None:
    server.answers = [(200, body)]
    assert (await configured(server, clock).token()).expires_at == expires


@pytest.mark.parametrize(
    ("answer", "words", "permanent"),
    [
        ((400, {"error": "invalid_grant", "error_description": "refresh-secret"}), "refused (invalid_grant); log in again", True),
        ((401, {"error": {"code": "refresh_token_reused", "message": "x"}}), "refused (refresh_token_reused)", True),
        ((500, b"<html>"), "answered 500", False),
        ((429, {"error": "slow_down"}), "answered 429 slow_down", False),
        ((200, {"token": "x"}), "answered 200 without an access_token", False),
        ((200, {"access_token": "line\nbreak"}), "without an access_token", False),
        ((200, b"x" * 300_000), "too large", False),
        ((400, {"error": "odd\nsecret"}), "answered 400", False),
        (httpx.ConnectError("password in words"), "cannot be reached: ConnectError", False),
        (httpx.ReadTimeout("x"), "did not answer within 30 s", False),
    ],
)  # fmt: skip
async def test_what_may_go_wrong(
    server: TokenServer, clock: Clock, answer: Any, words: str, permanent: bool
) -> None:
    server.answers = [answer]
    with pytest.raises(CredentialError) as error:
        await configured(server, clock).token()
    assert words in str(error.value)
    assert error.value.permanent is permanent
    assert not any(
        s in str(error.value) for s in ("refresh-secret", "first-refresh", "password in words", "\n")
    )


@pytest.mark.parametrize("url", ["http://auth.example/token", "ftp://x/y", "file:///etc/passwd"])
async def test_a_refresh_token_is_not_sent_in_the_clear(server: TokenServer, clock: Clock, url: str) -> None:
    with pytest.raises(CredentialError, match="not https"):
        await configured(server, clock, token_url=url).token()
    assert server.asked == []


async def test_but_on_this_machine_it_is(server: TokenServer, clock: Clock) -> None:
    for url in ("http://127.0.0.1:1/token", "http://localhost:1/token", "http://[::1]:1/token"):
        assert (await configured(server, clock, token_url=url).token()).secret


# -- when


async def test_ahead_of_its_end_the_old_token_serves_while_a_new_one_comes(
    server: TokenServer, clock: Clock
) -> None:
    source = configured(server, clock, lead="10m")
    await source.token()
    clock.now += HOUR - 599
    server.gate = threading.Event()
    assert source.current() is None
    assert (await source.token()).secret == "access-1"
    assert (await source.token()).secret == "access-1"
    server.gate.set()
    await fetched(source)
    assert now(source).secret == "access-2"
    assert len(server.asked) == 2


async def test_a_hundred_who_wait_are_one_refresh(server: TokenServer, clock: Clock) -> None:
    source = configured(server, clock)
    server.gate = threading.Event()
    waiting = [asyncio.create_task(source.token()) for _ in range(100)]
    await asyncio.sleep(0.01)
    # Clients that go away do not take it with them.
    for task in waiting[:50]:
        task.cancel()
    await asyncio.sleep(0)
    server.gate.set()
    done = await asyncio.gather(*waiting[50:])
    assert {t.secret for t in done} == {"access-1"}
    assert len(server.asked) == 1


async def test_all_clients_gone_the_refresh_still_ends_well(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "cred.json"
    source = configured(server, clock, path)
    server.gate = threading.Event()
    only = asyncio.create_task(source.token())
    await asyncio.sleep(0.01)
    only.cancel()
    running = source.running
    assert running is not None
    server.gate.set()
    await running
    assert orjson.loads(path.read_bytes())["refresh_token"] == "refresh-1"


async def test_refused_a_token_is_refreshed_once(server: TokenServer, clock: Clock) -> None:
    source = configured(server, clock)
    await source.token()
    clock.now += 60
    found = await asyncio.gather(*(source.rejected("access-1") for _ in range(20)))
    assert set(found) == {True}
    assert now(source).secret == "access-2"
    assert len(server.asked) == 2
    # Whoever comes late with the old one finds the new one.
    assert await source.rejected("access-1")
    assert len(server.asked) == 2
    # Refused again at once, the account is at fault and not the token.
    assert not await source.rejected("access-2")
    assert len(server.asked) == 2


async def test_failures_are_not_repeated_at_once(server: TokenServer, clock: Clock) -> None:
    source = configured(server, clock)
    server.answers = [(503, b"")] * 99
    asked = []
    for _ in range(400):
        clock.now += 10
        with pytest.raises(CredentialError):
            await source.token()
        asked.append(len(server.asked))
    # 5, 10, 20 ... 300 seconds: some twenty in over an hour, however often it is asked for.
    assert 12 <= asked[-1] <= 24


async def test_a_login_that_is_needed_is_not_tried_for_half_an_hour(
    server: TokenServer, clock: Clock
) -> None:
    source = configured(server, clock)
    server.answers = [(400, {"error": "invalid_grant"})]
    for _ in range(10):
        clock.now += 100
        with pytest.raises(CredentialError, match="log in again"):
            await source.token()
    assert len(server.asked) == 1


@pytest.mark.parametrize("life", [300, 100, 12, 4])
async def test_what_lives_shortly_is_not_refreshed_for_each_request(
    server: TokenServer, clock: Clock, life: int
) -> None:
    server.expires_in = life
    source = configured(server, clock, lead="5m")
    for _ in range(600):
        await source.token()
        if source.running is not None:
            await source.running
        clock.now += 1
    assert len(server.asked) <= 2 * 600 // max(life, 10) + 1


async def test_a_token_that_has_ended_when_it_is_granted_is_used_all_the_same(
    server: TokenServer, clock: Clock
) -> None:
    """The machine's clock is fast."""
    server.answers = [(200, {"access_token": jwt(exp=NOW - 60)})]
    source = configured(server, clock)
    for _ in range(20):
        await source.token()
        clock.now += 10
    assert len(server.asked) == 1


async def test_a_good_token_outlives_a_failing_refresh(server: TokenServer, clock: Clock) -> None:
    source = configured(server, clock)
    await source.token()
    server.answers = [(503, b"")] * 9
    clock.now += HOUR - 200
    for _ in range(5):
        assert (await source.token()).secret == "access-1"
        running = source.running
        if running is not None:
            await asyncio.wait([running])
    assert len(server.asked) == 2


# -- files of the user's own tools


def claude(access: str = "sk-ant-oat01-a", expires: float = NOW + HOUR) -> dict[str, Any]:
    tokens = {
        "accessToken": access,
        "refreshToken": "sk-ant-ort01-r",
        "expiresAt": int(expires * 1000),
        "scopes": ["x"],
    }
    return {"claudeAiOauth": tokens, "other": 1}


def codex(access: str | None = None, **more: Any) -> dict[str, Any]:
    identity = jwt(
        iss="https://auth.test",
        aud=["app_client"],
        **{"https://api.openai.com/auth": {"chatgpt_account_id": "acc-2"}},
    )
    tokens = {
        "id_token": identity,
        "access_token": access or jwt(exp=NOW + HOUR),
        "refresh_token": "codex-refresh",
        "account_id": "acc-1",
    }
    return {"OPENAI_API_KEY": None, "tokens": {**tokens, **more}, "last_refresh": "2027-01-01T00:00:00Z"}


def google(expires: float = NOW + HOUR) -> dict[str, Any]:
    return {
        "access_token": "ya29.a",
        "refresh_token": "1//r",
        "expiry_date": int(expires * 1000),
        "scope": "x",
        "id_token": jwt(aud="x"),
    }


@pytest.mark.parametrize(
    ("document", "kind", "refreshable"),
    [
        (claude(), "claude", False),
        (codex(), "codex", True),
        (codex(id_token="not a token"), "codex", False),
        ({"OPENAI_API_KEY": "sk-key", "tokens": None}, "codex", False),
        (google(), "google", False),
        (
            {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"},
            "adc",
            True,
        ),
        (
            {"access_token": "a", "refresh_token": "r", "expires_at": NOW, "token_url": "https://x/y"},
            "plain",
            True,
        ),
        ({"access_token": "a", "refresh_token": "r"}, "plain", False),
    ],
)
def test_shapes(document: dict[str, Any], kind: str, refreshable: bool) -> None:
    found = parse(document)
    assert (found.kind, found.grant is not None) == (kind, refreshable)
    assert not any(s in repr(found) for s in ("sk-", "ya29", "codex-refresh", "1//r"))


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"claudeAiOauth": {}}, {"tokens": {}}, {"access_token": 5}, {"type": "authorized_user"}, {"expiry_date": 1}, {"access_token": "a\nb"}],
)  # fmt: skip
def test_what_is_no_token_file(document: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(document)


async def test_claude_codes_token_is_used_and_never_touched(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = write(tmp_path / ".credentials.json", claude())
    before = path.stat()
    source = of_file(server, clock, path)
    token = await source.token()
    assert (token.secret, token.oauth, token.expires_at) == ("sk-ant-oat01-a", True, NOW + HOUR)
    # It cannot be refreshed here, so it is good to its end.
    clock.now += HOUR - 10
    assert source.current() == token
    clock.now += 10
    with pytest.raises(CredentialError, match="run Claude Code once"):
        await source.token()
    assert server.asked == []
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    # The tool renews it, and it is found.
    write(path, claude("sk-ant-oat01-b", NOW + 3 * HOUR))
    assert source.reload()
    assert now(source).secret == "sk-ant-oat01-b"


async def test_codexs_token_is_refreshed_and_written_back_as_codex_writes_it(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = write(tmp_path / "auth.json", codex())
    source = of_file(server, clock, path)
    assert now(source).headers == [("chatgpt-account-id", "acc-1")]
    clock.now += HOUR
    token = await source.token()
    assert (token.secret, token.headers) == ("access-1", [("chatgpt-account-id", "acc-1")])
    assert str(server.requests[0].url) == "https://auth.test/oauth/token"
    assert server.asked == [
        {"grant_type": "refresh_token", "refresh_token": "codex-refresh", "client_id": "app_client"}
    ]
    kept = orjson.loads(path.read_bytes())
    assert kept["tokens"]["access_token"] == "access-1"
    assert kept["tokens"]["refresh_token"] == "refresh-1"
    assert kept["tokens"]["id_token"] == codex()["tokens"]["id_token"]
    assert kept["OPENAI_API_KEY"] is None
    assert kept["last_refresh"] == "2027-01-15T09:00:00Z"


async def test_what_the_tool_itself_refreshed_is_used_instead(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = write(tmp_path / "auth.json", codex())
    source = of_file(server, clock, path)
    clock.now += HOUR
    write(path, codex(jwt(exp=NOW + 5 * HOUR)))
    assert (await source.token()).expires_at == NOW + 5 * HOUR
    assert server.asked == []


async def test_a_key_in_codexs_file(server: TokenServer, clock: Clock, tmp_path: Path) -> None:
    path = write(tmp_path / "auth.json", {"OPENAI_API_KEY": "sk-key", "tokens": None})
    token = await of_file(server, clock, path).token()
    assert (token.secret, token.oauth) == ("sk-key", False)


async def test_a_file_in_the_middle_of_being_written_changes_nothing(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = write(tmp_path / "c.json", claude())
    source = of_file(server, clock, path)
    path.write_text('{"claudeAiOauth": {"acc')
    assert not source.reload()
    assert now(source).secret == "sk-ant-oat01-a"
    path.unlink()
    assert source.reload()
    assert source.inactive() == f"file {path} does not exist"


async def test_a_file_that_cannot_be_written_is_no_reason_to_fail(
    server: TokenServer, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "not-a-folder" / "cred.json"
    (tmp_path / "not-a-folder").write_text("a file")
    source = configured(server, clock, path)
    assert (await source.token()).secret == "access-1"
    clock.now += HOUR
    assert (await source.token()).secret == "access-2"
    assert server.asked[1]["refresh_token"] == "refresh-1"
    assert "cannot be written" in caplog.text
    assert "refresh-1" not in caplog.text


class Both:
    """What two processes share through a store."""

    def __init__(self) -> None:
        self.held = asyncio.Lock()
        self.marks: set[str] = set()

    @asynccontextmanager
    async def lock(self, name: str, ttl: float) -> AsyncIterator[bool]:
        assert name.startswith("refresh:") and "first" not in name
        if self.held.locked():
            yield False
            return
        async with self.held:
            yield True

    async def mark(self, name: str, life: float) -> None:
        self.marks.add(name)

    async def marked(self, name: str) -> bool:
        return name in self.marks


def process(shared: Shared | None = None, folder: Path | None = None) -> RefreshTokens:
    tokens = RefreshTokens(folder)
    tokens.shared = shared or Alone()
    return tokens


def pair(server: TokenServer, clock: Clock, shared: Shared | None, *paths: Path) -> list[TokenSource]:
    """The same credential in processes that share nothing else."""
    oauth = OAuth.model_validate({"token_url": server.url, "refresh_token": "first-refresh"})
    return [
        TokenSource("cred", path, client=server.make, tokens=process(shared), oauth=oauth, wall=clock)
        for path in paths
    ]


def once_each(server: TokenServer) -> bool:
    spent = [asked["refresh_token"] for asked in server.asked]
    return len(spent) == len(set(spent))


@pytest.mark.parametrize("store", [True, False], ids=["with a store", "with the file alone"])
async def test_two_processes_with_one_file_refresh_once(
    server: TokenServer, clock: Clock, tmp_path: Path, store: bool
) -> None:
    both = Both()
    sources = pair(server, clock, both if store else None, *[tmp_path / "cred.json"] * 2)
    for number in (1, 2, 3):
        tokens = await asyncio.gather(*(source.token() for source in sources))
        assert {token.secret for token in tokens} == {f"access-{number}"}
        assert len(server.asked) == number
        clock.now += 2 * HOUR
    assert once_each(server)


async def test_a_rotated_token_is_not_used_again_where_the_file_is_not_shared(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    both = Both()
    one, two = pair(server, clock, both, tmp_path / "one.json", tmp_path / "two.json")
    assert (await one.token()).secret == "access-1"
    with pytest.raises(
        CredentialError, match="replaced by another Detour; let both have the same token file"
    ):
        await two.token()
    assert once_each(server)
    assert "first-refresh" not in repr(both.marks)
    # The one that has the new token goes on.
    clock.now += 2 * HOUR
    assert (await one.token()).secret == "access-2"


def copies(
    server: TokenServer, clock: Clock, tokens: RefreshTokens, *paths: Path | None
) -> list[TokenSource]:
    """Credentials of one process that were given the same refresh token."""
    oauth = OAuth.model_validate({"token_url": server.url, "refresh_token": "first-refresh"})
    return [
        TokenSource(f"cred{i}", path, client=server.make, tokens=tokens, oauth=oauth, wall=clock)
        for i, path in enumerate(paths)
    ]


@pytest.mark.parametrize("kept", [True, False], ids=["in files", "in memory"])
async def test_credentials_with_copies_of_one_refresh_token_spend_it_once(
    server: TokenServer, clock: Clock, tmp_path: Path, kept: bool
) -> None:
    paths = [tmp_path / "one.json" if kept else None, tmp_path / "two.json" if kept else None]
    tokens = process(folder=tmp_path / "spent")
    sources = copies(server, clock, tokens, *paths)
    told: list[int] = []
    for i, source in enumerate(sources):
        source.renewed = lambda i=i: told.append(i)  # type: ignore[misc]
    for number in (1, 2):
        together = await asyncio.gather(*(source.token() for source in sources))
        assert [token.secret for token in together] == [f"access-{number}"] * 2
        assert len(server.asked) == number
        clock.now += 2 * HOUR
    # Also the one that nobody asked for a token has it, and its router hears of it.
    assert (await sources[0].token()).secret == now(sources[1]).secret == "access-3"
    assert told.count(1) >= 1
    clock.now += 2 * HOUR
    if kept:
        sources = copies(server, clock, process(folder=tmp_path / "spent"), *paths)
    assert (await sources[1].token()).secret == "access-4"
    assert once_each(server)
    names = " ".join(str(path) for path in (tmp_path / "spent").iterdir())
    assert "refresh" not in names.removeprefix(str(tmp_path))


async def test_copies_that_were_renewed_apart_stay_apart(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(orjson.dumps({"access_token": "theirs", "refresh_token": "their-refresh"}))
    tokens = process()
    (one,), other = copies(server, clock, tokens, tmp_path / "one.json"), of_file(server, clock, path)
    tokens.join(other)
    assert (await one.token()).secret == "access-1"
    assert now(other).secret == "theirs"
    assert "their-refresh" in path.read_text()


async def test_processes_with_copies_and_one_folder_spend_it_once(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    server.gate = threading.Event()
    one, two = (
        copies(server, clock, process(folder=tmp_path / "spent"), tmp_path / name)[0] for name in ("1", "2")
    )
    first, second = asyncio.create_task(one.token()), asyncio.create_task(two.token())
    # Whoever is second waits at the file's lock.
    await asyncio.wait([first, second], timeout=0.3)
    assert len(server.asked) == 1
    server.gate.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert len(server.asked) == 1
    assert sum(isinstance(r, CredentialError) for r in results) == 1
    assert "replaced by another Detour" in str(results)


def marks(folder: Path) -> list[Path]:
    return list(folder.glob("[!.]*"))


async def test_what_was_spent_is_forgotten_after_a_month(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    tokens = process(folder=tmp_path)
    (source,) = copies(server, clock, tokens, None)
    await source.token()
    (mark,) = marks(tmp_path)
    os.utime(mark, (1, 1))
    clock.now += 2 * HOUR
    await source.token()
    assert not mark.exists()
    (other,) = marks(tmp_path)
    assert not (tmp_path / f".{mark.name}.lock").exists() and (tmp_path / f".{other.name}.lock").exists()


async def test_the_configured_token_is_not_used_again_once_it_was_replaced(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    (source,) = pair(server, clock, None, tmp_path / "cred.json")
    await source.token()
    server.answers = [(400, {"error": "invalid_grant"})]
    clock.now += 2 * HOUR
    with pytest.raises(CredentialError, match="log in again"):
        await source.token()
    assert [asked["refresh_token"] for asked in server.asked] == ["first-refresh", "refresh-1"]
    assert "first-refresh" not in (tmp_path / "cred.json").read_text()


async def test_one_that_waits_takes_what_the_other_fetched(
    server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "cred.json"
    (source,) = pair(server, clock, None, path)
    async with files.locked(path, 1) as mine:
        assert mine
        async with files.locked(path, 0) as theirs:
            assert not theirs
        waiting = asyncio.create_task(source.token())
        await asyncio.sleep(0.2)
        assert server.asked == []
        write(path, {"access_token": "theirs", "refresh_token": "r", "expires_at": clock.now + HOUR})
    assert (await waiting).secret == "theirs"
    assert server.asked == []


@pytest.mark.parametrize(
    ("oauth", "file", "reason"),
    [
        ({"refresh_token": "x"}, None, None),
        (
            {"refresh_token": "env:DETOUR_TEST_NOT_SET"},
            None,
            "environment variable DETOUR_TEST_NOT_SET is not set",
        ),
        ({"refresh_token": {"command": ["x"]}}, None, None),
        ({"refresh_token": None}, {"refresh_token": "r"}, None),
        ({"refresh_token": None}, None, "does not exist"),
    ],
)
def test_when_there_is_nothing_to_begin_with(
    server: TokenServer, clock: Clock, tmp_path: Path, oauth: Any, file: Any, reason: str | None
) -> None:
    path = tmp_path / "cred.json"
    if file:
        write(path, file)
    found = configured(server, clock, path, **oauth).inactive()
    assert found is None if reason is None else found is not None and reason in found


async def test_a_refresh_works_on_a_loop_with_eager_tasks(clock: Clock, tmp_path: Path) -> None:
    """Such as the one that serves; only a real connection shows it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"access_token": "t", "expires_in": 60}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
        more.pop("eager_start", None)
        return asyncio.eager_task_factory(loop, coroutine, **more)

    asyncio.get_running_loop().set_task_factory(eager)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        values = {"token_url": f"http://localhost:{port}/token", "refresh_token": "r"}
        source = TokenSource(
            "cred",
            None,
            client=lambda: httpx.AsyncClient(trust_env=False),
            tokens=RefreshTokens(),
            oauth=OAuth.model_validate(values),
            wall=clock,
        )
        assert (await source.token()).secret == "t"
