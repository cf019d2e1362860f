"""State that several processes share through Redis 7 or Valkey.

Each process routes on its own memory. What changes there is pushed within milliseconds, what others
changed is pulled four times a second, and after an outage both sides are laid over each other: deadlines
by the later one, unless one side knows that it is over since, counts by their sum, the rest by the last
writer. No request waits for Redis, except for a place under a shared concurrency limit and the right to
test a cooldown or an upstream that was down, and there no longer than `LEASE_PATIENCE`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from router_core.state.kept import HASHES, KINDS, Kept, stored
from router_core.state.link import Link, Unanswered
from router_core.state.pending import Pending
from router_core.state.places import Places, key_of
from router_core.state.store import Change, ChangeKind, Owner

logger = logging.getLogger(__name__)

PUSH_DELAY: Final = 0.01
PULL_INTERVAL: Final = 0.25
RETRY_INTERVAL: Final = 1.0
CALL_TIMEOUT: Final = 1.0
START_PATIENCE: Final = 3.0
BATCH: Final = 500
BINDING_LIFE: Final = 3600.0
MAX_BINDINGS: Final = 65_536


class RedisStore:
    shared = True

    def __init__(
        self, url: str, *, binding_life: float = BINDING_LIFE, wall: Callable[[], float] = time.time
    ):
        """`url` is ``redis://``, ``rediss://`` or ``unix://`` as redis-py reads it. Raises ValueError."""
        parts = urlsplit(url)
        pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=16,
            timeout=CALL_TIMEOUT,
            socket_connect_timeout=CALL_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Any = Redis(connection_pool=pool)
        self.link = Link(f"{parts.hostname or ''}:{parts.port or 6379}" if parts.hostname else parts.path)
        self._origin = secrets.token_hex(8)
        self._kept = Kept(self._redis, self._origin, binding_life, wall)
        self._owner: Owner | None = None
        self._pending = Pending()
        self._wanted = asyncio.Event()
        self._seen = "0-0"
        self._tasks: list[asyncio.Task[None]] = []
        self._places = Places(self._redis, self.link, self._origin, self._wanted.set)
        self.lease, self.give_back = self._places.lease, self._places.give_back
        self.lock, self.mark, self.marked = self._places.lock, self._places.mark, self._places.marked

    async def start(self, owner: Owner) -> None:
        self._owner = owner
        with suppress(TimeoutError, Unanswered):
            async with asyncio.timeout(START_PATIENCE):
                await self._connect()
        if not self.link.up:
            logger.warning(
                "Redis at %s cannot be reached: routing begins with what this process learns", self.link.where
            )
        self._tasks = [
            asyncio.create_task(t) for t in (self._pushing(), self._pulling(), self._places.holding())
        ]

    async def keep(self) -> None:
        """It is where it is kept."""

    async def close(self, *, keep: bool = True) -> None:
        with suppress(Unanswered):
            await self._push()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(CALL_TIMEOUT):
                await self._redis.aclose()

    # -- out

    def changed(self, change: Change) -> None:
        self._pending.add(change)
        self._wanted.set()

    async def _pushing(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(PUSH_DELAY if self.link.up else PULL_INTERVAL)
            try:
                await self._push()
            except Unanswered:
                continue
            except Exception:
                logger.exception("pushing routing state failed")

    async def _push(self) -> None:
        if not self.link.up:
            return
        self._wanted.clear()
        changes = self._pending.take()
        try:
            await self._places.send_back()
            while changes:
                batch = changes[:BATCH]
                totals = await self.link.call(self._send(batch), CALL_TIMEOUT)
                del changes[:BATCH]
                self._take_totals(batch, totals)
        except Unanswered:
            self._wanted.set()
            raise
        finally:
            self._pending.sent(changes)

    async def _send(self, changes: list[Change]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for change in changes:
            await self._kept.add(pipe, change)
        return await pipe.execute(raise_on_error=False)

    def _take_totals(self, changes: list[Change], results: list[Any]) -> None:
        for change, result in zip(changes, results, strict=True):
            if change.kind == "count" and isinstance(result, list):
                start, end, tokens, requests = (float(v) for v in result)
                record = {"start": start, "end": end, "tokens": int(tokens), "requests": int(requests)}
                self._adopt([Change("count", change.name, record, change.key)])

    # -- in

    async def _pulling(self) -> None:
        while True:
            await asyncio.sleep(PULL_INTERVAL if self.link.up else RETRY_INTERVAL)
            try:
                if self.link.up:
                    await self._pull()
                else:
                    await self._connect()
            except Unanswered:
                continue
            except Exception:
                logger.exception("pulling routing state failed")

    async def _connect(self) -> None:
        """Lays this process's state and the shared one over each other."""
        if not await self.link.ping(self._redis.ping(), CALL_TIMEOUT):
            return
        assert self._owner is not None
        last = await self.link.call(self._redis.xrevrange(key_of("changes"), count=1), CALL_TIMEOUT)
        self._seen = last[0][0].decode() if last else "0-0"
        for kind in KINDS:
            await self._load(kind)
        for change in self._owner.snapshot():
            # Counts were queued one by one; the sums that are known here hold others' parts too.
            if change.kind != "count":
                self._pending.add_below(change)
        self._wanted.set()

    async def _load(self, kind: ChangeKind) -> None:
        cursor, found = 0, 0
        while True:
            scan = self._redis.scan(cursor, match=key_of(kind, "*"), count=BATCH)
            cursor, keys = await self.link.call(scan, CALL_TIMEOUT)
            if keys:
                pipe = self._redis.pipeline(transaction=False)
                for key in keys:
                    await (pipe.hgetall(key) if kind in HASHES else pipe.get(key))
                values = await self.link.call(pipe.execute(), CALL_TIMEOUT)
                self._adopt(c for k, v in zip(keys, values, strict=True) for c in stored(kind, k.decode(), v))
            found += len(keys)
            if not cursor or found >= MAX_BINDINGS:
                return

    async def _pull(self) -> None:
        while True:
            call = self._redis.xrange(key_of("changes"), min=f"({self._seen}", count=BATCH)
            entries = await self.link.call(call, CALL_TIMEOUT)
            changes = []
            for entry_id, fields in entries:
                self._seen = entry_id.decode()
                own = fields.get(b"o") == self._origin.encode()
                with suppress(orjson.JSONDecodeError, TypeError, KeyError):
                    record = orjson.loads(fields[b"m"])
                    # Where two bind a conversation at once, the last one holds for both, also for the one who made it.
                    if not own or record["kind"] == "binding":
                        changes.append(
                            Change(record["kind"], record["name"], record.get("value"), record.get("key"))
                        )
            self._adopt(changes)
            if len(entries) < BATCH:
                return

    def _adopt(self, changes: Iterable[Change]) -> None:
        assert self._owner is not None
        news = (c for c in changes if not self._pending.overrules(c))
        self._owner.adopt(self._pending.with_own_part(c) for c in news)
