"""Where secrets come from, on the wire: the files of the user's own tools, refreshes, and commands."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from detour.fakes import FakeUpstream, Fault
from detour.fakes.call import json_reply
from tests.e2e.conftest import Start
from tests.e2e.instance import TIMEOUT, Detour
from tests.e2e.routes import TokenEndpoint, anthropic, ask, credential, eventually, used
from tests.upstream import FakeThread


@pytest.fixture
def fake(fakes: FakeThread) -> FakeUpstream:
    return fakes.start()


def jwt(**claims: Any) -> str:
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"


def keep(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def claude(token: str, ends_in: float, *, milliseconds: bool = True) -> dict[str, Any]:
    moment = int((time.time() + ends_in) * (1000 if milliseconds else 1))
    return {"claudeAiOauth": {"accessToken": token, "refreshToken": "sk-ant-ort", "expiresAt": moment}}


def test_claude_codes_file_is_followed_and_never_written(
    start: Start, fake: FakeUpstream, tmp_path: Path
) -> None:
    path = keep(tmp_path, ".claude/.credentials.json", claude("secret-1", 3600, milliseconds=False))
    detour = start(
        providers=anthropic(fake),
        credentials=[{"id": "mine", "provider": "anthropic", "token_file": "~/.claude/.credentials.json"}],
    )
    assert ask(detour).status_code == 200
    assert detour.credentials()["mine"]["expires_at"] == pytest.approx(time.time() + 3600, abs=120)

    before = claude("secret-2", -10)
    path.write_text(json.dumps(before))
    eventually(lambda: ask(detour, str(time.time())).status_code != 200)
    told = detour.credentials()["mine"]["reason"]
    assert told == f"the token in {path} has run out; run Claude Code once, which renews it"
    assert json.loads(path.read_text()) == before

    path.write_text(json.dumps(claude("secret-3", 3600)))
    eventually(lambda: ask(detour, str(time.time())).status_code == 200)
    assert used(fake)[-1] == "3"
    # A file in the middle of being written changes nothing; one that is gone does.
    path.write_text('{"claudeAiOauth": {"accessT')
    time.sleep(1.5)
    assert ask(detour, "half").status_code == 200
    path.unlink()
    eventually(lambda: detour.credentials()["mine"]["state"] == "inactive")
    assert "2" not in used(fake)


def test_codexs_file_is_refreshed_as_codex_does(
    start: Start, fake: FakeUpstream, tokens: TokenEndpoint, tmp_path: Path
) -> None:
    issuer = tokens.url.removesuffix("/token")
    account = {"https://api.openai.com/auth": {"chatgpt_account_id": "acct-1"}}
    document = {
        "OPENAI_API_KEY": None,
        "tokens": {
            "id_token": jwt(iss=issuer, aud=["client-1"], **account),
            "access_token": jwt(exp=int(time.time()) - 10),
            "refresh_token": "refresh-0",
        },
        "last_refresh": "2026-01-01T00:00:00Z",
        "another": {"kept": True},
    }
    path = keep(tmp_path, ".codex/auth.json", document)
    path.chmod(0o644)
    detour = start(
        providers={"codex": {"base_url": fake.base_url("openai-responses")}},
        credentials=[{"id": "mine", "provider": "codex", "token_file": "~/.codex/auth.json"}],
    )
    assert codex(detour).status_code == 200
    assert [json.loads(body) for body in tokens.bodies] == [
        {"grant_type": "refresh_token", "refresh_token": "refresh-0", "client_id": "client-1"}
    ]
    (request,) = tuple(fake.record.requests)
    assert (request.key, request.header("chatgpt-account-id")) == ("secret-access-1", "acct-1")
    written = json.loads(path.read_text())
    assert (written["tokens"]["access_token"], written["tokens"]["refresh_token"]) == (
        "secret-access-1",
        "refresh-1",
    )
    assert (written["another"], written["last_refresh"] > "2026-01-02") == ({"kept": True}, True)
    assert path.stat().st_mode & 0o777 == 0o600


def codex(detour: Detour) -> httpx.Response:
    body = {"model": "codex/gpt-5.5", "input": "hi", "instructions": "x", "store": False, "stream": True}
    return httpx.post(f"{detour.gateway_url}/v1/responses", json=body, timeout=TIMEOUT, trust_env=False)


def test_gemini_clis_file_is_followed(start: Start, fake: FakeUpstream, tmp_path: Path) -> None:
    def login(token: str, ends_in: float) -> dict[str, Any]:
        moment = int((time.time() + ends_in) * 1000)
        return {
            "access_token": token,
            "refresh_token": "1//r",
            "token_type": "Bearer",
            "expiry_date": moment,
        }

    path = keep(tmp_path, ".gemini/oauth_creds.json", login("secret-1", -5))
    detour = start(
        providers={"lookalike": {"format": "gemini", "base_url": fake.base_url("gemini")}},
        credentials=[{"id": "mine", "provider": "lookalike", "token_file": "~/.gemini/oauth_creds.json"}],
    )
    refused = ask(detour, model="lookalike/m")
    assert (refused.status_code, refused.headers["x-detour-error"]) == (503, "no_credential")
    assert "run Gemini CLI once" in refused.json()["error"]["message"]
    path.write_text(json.dumps(login("secret-2", 3600)))
    eventually(lambda: ask(detour, str(time.time()), "lookalike/m").status_code == 200)
    (request,) = tuple(fake.record.requests)
    assert request.header("authorization") == "Bearer secret-2"


def test_a_token_that_is_refused_is_refreshed_and_the_request_goes_on(
    start: Start, fake: FakeUpstream, tokens: TokenEndpoint, tmp_path: Path
) -> None:
    ends = int(time.time()) + 9999
    path = keep(
        tmp_path,
        "token.json",
        {"access_token": "secret-old", "refresh_token": "refresh-0", "expires_at": ends},
    )
    fake.script.add(Fault.status(401), key="secret-old")
    oauth = {"token_url": tokens.url, "token_file": str(path)}
    detour = start(
        providers=anthropic(fake), credentials=[{"id": "mine", "provider": "anthropic", "oauth": oauth}]
    )
    assert ask(detour).status_code == 200
    assert used(fake) == ["old", "access-1"]
    assert json.loads(path.read_text())["refresh_token"] == "refresh-1"
    # Refused right after it was fetched, the account is at fault: it rests, and nothing is fetched again.
    fake.script.add(Fault.status(401))
    assert ask(detour, "again").status_code == 401
    assert ask(detour, "and again").headers["x-detour-error"] == "all_cooling"
    assert len(tokens.asked) == 1
    assert detour.credentials()["mine"]["state"] == "cooling"


COMMANDS = {
    "words": "echo please log in",
    "hangs": "exec sleep 60",
    "nothing": "true",
    "fails": "echo secret-oops >&2; exit 3",
    "binary": r"printf 'a\000b'",
    "list": "echo '[1, 2]'",
    "null": "echo null",
    "no-token": """echo '{"token": null}'""",
    "flood": "yes",
}
"""What prints no key."""


def test_commands_that_print_no_key_are_passed_over(start: Start, fake: FakeUpstream, tmp_path: Path) -> None:
    def script(name: str, body: str) -> dict[str, Any]:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return {"command": [str(path)]}

    runs = tmp_path / "runs"
    good = {
        "plain": f"echo x >> {runs}; printf 'secret-plain\\r\\n'",
        "ended": f"""echo x >> {runs}; echo '{{"token": "secret-ended", "expires_at": 1000}}'""",
    }
    commands = {name: script(name, body) for name, body in {**COMMANDS, **good}.items()}
    commands["missing"] = {"command": [str(tmp_path / "no-such-program")]}
    provider = {"format": "anthropic", "base_url": fake.base_url("anthropic")}
    detour = start(
        providers={**anthropic(fake), **{f"p-{name}": provider for name in commands}},
        credentials=[
            credential("spare"),
            *({"id": n, "provider": f"p-{n}", "api_key": command} for n, command in commands.items()),
        ],
        models={n: {"targets": [f"p-{n}/m", "anthropic/claude-sonnet-4-5"]} for n in commands},
    )
    found = {}
    for name in commands:
        assert ask(detour, model=name).status_code == 200
        found[name] = used(fake)[-1]
    assert found == {name: name if name in good else "spare" for name in commands}
    for name in [*good] * 3:
        ask(detour, model=name)
    # Run once each, also where what it printed has ended by our clock.
    assert runs.read_text().count("x") == 2
    log = detour.log.read_text()
    assert "failed with exit code 3" in log
    assert "oops" not in log


def test_a_refresh_takes_the_credentials_own_way_out(start: Start, fakes: FakeThread, tmp_path: Path) -> None:
    fake, proxy = fakes.start(), fakes.start_proxy("detour", "password-of-proxy")
    fake.pages["POST", "/token"] = json_reply(200, {"access_token": "secret-new", "expires_in": 3600})
    detour = start(
        {"REFRESH": "secret-refresh"},
        providers=anthropic(fake),
        credentials=[
            {
                "id": "mine",
                "provider": "anthropic",
                "oauth": {
                    "token_url": f"https://localhost:{fake.port}/token",
                    "refresh_token": "env:REFRESH",
                },
                "proxy": f"http://detour:password-of-proxy@127.0.0.1:{proxy.port}",
            }
        ],
    )
    assert ask(detour).status_code == 200
    asked = [(r.path, r.header("authorization")) for r in tuple(fake.record.requests)]
    assert asked == [("/token", None), ("/v1/messages", "Bearer secret-new")]
    assert len(proxy.seen) == 2
    # Kept where only its owner can read it.
    (kept,) = (tmp_path / "data" / "credentials").glob("mine.json")
    assert kept.stat().st_mode & 0o777 == 0o600
