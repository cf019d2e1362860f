"""From the model name that a client asks for to the targets that serve it.

A name is tried in this order, and the first that fits decides:

1. the configuration's ``models``: exactly, then by wildcard, the one with the most literal characters first;
   a ``(effort)`` suffix is set aside when the name with it is not listed;
2. on a surface of one provider (its own hosts, ``/{provider}/...``): ``prefix/model`` for a credential of
   that provider, else that provider and the name as it is;
3. ``prefix/model``: the credentials with that prefix, and on them the rest of the name;
4. ``provider/model``: that provider; only the first segment counts, so ``openrouter/vendor/model`` works;
5. a bare name: the providers with an active credential that list the model, in the order of their best
   credential (priority, then place in the configuration), each one a fallback of those before it;
6. a bare name that nobody lists: providers with an active credential that list no models at all, then the
   family's own provider (``claude-`` is Anthropic's, and so on).

The result is a tree: a leaf is a target, a branch a virtual model with its strategy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from router_core.config.schema import Condition, Config
from router_core.credentials.model import Credential
from router_core.providers.model import Provider

EFFORTS: Final = frozenset({"none", "auto", "minimal", "low", "medium", "high", "xhigh", "max", "-1"})
_SUFFIX: Final = re.compile(r"(.+)\(([a-z]+|-?\d{1,7})\)", re.DOTALL)

ALWAYS: Final = Condition()

FAMILIES: Final = (
    ("claude-", ("anthropic",)),
    ("gemini-", ("gemini",)),
    ("gpt-", ("openai", "codex")),
    ("o1", ("openai",)),
    ("o3", ("openai",)),
    ("o4", ("openai",)),
    ("codex-", ("openai", "codex")),
    ("deepseek-", ("deepseek",)),
    ("grok-", ("xai",)),
    ("glm-", ("glm",)),
    ("kimi-", ("kimi",)),
    ("minimax-", ("minimax",)),
    ("mistral-", ("mistral",)),
    ("qwen", ("qwen",)),
)
"""Whose models begin how: for names newer than the registry's lists."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A provider's model, on all of its credentials or on those with a prefix."""

    provider: Provider
    model: str | None
    effort: str | None = None
    prefix: str | None = None
    weight: int = 1
    tier: int = 0
    when: Condition = ALWAYS
    guess: bool = False
    """Nobody lists the model; the name's family led here."""

    @property
    def name(self) -> str:
        return f"{self.provider.name}/{self.model}" if self.model else self.provider.name


@dataclass(frozen=True, slots=True)
class Branch:
    """A choice among targets, tier by tier."""

    name: str
    strategy: str
    """``fallback``, ``round_robin`` or ``weighted``, within each tier."""
    children: tuple[Leaf | Branch, ...]
    weight: int = 1
    tier: int = 0
    when: Condition = ALWAYS

    def tiers(self) -> Iterator[tuple[int, list[Leaf | Branch]]]:
        for tier in sorted({c.tier for c in self.children}):
            yield tier, [c for c in self.children if c.tier == tier]


type Tree = Leaf | Branch


class UnknownModel(Exception):
    """No target serves the name. The message says what was looked for."""


def split_effort(name: str) -> tuple[str, str | None]:
    """``("model", "high")`` of ``model(high)``; a number is a budget of thinking tokens."""
    match = _SUFFIX.fullmatch(name)
    if match and (match[2] in EFFORTS or match[2].isdigit()):
        return match[1], match[2]
    return name, None


def leaves(tree: Tree) -> Iterator[Leaf]:
    """Every target of `tree` in the order written."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for child in tree.children:
            yield from leaves(child)


class Names:
    """Resolves names for one configuration, registry and set of active credentials."""

    def __init__(self, config: Config, providers: Mapping[str, Provider], credentials: Iterable[Credential]):
        self.config = config
        self.providers = dict(providers)
        for provider in providers.values():
            for alias in provider.aliases:
                self.providers.setdefault(alias, provider)
        self.credentials = sorted(credentials, key=lambda c: (-c.config.priority, c.order))
        self.order = list(dict.fromkeys(c.provider for c in self.credentials))
        """Providers with an active credential, the best credential's first."""
        self._prefixes: dict[str, list[str]] = {}
        for credential in self.credentials:
            if credential.config.prefix is not None:
                found = self._prefixes.setdefault(credential.config.prefix, [])
                if credential.provider not in found:
                    found.append(credential.provider)
        self._wildcards = sorted(
            (n for n in config.models if "*" in n), key=lambda n: (-len(n.replace("*", "")), n)
        )
        self._resolve = lru_cache(maxsize=4096)(self._resolve_uncached)

    def resolve(self, name: str, surface: Provider | None) -> Tree:
        """The targets of `name`; `surface` is the provider of an intercepted host or a pinned path.

        Raises UnknownModel.
        """
        tree = self._resolve(name, surface.name if surface else None)
        if isinstance(tree, str):
            raise UnknownModel(tree)
        return tree

    def _resolve_uncached(self, name: str, surface: str | None) -> Tree | str:
        # Failures are cached as their message, so that a client that asks for nonsense costs little.
        try:
            return self._mapped(name, ()) or self._on_surface(name, surface) or self._named(name)
        except UnknownModel as e:
            return str(e)

    def _mapped(self, name: str, seen: tuple[str, ...]) -> Tree | None:
        """What ``models`` of the configuration says about `name`."""
        base, effort = split_effort(name)
        for asked, suffix in ((name, None), (base, effort)):
            if asked in self.config.models:
                return self._entry(asked, asked, "", suffix, seen)
        for asked, suffix in ((name, None), (base, effort)):
            for pattern in self._wildcards:
                rest = match_wildcard(pattern, asked)
                if rest is not None and pattern not in seen:
                    return self._entry(pattern, asked, rest, suffix, seen)
        return None

    def _entry(self, key: str, asked: str, rest: str, effort: str | None, seen: tuple[str, ...]) -> Tree:
        if key in seen:
            raise UnknownModel(f"models: {' -> '.join((*seen, key))} is a circle")
        entry = self.config.models[key]
        if isinstance(entry, str):
            return self._target(entry.replace("*", rest), effort, (*seen, key))
        children: list[Tree] = []
        for target in entry.targets:
            child = self._target(target.target.replace("*", rest), effort, (*seen, key))
            children.append(replace(child, weight=target.weight, tier=target.tier, when=target.when))
        return Branch(asked, entry.strategy, tuple(children))

    def _target(self, name: str, effort: str | None, seen: tuple[str, ...]) -> Tree:
        """A target as written in the configuration; its own suffix wins over the client's."""
        tree = self._mapped(name, seen) or self._named(name)
        if effort is not None:
            tree = _with_effort(tree, effort)
        return tree

    def _on_surface(self, name: str, surface: str | None) -> Tree | None:
        if surface is None:
            return None
        provider = self.providers[surface]
        first, slash, rest = name.partition("/")
        if slash and rest and surface in self._prefixes.get(first, ()):
            return _as_written(provider, rest, first)
        # OpenRouter has models of its own that begin with its name.
        if self.providers.get(first) is provider and provider.model(rest) and not provider.model(name):
            return _as_written(provider, rest)
        return _as_written(provider, name)

    def _named(self, name: str) -> Tree:
        first, slash, rest = name.partition("/")
        if slash and rest:
            if first in self._prefixes:
                return self._prefixed(first, rest)
            provider = self.providers.get(first)
            if provider is not None:
                return self._leaf(provider, rest)
        return self._bare(name, self.order, None)

    def _prefixed(self, prefix: str, rest: str) -> Tree:
        providers = self._prefixes[prefix]
        first, slash, model = rest.partition("/")
        provider = self.providers.get(first)
        if slash and model and provider is not None and provider.name in providers:
            return self._leaf(provider, model, prefix=prefix)
        if len(providers) == 1:
            return self._leaf(self.providers[providers[0]], rest, prefix=prefix)
        return self._bare(rest, providers, prefix)

    def _bare(self, name: str, providers: list[str], prefix: str | None) -> Tree:
        base, _ = split_effort(name)
        known = [p for n in providers if (p := self.providers.get(n)) is not None and p.enabled]
        serving = [p for p in known if p.model(base) is not None or self._included(p.name, base)]
        guess = False
        if not serving:
            guess = True
            serving = [p for p in known if p.name in _family(base)] or [p for p in known if not p.models]
        if not serving and prefix is None and (off := self._disabled(base)) is not None:
            return self._leaf(off, name)
        if not serving:
            raise UnknownModel(self._nobody(name, base))
        found = tuple(self._leaf(p, name, prefix=prefix, guess=guess) for p in serving)
        if len(found) == 1:
            return found[0]
        return Branch(name, "fallback", tuple(replace(leaf, tier=i) for i, leaf in enumerate(found)))

    def _included(self, provider: str, name: str) -> bool:
        """Whether a credential of `provider` names the model in ``models.include``."""
        return any(
            c.provider == provider
            and any(match_wildcard(g, name) is not None for g in c.config.models.include)
            for c in self.credentials
        )

    def _disabled(self, model: str) -> Provider | None:
        """A provider that would serve `model` and is switched off, which the client is then told."""
        owners = _family(model)
        return next(
            (
                p
                for n, p in self.providers.items()
                if not p.enabled and (p.model(model) is not None or n in owners)
            ),
            None,
        )

    def _nobody(self, name: str, base: str) -> str:
        listed = [p.name for p in self.providers.values() if p.enabled and p.model(base) is not None]
        owners = list(dict.fromkeys(listed)) or [n for n in _family(base) if n in self.providers]
        if owners:
            return f"model {name!r} is served by {', '.join(owners)}, for which there is no active credential"
        return f"no provider serves the model {name!r}; `detour models` lists what can be asked for"

    def _leaf(self, provider: Provider, name: str, *, prefix: str | None = None, guess: bool = False) -> Leaf:
        model, effort = (name, None) if provider.model(name) else split_effort(name)
        listed = provider.model(model)
        return Leaf(provider, listed.id if listed else model, effort, prefix, guess=guess)

    def overlaps(self) -> dict[str, list[str]]:
        """Bare names that several providers with active credentials list, with the order they are tried in."""
        found: dict[str, list[str]] = {}
        for name in self.order:
            provider = self.providers.get(name)
            if provider is None or not provider.enabled:
                continue
            for model in provider.models:
                for each in (model.id, *model.aliases):
                    found.setdefault(each, []).append(name)
        return {n: p for n, p in sorted(found.items()) if len(p) > 1 and n not in self.config.models}


def _as_written(provider: Provider, name: str, prefix: str | None = None) -> Leaf:
    """The provider's own client knows what it asks for: only a suffix of ours is taken off."""
    model, effort = (name, None) if provider.model(name) else split_effort(name)
    return Leaf(provider, model, effort, prefix)


def _with_effort(tree: Tree, effort: str) -> Tree:
    if isinstance(tree, Leaf):
        return tree if tree.effort is not None else replace(tree, effort=effort)
    return replace(tree, children=tuple(_with_effort(c, effort) for c in tree.children))


def _family(name: str) -> tuple[str, ...]:
    lower = name.lower()
    return next((owners for start, owners in FAMILIES if lower.startswith(start)), ())


def match_wildcard(pattern: str, name: str) -> str | None:
    """What the first ``*`` of `pattern` stands for in `name`, or None when it does not match."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if pattern == name else None
    expression = re.escape(head) + "(.*)" + ".*".join(re.escape(t) for t in tail.split("*"))
    match = re.fullmatch(expression, name, re.DOTALL)
    return match[1] if match else None
