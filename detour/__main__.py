"""``python -m detour``, and the installed ``detour``."""

from __future__ import annotations

import os
import sys
from typing import Final

FAILED: Final = 1
INTERRUPTED: Final = 130
"""What a shell calls a program that SIGINT ended."""


def main() -> None:
    try:
        # Most of the start is spent on imports, and it may be interrupted then as well as later.
        from detour.cli import app

        try:
            app(prog_name="detour")
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        # What no command has a better word for, such as standard output on a full disk.
        if os.environ.get("DETOUR_DEBUG"):
            raise
        if not isinstance(error, BrokenPipeError):
            print(f"detour: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        _drop_output()
        sys.exit(FAILED)


def _drop_output() -> None:
    """Python would try once more to write what is left, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
