"""The dashboard's scripts and styles, kept in memory."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from detour.admin.guard import error

FOLDER: Final = Path(__file__).with_name("static")


def load() -> dict[str, tuple[bytes, str, str]]:
    """Name to content, media type and entity tag."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        content = path.read_bytes()
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[path.name] = (content, media, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return found


FILES: Final = load()


async def static(request: Request) -> Response:
    """A script, style or image of the dashboard."""
    found = FILES.get(request.path_params["name"])
    if found is None:
        return error(404, "not_found", f"There is nothing at {request.url.path}.")
    content, media, tag = found
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media, headers=headers)
