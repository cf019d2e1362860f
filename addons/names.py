"""Reading hosts and addresses of requests, quickly.

A client's requests name the same few hosts, and mitmproxy takes each name apart several times: by a regular
expression, by IDNA and by `urllib`. What was read before is remembered here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Final

from mitmproxy.net import check
from mitmproxy.net.http import url

LONGEST: Final = 256
"""Characters of what is remembered; clients choose it."""
MANY: Final = 1024


def remembered[**P, R](read: Callable[P, R]) -> Callable[P, R]:
    """`read`, which depends on its arguments alone, with its last `MANY` results kept. What it raises is not."""
    known = lru_cache(MANY)(read)

    @wraps(read)
    def quick(*args: P.args, **kwargs: P.kwargs) -> R:
        text: Any = args[0]
        return known(*args, **kwargs) if len(text) <= LONGEST else read(*args, **kwargs)  # type: ignore[arg-type]

    return quick


def install() -> None:
    """Let all of mitmproxy read names this way."""
    if hasattr(url.parse, "__wrapped__"):
        return
    check.is_valid_host = url.is_valid_host = remembered(check.is_valid_host)
    url.parse_authority = remembered(url.parse_authority)
    url.parse = remembered(url.parse)
