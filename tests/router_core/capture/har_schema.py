"""HAR 1.2 as a schema: what every entry must have, by http://www.softwareishard.com/blog/har-12-spec/.

A value is a type, a tuple of types, [item] for arrays, or a dict of members; a ``?`` ends the name of an
optional one. Members that begin with an underscore are anybody's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

NUMBER = (int, float)
PAIR = {"name": str, "value": str, "comment?": str}
COOKIE = {**PAIR, "path?": str, "domain?": str, "expires?": str, "httpOnly?": bool, "secure?": bool}

REQUEST = {
    "method": str,
    "url": str,
    "httpVersion": str,
    "cookies": [COOKIE],
    "headers": [PAIR],
    "queryString": [PAIR],
    "headersSize": int,
    "bodySize": int,
    "comment?": str,
    "postData?": {"mimeType": str, "text?": str, "params?": list, "comment?": str},
}
RESPONSE = {
    "status": int,
    "statusText": str,
    "httpVersion": str,
    "cookies": [COOKIE],
    "headers": [PAIR],
    "content": {
        "size": int,
        "compression?": int,
        "mimeType": str,
        "text?": str,
        "encoding?": str,
        "comment?": str,
    },
    "redirectURL": str,
    "headersSize": int,
    "bodySize": int,
    "comment?": str,
}
TIMINGS = (
    {"send": NUMBER, "wait": NUMBER, "receive": NUMBER}
    | {f"{n}?": NUMBER for n in ("blocked", "dns", "connect", "ssl")}
    | {"comment?": str}
)
ENTRY = {
    "startedDateTime": datetime,
    "time": NUMBER,
    "request": REQUEST,
    "response": RESPONSE,
    "cache": dict,
    "timings": TIMINGS,
    "pageref?": str,
    "serverIPAddress?": str,
    "connection?": str,
    "comment?": str,
}
HAR = {
    "log": {
        "version": str,
        "creator": {"name": str, "version": str, "comment?": str},
        "browser?": dict,
        "pages?": list,
        "entries": [ENTRY],
        "comment?": str,
    }
}


def violations(value: Any, schema: Any = HAR, path: str = "har") -> Iterator[str]:
    """Where `value` is no HAR."""
    if schema is datetime:
        if not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is None:
            yield f"{path} is no time with a zone"
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f"{path} is no array"
            return
        for number, item in enumerate(value):
            yield from violations(item, schema[0], f"{path}[{number}]")
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f"{path} is no object"
            return
        names = {name.removesuffix("?"): name for name in schema}
        yield from (f"{path}.{name} is missing" for name in schema if name[-1] != "?" and name not in value)
        for name, item in value.items():
            if name in names:
                yield from violations(item, schema[names[name]], f"{path}.{name}")
            elif not name.startswith("_"):
                yield f"{path}.{name} is not in the specification"
    elif not isinstance(value, schema) or isinstance(value, bool) != (schema is bool):
        yield f"{path} is {type(value).__name__}"
