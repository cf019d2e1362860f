"""OpenAI's typed tools that the *client* runs: its models are trained on them, so they come without schema.

For other models they become ordinary functions; what those call is given to the client as the item that it
knows. Shapes from OpenAI's "Local shell", "Shell" and "Apply patch".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router_core.formats.ir import Tool

_COMMAND_LINES: Final = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class ClientTool:
    description: str
    schema: dict[str, Any]
    field: str
    """Where the call's item has what was asked for."""
    empty: dict[str, Any]
    """The field while the call is under way, and what it needs beside the arguments."""


CLIENT_TOOLS: Final = {
    "local_shell": ClientTool(
        "Runs a command on the user's computer",
        {
            "type": "object",
            "properties": {
                "command": {**_COMMAND_LINES, "description": "The program and its arguments"},
                "env": {"type": "object", "description": "Environment variables"},
                "working_directory": {"type": "string"},
                "timeout_ms": {"type": "integer"},
            },
            "required": ["command"],
        },
        "action",
        {"type": "exec", "command": [], "env": {}},
    ),
    "shell": ClientTool(
        "Runs shell commands on the user's computer",
        {
            "type": "object",
            "properties": {
                "commands": {**_COMMAND_LINES, "description": "Commands, which run side by side"},
                "timeout_ms": {"type": "integer"},
                "max_output_length": {"type": "integer", "description": "Characters"},
            },
            "required": ["commands"],
        },
        "action",
        {"commands": []},
    ),
    "apply_patch": ClientTool(
        "Creates, changes or deletes a file",
        {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
                "path": {"type": "string"},
                "diff": {
                    "type": "string",
                    "description": "In the V4A format: a line begins with a space, - or +; @@ names a place",
                },
            },
            "required": ["type", "path"],
        },
        "operation",
        {"type": "update_file", "path": "", "diff": ""},
    ),
}
"""By the tool's type, which is also the name of the function; ``_call`` makes it the item's type."""


def client_tool(tool: dict[str, Any]) -> Tool | None:
    """The function for a typed tool that the client runs, None for any other."""
    type_ = tool.get("type")
    known = CLIENT_TOOLS.get(str(type_))
    environment = tool.get("environment")
    if known is None or (isinstance(environment, dict) and environment.get("type") != "local"):
        # A shell in a container runs at OpenAI.
        return None
    return Tool(str(type_), known.description, known.schema, typed=True)
