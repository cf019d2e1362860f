"""generateContent requests, written (ai.google.dev, "Generating content", "Function calling")."""

from __future__ import annotations

from typing import Any, Final

from router_core.formats import custom_tools, ir
from router_core.formats.context import Target
from router_core.formats.conversation import (
    FORMAT_IN_WORDS,
    GO_ON,
    ONLY_ALLOWED,
    PREFILL_ASKED,
    PREFILL_TURN,
    asked_for_json,
    for_upstream,
    marked_within,
    media_in,
    plain,
    refuse_forced,
)
from router_core.formats.effort import gemini_version
from router_core.formats.gemini.generation_config import is_fixed, write_config
from router_core.formats.gemini.schema import for_gemini
from router_core.formats.ir import Format
from router_core.formats.media import guess
from router_core.formats.names import CALL_IDS, CallIds, ToolNames
from router_core.formats.placeholder import PLACEHOLDER
from router_core.formats.shape import arguments_object

_ROLES: Final = {"user": "user", "assistant": "model"}
type Parts = list[dict[str, Any]]


def write_request(request: ir.Request, target: Target) -> dict[str, Any]:
    if request.modalities and set(request.modalities) - {"text"}:
        raise ir.Unsupported(f"answers in {', '.join(request.modalities)}")
    names = ToolNames(Format.GEMINI)
    target.context.tools = names.back
    version = gemini_version(target.model)
    writer = _Contents(target, names, version)
    turns = for_upstream(request.turns, Format.GEMINI, target.notes)
    contents = [
        {
            "role": _ROLES[turn.role],
            "parts": [{"text": turn.content}] if type(turn.content) is str else writer.parts(turn),
        }
        for turn in turns
    ]
    if contents[-1]["role"] == "model":
        if is_fixed(version):
            contents.append({"role": "user", "parts": [{"text": GO_ON}]})
        target.note(PREFILL_ASKED if is_fixed(version) else PREFILL_TURN)
    document: dict[str, Any] = {"contents": contents}
    system = [{"text": text.text} for text in request.system if text.text]
    if system:
        document["systemInstruction"] = {"parts": system}
    if any(text.cache for text in request.system) or any(tool.cache for tool in request.tools):
        target.drop("cache_control")
    _tools(document, request, names, target, version)
    formats = not _asks_in_words(document, request, target, version)
    config = write_config(request, target, version, formats=formats)
    if config:
        document["generationConfig"] = config
    for name in ("user", "verbosity", "service_tier"):
        target.drop(name, getattr(request, name))
    target.drop("parallel_tool_calls", request.parallel is False)
    for name in request.openai:
        target.drop(name)
    return document


def _asks_in_words(
    document: dict[str, Any], request: ir.Request, target: Target, version: tuple[int, int] | None
) -> bool:
    """Asks for an answer in JSON in words where functions leave no other way.

    Before Gemini 3, functions and formats exclude each other; since then, forced functions and formats do.
    """
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return False
    functions = any("functionDeclarations" in tool for tool in document.get("tools", ()))
    calling = document.get("toolConfig", {}).get("functionCallingConfig", {})
    together = version is not None and version >= (3, 0) and calling.get("mode") != "ANY"
    if not functions or together:
        return False
    system = document.setdefault("systemInstruction", {"parts": []})
    system["parts"].append({"text": asked_for_json(wanted)})
    target.note(FORMAT_IN_WORDS)
    target.drop("response format's description", wanted.description)
    return True


class _Contents:
    def __init__(self, target: Target, names: ToolNames, version: tuple[int, int] | None):
        self.target = target
        self.names = names
        self.ids = CallIds(CALL_IDS[Format.GEMINI])
        self.new = version is not None and version >= (3, 0)
        """Whether the model is of the generation that has ids, media in results, and checks signatures."""

    def parts(self, turn: ir.Turn) -> Parts:
        parts = self.model(turn.parts) if turn.role == "assistant" else self.user(turn.parts)
        return parts or [{"text": "[empty]"}]

    def user(self, given: list[ir.Part]) -> Parts:
        results: Parts = []
        parts: Parts = []
        # Older models see media only outside of the results; results come first.
        media: Parts = []
        for part in given:
            # The types themselves are asked: conversations have thousands of parts.
            if type(part) is ir.ToolResult:
                results.append(self.result(part, media))
            elif type(part) is ir.Text:
                if part.text:
                    parts.append({"text": part.text})
                if part.cache:
                    self.target.drop("cache_control")
            elif type(part) is ir.Media:
                parts.append(self.media(part))
        return results + media + parts if results else parts

    def result(self, part: ir.ToolResult, media: Parts) -> dict[str, Any]:
        content = part.content
        text = content if type(content) is str else plain(content)
        written: dict[str, Any] = {
            "name": self.names.called(part),
            "response": {"error" if part.error else "output": text},
        }
        if self.new:
            written["id"] = self.ids[part.id]
        if part.cache:
            self.target.drop("cache_control")
        if type(content) is not str:
            self.target.drop("cache_control", marked_within(content))
            shown = [self.media(inner) for inner in media_in(content)]
            if shown and self.new:
                written["parts"] = shown
            elif shown:
                media.append({"text": f"[result of {part.name or 'the tool'}]"})
                media += shown
        return {"functionResponse": written}

    def model(self, said: list[ir.Part]) -> Parts:
        """A model turn; a signature stands on the part that follows the reasoning."""
        parts: Parts = []
        pending: str | None = None
        called = False
        for part in said:
            signature: ir.Signature | None = None
            # The types themselves are asked: conversations have thousands of parts.
            if type(part) is ir.Text:
                written: dict[str, Any] = {"text": part.text}
                signature = part.signature
                if part.cache:
                    self.target.drop("cache_control")
            elif type(part) is ir.ToolCall:
                written = {"functionCall": self.call(part)}
                signature = part.signature
                if self.new and not called and pending is None and not _native(signature):
                    pending = PLACEHOLDER
                called = True
            elif type(part) is ir.Thinking:
                if not _native(part.signature):
                    if part.text or (part.signature is not None and part.signature.data):
                        self.target.note("reasoning of another model is left out")
                    continue
                if part.text:
                    parts.append({"text": part.text, "thought": True})
                pending = _native(part.signature)
                continue
            elif type(part) is ir.Refused:
                written = {"text": part.text}
            elif type(part) is ir.Media:
                written = self.media(part)
                signature = part.signature
                if self.new and pending is None and not _native(signature):
                    # Models that draw check the images of their turns too.
                    pending = PLACEHOLDER
            elif type(part) is ir.ServerTool and part.native and part.native[0] is Format.GEMINI:
                written = dict(part.native[1])
            else:
                continue
            proof = _native(signature) or pending if signature is not None else pending
            if proof is not None:
                written["thoughtSignature"] = proof
                pending = None
            parts.append(written)
        if pending is not None:
            parts.append({"text": "", "thoughtSignature": pending})
        return parts

    def call(self, part: ir.ToolCall) -> dict[str, Any]:
        call: dict[str, Any] = {
            "name": self.names.called(part),
            "args": arguments_object(custom_tools.arguments(part)),
        }
        if self.new:
            call["id"] = self.ids[part.id]
        if part.cache:
            self.target.drop("cache_control")
        return call

    def media(self, media: ir.Media) -> dict[str, Any]:
        capability = {"image": "images", "audio": "audio"}.get(media.kind)
        if capability:
            self.target.require(capability, f"{media.kind} inputs")
        if media.cache:
            self.target.drop("cache_control")
        self.target.drop("image detail", media.detail not in (None, "auto"))
        self.target.drop("context", media.context)
        self.target.drop("file name", media.name)
        type_ = media.media_type or guess(media.name) or guess(media.url)
        if media.kind == "file" and type_ == "application/pdf":
            self.target.require("pdf", "PDF inputs")
        if media.data is not None:
            return {"inlineData": {"mimeType": type_ or "application/octet-stream", "data": media.data}}
        if media.url is None:
            raise ir.Unsupported("a file id of another provider")
        fallback = "image/jpeg" if media.kind == "image" else "application/pdf"
        return {"fileData": {"mimeType": type_ or fallback, "fileUri": media.url}}


def _native(signature: ir.Signature | None) -> str | None:
    """What a Gemini model can check, None for any other signature."""
    return signature.data or None if signature is not None and signature.origin is Format.GEMINI else None


def _tools(
    document: dict[str, Any],
    request: ir.Request,
    names: ToolNames,
    target: Target,
    version: tuple[int, int] | None,
) -> None:
    choice = request.tool_choice
    allowed = set(choice.names or ()) if choice else set()
    narrowed = choice is not None and choice.mode != "required"
    declarations = [
        _declaration(tool, names)
        for tool in request.tools
        if not (narrowed and allowed) or tool.name in allowed
    ]
    if narrowed and allowed:
        target.note(ONLY_ALLOWED)
    tools: list[dict[str, Any]] = [{"functionDeclarations": declarations}] if declarations else []
    for use in request.server_tools:
        entry: dict[str, Any] | None = {
            "web_search": {"googleSearch": {}},
            "code_execution": {"codeExecution": {}},
        }.get(use.tool)
        mixed = declarations and not (version is not None and version >= (3, 0))
        if entry is None or mixed:
            # Before Gemini 3, Google's own tools and functions exclude each other.
            target.drop(f"tools[{use.name}]")
        else:
            target.drop_options(use)
            if entry not in tools:
                tools.append(entry)
    if not tools:
        refuse_forced(request)
        return
    target.require("tools", "tools")
    document["tools"] = tools
    target.drop("tools[].strict", any(tool.strict for tool in request.tools))
    if choice is not None and choice.mode == "required" and not declarations:
        target.note("tool choice: Google's own tools are not forced")
    if choice is None or choice.mode == "auto" or not declarations:
        return
    calling: dict[str, Any] = {"mode": "NONE" if choice.mode == "none" else "ANY"}
    if allowed and choice.mode == "required":
        forced = [tool for tool in request.tools if tool.name in allowed]
        calling["allowedFunctionNames"] = [
            names.wire(tool.name, tool.namespace, custom=tool.kind == "custom") for tool in forced
        ]
    document["toolConfig"] = {"functionCallingConfig": calling}


def _declaration(tool: ir.Tool, names: ToolNames) -> dict[str, Any]:
    custom = tool.kind == "custom"
    declaration: dict[str, Any] = {"name": names.wire(tool.name, tool.namespace, custom=custom)}
    text = custom_tools.description(tool)
    declaration["description"] = text or tool.name
    schema = for_gemini(custom_tools.as_schema(tool) if custom else tool.schema)
    # An object without properties is rejected; a function without parameters is not.
    if schema.get("properties"):
        declaration["parameters"] = schema
    return declaration
