"""``python -m detour``."""

from detour.cli import main

if __name__ == "__main__":
    main()
