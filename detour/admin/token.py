"""The admin token: one secret in a 0600 file, and what is derived from it for browsers."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import time
from pathlib import Path
from typing import Final

from router_core.attempts import Attempts
from router_core.ownership import pass_on, private_folder

TICKETS: Final = 16
"""One-time login tickets that are valid at once."""
TICKET_LIFETIME: Final = 60.0
"""Seconds."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32,256}")


class TokenError(Exception):
    """The token file cannot be used; the message names it and the remedy."""


def ensure_token(path: Path) -> str:
    """The token in `path`, made when there is none. Raises TokenError."""
    try:
        private_folder(path.parent)
        if not path.exists():
            _make(path)
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}; the admin token cannot be written") from None
    return read_token(path)


def _make(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        pass_on(file.fileno(), path)
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        # A link, unlike a rename, never replaces the token of a process that was faster.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def read_token(path: Path) -> str:
    """The token in `path`. Raises TokenError."""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise TokenError(
                f"{path} can be read by other users; chmod 600 it, or delete it to get a new one"
            )
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if not _TOKEN.fullmatch(token):
        raise TokenError(f"{path} holds no admin token; delete it to get a new one")
    return token


class Keys:
    """Checks what callers show: the token itself, a browser's session, a form's token, a login ticket."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.session = self._derive("session")
        """The cookie's value. It lives as long as the token does."""
        self.form = self._derive("form")
        """What a page shows in its forms, and other sites cannot read."""
        self._tickets: dict[str, float] = {}
        self.attempts = Attempts()

    def _derive(self, purpose: str) -> str:
        return hmac.new(self._token, purpose.encode(), hashlib.sha256).hexdigest()

    def is_token(self, value: str) -> bool:
        return hmac.compare_digest(self._token, value.encode())

    def is_session(self, value: str) -> bool:
        return hmac.compare_digest(self.session.encode(), value.encode())

    def is_form(self, value: str) -> bool:
        return hmac.compare_digest(self.form.encode(), value.encode())

    def ticket(self) -> str:
        """A login that works once, so that the address of a browser's window holds no lasting secret."""
        now = time.monotonic()
        self._tickets = {t: until for t, until in self._tickets.items() if until > now}
        while len(self._tickets) >= TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = now + TICKET_LIFETIME
        return ticket

    def redeem(self, ticket: str) -> bool:
        found = next((t for t in self._tickets if hmac.compare_digest(t.encode(), ticket.encode())), None)
        return found is not None and self._tickets.pop(found) > time.monotonic()
