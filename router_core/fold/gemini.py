"""Gemini: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse"""

from __future__ import annotations

from typing import Any

from router_core.fold.events import Named, UnfoldError
from router_core.formats.gemini.partial import PartialCall
from router_core.json_document import Json, serialise
from router_core.sse import Event


def fold(events: list[Named]) -> Json:
    """The answer, or None where the stream holds no chunk. Counts are cumulative, so the last ones hold."""
    body: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for _, value in events:
        if not isinstance(value, dict):
            continue
        for position, chunk in enumerate(value.get("candidates") or ()):
            index = chunk.get("index", position)
            candidate = candidates.setdefault(index, {})
            content = chunk.get("content") or {}
            if isinstance(chunk.get("content"), dict):
                old = candidate.get("content") or {}
                parts = _joined(old.get("parts"), content.get("parts"))
                candidate["content"] = old | content | ({} if parts is None else {"parts": parts})
            candidate |= {k: v for k, v in chunk.items() if k not in ("content", "logprobsResult")}
            if isinstance(chunk.get("logprobsResult"), dict):
                # Each chunk tells of its own tokens.
                known = candidate.setdefault("logprobsResult", {})
                for name, told in chunk["logprobsResult"].items():
                    if isinstance(told, list):
                        known.setdefault(name, []).extend(told)
                    else:
                        known[name] = told
        body |= {k: v for k, v in value.items() if k != "candidates"}
        if "candidates" in value:
            body.setdefault("candidates", None)
    if not body:
        return None
    if "candidates" in body:
        body["candidates"] = [_with_whole_calls(candidates[index]) for index in sorted(candidates)]
    return body


def _with_whole_calls(candidate: dict[str, Any]) -> dict[str, Any]:
    """`candidate` with each call in one part, whose arguments may have come in pieces."""
    content = candidate.get("content") or {}
    parts = content.get("parts") or ()
    if not any("partialArgs" in _call(part) or "willContinue" in _call(part) for part in parts):
        return candidate
    whole: list[Json] = []
    under_way: PartialCall | None = None
    for part in parts:
        call = _call(part)
        if "functionCall" not in part:
            whole.append(part)
            continue
        if under_way is None and not call.get("name"):
            continue  # The end of a call that has ended already.
        if under_way is None or call.get("name"):
            under_way = PartialCall(call.get("id") or "", call.get("name") or "")
            kept = {key: value for key, value in call.items() if key not in ("partialArgs", "willContinue")}
            whole.append({**part, "functionCall": {**kept, "args": under_way.arguments}})
        else:
            whole[-1] |= {key: value for key, value in part.items() if key != "functionCall"}
        under_way.add(call.get("args"), call.get("partialArgs"))
        if not call.get("willContinue"):
            under_way = None
    return candidate | {"content": content | {"parts": whole}}


def _call(part: Json) -> dict[str, Any]:
    call = part.get("functionCall") if isinstance(part, dict) else None
    return call if isinstance(call, dict) else {}


def _joined(old: list[Json] | None, new: list[Json] | None) -> list[Json] | None:
    """Parts in a row; texts of one kind become one, as in an answer that is not streamed."""
    if old is None or new is None:
        return new if old is None else old
    parts = list(old)
    for part in new:
        last = parts[-1] if parts else {}
        if (
            _is_text(part)
            and _is_text(last)
            and last.get("thought") == part.get("thought")
            and "thoughtSignature" not in last
        ):
            parts[-1] = last | part | {"text": last["text"] + part["text"]}
        elif parts and part == {"text": ""}:
            # The last chunk of a stream has some part, if only an empty one.
            continue
        else:
            parts.append(part)
    return parts


def _is_text(part: Json) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= {"text", "thought", "thoughtSignature"}


def unfold(body: Json) -> list[Event]:
    """One event: Gemini's chunks have the shape of the answer."""
    if not isinstance(body, dict) or not ("candidates" in body or "promptFeedback" in body):
        raise UnfoldError("The upstream's answer has no candidates.", is_error=isinstance(body, dict))
    data = serialise(body)
    return [Event(b"data: " + data + b"\r\n\r\n", None, data, parsed=True)]
