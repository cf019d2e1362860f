"""``python -m detour``, and the installed ``detour``."""

from __future__ import annotations

import sys
from typing import Final

INTERRUPTED: Final = 130
"""What a shell calls a program that SIGINT ended."""


def main() -> None:
    try:
        # Most of the start is spent on imports, and it may be interrupted then as well as later.
        from detour.cli import app

        app(prog_name="detour")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
