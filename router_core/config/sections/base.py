"""What all sections are made of: paths, secrets, addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from router_core.config.problems import shown
from router_core.config.values import parse_address


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def expand_path(value: str, info: ValidationInfo) -> str:
    """A path with ``~`` replaced; a relative one begins at the folder of the file that it stands in.

    The loader gives ``home`` and ``folder`` as context; without them only ``~`` is known.
    """
    if not value.strip() or "\0" in value:
        raise ValueError("is no path; write a path, or leave the key out")
    context = info.context or {}
    path = Path(value)
    if path.parts[:1] == ("~",):
        path = Path(context.get("home") or Path.home(), *path.parts[1:])
    return str(Path(context.get("folder", ""), path))


PathText = Annotated[str, AfterValidator(expand_path)]


class SecretRef(Section):
    """``env:NAME``, ``file:PATH``, ``{command: [...]}`` or a literal; resolved by `router_core.config.secrets`."""

    kind: Literal["env", "file", "command", "literal"]
    name: str = ""
    """The variable's name or the file's path."""
    argv: tuple[str, ...] = ()
    literal: SecretStr | None = None

    def __str__(self) -> str:
        return {"command": f"command:{self.argv[0] if self.argv else ''}", "literal": "literal"}.get(
            self.kind, f"{self.kind}:{self.name}"
        )


def parse_secret_ref(value: object) -> object:
    """A SecretRef from what stands in the file. Raises ValueError for an empty or misshapen reference."""
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, dict):
        argv = value.get("command")
        if (
            set(value) != {"command"}
            or not isinstance(argv, list)
            or not argv
            or not all(isinstance(a, str) for a in argv)
        ):
            raise ValueError("a command reference is written as {command: [PROGRAM, ARG, ...]}")
        return SecretRef(kind="command", argv=tuple(argv))
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write env:NAME, file:PATH or {command: [...]}")
    kind, _, rest = value.partition(":")
    if kind in ("env", "file"):
        if not rest:
            raise ValueError(f"{value!r} names nothing; write {kind}:{'NAME' if kind == 'env' else 'PATH'}")
        return SecretRef(kind="env" if kind == "env" else "file", name=rest)
    return SecretRef(kind="literal", literal=SecretStr(value))


def _secret(value: object, info: ValidationInfo) -> object:
    ref = parse_secret_ref(value)
    if isinstance(ref, SecretRef) and ref.kind == "file":
        return ref.model_copy(update={"name": expand_path(ref.name, info)})
    return ref


Secret = Annotated[
    SecretRef,
    BeforeValidator(_secret),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "examples": ["env:NAME", "file:PATH"]},
                {
                    "type": "object",
                    "properties": {"command": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
                    "required": ["command"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def parse_listener(value: object) -> object:
    """``HOST:PORT`` as it is. Raises ValueError with the remedy for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{value} is a port without a host; write 127.0.0.1:{value}")
    if isinstance(value, str) and parse_address(value) is None:
        raise ValueError(
            f"{shown(value)} is not an address; write HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080"
        )
    return value


Address = Annotated[str, BeforeValidator(parse_listener)]
