"""Codex's compaction of a long conversation, for models that are not OpenAI's.

Codex ends its input with a ``compaction_trigger`` and wants one ``compaction`` item back, whose
``encrypted_content`` stands for all that was said; the next requests begin with that item. Another model is
asked for a summary in words, and the item carries the words. Source: codex-rs, "remote compaction v2".
"""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import carrier, ir
from router_core.formats.context import Context
from router_core.formats.ir import Format

TRIGGER: Final = "compaction_trigger"
ITEMS: Final = frozenset({"compaction", "context_compaction", "compaction_summary"})
ASK: Final = (
    "The conversation has grown too long and ends here; another one goes on with nothing but your summary of it. "
    "Write down what is needed for that: what the user asked for and decided, what was done and found out, which "
    "files and commands matter, what is still to be done and what comes next. Answer with the summary alone."
)
SUMMARY: Final = "Summary of the conversation so far:\n\n"
_DIALECT: Final = "compaction"


def pack(summary: str) -> str:
    """``encrypted_content`` that holds a summary."""
    return carrier.pack(ir.Signature(Format.OPENAI_RESPONSES, "", dialect=_DIALECT), summary)


def unpack(item: dict[str, Any]) -> str | None:
    """What a compaction item says, as the user's words; None where only OpenAI can read it."""
    encrypted = item.get("encrypted_content")
    carried = carrier.unpack(encrypted) if isinstance(encrypted, str) else None
    if carried is None or carried[0].dialect != _DIALECT:
        return None
    return SUMMARY + (carried[1] or "")


class Compactor:
    """Makes one compaction item of an answer's text."""

    def __init__(self, context: Context):
        self._context = context
        self._texts: dict[int, list[str]] = {}

    def push(self, event: ir.Event) -> list[ir.Event]:
        match event:
            case ir.PartStart() if type(event.part) is ir.Text and event.choice == 0:
                self._texts[event.index] = []
            case ir.Delta() if event.index in self._texts:
                self._texts[event.index].append(event.text)
            case ir.Finish() if event.choice == 0:
                return self._finish()
            case ir.Start() | ir.UsageReport() | ir.Failure() | ir.KeepAlive() | ir.End():
                return [event]
        return []

    def _finish(self) -> list[ir.Event]:
        summary = "".join(piece for pieces in self._texts.values() for piece in pieces).strip()
        if not summary:
            return [ir.Failure("api", "the model gave no summary of the conversation")]
        id = self._context.id("cmp_", 0, 48)
        item = {"id": id, "type": "compaction", "encrypted_content": pack(summary)}
        part = ir.ServerTool("other", id, {}, native=(Format.OPENAI_RESPONSES, item))
        return [ir.PartStart(0, part), ir.PartEnd(0), ir.Finish(ir.Stop.END)]
