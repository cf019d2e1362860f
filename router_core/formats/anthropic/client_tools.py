"""Anthropic's typed tools that the *client* runs: the model is trained on them, so they come without schema.

For other models they become ordinary functions. Shapes from Anthropic's "Bash tool", "Text editor tool",
"Memory tool" and "Computer use tool".
"""

from __future__ import annotations

from typing import Any, Final

_PATH: Final = {"type": "string", "description": "Path of the file or directory"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


_EDITOR_COMMANDS: Final = ["view", "create", "str_replace", "insert"]


def _editor(commands: list[str], **more: Any) -> dict[str, Any]:
    return _object(
        ["command", "path"],
        command={"type": "string", "enum": commands},
        path=_PATH,
        file_text={"type": "string", "description": "Content of a file to create"},
        old_str={"type": "string", "description": "Text to replace; must occur exactly once"},
        new_str={"type": "string", "description": "Replacement, or text to insert"},
        insert_line={"type": "integer", "description": "Line after which to insert"},
        view_range={"type": "array", "items": {"type": "integer"}, "description": "First and last line"},
        **more,
    )


CLIENT_TOOLS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "bash_": (
        "Runs commands in a persistent bash session",
        _object(
            [],
            command={"type": "string", "description": "The command to run"},
            restart={"type": "boolean", "description": "Restart the session"},
        ),
    ),
    "text_editor_20241022": ("Views and edits files", _editor([*_EDITOR_COMMANDS, "undo_edit"])),
    "text_editor_20250124": ("Views and edits files", _editor([*_EDITOR_COMMANDS, "undo_edit"])),
    "text_editor_": (
        "Views and edits files",
        _editor(_EDITOR_COMMANDS, insert_text={"type": "string", "description": "Text to insert"}),
    ),
    "memory_": (
        "Keeps notes in files under /memories",
        _editor(
            ["view", "create", "str_replace", "insert", "delete", "rename"],
            insert_text={"type": "string"},
            old_path={"type": "string"},
            new_path={"type": "string"},
        ),
    ),
    "computer_": (
        "Controls a computer with screenshots, mouse and keyboard",
        _object(
            ["action"],
            action={
                "type": "string",
                "enum": [
                    "screenshot",
                    "left_click",
                    "right_click",
                    "middle_click",
                    "double_click",
                    "triple_click",
                    "left_click_drag",
                    "left_mouse_down",
                    "left_mouse_up",
                    "mouse_move",
                    "cursor_position",
                    "type",
                    "key",
                    "hold_key",
                    "scroll",
                    "wait",
                    "zoom",
                ],
            },
            coordinate={"type": "array", "items": {"type": "integer"}, "description": "x and y"},
            start_coordinate={"type": "array", "items": {"type": "integer"}},
            text={"type": "string", "description": "Text to type, or keys to press"},
            duration={"type": "number", "description": "Seconds"},
            scroll_direction={"type": "string", "enum": ["up", "down", "left", "right"]},
            scroll_amount={"type": "integer"},
            region={"type": "array", "items": {"type": "integer"}},
        ),
    ),
}
"""Type, or its beginning where dated versions agree, to (description, schema)."""


def display(tool: dict[str, Any]) -> str:
    """What the computer tool's coordinates mean, as words for its description."""
    width, height = tool.get("display_width_px"), tool.get("display_height_px")
    return f". The display is {width} pixels wide and {height} high" if width and height else ""


def client_tool(type_: str) -> tuple[str, dict[str, Any]] | None:
    """(description, schema) of a typed tool that the client runs, None for any other."""
    if type_.startswith(("computer_toolset", "browser_toolset")):
        return None
    if type_ in CLIENT_TOOLS:
        return CLIENT_TOOLS[type_]
    return next(
        (tool for begin, tool in CLIENT_TOOLS.items() if begin.endswith("_") and type_.startswith(begin)),
        None,
    )
