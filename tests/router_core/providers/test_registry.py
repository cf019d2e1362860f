"""From provider files and the configuration to providers."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_core
from router_core.config.problems import ConfigError
from router_core.config.schema import Config, ProviderConfig
from router_core.credentials.pool import Pool
from router_core.formats import PATHS, Format, Operation
from router_core.providers.definition import Definition, load_builtin, read_definition
from router_core.providers.model import AuthHeader, Provider
from router_core.providers.registry import RESERVED, Registry, assemble
from router_core.routing.models import list_models

BUILTIN = load_builtin()
REGISTRY = Registry.build(BUILTIN)

PROMISED = (
    "anthropic openai codex gemini openrouter codebuddy ampcode github-copilot glm minimax kimi deepseek xai groq "
    "mistral qwen iflow ollama"
)


def built(**providers: object) -> Registry:
    """The built-in registry with the configuration's `providers`; ``_`` in a name stands for ``-``."""
    return Registry.build(
        BUILTIN, {n.replace("_", "-"): ProviderConfig.model_validate(p) for n, p in providers.items()}
    )


def bases(provider: Provider) -> dict[str, str]:
    return {e.format.value: e.base_url for e in provider.endpoints}


def roots(provider: Provider) -> dict[str, str]:
    return {e.format.value: e.root for e in provider.endpoints}


# -- what ships ---------------------------------------------------------------------------------------


def test_every_promised_provider_is_there() -> None:
    assert set(PROMISED.split()) <= set(REGISTRY.providers)
    assert REGISTRY.templates == {"openai-compatible", "anthropic-compatible"}


@pytest.mark.parametrize("provider", REGISTRY.providers.values(), ids=lambda p: p.name)
def test_a_built_in_provider_is_whole(provider: Provider) -> None:
    assert provider.display_name
    assert provider.enabled
    assert not provider.insecure
    assert provider.name not in RESERVED
    assert provider.base_url == provider.base_url.rstrip("/")
    assert provider.base_url.startswith("https://") or provider.name == "ollama"
    # An address that clients know is intercepted, and the base URL stands on it.
    if provider.name != "ollama":
        assert any(provider.base_url.startswith(f"https://{host}") for host in provider.hosts)
    for endpoint in provider.endpoints:
        assert endpoint.base_url.endswith(endpoint.root)
        assert Operation.GENERATE in endpoint.operations
        assert all(endpoint.routes(operation) for operation in endpoint.operations)
        # The join rule: OpenAI-style base URLs include the version, Anthropic's and Google's do not.
        if endpoint.format in (Format.ANTHROPIC, Format.GEMINI):
            assert not endpoint.base_url.endswith("/v1")


@pytest.mark.parametrize("provider", REGISTRY.providers.values(), ids=lambda p: p.name)
def test_limits_of_models_are_plausible(provider: Provider) -> None:
    for model in provider.models:
        assert model.id == model.id.strip()
        assert 1000 <= (model.max_output_tokens or 8192) <= (model.context_length or 10**7) <= 10**7


def test_each_file_names_its_source() -> None:
    for definition in BUILTIN.values():
        assert Path(definition.file).name == f"{definition.name}.yaml"
        first = Path(definition.file).read_text().splitlines()[0]
        assert first.startswith("# "), definition.file


def test_no_quirk_is_dead() -> None:
    package = Path(router_core.__file__).parent
    source = "".join(file.read_text() for file in package.rglob("*.py"))
    quirks = {quirk for definition in BUILTIN.values() for quirk in definition.config.quirks or ()}
    assert {quirk for quirk in quirks if f'"{quirk}"' not in source} == set()


def test_what_facts_say_of_single_providers() -> None:
    codebuddy = REGISTRY.providers["codebuddy"]
    assert bases(codebuddy) == {"openai-chat": "https://www.codebuddy.ai/v2"}
    assert codebuddy.auth == (AuthHeader("authorization", "bearer"), AuthHeader("x-api-key", "raw"))
    assert codebuddy.quirks == {"force_stream", "ensure_system"}
    assert [m.id for m in codebuddy.models] == ["gpt-5.5", "gpt-5.4", "claude-sonnet-4.6", "gemini-3.1-pro"]
    anthropic = REGISTRY.providers["anthropic"]
    assert anthropic.auth == (AuthHeader("x-api-key", "raw"),)
    assert anthropic.oauth == (AuthHeader("authorization", "bearer"),)
    assert anthropic.headers == {"anthropic-version": "2023-06-01"}
    model = anthropic.model("claude-sonnet-4-5")
    assert model is not None
    assert (model.id, model.max_output_tokens, model.context_length) == (
        "claude-sonnet-4-5",
        64000,
        1000000,
    )
    assert REGISTRY.providers["codex"].endpoints[0].websocket
    assert roots(REGISTRY.providers["ampcode"]) == {
        "anthropic": "/api/provider/anthropic",
        "openai-chat": "/api/provider/openai/v1",
        "openai-responses": "/api/provider/openai/v1",
        "gemini": "/api/provider/google",
    }
    assert REGISTRY.provider("google") is REGISTRY.providers["gemini"]


# -- the configuration's changes ----------------------------------------------------------------------


def test_a_moved_base_url_keeps_the_intercepted_root() -> None:
    codex = built(codex={"base_url": "http://127.0.0.1:9/x/"}).providers["codex"]
    assert bases(codex) == {"openai-responses": "http://127.0.0.1:9/x"}
    assert roots(codex) == {"openai-responses": "/backend-api/codex"}
    assert codex.endpoints[0].websocket


MOVED = {
    # provider: (new base URL, where each format goes)
    "openai": ("http://127.0.0.1:9/v1", {"openai-chat": "/v1", "openai-responses": "/v1"}),
    "glm": ("http://127.0.0.1:9/anthropic", {"anthropic": "/anthropic", "openai-chat": "/coding/paas/v4"}),
    "kimi": ("http://127.0.0.1:9", {"anthropic": "", "openai-chat": "/v1"}),
    "deepseek": ("http://127.0.0.1:9", {"openai-chat": "", "anthropic": "/anthropic"}),
    "minimax": ("http://127.0.0.1:9/anthropic", {"anthropic": "/anthropic", "openai-chat": "/v1"}),
    "moonshot": (
        "http://127.0.0.1:9/v1",
        {"openai-chat": "/v1", "openai-responses": "/v1", "anthropic": "/anthropic"},
    ),
    "openrouter": (
        "http://127.0.0.1:9/api/v1",
        {"openai-chat": "/api/v1", "openai-responses": "/api/v1", "anthropic": "/api"},
    ),
    "ampcode": (
        "http://127.0.0.1:9",
        {
            "anthropic": "/api/provider/anthropic",
            "openai-chat": "/api/provider/openai/v1",
            "openai-responses": "/api/provider/openai/v1",
            "gemini": "/api/provider/google",
        },
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_endpoints_move_along_and_none_stays_behind(name: str) -> None:
    url, expected = MOVED[name]
    provider = Registry.build(BUILTIN, {name: ProviderConfig(base_url=url)}).providers[name]
    assert {
        format: base.removeprefix("http://127.0.0.1:9") for format, base in bases(provider).items()
    } == expected
    assert roots(provider) == roots(REGISTRY.providers[name])


@pytest.mark.parametrize("name", REGISTRY.providers)
def test_no_endpoint_stays_at_the_old_host(name: str) -> None:
    provider = Registry.build(BUILTIN, {name: ProviderConfig(base_url="https://new.example.com")}).providers[
        name
    ]
    assert all(e.base_url.startswith("https://new.example.com") for e in provider.endpoints)
    assert provider.base_url == "https://new.example.com"


def test_a_format_with_its_address_is_the_only_one() -> None:
    glm = built(glm={"format": "openai-chat", "base_url": "https://h/v1"}).providers["glm"]
    assert bases(glm) == {"openai-chat": "https://h/v1"}
    assert roots(glm) == {"openai-chat": "/api/coding/paas/v4"}


def test_a_bare_format_picks_one_of_several() -> None:
    glm = built(glm={"format": "openai-chat"}).providers["glm"]
    assert bases(glm) == {"openai-chat": "https://api.z.ai/api/coding/paas/v4"}


def test_endpoints_replace_endpoints() -> None:
    openai = built(
        openai={"endpoints": [{"format": "openai-responses", "operations": ["generate"]}]}
    ).providers["openai"]
    assert bases(openai) == {"openai-responses": "https://api.openai.com/v1"}
    assert openai.endpoints[0].operations == (Operation.GENERATE,)


def test_operations_and_websockets_can_be_switched_off() -> None:
    openai = built(openai={"operations": ["generate"], "websocket": False}).providers["openai"]
    assert [e.operations for e in openai.endpoints] == [(Operation.GENERATE,)] * 2
    assert not any(e.websocket for e in openai.endpoints)


def test_headers_and_models_merge_lists_replace() -> None:
    known = REGISTRY.providers["anthropic"].model("claude-opus-5")
    assert known is not None and known.context_length is not None
    anthropic = built(
        anthropic={
            "headers": {"X-Team": "blue"},
            "models": [{"id": "claude-opus-5", "max_output_tokens": 1}, {"id": "claude-next"}],
            "passthrough": [],
            "quirks": [],
        }
    ).providers["anthropic"]
    assert anthropic.headers == {"anthropic-version": "2023-06-01", "x-team": "blue"}
    assert [m.id for m in anthropic.models][:2] == ["claude-opus-5", "claude-next"]
    assert anthropic.models[0].max_output_tokens == 1
    # What is not written stays.
    assert anthropic.models[0].context_length == known.context_length
    assert anthropic.model("claude-haiku-4-5") is not None
    assert (anthropic.passthrough, anthropic.quirks) == ((), frozenset())


def test_what_is_hidden_is_served_and_not_listed() -> None:
    models = [{"id": "shown"}, {"id": "covered", "hidden": True}]
    vllm = {"extends": "openai-compatible", "base_url": "http://127.0.0.1:1/v1", "models": models}
    config = Config.model_validate(
        {
            "providers": {"vllm": vllm, "quiet": {**vllm, "hidden": True}},
            "credentials": [{"id": "a", "provider": "vllm"}, {"id": "b", "provider": "quiet"}],
        }
    )
    registry = Registry.build(BUILTIN, config.providers)
    active = Pool(config, registry).credentials.values()
    assert [m.id for m in list_models(config, registry.providers, active)] == ["shown"]
    assert registry.providers["vllm"].model("covered") is not None


def test_an_extension_speaks_like_its_base_and_intercepts_nothing() -> None:
    registry = built(
        team={"extends": "anthropic", "base_url": "https://claude.example.com"},
        vllm={
            "extends": "openai-compatible",
            "base_url": "http://127.0.0.1:8000/v1",
            "hosts": ["Vllm.Local"],
        },
        second={"extends": "team", "aliases": ["zwei"]},
    )
    team, vllm, second = (registry.providers[n] for n in ("team", "vllm", "second"))
    assert (team.hosts, team.display_name, bases(team)) == (
        (),
        "team",
        {"anthropic": "https://claude.example.com"},
    )
    assert team.auth == REGISTRY.providers["anthropic"].auth
    assert team.models == REGISTRY.providers["anthropic"].models
    assert registry.hosts["vllm.local"] == (vllm,)
    assert roots(vllm) == {"openai-chat": "/v1"}
    assert bases(second) == bases(team)
    assert registry.provider("zwei") is second
    assert (second.kin, vllm.kin) == (("second", "team", "anthropic"), ("vllm", "openai-compatible"))


def test_auth_follows_the_format_where_nothing_is_said() -> None:
    registry = built(
        a={"format": "anthropic", "base_url": "https://a"},
        b={"format": "gemini", "base_url": "https://b"},
        c={"format": "openai-chat", "base_url": "https://c", "auth": [{"header": "API-Key"}]},
        d={"format": "openai-responses", "base_url": "https://d", "auth": []},
    )
    assert [registry.providers[n].auth for n in "abcd"] == [
        (AuthHeader("x-api-key"),),
        (AuthHeader("x-goog-api-key"),),
        (AuthHeader("api-key"),),
        (),
    ]
    assert registry.providers["a"].oauth == (AuthHeader("authorization", "bearer"),)


def test_disabling_keeps_the_provider_and_its_hosts() -> None:
    registry = built(codebuddy={"enabled": False})
    assert not registry.providers["codebuddy"].enabled
    assert registry.hosts["www.codebuddy.ai"] == (registry.providers["codebuddy"],)


def test_a_host_may_be_shared_under_different_paths() -> None:
    backend = {
        "format": "openai-responses",
        "base_url": "https://chatgpt.com/backend-api/other",
        "hosts": ["chatgpt.com"],
    }
    registry = built(other=backend)
    assert [p.name for p in registry.hosts["chatgpt.com"]] == ["codex", "other"]
    same = {**backend, "base_url": "https://chatgpt.com/backend-api/codex"}
    with pytest.raises(ConfigError, match="also claimed by provider codex"):
        built(other=same)
    # One of them may take the host over.
    assert len(built(other=same, codex={"enabled": False}).hosts["chatgpt.com"]) == 2


def test_own_paths_stand_in_for_those_of_the_format() -> None:
    endpoint = REGISTRY.providers["gemini-code-assist"].endpoints[0]
    assert endpoint.routes(Operation.GENERATE)[0] == ("POST", "/v1internal:generateContent")
    assert endpoint.operations == (Operation.GENERATE, Operation.COUNT_TOKENS)
    assert (
        REGISTRY.providers["gemini"].endpoints[0].routes(Operation.GENERATE)
        == PATHS[Format.GEMINI][Operation.GENERATE]
    )


def test_a_broken_provider_does_not_hide_the_others() -> None:
    registry, mistakes = assemble(BUILTIN, {"mine": ProviderConfig(format=Format.GEMINI)})
    assert [(m.provider, m.what) for m in mistakes] == [("mine", "has no base_url")]
    assert "mine" not in registry.providers
    assert set(registry.providers) == set(REGISTRY.providers)


def test_a_provider_file_stands_beside_the_built_in_ones() -> None:
    definition, problems = read_definition(
        b"format: gemini\nbase_url: https://h\nhosts: [h.example.com]\n", "/x/mine.yaml"
    )
    assert problems == []
    assert isinstance(definition, Definition)
    registry = Registry.build({**BUILTIN, definition.name: definition})
    assert registry.providers["mine"].hosts == ("h.example.com",)


def test_registries_are_snapshots() -> None:
    assert built() != built()
    assert len({built(), built()}) == 2
