"""What `detour capture run` changes of the configuration, whenever it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from router_core.config.loader import Loaded


@dataclass(frozen=True, slots=True)
class CaptureRun:
    """Everything is recorded, marked with `label`."""

    label: str
    hosts: tuple[str, ...] = ()
    """To be decrypted besides those of the providers."""

    def apply(self, loaded: Loaded) -> Loaded:
        capture = loaded.config.capture
        hosts = tuple(dict.fromkeys((*capture.hosts, *self.hosts)))
        capture = capture.model_copy(update={"mode": "all", "rules": (), "hosts": hosts})
        return replace(loaded, config=loaded.config.model_copy(update={"capture": capture}))
