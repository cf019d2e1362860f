"""How a rule is written in the configuration and in provider files.

::

    rewrites:
      - name: cheap-thinking              # optional; shown by explain
        because: keeps the bill down      # optional
        on: request                       # or: answer
        when:
          provider: openrouter            # globs; one or a list everywhere
          format: openai-chat             # the upstream's
          surface: [anthropic, generate, openai-chat/embeddings]   # what the client asked for
          model: ["gpt-5*", premium]      # the requested name or the upstream's
          client: claude-code
          header: {x-team: "blue*"}
          quirk: force_stream
          stream: true
          body:
            present: [tools]
            absent: temperature
            equals: {reasoning.effort: high}
            matches: {"messages[*].content": "(?i)urgent"}
        set: {reasoning.effort: low, "provider.order": [anthropic, google]}
        default: {max_tokens: 4096}       # only where the original body has none
        drop: [metadata, "tools[?type=web_search*]"]
        rename: {max_tokens: max_completion_tokens}
        append: {stop: END}
        headers:
          set: {x-a: b}
          default: {x-c: d}
          drop: [x-e, "x-f-*"]
          merge: {anthropic-beta: [context-1m-2025-08-07]}
        action: suppress-thinking         # a built-in rule by its name, under this condition

They run in this order within a rule. Paths are those of `router_core.rewrite.paths`.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router_core.formats import Format, Operation
from router_core.rewrite.paths import Key, parse_key, parse_path

KNOWN_RULES: Final = "known_rules"
"""The key of pydantic's validation context that holds the built-in rules by name; actions are unchecked without."""
FIXED_RULES: Final = "fixed_rules"
"""The key there of the names of those that can neither be switched off nor asked for."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _path(text: str) -> str:
    parse_path(text)
    return text


def _settable(text: str) -> str:
    path = parse_path(text)
    if not isinstance(path.steps[0], Key):
        raise ValueError(f"{text!r} begins with an item; a body is an object, begin with a key of it")
    return text


def _member(text: str) -> str:
    if not isinstance(parse_path(_settable(text)).steps[-1], Key):
        raise ValueError(f"{text!r} ends with an item; only a key can be renamed")
    return text


def _key(text: str) -> str:
    parse_key(text)
    return text


def _value(value: Any) -> Any:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _value(inner)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no JSON; write a number, or a text in quotes")
    return value


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as e:
        raise ValueError(
            f"{text!r} is not a regular expression ({e}); escape special characters with \\"
        ) from None
    return text


def _header(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"{name!r} is not a header name; write letters, digits and '-'")
    if name.lower() in {"host", "content-length", "transfer-encoding", "connection", "upgrade"}:
        raise ValueError(f"{name!r} belongs to the connection; leave it out")
    return name


def _line(value: str) -> str:
    if re.search(r"[\r\n\0]", value):
        raise ValueError("a header value is one line; remove the line break")
    return value


def _surface(text: str) -> str:
    names = text.split("/")
    formats, operations = {*Format}, {*Operation}
    if not (
        (len(names) == 1 and (names[0] in formats or names[0] in operations))
        or (len(names) == 2 and names[0] in formats and names[1] in operations)
    ):
        raise ValueError(
            f"{text!r} is no surface; write a format ({', '.join(Format)}), an operation "
            f"({', '.join(Operation)}) or FORMAT/OPERATION"
        )
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _known(name: str, info: ValidationInfo) -> str:
    # The catalogue's rules know providers, and providers know this schema: it cannot ask the catalogue itself.
    known = (info.context or {}).get(KNOWN_RULES)
    if name in (info.context or {}).get(FIXED_RULES, ()):
        raise ValueError(f"{name!r} always runs, first or last of all; leave it out")
    if known is not None and name not in known:
        near = difflib.get_close_matches(name[:100], known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "docs/rewrites.md lists them all"
        raise ValueError(f"{name!r} is no built-in rewrite; {remedy}")
    return name


def _no_template(name: str) -> str:
    if not name.strip() or len(name) > 64:
        raise ValueError(f"{name!r} cannot be a rule's name; write 1 to 64 characters")
    return name


type RuleName = Annotated[str, AfterValidator(_known)]
type OwnName = Annotated[str, AfterValidator(_no_template)]
type Path = Annotated[str, AfterValidator(_path)]
type Settable = Annotated[str, AfterValidator(_settable)]
type Member = Annotated[str, AfterValidator(_member)]
type NewName = Annotated[str, AfterValidator(_key)]
type Pattern = Annotated[str, AfterValidator(_pattern)]
type HeaderName = Annotated[str, AfterValidator(_header)]
type HeaderValue = Annotated[str, AfterValidator(_line)]
type SurfaceName = Annotated[str, AfterValidator(_surface)]
type Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
type Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
type Settables = Annotated[tuple[Settable, ...], BeforeValidator(_listed)]


class BodyConfig(Part):
    present: Paths = ()
    """Paths of which each must stand in the body."""
    absent: Paths = ()
    """Paths of which none may."""
    equals: dict[Path, Any] = {}
    """Path to the value that it must have."""
    matches: dict[Path, Pattern] = {}
    """Path to a regular expression that must be found in its text."""

    _equals = field_validator("equals")(_value)


class WhenConfig(Part):
    provider: Texts = ()
    """Globs of the provider's name. One or a list here and below; of several one must fit."""
    format: Annotated[tuple[Format, ...], BeforeValidator(_listed)] = ()
    """The upstream's format."""
    surface: Annotated[tuple[SurfaceName, ...], BeforeValidator(_listed)] = ()
    """What the client asked for: a format, an operation, or ``FORMAT/OPERATION``."""
    model: Texts = ()
    """Globs of the requested name or the upstream's."""
    client: Texts = ()
    """Globs of the tool or the client key's name."""
    header: dict[HeaderName, str] = {}
    """Header of the client to a glob of its value."""
    quirk: Texts = ()
    """Quirks of the provider."""
    stream: bool | None = None
    """Whether the client asked for a stream."""
    body: BodyConfig = BodyConfig()
    """Conditions on the body."""


class HeadersConfig(Part):
    set: dict[HeaderName, HeaderValue] = {}
    """Written over what is there."""
    default: dict[HeaderName, HeaderValue] = {}
    """Only where there is none."""
    drop: Annotated[tuple[HeaderName, ...], BeforeValidator(_listed)] = ()
    """Removed; ``*`` at the end stands for any rest."""
    merge: dict[HeaderName, Annotated[tuple[HeaderValue, ...], BeforeValidator(_listed)]] = {}
    """Values added to a list separated by commas, e.g. ``anthropic-beta``."""


class RuleConfig(Part):
    name: OwnName | None = None
    """Shown by explain and in logs."""
    because: str = ""
    """The reason, for people."""
    on: Literal["request", "answer"] = "request"
    """What is rewritten."""
    when: WhenConfig = WhenConfig()
    """When the rule is asked; always when empty."""
    set: dict[Settable, Any] = {}
    """Path to value: written over what is there."""
    default: dict[Settable, Any] = {}
    """Path to value: only where the body has none."""
    drop: Settables = ()
    """Paths that are removed."""
    rename: dict[Member, NewName] = {}
    """Path of a key to its new name."""
    append: dict[Settable, Any] = {}
    """Path of a list to what is added at its end."""
    headers: HeadersConfig = HeadersConfig()
    """Changes to headers."""
    action: RuleName | None = None
    """A built-in rule by its name, under this condition."""

    _values = field_validator("set", "default", "append")(_value)

    @model_validator(mode="after")
    def _does_something(self) -> RuleConfig:
        if self.model_fields_set <= {"name", "because", "on", "when"}:
            raise ValueError("a rule does nothing; add set, default, drop, rename, append, headers or action")
        return self

    @model_validator(mode="after")
    def _acts_there(self, info: ValidationInfo) -> RuleConfig:
        action = (info.context or {}).get(KNOWN_RULES, {}).get(self.action)
        if action is not None and self.on == "request" and action.request is None:
            raise ValueError(f"{self.action} rewrites answers; write on: answer")
        if action is not None and self.on == "answer" and not action.answers:
            raise ValueError(f"{self.action} rewrites requests; write on: request, or leave it out")
        return self

    @property
    def edits_headers(self) -> bool:
        return self.headers != HeadersConfig()
