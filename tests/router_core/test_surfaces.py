"""Paths to surfaces: on intercepted hosts and on the gateway."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from router_core.config.schema import ProviderConfig
from router_core.exchange import Surface
from router_core.formats import PATHS, Format, Operation
from router_core.providers.definition import load_builtin
from router_core.providers.registry import Registry
from router_core.surfaces import Disabled, Match, Passthrough, match_gateway, match_host

REGISTRY = Registry.build(load_builtin())
CHANGED = Registry.build(
    load_builtin(),
    {
        "codebuddy": ProviderConfig(enabled=False),
        "gemini": ProviderConfig(enabled=False),
        "codex": ProviderConfig(base_url="http://127.0.0.1:9"),
        "vllm": ProviderConfig(
            extends="openai-compatible", base_url="http://127.0.0.1:8000/v1", aliases=("local",)
        ),
        "other": ProviderConfig(
            format=Format.OPENAI_CHAT,
            base_url="https://chatgpt.com/backend-api/other",
            hosts=("chatgpt.com",),
        ),
    },
)


def seen(match: Match) -> str:
    """A match in one line, so that the tables below read like the wire."""
    match match:
        case Surface():
            words = [
                match.format.value,
                match.operation.value,
                match.provider.name if match.provider else "-",
            ]
            words += [f"model={match.path_model}"] if match.path_model else []
            words += [f"stream={match.path_stream}"] if match.path_stream is not None else []
            assert match.pinned == (match.provider is not None)
            return " ".join(words)
        case Passthrough():
            return f"passthrough {match.provider.name}" + (f" {match.url}" if match.url else "")
        case Disabled():
            return f"disabled {match.provider.name}" + (f" {match.format}" if match.format else "")
    return "nothing"


HOSTS = {
    "api.anthropic.com POST /v1/messages": "anthropic generate anthropic",
    "api.anthropic.com POST /v1/messages?beta=true": "anthropic generate anthropic",
    "API.Anthropic.COM POST /v1/messages": "anthropic generate anthropic",
    "api.anthropic.com. POST /v1/messages": "anthropic generate anthropic",
    "api.anthropic.com:443 POST /v1/messages": "anthropic generate anthropic",
    "api.anthropic.com POST /v1/messages/count_tokens?beta=true": "anthropic count_tokens anthropic",
    "api.anthropic.com GET /v1/models": "anthropic list_models anthropic",
    "api.anthropic.com GET /v1/models/claude-opus-5": "passthrough anthropic",
    "api.anthropic.com GET /v1/messages": "passthrough anthropic",
    "api.anthropic.com OPTIONS /v1/messages": "passthrough anthropic",
    "api.anthropic.com POST /api/event_logging/batch": "passthrough anthropic",
    "api.anthropic.com GET /": "passthrough anthropic",
    "api.openai.com POST /v1/chat/completions": "openai-chat generate openai",
    "api.openai.com POST /v1/responses": "openai-responses generate openai",
    "api.openai.com GET /v1/responses": "openai-responses generate openai",
    "api.openai.com POST /v1/responses/input_tokens": "openai-responses count_tokens openai",
    "api.openai.com POST /v1/responses/compact": "openai-responses compact openai",
    "api.openai.com POST /v1/embeddings": "openai-chat embeddings openai",
    "api.openai.com GET /v1/responses/resp_1": "passthrough openai",
    "api.openai.com POST /chat/completions": "passthrough openai",
    "chatgpt.com POST /backend-api/codex/responses": "openai-responses generate codex",
    "chatgpt.com GET /backend-api/codex/responses": "openai-responses generate codex",
    "chatgpt.com POST /backend-api/codex/responses/compact": "openai-responses compact codex",
    "chatgpt.com GET /backend-api/codex/models?client_version=1": "openai-responses list_models codex",
    "chatgpt.com GET /backend-api/wham/usage": "passthrough codex",
    "chatgpt.com POST /responses": "passthrough codex",
    "generativelanguage.googleapis.com POST /v1beta/models/gemini-2.5-pro:generateContent": "gemini generate gemini model=gemini-2.5-pro stream=False",
    "generativelanguage.googleapis.com POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=AIza": "gemini generate gemini model=gemini-2.5-pro stream=True",
    "generativelanguage.googleapis.com POST /v1/models/gemini-2.5-pro:generateContent": "gemini generate gemini model=gemini-2.5-pro stream=False",
    "generativelanguage.googleapis.com POST /v1beta/models/gemini-2.5-pro%3AgenerateContent": "gemini generate gemini model=gemini-2.5-pro stream=False",
    "generativelanguage.googleapis.com POST /v1beta/models/gemini-embedding-001:batchEmbedContents": "gemini embeddings gemini model=gemini-embedding-001",
    "generativelanguage.googleapis.com POST /v1beta/models/m:countTokens": "gemini count_tokens gemini model=m",
    "generativelanguage.googleapis.com POST /v1beta/models/m:predictLongRunning": "passthrough gemini",
    "generativelanguage.googleapis.com GET /v1beta/models": "gemini list_models gemini",
    "generativelanguage.googleapis.com GET /v1beta/models/m": "passthrough gemini",
    "generativelanguage.googleapis.com POST /v1beta/cachedContents": "passthrough gemini",
    "cloudcode-pa.googleapis.com POST /v1internal:streamGenerateContent?alt=sse": "gemini generate gemini-code-assist stream=True",
    "cloudcode-pa.googleapis.com POST /v1internal:generateContent": "gemini generate gemini-code-assist stream=False",
    "cloudcode-pa.googleapis.com POST /v1internal:countTokens": "gemini count_tokens gemini-code-assist",
    "cloudcode-pa.googleapis.com POST /v1internal:loadCodeAssist": "passthrough gemini-code-assist",
    "ampcode.com POST /api/provider/anthropic/v1/messages": "anthropic generate ampcode",
    "ampcode.com POST /api/provider/openai/v1/responses": "openai-responses generate ampcode",
    "ampcode.com POST /api/provider/openai/v1/chat/completions": "openai-chat generate ampcode",
    "ampcode.com POST /api/provider/google/v1beta/models/gemini-3-pro-preview:streamGenerateContent": "gemini generate ampcode model=gemini-3-pro-preview stream=True",
    "ampcode.com POST /api/provider/google/v1beta1/publishers/google/models/gemini-3-pro-preview:generateContent": "gemini generate ampcode model=gemini-3-pro-preview stream=False",
    "ampcode.com POST /api/internal?getUserInfo": "passthrough ampcode",
    "ampcode.com POST /v1/messages": "passthrough ampcode",
    "ampcode.com GET /threads/T-1": "passthrough ampcode",
    "api.z.ai POST /api/anthropic/v1/messages": "anthropic generate glm",
    "api.z.ai POST /api/coding/paas/v4/chat/completions": "openai-chat generate glm",
    "api.z.ai POST /api/paas/v4/chat/completions": "passthrough glm",
    "api.deepseek.com POST /chat/completions": "openai-chat generate deepseek",
    "api.deepseek.com POST /v1/chat/completions": "openai-chat generate deepseek",
    "api.deepseek.com POST /anthropic/v1/messages": "anthropic generate deepseek",
    "api.kimi.com POST /coding/v1/messages?beta=true": "anthropic generate kimi",
    "api.kimi.com POST /coding/v1/chat/completions": "openai-chat generate kimi",
    "openrouter.ai POST /api/v1/chat/completions": "openai-chat generate openrouter",
    "openrouter.ai POST /api/v1/messages": "anthropic generate openrouter",
    "api.business.githubcopilot.com POST /v1/messages": "anthropic generate github-copilot",
    "api.githubcopilot.com POST /responses": "openai-responses generate github-copilot",
    "www.codebuddy.ai POST /v2/chat/completions": "openai-chat generate codebuddy",
    "www.codebuddy.ai POST /v2/billing/meter/get-user-resource": "passthrough codebuddy",
    "codebuddy.ai POST /v2/chat/completions": "nothing",
    "evil-api.anthropic.com POST /v1/messages": "nothing",
    "api.anthropic.com.evil.com POST /v1/messages": "nothing",
    " POST /v1/messages": "nothing",
}


@pytest.mark.parametrize("request_line", HOSTS)
def test_intercepted_hosts(request_line: str) -> None:
    host, method, path = request_line.split(" ")
    match = match_host(REGISTRY, host, method, path)
    assert seen(match) == HOSTS[request_line]
    if isinstance(match, Surface):
        assert match.via == "proxy"
        assert match.endpoint is not None
        assert match.endpoint.format is match.format


STRANGE = [
    "//v1/messages",
    "/v1//messages",
    "/v1/./messages",
    "/v1/x/../messages",
    "/v1/messages/",
    "/v1/messages/..",
    "/v1/mess%61ges",
    "/v1%2Fmessages",
    "/v1/messages%20",
    "/v1/messages;x=1",
    "/V1/messages",
    "\\v1\\messages",
    "http://api.anthropic.com/v1/messages",
    "*",
    "",
    "?/v1/messages",
]


@pytest.mark.parametrize("path", STRANGE)
def test_what_is_not_exactly_a_surface_goes_to_its_own_host_as_it_is(path: str) -> None:
    assert seen(match_host(REGISTRY, "api.anthropic.com", "POST", path)) == "passthrough anthropic"


@pytest.mark.parametrize(
    "model",
    [
        "",
        "..",
        "%2e%2e",
        "a%2f..%2fb",
        "../../v1/files",
        "a//b",
        "/a",
        "a/",
        "a%00b",
        "a%0Ab",
        "%FF",
        "a%5Cb",
        "x" * 300,
    ],
)
def test_a_model_in_a_path_leads_nowhere_else(model: str) -> None:
    path = f"/v1beta/models/{model}:generateContent"
    assert (
        seen(match_host(REGISTRY, "generativelanguage.googleapis.com", "POST", path)) == "passthrough gemini"
    )
    found = match_gateway(REGISTRY, "POST", path)
    # Only doubled slashes are forgiven there.
    assert not isinstance(found, Surface) or found.path_model == model.replace("//", "/").lstrip("/")


GATEWAY = {
    # by model
    "POST /v1/messages": "anthropic generate -",
    "POST /v1/messages?beta=true": "anthropic generate -",
    "POST /v1/messages/count_tokens": "anthropic count_tokens -",
    "POST /v1/chat/completions": "openai-chat generate -",
    "POST /v1/responses": "openai-responses generate -",
    "GET /v1/responses": "openai-responses generate -",
    "POST /v1/responses/input_tokens": "openai-responses count_tokens -",
    "POST /v1/responses/compact": "openai-responses compact -",
    "POST /v1/embeddings": "openai-chat embeddings -",
    "GET /v1/models": "openai-chat list_models -",
    "GET /v1/models/gpt-5": "openai-chat list_models - model=gpt-5",
    "GET /v1/models/anthropic/claude-opus-5": "openai-chat list_models - model=anthropic/claude-opus-5",
    "GET /v1beta/models": "gemini list_models -",
    "GET /v1beta/models/gemini-2.5-pro": "gemini list_models - model=gemini-2.5-pro",
    "POST /v1beta/models/gemini-2.5-pro:generateContent": "gemini generate - model=gemini-2.5-pro stream=False",
    "POST /v1beta/models/anthropic%2Fclaude-opus-5:streamGenerateContent?alt=sse": "gemini generate - model=anthropic/claude-opus-5 stream=True",
    "POST /v1beta/models/anthropic/claude-opus-5:countTokens": "gemini count_tokens - model=anthropic/claude-opus-5",
    "POST /v1beta/models/m:embedContent": "gemini embeddings - model=m",
    "POST /v1/models/m:generateContent": "gemini generate - model=m stream=False",
    "POST /api/chat": "ollama generate -",
    "GET /api/tags": "ollama list_models -",
    # base URLs with and without /v1, and with a slash at the end
    "POST /chat/completions": "openai-chat generate -",
    "POST /responses": "openai-responses generate -",
    "POST /messages": "anthropic generate -",
    "POST /v1/v1/messages": "anthropic generate -",
    "POST //v1/messages": "anthropic generate -",
    "POST /v1//chat/completions": "openai-chat generate -",
    # pinned to a provider
    "POST /anthropic/v1/messages": "anthropic generate anthropic",
    "POST /anthropic/messages": "anthropic generate anthropic",
    "POST /anthropic//v1/messages": "anthropic generate anthropic",
    "POST /anthropic/v1/messages/count_tokens": "anthropic count_tokens anthropic",
    "GET /anthropic/v1/models": "anthropic list_models anthropic",
    "POST /openai/v1/chat/completions": "openai-chat generate openai",
    "POST /openai/chat/completions": "openai-chat generate openai",
    "GET /openai/v1/responses": "openai-responses generate openai",
    "POST /codex/responses": "openai-responses generate codex",
    "POST /codex/v1/responses": "openai-responses generate codex",
    "POST /gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent": "gemini generate gemini model=gemini-2.5-pro stream=True",
    "POST /google/v1beta/models/gemini-2.5-pro:generateContent": "gemini generate gemini model=gemini-2.5-pro stream=False",
    "POST /gemini-code-assist/v1internal:generateContent": "gemini generate gemini-code-assist stream=False",
    "POST /kimi/v1/messages": "anthropic generate kimi",
    "POST /kimi/v1/chat/completions": "openai-chat generate kimi",
    "POST /glm/v1/chat/completions": "openai-chat generate glm",
    "POST /ampcode/api/provider/anthropic/v1/messages": "anthropic generate ampcode",
    "POST /ampcode/v1/messages": "anthropic generate ampcode",
    "POST /ollama/api/chat": "ollama generate ollama",
    "POST /ollama/v1/chat/completions": "openai-chat generate ollama",
    "POST /api/provider/anthropic/v1/messages": "anthropic generate anthropic",
    "POST /api/provider/openai/v1/chat/completions": "openai-chat generate openai",
    "POST /api/provider/openai/chat/completions": "openai-chat generate openai",
    "POST /api/provider/google/v1beta/models/m:generateContent": "gemini generate gemini model=m stream=False",
    "POST /api/provider/google/v1beta1/publishers/google/models/m:generateContent": "gemini generate gemini model=m stream=False",
    # a format that the provider does not speak is translated
    "POST /groq/v1/messages": "anthropic generate groq",
    "POST /anthropic/v1/chat/completions": "openai-chat generate anthropic",
    # the allow-list
    "GET /openai/v1/models/gpt-5": "passthrough openai https://api.openai.com/v1/models/gpt-5",
    "GET /openai/models/gpt-5?x=1&key=k": "passthrough openai https://api.openai.com/v1/models/gpt-5?x=1&key=k",
    "DELETE /openai/v1/responses/resp_1": "passthrough openai https://api.openai.com/v1/responses/resp_1",
    "GET /api/provider/openai/v1/conversations/c": "passthrough openai https://api.openai.com/v1/conversations/c",
    "POST /anthropic/v1/messages/batches": "passthrough anthropic https://api.anthropic.com/v1/messages/batches",
    "GET /github-copilot/mcp/x": "passthrough github-copilot https://api.githubcopilot.com/mcp/x",
    # anything else
    "GET /openai/v1/organization/users": "nothing",
    "POST /anthropic/v1/complete": "nothing",
    "GET /anthropic": "nothing",
    "GET /anthropic/": "nothing",
    "GET /anthropicx/v1/messages": "nothing",
    "POST /nobody/v1/messages": "nothing",
    "POST /api/provider/nobody/v1/messages": "nothing",
    "POST /api/provider": "nothing",
    "POST /api/provider/": "nothing",
    "POST /api/providers/anthropic/v1/messages": "nothing",
    "POST /openai-compatible/v1/chat/completions": "nothing",
    "GET /v1/messages": "nothing",
    "POST /v1/models": "nothing",
    "GET /v1/models/": "nothing",
    "GET /v1/models/../x": "nothing",
    "POST /v1/complete": "nothing",
    "GET /healthz": "nothing",
    "GET /": "nothing",
    "GET *": "nothing",
    "GET http://127.0.0.1/v1/models": "nothing",
    # nothing that a server may read as another path
    "GET /openai/v1/models/../organization/users": "nothing",
    "GET /openai/v1/models/%2e%2e/organization/users": "nothing",
    "GET /openai/v1/models/..%2forganization": "nothing",
    "GET /openai/v1/models/x/./y": "nothing",
    "GET /openai/v1/models/x\\..\\y": "nothing",
    "POST /anthropic/../openai/v1/chat/completions": "nothing",
    "POST /x/../v1/messages": "nothing",
    "POST /%61nthropic/v1/messages": "nothing",
}


@pytest.mark.parametrize("request_line", GATEWAY)
def test_gateway(request_line: str) -> None:
    method, path = request_line.split(" ")
    match = match_gateway(REGISTRY, method, path)
    assert seen(match) == GATEWAY[request_line]
    if isinstance(match, Surface):
        assert match.via == "gateway"
        assert match.endpoint is (match.provider.endpoint(match.format) if match.provider else None)


CHANGES = {
    "www.codebuddy.ai POST /v2/chat/completions": "disabled codebuddy openai-chat",
    "www.codebuddy.ai GET /anything/at/all": "disabled codebuddy",
    "generativelanguage.googleapis.com POST /v1beta/models/m:generateContent": "disabled gemini gemini",
    "GATEWAY POST /codebuddy/v1/chat/completions": "disabled codebuddy openai-chat",
    "GATEWAY POST /codebuddy/v1/messages": "disabled codebuddy anthropic",
    "GATEWAY GET /codebuddy/anything": "disabled codebuddy",
    "GATEWAY GET /codebuddy": "disabled codebuddy",
    "GATEWAY POST /api/provider/google/v1beta/models/m:generateContent": "disabled gemini gemini",
    "GATEWAY POST /v1beta/models/m:generateContent": "gemini generate - model=m stream=False",
    # moved, and still recognised where clients know it
    "chatgpt.com POST /backend-api/codex/responses": "openai-responses generate codex",
    "chatgpt.com POST /backend-api/other/chat/completions": "openai-chat generate other",
    "chatgpt.com GET /backend-api/other/x": "passthrough other",
    "chatgpt.com GET /backend-api/otherx": "passthrough codex",
    "GATEWAY POST /local/chat/completions": "openai-chat generate vllm",
    "GATEWAY GET /vllm/v1/models/m": "passthrough vllm http://127.0.0.1:8000/v1/models/m",
}


@pytest.mark.parametrize("request_line", CHANGES)
def test_with_the_configuration_s_changes(request_line: str) -> None:
    host, method, path = request_line.split(" ")
    found = (
        match_gateway(CHANGED, method, path) if host == "GATEWAY" else match_host(CHANGED, host, method, path)
    )
    assert seen(found) == CHANGES[request_line]


def test_a_host_of_an_enabled_and_a_disabled_provider() -> None:
    other = ProviderConfig(
        format=Format.OPENAI_CHAT, base_url="https://chatgpt.com/backend-api/other", hosts=("chatgpt.com",)
    )
    registry = Registry.build(load_builtin(), {"codex": ProviderConfig(enabled=False), "other": other})
    lines = {
        "POST /backend-api/codex/responses": "disabled codex openai-responses",
        "GET /backend-api/codex/x": "disabled codex",
        "POST /backend-api/other/chat/completions": "openai-chat generate other",
        "GET /": "passthrough other",
    }
    found = {line: seen(match_host(registry, "chatgpt.com", *line.split(" "))) for line in lines}
    assert found == lines


def test_a_host_that_was_taken_over() -> None:
    mine = ProviderConfig(
        extends="codex", hosts=("chatgpt.com",), base_url="https://chatgpt.com/backend-api/codex"
    )
    registry = Registry.build(load_builtin(), {"codex": ProviderConfig(enabled=False), "mine": mine})
    found = seen(match_host(registry, "chatgpt.com", "POST", "/backend-api/codex/responses"))
    assert found == "openai-responses generate mine"
    assert seen(match_host(registry, "chatgpt.com", "GET", "/backend-api/codex/x")) == "passthrough mine"


def test_every_surface_of_every_provider_is_found_on_its_hosts_and_below_its_name() -> None:
    for provider in REGISTRY.providers.values():
        for endpoint in provider.endpoints:
            for operation in endpoint.operations:
                for method, path in endpoint.routes(operation):
                    path = path.replace("{model}", "some-model")
                    below = match_gateway(REGISTRY, method, f"/{provider.name}{endpoint.path}{path}")
                    on_host = [
                        match_host(REGISTRY, host, method, endpoint.root + path) for host in provider.hosts
                    ]
                    for match in (below, *on_host):
                        assert isinstance(match, Surface), (provider.name, path)
                        assert match.provider is provider
                        assert match.operation is operation


def test_gateway_has_every_operation_of_every_format() -> None:
    for format, operations in PATHS.items():
        for operation, routes in operations.items():
            for method, path in routes:
                path = path.replace("{model}", "m")
                if format in (Format.OPENAI_CHAT, Format.OPENAI_RESPONSES):
                    path = f"/v1{path}"
                match = match_gateway(REGISTRY, method, path)
                assert isinstance(match, Surface)
                assert match.operation is operation
                # A list of models is one path for several formats.
                assert match.format is format or operation is Operation.LIST_MODELS


SEGMENT = st.sampled_from(
    [
        *(
            "v1",
            "v1beta",
            "messages",
            "models",
            "chat",
            "completions",
            "responses",
            "openai",
            "anthropic",
            "gemini",
        ),
        *("api", "provider", "m:generateContent", "m%3AgenerateContent"),
        *("..", ".", "", "%2e%2e", "%2F", "\\", "é", "?", "#", ";"),
    ]
)


@given(
    st.lists(SEGMENT | st.text(max_size=5), max_size=7).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(["GET", "POST", "PUT", ""]),
    st.sampled_from([*REGISTRY.hosts, "", "[::1]:443", "x", "api.openai.com:443"]),
)
@settings(max_examples=300, deadline=None)
def test_any_path_is_matched_without_a_surprise(path: str, method: str, host: str) -> None:
    match_host(REGISTRY, host, method, path)
    found = match_gateway(REGISTRY, method, path)
    if isinstance(found, Passthrough):
        assert found.url is not None
        # Forwarded paths stay below the provider's base URL however a server reads them.
        plain = found.url.partition("?")[0].removeprefix(found.provider.base_url)
        assert plain.startswith("/")
        assert not {".", "..", ""} & set(plain[1:].split("/")[:-1])
        assert "%" not in plain
    if isinstance(found, Surface) and found.path_model is not None:
        assert not {".", "..", ""} & set(found.path_model.split("/"))
        assert found.path_model.isprintable()
