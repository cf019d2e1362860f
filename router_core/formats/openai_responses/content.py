"""Content parts of the Responses API."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import media as media_types
from router_core.formats.context import Target
from router_core.formats.ir import Malformed, Media, Part, Refused, Text, Unsupported
from router_core.formats.shape import array, mapping, string

_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text"})


def read_content(content: Any, place: str) -> list[Part]:
    """The parts of a message's ``content`` or of a tool's ``output``: a string or an array."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content)]
    return [_read_part(block, f"{place}[{n}]") for n, block in enumerate(array(content, place))]


def _read_part(block: Any, place: str) -> Part:
    type_ = mapping(block, place).get("type")
    mark = block.get("prompt_cache_breakpoint")
    cache = ("1h" if mark.get("ttl") == "12h" else "5m") if isinstance(mark, dict) else None
    if type_ in _TEXTS:
        return Text(string(block.get("text"), f"{place}.text"), cache)
    match type_:
        case "input_image":
            url = block.get("image_url")
            if isinstance(url, str):
                return media_types.from_url(url, detail=block.get("detail"), cache=cache)
            return Media("image", file_id=string(block.get("file_id"), f"{place}.file_id"), cache=cache)
        case "input_file":
            return _read_file(block, place, cache)
        case "input_audio":
            audio = block.get("input_audio") or block
            format_ = str(audio.get("format"))
            data = string(audio.get("data"), f"{place}.data")
            return Media("audio", media_types.AUDIO_FORMATS.get(format_, f"audio/{format_}"), data=data)
        case "refusal":
            return Refused(block.get("refusal") or "")
    raise Malformed(f"{place}.type: {type_!r} is no content part")


def _read_file(block: dict[str, Any], place: str, cache: str | None) -> Media:
    name = block.get("filename")
    data, url = block.get("file_data"), block.get("file_url")
    if isinstance(data, str):
        split = media_types.split_data_url(data)
        type_ = (split[0] if split else None) or media_types.guess(name) or "application/pdf"
        return Media("file", type_, data=split[1] if split else data, name=name, cache=cache)
    if isinstance(url, str):
        return media_types.from_url(url, "file", name=name, cache=cache)
    return Media("file", file_id=string(block.get("file_id"), f"{place}.file_id"), name=name, cache=cache)


def write_text(text: Text, target: Target) -> dict[str, Any]:
    target.drop("cache_control", text.cache)
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
    if media.data is None:
        return {"type": "input_file", "file_url": media.url}
    name = media.name or f"file.{(media.media_type or 'application/pdf').partition('/')[2]}"
    return {"type": "input_file", "filename": name, "file_data": media_types.data_url(media)}
