"""mitmproxy's options, read quickly."""

from __future__ import annotations

from typing import Any, Final

from mitmproxy import options
from mitmproxy.optmanager import unset

IMMUTABLE: Final = frozenset({str, int, bool, float, type(None)})


class Options(options.Options):
    """`Options` that copies deeply only what could be changed. The layers read a dozen for each request."""

    def __getattr__(self, name: str) -> Any:
        option = self._options.get(name)
        if option is None:
            raise AttributeError(f"No such option: {name}")
        value = option._default if option.value is unset else option.value
        return value if type(value) in IMMUTABLE else option.current()
