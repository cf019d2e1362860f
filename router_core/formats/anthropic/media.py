"""Images and documents of Anthropic Messages."""

from __future__ import annotations

from typing import Any

from router_core.formats.ir import Media, Part, Text, Unsupported
from router_core.formats.media import guess
from router_core.formats.shape import each, mapping, string

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What Anthropic's models see ("Vision")."""


def read_media(block: dict[str, Any], cache: str | None) -> Part | list[Part]:
    """An ``image`` or ``document`` block; a document of plain text is a text, one of several blocks several parts."""
    source = mapping(block.get("source"), "source")
    kind = "image" if block["type"] == "image" else "file"
    default = None if kind == "image" else "application/pdf"
    title = block.get("title") or None
    context = block.get("context") or None
    match source.get("type"):
        case "base64":
            data = string(source.get("data"), "source.data")
            return Media(
                kind,  # type: ignore[arg-type]
                source.get("media_type") or default,
                data=data,
                name=title,
                context=context,
                cache=cache,
            )
        case "url":
            url = string(source.get("url"), "source.url")
            return Media(kind, guess(url) or default, url=url, name=title, context=context, cache=cache)  # type: ignore[arg-type]
        case "file":
            file_id = string(source.get("file_id"), "source.file_id")
            return Media(kind, default, file_id=file_id, name=title, cache=cache)  # type: ignore[arg-type]
        case "text":
            return Text(_titled(title, context, string(source.get("data"), "source.data")), cache)
        case "content":
            return _blocks(source.get("content"), _titled(title, context, ""), cache)
    raise Unsupported(f"a {block['type']} whose source is of type {source.get('type')}")


def _blocks(content: Any, head: str, cache: str | None) -> Part | list[Part]:
    """A document of texts and images: its texts after its `head`, its images where they stand."""
    given: list[Text | Media] = (
        [Text(content)] if isinstance(content, str) else each(content, "source.content", _block)
    )
    parts: list[Text | Media] = [Text(head)]
    for part in given:
        last = parts[-1]
        if type(part) is Text and type(last) is Text:
            last.text = _titled(last.text, None, part.text)
        else:
            parts.append(part)
    if len(parts) > 1 and not head:
        del parts[0]
    parts[-1].cache = cache
    return [*parts] if len(parts) > 1 else parts[0]


def _block(block: dict[str, Any]) -> Text | Media | None:
    if block.get("type") == "image":
        return read_media(block, None)  # type: ignore[return-value]
    return Text(block["text"]) if isinstance(block.get("text"), str) else None


def _titled(title: str | None, context: str | None, text: str) -> str:
    return "\n".join(line for line in (title, context, text) if line)


def write_media(media: Media) -> dict[str, Any]:
    """The block for `media`. Raises Unsupported for recordings and other providers' file ids."""
    type_ = media.media_type or guess(media.name)
    if media.file_id and not media.data and not media.url:
        raise Unsupported("a file id of another provider")
    if media.kind == "image" or (type_ or "").startswith("image/"):
        if media.data is not None:
            if type_ not in _IMAGES:
                if type_ not in (None, "image/*", "image/jpg"):
                    raise Unsupported(f"images of type {type_}")
                type_ = _sniff(media.data) or "image/jpeg"
            return {"type": "image", "source": {"type": "base64", "media_type": type_, "data": media.data}}
        return {"type": "image", "source": {"type": "url", "url": media.url}}
    if media.kind in ("audio", "video"):
        raise Unsupported(f"{media.kind} input")
    return _document(media, type_)


def _document(media: Media, type_: str | None) -> dict[str, Any]:
    source: dict[str, Any]
    if media.data is None:
        source = {"type": "url", "url": media.url}
    elif (type_ or "").startswith("text/") or type_ == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(media.data)}
    elif type_ in (None, "application/pdf", "application/octet-stream"):
        source = {"type": "base64", "media_type": "application/pdf", "data": media.data}
    else:
        raise Unsupported(f"files of type {type_}")
    block: dict[str, Any] = {"type": "document", "source": source}
    if media.name:
        block["title"] = media.name[:500]
    if media.context:
        block["context"] = media.context
    return block


def _decoded(data: str) -> str:
    import base64
    import binascii

    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except binascii.Error as error:
        raise Unsupported("a text file that is not base64") from error


_MAGIC = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklGR": "image/webp"}


def _sniff(data: str) -> str | None:
    """The media type by the first bytes, in base64."""
    return next((type_ for magic, type_ in _MAGIC.items() if data.startswith(magic)), None)
