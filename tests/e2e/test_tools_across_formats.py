"""Real command-line tools whose models are of another format: whole conversations with the tools' own tools.

Nothing is set in the tool but the model that it asks for. The model at the other end reads two files at once,
runs a command and answers, thinking in between. In some cases the first target dies on the way, and a target of
yet another format goes on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from detour.fakes import FakeUpstream
from router_core.formats import Format
from tests.e2e.instance import Detour, base_config
from tests.e2e.scripted_model import SUMMARY, ScriptedModel, Turn, Use
from tests.upstream import FakeThread

TIME_LIMIT = 200.0
"""Seconds; a tool on an idle machine takes about five."""
A, C, R, G = Format.ANTHROPIC, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.GEMINI
MODELS = {A: "claude-opus-4-5", C: "kimi-k2-thinking", R: "gpt-5.2", G: "gemini-3-pro-preview"}
ASK = "Compare alpha.txt and beta.txt."
ANSWER = "They differ: the one says quince, the other medlar."


@dataclass(frozen=True, slots=True)
class Tool:
    """How a tool is asked once, and how its own tools read a file and run a command."""

    arguments: list[str]
    read: tuple[str, str]
    """Name and argument of the tool that reads a file."""
    shell: tuple[str, str]
    more: dict[str, str] = field(default_factory=dict)
    """What the shell tool wants beside."""
    variables: dict[str, str] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
    """Models that it asks for beside the one that it is told to."""

    def reading(self, path: Path) -> Use:
        return self.read[0], {self.read[1]: str(path)}

    def running(self, command: str) -> Use:
        return self.shell[0], {self.shell[1]: command, **self.more}


@dataclass(frozen=True, slots=True)
class Codex(Tool):
    """Its newest models are given one tool, which runs JavaScript that calls the others."""

    def reading(self, path: Path) -> Use:
        return self.running(f"cat {path}")

    def running(self, command: str) -> Use:
        return "functions__exec", {"input": f"text((await tools.exec_command({{cmd: {command!r}}})).output)"}


TOOLS = {
    "claude": Tool(
        ["-p", ASK, "--output-format", "json", "--allowedTools", "Bash,Read", "--model"],
        ("Read", "file_path"),
        ("Bash", "command"),
        {"description": "Counts the lines"},
        {"ANTHROPIC_API_KEY": "sk-ant-of-the-tool", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
        ("claude-haiku-4-5-20251001",),
    ),
    "codex": Codex(
        ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--json", ASK, "-m"],
        ("", ""),
        ("", ""),
        variables={"CODEX_API_KEY": "sk-of-the-tool"},
    ),
    "gemini": Tool(
        ["-p", ASK, "--yolo", "--skip-trust", "--output-format", "json", "-m"],
        ("read_file", "file_path"),
        ("run_shell_command", "command"),
        variables={"GEMINI_API_KEY": "of-the-tool"},
        aside=("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    ),
    "opencode": Tool(
        ["run", ASK, "--format", "json", "--model"],
        ("read", "filePath"),
        ("bash", "command"),
        {"description": "Counts the lines"},
        {"ANTHROPIC_API_KEY": "sk-ant-of-the-tool"},
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    tool: str
    asks: str
    """The model that the tool asks for."""
    targets: tuple[Format, ...]
    """With two of them, the first dies after its first turn."""
    full: bool = False
    """The conversation fills the model's context after its first turn."""

    def __str__(self) -> str:
        return "-".join((self.tool, *self.targets, *(["full"] if self.full else [])))


RESUMED = Case("gemini", "gemini-3-flash-preview", (A,))
"""Its file of the conversation holds no signatures, and the conversation has another name afterwards."""
CASES = [
    Case("claude", "claude-sonnet-4-5", (C,)),
    Case("claude", "claude-sonnet-4-6", (R, G)),
    Case("codex", "gpt-6.1-sol", (G,)),
    Case("codex", "gpt-5.6-sol", (A, C)),
    Case("codex", "gpt-6-sol", (A,), full=True),
    Case("gemini", "gemini-2.5-pro", (R,)),
    Case("gemini", "gemini-3.1-pro-preview", (C, A)),
    Case("opencode", "claude-opus-4-6", (G, R)),
]


@dataclass
class Lab:
    detour: Detour
    fakes: dict[str, FakeUpstream]


@pytest.fixture(scope="module")
def lab(fakes: FakeThread, ca_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    config = base_config(ca_bundle)
    config["upstream"] |= {"connect_timeout": "20s", "first_byte_timeout": "60s", "idle_timeout": "60s"}
    config["models"] = {}
    upstreams: dict[str, FakeUpstream] = {}
    for case in (*CASES, RESUMED):
        targets = []
        for format in case.targets:
            name = f"{case}-at-{format}"
            fake = upstreams[name] = fakes.start(name)
            config["providers"][name] = {"format": format.value, "base_url": fake.base_url(format.value)}
            config["credentials"].append({"id": name, "provider": name, "api_key": f"secret-of-{name}"})
            targets.append(f"{name}/{MODELS[format]}")
        config["models"][case.asks] = {"targets": targets}
        config["models"] |= dict.fromkeys(TOOLS[case.tool].aside, targets[-1])
    with ExitStack() as stack:
        detour = stack.enter_context(Detour(config, tmp_path_factory.mktemp("tools")))
        yield Lab(detour, upstreams)


@pytest.mark.tool
@pytest.mark.timeout(TIME_LIMIT + 20)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=str(case),
            marks=pytest.mark.skipif(shutil.which(case.tool) is None, reason=f"{case.tool} is not installed"),
        )
        for case in CASES
    ],
)
def test_a_tool_holds_a_conversation_with_a_model_of_another_format(
    lab: Lab, case: Case, tmp_path: Path
) -> None:
    (tmp_path / "alpha.txt").write_text("the word of alpha is quince\n")
    (tmp_path / "beta.txt").write_text("the word of beta is medlar\n")
    models = _models(lab, case, tmp_path)
    done = _run(lab, case, tmp_path)
    said = (done.stdout[-3000:], done.stderr[-3000:])
    assert [complaint for model in models for complaint in model.complaints] == []
    assert done.returncode == 0, said
    assert ANSWER in done.stdout, said
    # One model all the way, or the second from where the first one died.
    numbers = [[answer.number for answer in model.given] for model in models]
    assert numbers == ([[0, 1, 2]] if len(models) == 1 else [[0], [1, 2]])
    last = str(models[-1].asked[-1])
    assert models[-1].summaries == case.full
    if case.full:
        assert SUMMARY in last
        return
    assert "the word of alpha is quince" in last
    assert "the word of beta is medlar" in last


@pytest.mark.tool
@pytest.mark.timeout(2 * TIME_LIMIT + 20)
@pytest.mark.skipif(shutil.which("gemini") is None, reason="gemini is not installed")
def test_a_resumed_conversation_has_the_reasoning_of_its_calls(lab: Lab, tmp_path: Path) -> None:
    read = TOOLS["gemini"].reading
    path = tmp_path / "alpha.txt"
    path.write_text("the word of alpha is quince\n")
    turns = [
        Turn("", "I should read it.", [read(path)]),
        Turn("It says quince."),
        Turn("", "Again, and one that is not there.", [read(path), read(tmp_path / "beta.txt")]),
        Turn(ANSWER),
    ]
    fake = lab.fakes[f"{RESUMED}-at-{A}"]
    model = ScriptedModel(fake, A, turns, {read(path)[0]}, further="Read it again.")
    for ask, more in ((ASK, []), ("Read it again.", ["--resume", "latest"])):
        done = _run(lab, RESUMED, tmp_path, ask, more)
        assert model.complaints == []
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    assert ANSWER in done.stdout
    assert [answer.number for answer in model.given] == [0, 1, 2, 3]


def _models(lab: Lab, case: Case, folder: Path) -> list[ScriptedModel]:
    tool = TOOLS[case.tool]
    both = [tool.reading(folder / "alpha.txt"), tool.reading(folder / "beta.txt")]
    count = tool.running("cat alpha.txt beta.txt | wc -l")
    turns = [
        Turn("Let me look. ", "I should read both files first.", both, 3_000_000 if case.full else 1000),
        Turn("", "Now the lines, naïvely counted – all of them.", [count]),
        Turn(ANSWER, "All is known now."),
    ]
    models = []
    for format in case.targets:
        fake = lab.fakes[f"{case}-at-{format}"]
        models.append(ScriptedModel(fake, format, turns, {both[0][0]}))
    if len(models) > 1:
        models[0].until = 1
    return models


def _run(
    lab: Lab, case: Case, folder: Path, ask: str = ASK, more: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    tool = TOOLS[case.tool]
    arguments = [ask if argument is ASK else argument for argument in tool.arguments]
    model = f"anthropic/{case.asks}" if case.tool == "opencode" else case.asks
    detour = [sys.executable, "-m", "detour", "exec", "--config", str(lab.detour.config), "--"]
    env: dict[str, Any] = {**lab.detour.env, **tool.variables, "PWD": str(folder)}
    return subprocess.run(
        [*detour, case.tool, *arguments, model, *more],
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )
