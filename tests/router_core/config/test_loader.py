"""The configuration as a whole: where it is found, every mistake with its line, warnings, user providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from router_core.config import loader
from router_core.config.loader import ConfigError, Loaded, find, load, packaged, parse
from router_core.config.schema import Config, CredentialConfig, ProviderConfig, VirtualModel
from router_core.credentials.pool import Pool
from router_core.formats import Format

ENV = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "KEY": "secret-of-the-test"}
EXAMPLES = sorted((packaged().parent / "examples").glob("*.yaml"))


def loaded(text: str, env: Mapping[str, str] = ENV, folder: Path = Path("/nonexistent")) -> Loaded:
    return parse(text.encode(), folder / "c.yaml", env)


def mistakes(text: str, env: Mapping[str, str] = ENV) -> list[str]:
    """Every mistake as ``LINE: what; remedy``."""
    with pytest.raises(ConfigError) as error:
        loaded(text, env)
    return [str(p).removeprefix("/nonexistent/c.yaml:") for p in error.value.problems]


def warnings(text: str, env: Mapping[str, str] = ENV) -> list[str]:
    return [str(p).removeprefix("/nonexistent/c.yaml:") for p in loaded(text, env).warnings]


MISTAKES = {
    # keys
    "credentails: []": "1: unknown key 'credentails'; did you mean 'credentials'?",
    "listen:\n  porxy: 127.0.0.1:1": "2: unknown key 'porxy'; did you mean 'proxy'?",
    "routing:\n  breaker: {zzz: 1}": "2: unknown key 'zzz'; known here: failures, half_open, open",
    "models:\n  x:\n    targets: [openai/a]\n    stratgy: fallback": "4: unknown key 'stratgy'; did you mean 'strategy'?",
    "providers:\n  openai:\n    endpoints: [{fromat: gemini, format: gemini}]": "3: unknown key 'fromat'; did you mean 'format'?",
    "credentials:\n  - {provider: openai, api_key: env:KEY}": "2: key 'id' is missing; add id: ...",
    # types and values
    "version: 2": "1: 'version' cannot be 2; write 1",
    "listen: 8080": "1: 'listen' must be a mapping; write KEY: VALUE lines below it",
    "credentials: {id: a}": "1: 'credentials' must be a list; write [A, B] or lines that begin with '- '",
    "routing:\n  max_attempts: many": "2: 'max_attempts' must be a whole number",
    "routing:\n  max_attempts: 0": "2: 'max_attempts' must be more than 0",
    "routing:\n  expose_headers: perhaps": "2: 'expose_headers' must be true or false",
    "routing:\n  strategy: roundrobin": "2: 'strategy' cannot be 'roundrobin'; did you mean 'round_robin'?",
    "routing:\n  unconfigured: drop": "2: 'unconfigured' cannot be 'drop'; write one of 'passthrough' or 'reject'",
    "providers: {openai: {format: openai}}": "1: 'format' cannot be 'openai'; did you mean 'openai-chat'?",
    "upstream:\n  connect_timeout: 10": "2: 'connect_timeout': 10 is not a duration; write a number and a unit: 500ms, 10s, 5m, 1h, 7d",
    "limits:\n  body: lots": "2: 'body': 'lots' is not a size; write a number and a unit: 64KB, 10MB, 1GB",
    "models:\n  x: 5": "2: 'x' must be a text or a mapping; write PROVIDER/MODEL or {targets: [...]}",
    "credentials:\n  - {id: ../x, provider: openai, api_key: env:KEY}": (
        "2: 'id': an id is made of letters, digits and . _ @ + - (no separators, no '..', at most 128)"
    ),
    # addresses
    "listen:\n  proxy: 8080": "2: 'proxy': 8080 is a port without a host; write 127.0.0.1:8080",
    "listen:\n  proxy: 127.0.0.1": "2: 'proxy': '127.0.0.1' is not an address; write HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080",
    "listen:\n  admin: 127.0.0.1:8317": "2: listen.admin and listen.gateway are both at 127.0.0.1:8317; give each its own port",
    "listen:\n  gateway: 0.0.0.0:8318\naccess: {keys: [{name: a, key: env:KEY}]}": (
        "2: listen.admin and listen.gateway are both at 127.0.0.1:8318; give each its own port"
    ),
    "listen:\n  gateway: 0.0.0.0:8317": (
        "2: listen.gateway is open to other machines, and access.keys is empty; add access.keys or access.networks, or listen on 127.0.0.1"
    ),
    "listen:\n  admin: 0.0.0.0:8318\naccess: {networks: [10.0.0.0/8]}": (
        "2: listen.admin is open to other machines, and access.keys is empty; add access.keys, or listen on 127.0.0.1"
    ),
    "listen:\n  transparent: '[::]:8443'\naccess: {keys: [{name: a, key: env:KEY}]}": (
        "2: listen.transparent is open to other machines, and access.networks is empty; add access.networks, or listen on 127.0.0.1"
    ),
    "listen:\n  transparent: box.lan:8443\naccess: {networks: [10.0.0.0/8]}": (
        "2: 'box.lan' is a name, which firewall rules do not know; write an address"
    ),
    "listen:\n  transparent: 127.0.0.1:0": (
        "2: port 0 is another port at each start, and rules lead to this one; write its number"
    ),
    "listen: {transparent: 127.0.0.1:8443}\ntransparent:\n  mark: null": (
        "3: nothing tells Detour's own connections from those that are redirected to it; "
        "remove mark: null, or add user, or local: false"
    ),
    "access:\n  networks: [10.0.0.1/8]": (
        "2: 'networks': '10.0.0.1/8' is an address inside a network; write 10.0.0.0/8 to mean the network"
    ),
    "access:\n  networks: [home]": (
        "2: 'networks': 'home' is not a network; write e.g. 192.168.1.0/24 or fd00::/8"
    ),
    "access:\n  networks:\n    - {network: home, name: kids}": (
        "3: 'network': 'home' is not a network; write e.g. 192.168.1.0/24 or fd00::/8"
    ),
    "access:\n  networks: [10.0.0.0/8, {network: 10.0.0.0/8, name: kids}]": (
        "2: network 10.0.0.0/8 is given twice; remove one of them"
    ),
    "access:\n  keys: [{name: kids, key: env:KEY}]\n  networks: [{network: 10.0.0.0/8, name: kids}]": (
        "3: client 'kids' is both a key and a network; rename one of them"
    ),
    "listen: {proxy: null, gateway: null, admin: null}": "1: every listener is switched off; give at least one an address",
    # upstream
    "upstream:\n  proxy: ftp://u:pw@h": "2: 'ftp://***@h' is not a proxy; write one of http, https, socks5, socks5h://HOST:PORT",
    "upstream:\n  ca_bundle: /nonexistent/ca.pem": "2: there is no file /nonexistent/ca.pem; name a PEM file",
    "state: postgres://h": "1: 'postgres://h' is no place for state; write memory or redis://HOST:PORT/0",
    # access
    "access:\n  keys:\n    - {name: a, key: env:KEY}\n    - {name: a, key: env:KEY}": "4: client 'a' is given twice; rename one of them",
    "access:\n  keys: [{name: a, key: 'env:'}]": "2: 'key': 'env:' names nothing; write env:NAME",
    # providers
    "providers:\n  vllm: {format: openai-chat, base_url: 'http://10.0.0.1/v1'}": (
        "2: provider vllm: credentials would go to 10.0.0.1 over plain http; "
        "write https://, or insecure: true if the network between is yours"
    ),
    "providers:\n  openia: {base_url: 'https://h/v1'}": "2: provider openia: has no wire format; did you mean 'openai'?",
    "providers:\n  mine: {format: gemini}": "2: provider mine: has no base_url; add base_url: https://HOST/PATH",
    "providers:\n  mine:\n    extends: openai-compatibel\n    base_url: https://h": (
        "3: provider mine: extends an unknown provider 'openai-compatibel'; did you mean 'openai-compatible'?"
    ),
    "providers:\n  a: {extends: b}\n  b: {extends: a}": "2: provider a: extends itself: a -> b -> a; break the circle",
    "providers:\n  Mine: {format: gemini, base_url: 'https://h'}": (
        "2: provider Mine: 'Mine' cannot be a provider's name; write small letters, digits and single hyphens, e.g. local-vllm"
    ),
    "providers:\n  v1: {format: gemini, base_url: 'https://h'}": (
        "2: provider v1: 'v1' is the beginning of gateway paths; choose another name"
    ),
    "providers:\n  google: {format: gemini, base_url: 'https://h'}": (
        "2: provider google: 'google' is also a name of provider gemini; choose another name"
    ),
    "providers:\n  mine:\n    extends: openai\n    hosts: [api.openai.com]": (
        "4: provider mine: host api.openai.com is also claimed by provider openai, under the same path; "
        "remove it from one of them, or disable one"
    ),
    "providers:\n  openai:\n    hosts: ['*.openai.com']": (
        "3: provider openai: '*.openai.com' is not a host name; "
        "write the exact name, e.g. api.example.com: no scheme, port, path or wildcard"
    ),
    "providers:\n  openai:\n    endpoints:\n      - {format: anthropic, operations: [embeddings]}": (
        "4: provider openai: format anthropic has no operation embeddings; write some of generate, count_tokens, list_models"
    ),
    "providers:\n  openai:\n    passthrough: [models]": (
        "3: provider openai: 'models' is not a path; write /PATH, or /PATH* for everything that begins so"
    ),
    "providers:\n  openai:\n    headers:\n      'x y': z": (
        "4: provider openai: 'x y' is not a header name; use letters, digits and hyphens"
    ),
    # credentials
    "credentials:\n  - {id: a, provider: opneai, api_key: env:KEY}": "2: unknown provider 'opneai'; did you mean 'openai'?",
    "credentials:\n  - {id: a, provider: openai-compatible, api_key: env:KEY}": (
        "2: 'openai-compatible' is a pattern without an address; "
        "add providers: {NAME: {extends: openai-compatible, base_url: ...}}"
    ),
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY}\n  - {id: A, provider: openai, api_key: env:KEY}": (
        "3: credential id 'A' is given twice; rename one of them"
    ),
    "credentials:\n  - {id: a, provider: openai}": "2: credential 'a' holds no secret; add api_key: env:NAME",
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, token_file: /x}": "2: has api_key and token_file; keep one of them",
    "credentials:\n  - {id: a, provider: openai, api_key: [sk-ant-hunter2]}": "2: 'api_key': write env:NAME, file:PATH or {command: [...]}",
    "credentials:\n  - id: a\n    provider: openai\n    api_key: {comand: [x]}": (
        "4: 'api_key': a command reference is written as {command: [PROGRAM, ARG, ...]}"
    ),
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, prefix: gemini}": (
        "2: prefix 'gemini' is also a provider's name; choose another prefix"
    ),
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, prefix: a/b}": "2: 'a/b' cannot be a prefix; use letters, digits and . _ -",
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, proxy: h:1}": (
        "2: 'h:1' is not a proxy; write one of http, https, socks5, socks5h://HOST:PORT"
    ),
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, base_url: 'http://10.0.0.1'}": (
        "2: credentials would go to 10.0.0.1 over plain http; write https://, or insecure: true if the network between is yours"
    ),
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, limits: [{window: 5h}]}": "2: a limit limits nothing; add tokens or requests",
    "credentials:\n  - {id: a, provider: openai, api_key: env:KEY, limits: [{window: 5h, tokens: 1, reset_at: '7:00'}]}": (
        "2: reset_at '7:00' is no time of day; write HH:MM, e.g. 07:30\n2: reset_at is a time of day; write window: day, or remove it"
    ),
    "credentials:\n  - {id: a, provider: openai, oauth: {token_url: 'https://h'}}": (
        "2: oauth has no refresh token; add token_file: PATH or refresh_token: env:NAME"
    ),
    "credentials:\n  - {id: a, provider: openai, oauth: {token_url: 'http://h', refresh_token: env:KEY}}": (
        "2: token_url: credentials would go to h over plain http; write https://, or insecure: true if the network between is yours"
    ),
    "credentials:\n  - {id: a, provider: google, api_key: env:KEY}": (
        "2: 'google' is only another name of provider gemini in paths; write provider: gemini"
    ),
    # routing, capture
    "routing:\n  failures:\n    - {class: nonsense, status: 400}": (
        "3: class must be one of success, client_fault, request_miss, auth, payment, not_found, model_unsupported, "
        "rate_limit, capacity, transient, challenge, cancelled"
    ),
    "routing:\n  failures: [{class: auth, statsu: 4}]": (
        "2: unknown key 'statsu'; a row has backoff, class, code, cooldown, header, oauth, phase, provider, scope, status, text"
    ),
    "capture:\n  hosts: ['https://h']": "2: 'https://h' is not a host name; write the exact name, e.g. api.example.com",
    # models
    "models:\n  x: glmm/glm-4.7": "2: target 'glmm/glm-4.7' names an unknown provider 'glmm'; did you mean 'glm'?",
    "models:\n  x: premium\n  premum: openai/y": "2: target 'premium' is no model that is known here; did you mean 'premum'?",
    "models:\n  x: openai/": "2: target 'openai/' names no model; write PROVIDER/MODEL",
    "models:\n  x: openai-compatible/m": (
        "2: target 'openai-compatible/m': openai-compatible is a pattern without an address; name a provider that extends it"
    ),
    "models:\n  gpt-5: gpt-5": "2: models in a circle: gpt-5 -> gpt-5; write PROVIDER/gpt-5",
    "models:\n  a: b\n  b: {targets: [openai/x, c(high)]}\n  c: a": (
        "2: models in a circle: a -> b -> c -> a; let one of them lead to a provider"
    ),
    "models:\n  x: {targets: []}": "2: has no targets; add PROVIDER/MODEL",
    "models:\n  x:\n    strategy: weighted\n    targets: [{target: openai/a, weight: 0}]": (
        "4: every target has weight 0; give one of them a weight"
    ),
    "models:\n  x:\n    targets:\n      - {target: openai/a, when: {time: late}}": "4: 'late' is no span of time; write HH:MM-HH:MM, e.g. 22:00-07:00",
    "models:\n  x:\n    targets:\n      - {target: openai/a, when: {min_context: 2, max_context: 1}}": (
        "4: min_context is above max_context; swap them"
    ),
    # usage
    "usage: {budgets: [{client: ana, per: day, cost: 1}]}": (
        "1: budget for an unknown client 'ana'; there is no client key, no network with a name and no peer"
    ),
    "usage: {prices: [{model: m, provider: opnai, input: 1, output: 1}]}": (
        "1: price for an unknown provider 'opnai'; did you mean 'openai'?"
    ),
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: " ".join(text.split())[:60])
def test_each_mistake_names_its_line_and_its_remedy(text: str) -> None:
    expected = MISTAKES[text].split("\n")
    # A circle of two providers is a mistake of both.
    assert [m for m in mistakes(text) if "provider b:" not in m] == expected


def test_all_mistakes_are_said_at_once_in_the_order_of_the_file() -> None:
    found = mistakes(
        """
listen:
  proxy: nowhere
  gateway: 0.0.0.0:8317
upstream: {connect_timeout: 10, idle_timeout: never}
providers:
  broken: 5
  vllm: {extends: openai-compatible, base_url: "http://10.0.0.1/v1"}
credentials:
  - {id: a, provider: broken, api_key: env:KEY, wieght: 2}
  - {id: a, provider: opneai, priority: high, api_key: env:KEY}
  - {provider: openai}
models:
  x: 5
  y: x
  z: {targets: [y, nowhere/m]}
credentials: []
"""
    )
    assert [int(m.partition(":")[0]) for m in found] == [3, 4, 5, 5, 7, 8, 10, 11, 11, 11, 12, 14, 16, 17]
    # What follows from a mistake is none of its own.
    assert mistakes("providers:\n  mine: {fromat: gemini, base_url: 'https://h'}") == [
        "2: unknown key 'fromat'; did you mean 'format'?"
    ]
    # What hangs upon something broken is no mistake of its own.
    assert not any("'broken'" in m and "unknown provider" in m for m in found)
    assert not any("'x'" in m and "known here" in m for m in found)


def test_no_message_holds_a_secret() -> None:
    secret = "hunter2hunter2hunter2hunter2"
    text = f"""
access: {{keys: [{{name: a, key: {secret}, keyy: {secret}}}, {secret}]}}
upstream: {{proxy: "ftp://u:{secret}@h", connect_timeout: {secret}}}
credentials:
  - {{id: a, provider: {secret}, api_key: [{secret}], proxy: "{secret}"}}
  - {{id: b, provider: openai, api_key: {{command: {secret}}}, headers: {{"{secret} x": y}}}}
  - {{id: c, provider: openai, api_key: "{secret}", base_url: "https://u:{secret}@h", priority: {secret}}}
models: {{x: {secret}}}
routing: {{strategy: {secret}}}
state: postgres://u:{secret}@h
{secret}: 1
"""
    found = mistakes(text)
    assert len(found) > 10
    assert secret not in "\n".join(found)


def test_secrets_are_not_in_repr() -> None:
    config = loaded(
        """
upstream: {proxy: "http://u:hunter2@h:1"}
state: redis://:hunter2@h
credentials:
  - {id: a, provider: openai, api_key: hunter2, proxy: "http://u:hunter2@h:1", headers: {x-secret: hunter2}}
"""
    )
    assert "hunter2" not in repr(config)
    assert "hunter2" not in str(config.config)


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        ("api_key: env:NOPE", "2: credential 'a' is inactive: environment variable NOPE is not set"),
        ("api_key: env:EMPTY", "2: credential 'a' is inactive: environment variable EMPTY is not set"),
        (
            "api_key: file:/nonexistent/key",
            "2: credential 'a' is inactive: file /nonexistent/key cannot be read: no such file or directory",
        ),
        ("api_key: file:/tmp", "2: credential 'a' is inactive: /tmp is not a regular file"),
        (
            "token_file: /nonexistent/t.json",
            "2: credential 'a' is inactive: there is no file /nonexistent/t.json",
        ),
        (
            "api_key: {command: [no-such-program-here]}",
            "2: credential 'a' is inactive: command no-such-program-here is not there",
        ),
    ],
)
def test_a_credential_that_cannot_be_used_is_said(entry: str, warning: str) -> None:
    config = loaded(f"credentials:\n  - {{id: a, provider: openai, {entry}}}", {**ENV, "EMPTY": ""})
    assert [str(w).removeprefix("/nonexistent/c.yaml:") for w in config.warnings] == [warning]
    assert list(config.inactive) == ["a"]


def test_a_literal_secret_is_taken_with_a_warning() -> None:
    text = "credentials:\n  - id: a\n    provider: openai\n    api_key: sk-abc"
    assert warnings(text) == ["4: the secret itself stands in the file; write env:NAME or file:PATH instead"]
    assert loaded(text).inactive == {}


def test_a_secret_that_others_can_read_is_said(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-abc\n")
    key.chmod(0o644)
    found = loaded(f"credentials:\n  - {{id: a, provider: openai, api_key: 'file:{key}'}}")
    assert [w.what for w in found.warnings] == [f"file {key} can be read by other users"]
    key.chmod(0o600)
    assert loaded(f"credentials:\n  - {{id: a, provider: openai, api_key: 'file:{key}'}}").warnings == []


def test_what_belongs_to_a_disabled_provider_is_inactive() -> None:
    found = loaded(
        "providers: {openai: {enabled: false}}\n"
        "credentials: [{id: a, provider: openai, api_key: env:KEY}]\n"
        "models: {x: openai/gpt-5}"
    )
    assert found.inactive == {"a": "provider openai is disabled"}
    assert [w.line for w in found.warnings] == [2, 3]
    assert not found.registry.providers["openai"].enabled


def test_a_client_without_its_key_is_said() -> None:
    text = "access: {keys: [{name: laptop, key: env:NOPE}]}"
    assert warnings(text) == ["1: client 'laptop' cannot get in: environment variable NOPE is not set"]


def test_a_quirk_that_no_rule_asks_for_is_said() -> None:
    text = "providers:\n  vllm:\n    extends: openai-compatible\n    base_url: http://127.0.0.1:1\n    quirks: [force_steam, own]\n"
    assert warnings(text + "rewrites: [{when: {quirk: own}, drop: x}]") == [
        "5: no rule asks for the quirk 'force_steam'; did you mean 'force_stream'?"
    ]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("{name: a, drop: x}, {drop: y}, {name: a, drop: z}", "rule 'a' is given twice; rename one of them"),
        ("{name: answer-model-name, drop: x}", "'answer-model-name' is the name of a built-in rule; write another"),
        ("{name: a, action: supress-thinking}", "'action': 'supress-thinking' is no built-in rewrite; did you mean"),
        ("{rename: {a.b: a.c}}", "'a.b': 'a.c' is a path; write the key's new name alone"),
        ("{set: {a: 1.0e+999}}", "'set': inf is no JSON; write a number"),
        ("{action: model-name}", "'action': 'model-name' always runs, first or last of all; leave it out"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_told_once_with_its_line(rules: str, said: str) -> None:
    (problem,) = mistakes(f"rewrites: [{rules}]")
    assert problem.startswith(f"1: {said}")


def test_the_name_of_a_built_in_rule_that_is_switched_off_is_free() -> None:
    text = "rewrites: [{name: chat-empty-tools, drop: tools}]\ndisable_rewrites: [chat-empty-tools]"
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{when: {quirk: force_steam}, drop: x}", "no provider has the quirk 'force_steam'; did you mean 'force_stream'?"),
        ("{when: {provider: [open*, opnai]}, drop: x}", "no provider fits 'opnai'; did you mean 'openai'?"),
        ("{set: {model: gpt-5}}", "the name of the model is written after all rules, so this has no effect; give"),
    ],
)  # fmt: skip
def test_a_rule_without_an_effect_is_said(rule: str, said: str) -> None:
    (warning,) = warnings(f"rewrites: [{rule}]")
    assert warning.startswith(f"1: {said}")


def test_a_disabled_credential_is_not_looked_at() -> None:
    assert warnings("credentials: [{id: a, provider: openai, api_key: env:NOPE, enabled: false}]") == []


def test_a_server_on_this_machine_needs_no_key() -> None:
    text = "providers: {vllm: {extends: openai-compatible, base_url: 'http://127.0.0.1:8000/v1'}}\n"
    text += "credentials: [{id: a, provider: vllm}, {id: b, provider: ollama}]"
    assert warnings(text) == []
    found = loaded(text)
    assert [c.id for c in Pool(found.config, found.registry, env=ENV).active("vllm")] == ["a"]


def test_targets_that_the_router_understands() -> None:
    config = loaded(
        """
credentials:
  - {id: a, provider: openai, api_key: env:KEY, prefix: work, models: {include: ["team-*"]}}
models:
  one: anthropic/claude-opus-5
  two: work/gpt-5(high)
  three: {targets: [one, two(low), claude-opus-4-5, team-model, openrouter/minimax/minimax-m2.1], strategy: weighted}
  four: {targets: [{target: google/gemini-2.5-pro, tier: 1, when: {time: "22:00-07:00", max_context: 32000}}]}
  "sonnet-*": openrouter/anthropic/claude-sonnet-*
  five: sonnet-4.5
  six: claude-not-yet-listed
"""
    ).config
    three = config.models["three"]
    assert isinstance(three, VirtualModel)
    assert [t.target for t in three.targets][:2] == ["one", "two(low)"]


def test_a_budget_may_name_a_key_or_a_peer(tmp_path: Path) -> None:
    data = tmp_path / "data"
    peers = data / "wireguard" / "peers.json"
    peers.parent.mkdir(parents=True)
    peers.write_text('{"peers": [{"name": "phone"}, {"name": "tablet"}]}')

    def text(client: str, wireguard: str = "0.0.0.0:51820") -> str:
        return f"""
data_dir: {data}
listen: {{wireguard: {wireguard}}}
access: {{keys: [{{name: laptop, key: env:KEY}}]}}
usage: {{budgets: [{{client: {client}, per: day, tokens: 1}}]}}
"""

    for name in ("laptop", "phone", "tablet"):
        assert loaded(text(name)).config.usage.budgets[0].client == name
    assert mistakes(text("fone")) == ["5: budget for an unknown client 'fone'; did you mean 'phone'?"]
    assert mistakes(text("xyz")) == ["5: budget for an unknown client 'xyz'; known are laptop, phone, tablet"]
    assert mistakes(text("phone", "null")) == ["5: budget for an unknown client 'phone'; known are laptop"]
    # What cannot be read is another mistake, which is said where the tunnel is made.
    peers.write_text("{")
    assert loaded(text("xyz")).config.usage.budgets


def test_long_ways_are_bounded_and_long_circles_shortened() -> None:
    def chain(length: int, end: str) -> str:
        return (
            "models:\n"
            + "".join(f"  m{i}: m{i + 1}\n" for i in range(length - 1))
            + f"  m{length - 1}: {end}\n"
        )

    assert loaded(chain(32, "openai/gpt-5")).config.models["m0"] == "m1"
    assert mistakes(chain(40, "openai/gpt-5")) == [
        "9: model 'm7' leads through more than 32 others; let it lead to a provider sooner"
    ]
    (circle,) = mistakes(chain(2000, "m0"))
    assert len(circle) < 150


def test_thousands_of_mistakes_are_said() -> None:
    text = "credentials:\n" + "".join(f"  - {{id: k{i}, provider: openai, wieght: 1}}\n" for i in range(2000))
    assert len(mistakes(text)) == 4000


def test_paths_begin_at_home_or_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    config = loaded(
        "upstream: {ca_bundle: ca.pem}\ndata_dir: ~/d\ncapture: {dir: /abs}\n"
        "credentials: [{id: a, provider: openai, api_key: 'file:~/k'}, {id: b, provider: openai, api_key: 'file:k'}]",
        {**ENV, "HOME": "/home/ana"},
        tmp_path,
    ).config
    assert config.upstream.ca_bundle == str(tmp_path / "ca.pem")
    assert (config.data_dir, config.capture.dir) == ("/home/ana/d", "/abs")
    assert [str(c.api_key) for c in config.credentials] == ["file:/home/ana/k", f"file:{tmp_path}/k"]


def test_yaml_words_mean_what_they_look_like() -> None:
    config = loaded("capture: {mode: off}\nca: {name_constrained: no}\nrouting: {expose_headers: on}").config
    assert (config.capture.mode, config.ca.name_constrained, config.routing.expose_headers) == (
        "off",
        False,
        True,
    )


def test_json_is_a_configuration_too() -> None:
    config = loaded('{"version": 1, "routing": {"max_wait": "5s"}, "models": {"x": "openai/gpt-5"}}').config
    assert (config.routing.max_wait, config.models) == (5.0, {"x": "openai/gpt-5"})


def test_lines_of_what_was_loaded() -> None:
    config = loaded("version: 1\ncredentials:\n  - id: a\n    provider: openai\n    api_key: env:KEY\n")
    assert config.line("credentials", 0, "api_key") == 5
    assert config.line("credentials", 0, "weight") == 3


# -- where it is found ------------------------------------------------------------------------------


def test_the_order_in_which_it_is_looked_for(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert find(env) == packaged()
    for folder in (tmp_path / "home" / ".config", tmp_path / "xdg"):
        (folder / "detour").mkdir(parents=True)
        (folder / "detour" / "detour.yaml").write_text("version: 1")
    assert find({"HOME": env["HOME"]}) == tmp_path / "home/.config/detour/detour.yaml"
    assert find({**env, "XDG_CONFIG_HOME": "relative"}) == tmp_path / "home/.config/detour/detour.yaml"
    assert find(env) == tmp_path / "xdg/detour/detour.yaml"
    assert find({**env, "DETOUR_CONFIG": "/some/file.yaml"}) == Path("/some/file.yaml")


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "none.yaml", ENV)
    assert (
        str(error.value)
        == f"{tmp_path}/none.yaml: cannot be read: no such file or directory; name an existing file"
    )
    with pytest.raises(ConfigError):
        load(None, {"DETOUR_CONFIG": str(tmp_path / "none.yaml")})
    with pytest.raises(ConfigError, match=r"detour\.yaml: cannot be read: no such file"):
        load(tmp_path, ENV)


def test_the_packaged_configuration_works_as_it_is() -> None:
    found = load(None, ENV)
    assert found.path == packaged()
    assert {c.provider for c in found.config.credentials} == set(found.registry.providers)
    assert set(found.inactive) == {c.id for c in found.config.credentials}
    (warning,) = found.warnings
    assert warning.what.startswith("inactive, since their variables are not set: anthropic, openai")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(example: Path) -> None:
    found = load(example, ENV)
    assert found.config.credentials
    assert found.config.models


# -- the user's providers ---------------------------------------------------------------------------


def test_adding_a_provider_is_adding_a_file(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "mine.yaml").write_text(
        "format: anthropic\nbase_url: https://claude.example.com\n"
    )
    (tmp_path / "providers" / "notes.txt").write_text("no provider")
    found = loaded("credentials: [{id: a, provider: mine, api_key: env:KEY}]", folder=tmp_path)
    assert found.registry.providers["mine"].endpoints[0].format is Format.ANTHROPIC
    assert found.watched == (
        tmp_path / "c.yaml",
        tmp_path / "conf.d",
        tmp_path / "providers",
        tmp_path / "providers" / "mine.yaml",
    )


def test_a_broken_provider_file_is_named_by_its_own_line(tmp_path: Path) -> None:
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "a.yaml").write_text("name: same\nformat: gemini\nbase_url: http://10.0.0.1\n")
    (folder / "b.yaml").write_text("format: gemini\n\nname: same\nbase_url: https://h\n")
    (folder / "c.yaml").write_text("format: [gemini\n")
    (folder / "d.yaml").write_text("base_url: https://h\nfromat: gemini\n")
    with pytest.raises(ConfigError) as error:
        loaded("", folder=tmp_path)
    found = [(Path(p.file).name, p.line) for p in error.value.problems]
    assert found == [("a.yaml", 3), ("b.yaml", 3), ("c.yaml", 2), ("d.yaml", 2)]


def test_the_built_in_files_are_not_read_twice() -> None:
    copy = packaged().parent / "other.yaml"
    assert parse(b"version: 1", copy, ENV).watched == (copy,)


# -- anything at all --------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *Config.model_fields,
        *CredentialConfig.model_fields,
        *ProviderConfig.model_fields,
        "targets",
        "when",
        "openai",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(
        [
            "openai",
            "openai/x",
            "a",
            "b",
            "env:KEY",
            "file:",
            "10s",
            "127.0.0.1:0",
            "gemini",
            "https://h",
            "",
            "∞",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.sampled_from("ab"), inner, max_size=4)
    ),
    max_leaves=15,
)


def _only_config_errors(data: bytes) -> None:
    try:
        found = parse(data, Path("/nonexistent/c.yaml"), ENV)
    except ConfigError as error:
        assert error.problems
        assert all(p.what and p.line >= 0 for p in error.problems)
    else:
        assert found.config.version == 1


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_document_is_loaded_or_refused(document: dict[str, object]) -> None:
    _only_config_errors(json.dumps(document, ensure_ascii=False).encode())


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_loaded_or_refused(data: bytes) -> None:
    _only_config_errors(data)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_to_a_good_file_is_loaded_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([packaged(), *EXAMPLES])).read_bytes()
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    _only_config_errors(text[:start] + data.draw(st.binary(max_size=10)) + text[start + length :])


def test_the_module_says_what_it_offers() -> None:
    assert all(hasattr(loader, name) for name in loader.__all__)
