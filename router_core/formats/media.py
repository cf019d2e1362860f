"""Media types, data URLs and file names, as the formats spell them."""

from __future__ import annotations

import re
from typing import Final

from router_core.formats.ir import Media

_DATA_URL: Final = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
_EXTENSIONS: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
AUDIO_FORMATS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""Chat Completions' ``input_audio.format``."""


def split_data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64) of a data URL, None for any other URL."""
    if not url.startswith(("data:", "DATA:")):
        return None
    match = _DATA_URL.match(url[:256])
    return (match["type"].lower(), url[match.end() :]) if match else None


def data_url(media: Media) -> str:
    return f"data:{media.media_type or guess(media.name) or 'application/octet-stream'};base64,{media.data}"


def guess(name: str | None) -> str | None:
    """The media type that the end of a file name or URL stands for."""
    if not name:
        return None
    path = name.partition("?")[0].partition("#")[0]
    return _EXTENSIONS.get(path.rpartition(".")[2].lower())


def kind_of(media_type: str | None) -> str:
    """image, audio, video or file."""
    major = (media_type or "").partition("/")[0]
    return major if major in ("image", "audio", "video") else "file"


def from_url(url: str, kind: str = "image", **fields: str | None) -> Media:
    """A `Media` of a URL or data URL."""
    split = split_data_url(url)
    if split:
        return Media(kind, split[0] or None, data=split[1], **fields)  # type: ignore[arg-type]
    return Media(kind, guess(url), url=url, **fields)  # type: ignore[arg-type]


def audio_format(media_type: str | None) -> str | None:
    """``wav`` or ``mp3``, None for what Chat Completions does not take."""
    sub = (media_type or "").partition("/")[2].lower()
    return {"wav": "wav", "x-wav": "wav", "wave": "wav", "mpeg": "mp3", "mp3": "mp3"}.get(sub)
