"""``detour demo``: Detour proves itself."""

from __future__ import annotations

import typer


def demo() -> None:
    """Show interception, credential swap, streaming and failover, with no key and no network."""
    from detour.demo import main

    raise typer.Exit(main())
