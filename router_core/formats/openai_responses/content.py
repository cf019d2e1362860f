"""Content parts of the Responses API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router_core.formats import media as media_types
from router_core.formats.context import Target
from router_core.formats.ir import Malformed, Media, Part, Refused, Text, Unsupported
from router_core.formats.shape import each, string


def read_content(content: Any, place: str = "content") -> list[Part]:
    """The parts of a message's ``content`` or of a tool's ``output``: a string or an array."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    return each(content, place, _read_part)


def _read_part(block: dict[str, Any]) -> Part:
    type_ = block.get("type")
    if (type_ == "input_text" or type_ == "output_text") and len(block) == 2:
        # Most parts are a text.
        text = block.get("text")
        if type(text) is str:
            return Text(text)
    read = _PARTS.get(type_) if isinstance(type_, str) else None
    if read is None:
        raise Malformed(f"{type_!r} is no content part", "type")
    return read(block)


def _text(block: dict[str, Any]) -> Text:
    return Text(string(block.get("text"), "text"), _cache(block) if len(block) > 2 else None)


def _image(block: dict[str, Any]) -> Media:
    url = block.get("image_url")
    if isinstance(url, str):
        return media_types.from_url(url, detail=block.get("detail"), cache=_cache(block))
    return Media("image", file_id=string(block.get("file_id"), "file_id"), cache=_cache(block))


def _file(block: dict[str, Any]) -> Media:
    name, cache = block.get("filename"), _cache(block)
    data, url = block.get("file_data"), block.get("file_url")
    if isinstance(data, str):
        split = media_types.split_data_url(data)
        type_ = (split[0] if split else None) or media_types.guess(name) or "application/pdf"
        return Media("file", type_, data=split[1] if split else data, name=name, cache=cache)
    if isinstance(url, str):
        return media_types.from_url(url, "file", name=name, cache=cache)
    return Media("file", file_id=string(block.get("file_id"), "file_id"), name=name, cache=cache)


def _audio(block: dict[str, Any]) -> Media:
    audio = block.get("input_audio") or block
    format_ = str(audio.get("format"))
    type_ = media_types.AUDIO_FORMATS.get(format_, f"audio/{format_}")
    return Media("audio", type_, data=string(audio.get("data"), "data"))


def _refusal(block: dict[str, Any]) -> Refused:
    return Refused(block.get("refusal") or "")


def _cache(block: dict[str, Any]) -> str | None:
    mark = block.get("prompt_cache_breakpoint")
    return ("1h" if mark.get("ttl") == "12h" else "5m") if isinstance(mark, dict) else None


_PARTS: Final[dict[str, Callable[[dict[str, Any]], Part]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "summary_text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": _refusal,
}


def write_text(text: Text, target: Target) -> dict[str, Any]:
    if text.cache:
        target.drop("cache_control")
    return {"type": "input_text", "text": text.text}


def write_media(media: Media, target: Target) -> dict[str, Any]:
    """The content part for `media`. Raises Unsupported where the format or the model takes none such."""
    target.drop("cache_control", media.cache)
    if media.file_id and media.data is None and not media.url:
        raise Unsupported("a file id of another provider")
    if media.kind == "image":
        target.require("images", "image inputs")
        url = media.url if media.data is None else media_types.data_url(media)
        return {"type": "input_image", "image_url": url, "detail": media.detail or "auto"}
    if media.kind != "file":
        raise Unsupported(f"{media.kind} inputs")
    if media.media_type == "application/pdf":
        target.require("pdf", "PDF inputs")
    target.drop("context", media.context)
    if media.data is None:
        target.drop("file name", media.name)
        return {"type": "input_file", "file_url": media.url}
    name = media.name or f"file.{(media.media_type or 'application/pdf').partition('/')[2]}"
    return {"type": "input_file", "filename": name, "file_data": media_types.data_url(media)}
