"""Log probabilities of an answer's tokens: Google's ``logprobsResult`` and Chat Completions' ``logprobs.content``."""

from __future__ import annotations

from typing import Any

from router_core.formats.gemini.fields import get


def read_logprobs(result: Any) -> list[dict[str, Any]]:
    """Google's result of one chunk in the shape of Chat Completions; empty where it has none."""
    chosen = get(result, "chosenCandidates") if isinstance(result, dict) else None
    tops = (get(result, "topCandidates") or []) if chosen else []
    content = []
    for number, entry in enumerate(chosen or ()):
        top = get(tops[number], "candidates") if number < len(tops) else None
        content.append({**_read(entry), "top_logprobs": [_read(other) for other in top or ()]})
    return content


def _read(entry: dict[str, Any]) -> dict[str, Any]:
    token = entry.get("token") or ""
    return {
        "token": token,
        "logprob": get(entry, "logProbability") or 0.0,
        "bytes": list(token.encode(errors="surrogatepass")),
    }


def write_logprobs(content: list[dict[str, Any]]) -> dict[str, Any]:
    tops = [[_write(other) for other in entry.get("top_logprobs") or ()] for entry in content]
    result: dict[str, Any] = {"chosenCandidates": [_write(entry) for entry in content]}
    if any(tops):
        result["topCandidates"] = [{"candidates": top} for top in tops]
    return result


def _write(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token") or "", "logProbability": entry.get("logprob") or 0.0}
