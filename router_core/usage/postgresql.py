"""Connections to PostgreSQL that give a silent server up.

A server's own time limit ends a slow statement, and TCP's a network that is gone; neither helps where the server's
process hangs, and its system goes on acknowledging what it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

CONNECT_TIMEOUT = 5
STATEMENT_TIMEOUT = 15
"""Seconds after which the server ends a statement."""
SILENCE = STATEMENT_TIMEOUT + 5.0
"""Seconds without an answer after which a connection counts as dead."""


class Connection(psycopg.Connection[Any]):
    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """`gen`, whose every wait for the server is psycopg's, which looks several times a second."""
        end = time.monotonic() + SILENCE
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


def connect(_dialect: Any, _record: Any, args: Any, options: Any) -> Connection:
    """SQLAlchemy's event ``do_connect``."""
    return Connection.connect(*args, **options)


def options() -> dict[str, Any]:
    """What SQLAlchemy's engine is made with."""
    settings = f"-c statement_timeout={STATEMENT_TIMEOUT * 1000} -c lock_timeout={STATEMENT_TIMEOUT * 1000}"
    return {
        "pool_size": 1,
        "max_overflow": 2,
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT,
            "options": settings,
            "tcp_user_timeout": STATEMENT_TIMEOUT * 1000,
            "application_name": "detour",
        },
    }
