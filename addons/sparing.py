"""mitmproxy's addons one by one, for a process that serves with few of them.

The package `mitmproxy.addons` imports each addon there is, and with them a web framework, an LDAP client and a
parser generator: a quarter of Detour's start, and memory for as long as it runs. `install` puts a package in its
place that imports an addon when it is asked for, and everything when it is asked for anything else.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

PACKAGE: Final = "mitmproxy.addons"


class _OneByOne(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # The import system asks too: for names with underscores, which none of the addons has.
        if name.startswith("_"):
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        if importlib.util.find_spec(f"{PACKAGE}.{name}"):
            return importlib.import_module(f"{PACKAGE}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ and self.__spec__.loader
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def install() -> None:
    """Nothing happens if the package is there already, as in mitmdump."""
    if PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(PACKAGE)
    assert spec and spec.submodule_search_locations
    package = importlib.util.module_from_spec(spec)
    package.__class__ = _OneByOne
    sys.modules[PACKAGE] = package
