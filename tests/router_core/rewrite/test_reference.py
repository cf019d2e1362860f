"""The page, the catalogue and the tests say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router_core.config.loader import parse
from router_core.config.problems import ConfigError
from router_core.rewrite import catalogue, reference
from router_core.rewrite.rule import Rule
from router_core.rewrite.rules import compile_rules

PAGE = Path(__file__).parents[3] / "docs" / "rewrites.md"


def test_the_page_lists_the_catalogue() -> None:
    page = PAGE.read_text()
    assert reference.write(page) == page, "run: python -m router_core.rewrite.reference docs/rewrites.md"


@pytest.mark.parametrize("rule", catalogue.DOCUMENTED, ids=lambda rule: rule.name)
def test_every_rule_says_what_it_is(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name)
    assert len(rule.reason) > 20 and rule.reason.endswith(".")
    assert rule.source or rule not in catalogue.BUILT_IN
    assert f"### `{rule.name}`" in PAGE.read_text()


@pytest.mark.parametrize("rule", catalogue.BUILT_IN, ids=lambda rule: rule.name)
def test_every_rule_is_named_in_a_test(rule: Rule) -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert f'"{rule.name}"' in tests or rule.name in INDIRECT


INDIRECT = {
    "code-assist-answer": "test_gemini.test_a_client_of_code_assist_gets_its_envelope_from_anyone",
    "limit-status": "test_openai_responses.test_limits_are_429_whatever_their_status",
    "xai-credential-status": "test_openai_responses.test_a_wrong_key_at_xai_is_401",
    "responses-long-names": "test_openai_responses.test_long_names_and_ids_are_shortened_and_restored",
    "answer-model-name": "test_answers.test_the_requested_name_comes_back_at_five_places",
    "asked-effort": "test_efforts",
    "state-of-another-account": "routing/test_continuity",
}


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", examples())
def test_the_pages_examples_load_and_compile(text: str) -> None:
    loaded = parse(text.encode(), Path("detour.yaml"), {})
    own = len(yaml.safe_load(text).get("rewrites", ()))
    rules = compile_rules(loaded.config, loaded.registry).rules
    assert len(rules) >= len(catalogue.BUILT_IN) + own - len(loaded.config.disable_rewrites)


def test_a_rule_is_switched_off_by_name() -> None:
    loaded = parse(b"disable_rewrites: [chat-include-usage]", Path("detour.yaml"), {})
    names = [rule.name for rule in compile_rules(loaded.config, loaded.registry).rules]
    assert "chat-include-usage" not in names and "force-stream" in names
    everyone = f"disable_rewrites: [{', '.join(catalogue.BY_NAME)}]".encode()
    loaded = parse(everyone, Path("detour.yaml"), {})
    assert not compile_rules(loaded.config, loaded.registry).rules


MISTAKES = b"""\
rewrites:
  - drop: a..b
  - set: {x: 1}
    when: {modle: y}
disable_rewrites: [chat-usage]
"""


def test_mistakes_are_told_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(MISTAKES, Path("d.yaml"), {})
    told = [str(problem) for problem in caught.value.problems]
    for place, words in (
        ("d.yaml:2: ", "no JSON path"),
        ("d.yaml:4: ", "'model'"),
        ("d.yaml:5: ", "built-in"),
    ):
        assert any(problem.startswith(place) and words in problem for problem in told)
