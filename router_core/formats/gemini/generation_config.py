"""``generationConfig`` of Gemini's requests (ai.google.dev, "GenerationConfig")."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import ir
from router_core.formats.context import Target
from router_core.formats.gemini.thinking import write_thinking
from router_core.formats.schema import for_gemini_answers

MAX_STOPS: Final = 5
"""``stopSequences`` in one request."""
_CONFIG: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_PENALTIES: Final = frozenset({"presence_penalty", "frequency_penalty"})
NO_PENALTIES: Final = (2, 5)
"""The first version that refuses them ("Penalty is not enabled for models/gemini-2.5-pro")."""


def is_fixed(version: tuple[int, int] | None) -> bool:
    """Whether the model samples as it likes and goes on with the user's turn only ("What's new in Gemini 3.6")."""
    return version is not None and version >= (3, 5)


def write_config(
    request: ir.Request, target: Target, version: tuple[int, int] | None, *, formats: bool
) -> dict[str, Any]:
    """`formats` is whether the answer's format may be told here."""
    config: dict[str, Any] = {}
    for name, written in _CONFIG.items():
        value = getattr(request, name)
        if value is None:
            continue
        if name in _PENALTIES and version is not None and version >= NO_PENALTIES:
            target.drop(name, value)
        elif is_fixed(version) and name != "seed":
            target.drop(name)
        else:
            config[written] = value
    limit = request.max_tokens
    if limit is not None:
        known = target.info.max_output_tokens if target.info else None
        config["maxOutputTokens"] = min(limit, known) if known else limit
    if len(request.stop) > MAX_STOPS:
        target.context.stop = request.stop
        target.note("stop sequences: the answer is cut here")
    elif request.stop:
        config["stopSequences"] = request.stop
    if request.n > 1:
        config["candidateCount"] = request.n
    if request.logprobs is not None:
        config["responseLogprobs"] = True
        if request.logprobs:
            config["logprobs"] = request.logprobs
    wanted = request.response_format
    if wanted is not None and wanted.kind != "text" and formats:
        config["responseMimeType"] = "application/json"
        target.drop("response format's description", wanted.description)
        if wanted.schema:
            config["responseJsonSchema"] = for_gemini_answers(wanted.schema)
    thinking = write_thinking(request, target, version)
    if thinking:
        config["thinkingConfig"] = thinking
    return config
