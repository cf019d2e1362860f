"""Detour measured beside stock mitmdump, in one run. See `scripts/bench`."""
