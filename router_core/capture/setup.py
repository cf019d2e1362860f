"""The recorder of a configuration."""

from __future__ import annotations

from router_core.capture.recorder import Recorder
from router_core.config.loader import Loaded
from router_core.paths import paths
from router_core.providers.registry import Registry


def make_recorder(loaded: Loaded, run: str | None = None) -> Recorder:
    """For the records of an instance; `run` marks them. Starts nothing before there is something to record."""
    where, headers = paths(loaded.config), credential_headers(loaded.registry)
    return Recorder(loaded.config.capture, where.captures.main, where.capture_key, headers=headers, run=run)


def reconfigure(recorder: Recorder, loaded: Loaded) -> None:
    """Puts another configuration in force."""
    folder = paths(loaded.config).captures.main
    recorder.configure(loaded.config.capture, folder, credential_headers(loaded.registry))


def credential_headers(registry: Registry) -> tuple[str, ...]:
    """The names of the headers in which the registry's providers get a credential."""
    carriers = (c for provider in registry.providers.values() for c in (*provider.auth, *provider.oauth))
    return tuple(dict.fromkeys(carrier.header for carrier in carriers))
