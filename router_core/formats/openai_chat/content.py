"""Content parts of Chat Completions messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import media as media_types
from router_core.formats.context import Target
from router_core.formats.ir import (
    Format,
    Malformed,
    Media,
    Part,
    Refused,
    Signature,
    Text,
    Thinking,
    Unsupported,
)
from router_core.formats.openai_chat.reasoning import MISTRAL
from router_core.formats.shape import each, mapping, string


def read_content(content: Any) -> list[Part]:
    """The parts of a message's ``content``: null, a string, or an array."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    return each(content, "content", _read_part)


def _read_part(block: dict[str, Any]) -> Part:
    type_ = block.get("type")
    read = _PARTS.get(type_) if isinstance(type_, str) else None
    if read is None:
        raise Malformed(f"{type_!r} is no content part", "type")
    return read(block)


def _text(block: dict[str, Any]) -> Text:
    return Text(string(block.get("text"), "text"), _cache(block) if len(block) > 2 else None)


def read_image(block: dict[str, Any]) -> Media:
    given = block.get("image_url")
    image = {"url": given} if isinstance(given, str) else mapping(given, "image_url")
    url = string(image.get("url"), "image_url.url")
    return media_types.from_url(url, detail=image.get("detail"), cache=_cache(block))


def _audio(block: dict[str, Any]) -> Media:
    audio = mapping(block.get("input_audio"), "input_audio")
    format_ = str(audio.get("format"))
    type_ = media_types.AUDIO_FORMATS.get(format_, f"audio/{format_}")
    return Media("audio", type_, data=string(audio.get("data"), "input_audio.data"), cache=_cache(block))


def _video(block: dict[str, Any]) -> Media:
    video = mapping(block.get("video_url"), "video_url")
    return media_types.from_url(string(video.get("url"), "video_url.url"), "video", cache=_cache(block))


def _file(block: dict[str, Any]) -> Media:
    file = mapping(block.get("file"), "file")
    cache = _cache(block)
    name = file.get("filename")
    data = file.get("file_data")
    if isinstance(data, str):
        split = media_types.split_data_url(data)
        if split:
            return Media("file", split[0] or media_types.guess(name), data=split[1], name=name, cache=cache)
        if data.startswith(("http://", "https://")):
            return Media("file", media_types.guess(data), url=data, name=name, cache=cache)
        return Media("file", media_types.guess(name) or "application/pdf", data=data, name=name, cache=cache)
    return Media("file", file_id=string(file.get("file_id"), "file.file_id"), name=name, cache=cache)


def _refusal(block: dict[str, Any]) -> Refused:
    return Refused(block.get("refusal") or "")


def _thinking(block: dict[str, Any]) -> Thinking:
    texts = [t.get("text", "") for t in block.get("thinking") or () if isinstance(t, dict)]
    return Thinking("".join(texts), Signature(Format.OPENAI_CHAT, "", dialect=MISTRAL))


_PARTS: Final[dict[str, Callable[[dict[str, Any]], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "image_url": read_image,
    "input_audio": _audio,
    "video_url": _video,
    "file": _file,
    "refusal": _refusal,
    "thinking": _thinking,
}


def _cache(block: dict[str, Any]) -> str | None:
    mark = block.get("cache_control") or block.get("prompt_cache_breakpoint")
    return ("1h" if mark.get("ttl") in ("1h", "12h") else "5m") if isinstance(mark, dict) else None


def write_text(text: Text, target: Target) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "text", "text": text.text}
    return marked(part, text.cache, target)


def marked(part: dict[str, Any], cache: str | None, target: Target) -> dict[str, Any]:
    if cache:
        if "cache_control" in target.quirks:
            part["cache_control"] = {"type": "ephemeral", **({"ttl": "1h"} if cache == "1h" else {})}
        else:
            target.drop("cache_control")
    return part


def write_media(media: Media, target: Target) -> dict[str, Any]:
    """The content part for `media`. Raises Unsupported where the format or the model takes none such."""
    if media.file_id and media.data is None and not media.url:
        raise Unsupported("a file id of another provider")
    if media.kind == "image":
        target.require("images", "image inputs")
        image: dict[str, Any] = {"url": media.url if media.data is None else media_types.data_url(media)}
        if media.detail and media.detail != "auto":
            image["detail"] = media.detail
        return marked({"type": "image_url", "image_url": image}, media.cache, target)
    if media.kind == "audio":
        target.require("audio", "audio inputs")
        format_ = media_types.audio_format(media.media_type)
        if format_ is None or media.data is None:
            raise Unsupported(f"audio of type {media.media_type}")
        target.drop("cache_control", media.cache)
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": format_}}
    if media.kind == "video" or media.data is None:
        raise Unsupported("videos" if media.kind == "video" else "files by URL")
    if media.media_type == "application/pdf":
        target.require("pdf", "PDF inputs")
    target.drop("context", media.context)
    name = media.name or f"file.{(media.media_type or 'application/pdf').partition('/')[2]}"
    return marked(
        {"type": "file", "file": {"filename": name, "file_data": media_types.data_url(media)}},
        media.cache,
        target,
    )
