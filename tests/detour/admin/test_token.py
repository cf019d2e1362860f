import threading
from pathlib import Path

import pytest

from detour.admin import token
from detour.admin.token import TICKETS, Keys, TokenError, ensure_token, read_token


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "admin-token"
    made = ensure_token(path)
    assert len(made) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert ensure_token(path) == made


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    found: list[str] = []

    threads = [threading.Thread(target=lambda: found.append(ensure_token(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(("content", "mode"), [("short", 0o600), ("x" * 40, 0o644), ("", 0o600)])
def test_a_token_that_is_weak_or_public_is_refused(tmp_path: Path, content: str, mode: int) -> None:
    path = tmp_path / "admin-token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(TokenError, match=str(path)):
        read_token(path)


def test_what_is_derived_is_not_the_token() -> None:
    keys = Keys("t" * 40)
    assert keys.is_token("t" * 40)
    assert not keys.is_token("t" * 39)
    assert not keys.is_token("é")
    assert keys.is_session(keys.session)
    assert not keys.is_session(keys.form)
    assert "t" * 40 not in keys.session + keys.form


def test_a_ticket_works_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(token.time, "monotonic", lambda: now)
    keys = Keys("t" * 40)
    first = keys.ticket()
    assert keys.redeem(first)
    assert not keys.redeem(first)
    late = keys.ticket()
    now += 61
    assert not keys.redeem(late)
    tickets = [keys.ticket() for _ in range(TICKETS + 1)]
    assert not keys.redeem(tickets[0])
    assert keys.redeem(tickets[-1])
