"""Where live routing state is kept: in memory, or in Redis for several processes."""

from __future__ import annotations

from pathlib import Path

from router_core.config.schema import Config
from router_core.state.memory import MemoryStore
from router_core.state.store import Change, Owner, Store

__all__ = ["Change", "Owner", "Store", "open_store"]


def open_store(config: Config, folder: Path | None = None, worker: int = 1) -> Store:
    """The store that ``state`` names. `folder` is where `memory` keeps its file, one for each `worker`; None keeps
    nothing.

    Raises ValueError for an address that means nothing.
    """
    if config.state == "memory":
        name = "routing.json" if worker == 1 else f"routing-{worker}.json"
        return MemoryStore(folder / name if folder else None)
    # Redis's client is only loaded by those who use it.
    from router_core.state.redis import RedisStore

    return RedisStore(config.state, binding_life=config.routing.affinity_ttl)
