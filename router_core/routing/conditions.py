"""What a request needs of a target, and whether a target can give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from functools import cached_property
from typing import Any, Final

from router_core.config.schema import Condition
from router_core.providers.model import ModelInfo

BYTES_PER_TOKEN: Final = 4
"""Of text; a rough mean over English and code, as the providers' own guides give it."""
TOKENS_PER_MEDIUM: Final = 1600
"""One image or page, whatever its bytes (Anthropic: width x height / 750, at most about 1,600)."""
_MAX_DEPTH: Final = 64
_IMAGE_TYPES: Final = frozenset({"image", "image_url", "input_image"})
_IMAGE_KEYS: Final = frozenset({"inlineData", "inline_data", "fileData", "file_data"})
_MEDIUM_KEYS: Final = frozenset(
    {"data", "url", "image_url", "file_data", "fileData", "inlineData", "inline_data"}
)


@dataclass(frozen=True)
class Needs:
    """Read from a parsed request body of any format, each thing when it is first asked for."""

    document: Any

    @cached_property
    def tools(self) -> bool:
        return bool(self._get("tools") or self._get("functions"))

    @cached_property
    def thinking(self) -> bool:
        document = self.document if isinstance(self.document, dict) else {}
        thinking = document.get("thinking")
        if isinstance(thinking, dict):
            return thinking.get("type") not in (None, "disabled")
        if document.get("reasoning_effort") not in (None, "none"):
            return True
        reasoning = document.get("reasoning")
        if isinstance(reasoning, dict):
            return reasoning.get("effort") not in (None, "none")
        generation = document.get("generationConfig") or document.get("generation_config")
        config = (
            (generation.get("thinkingConfig") or generation.get("thinking_config"))
            if isinstance(generation, dict)
            else None
        )
        return (
            isinstance(config, dict) and config.get("thinkingBudget", config.get("thinking_budget", -1)) != 0
        )

    @cached_property
    def images(self) -> bool:
        return any(_is_image(part) for part in _walk(self.document))

    @cached_property
    def context(self) -> int:
        """Estimated input tokens."""
        total = media = 0
        for part in _walk(self.document):
            for key, value in part.items():
                total += len(key) + 4
                values = value if isinstance(value, list) else (value,)
                for item in values:
                    if not isinstance(item, str):
                        total += 4
                    elif key in _MEDIUM_KEYS and len(item) > 256:
                        media += 1
                    else:
                        total += len(item)
        return total // BYTES_PER_TOKEN + media * TOKENS_PER_MEDIUM

    def _get(self, key: str) -> Any:
        return self.document.get(key) if isinstance(self.document, dict) else None


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object below `node`, without recursion: bodies may be nested as deep as their parser allows."""
    stack = [(node, 0)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, dict):
            yield item
            children: Any = item.values()
        elif isinstance(item, list):
            children = item
        else:
            continue
        if depth < _MAX_DEPTH:
            stack.extend((c, depth + 1) for c in children if isinstance(c, dict | list))


def _is_image(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _IMAGE_TYPES:
        return True
    for key in _IMAGE_KEYS & part.keys():
        inner = part[key]
        media = (inner.get("mimeType") or inner.get("mime_type") or "") if isinstance(inner, dict) else ""
        if isinstance(media, str) and media.startswith("image/"):
            return True
    return False


def unmet(condition: Condition, needs: Needs, now: float) -> str | None:
    """Why a target with `condition` does not take the request, or None. `now` is seconds since the epoch."""
    for name in ("tools", "images", "thinking"):
        wanted = getattr(condition, name)
        if wanted is not None and getattr(needs, name) is not wanted:
            return f"only for requests {'with' if wanted else 'without'} {name}"
    if condition.max_context is not None and needs.context > condition.max_context:
        return f"about {needs.context} tokens, more than max_context {condition.max_context}"
    if condition.min_context is not None and needs.context < condition.min_context:
        return f"about {needs.context} tokens, less than min_context {condition.min_context}"
    if condition.time is not None and not in_window(condition.time, now):
        return f"only at {condition.time}"
    return None


def incapable(model: ModelInfo | None, needs: Needs) -> str | None:
    """Why a model cannot serve the request by what the registry knows of it, or None."""
    if model is None:
        return None
    capabilities: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("tools", lambda: needs.tools),
        ("images", lambda: needs.images),
        ("thinking", lambda: needs.thinking),
    )
    if model.capabilities:
        for name, needed in capabilities:
            if name not in model.capabilities and needed():
                return f"{model.id} has no {name}"
    if model.context_length is not None and needs.context > model.context_length:
        return f"about {needs.context} tokens, more than {model.id}'s {model.context_length}"
    return None


def parse_window(text: str) -> tuple[time, time]:
    """``22:00-06:00``. Raises ValueError with the remedy."""
    start, dash, end = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return time.fromisoformat(start.strip()), time.fromisoformat(end.strip().replace("24:00", "00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is not a time window; write HH:MM-HH:MM") from None


def in_window(text: str, now: float) -> bool:
    """Whether local time lies in ``HH:MM-HH:MM``, which may reach over midnight."""
    start, end = parse_window(text)
    at = datetime.fromtimestamp(now).time()
    return start <= at < end if start < end else at >= start or at < end
