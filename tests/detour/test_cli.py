"""The command line in this process, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detour import __version__
from detour.__main__ import main
from detour.cli import COMMANDS, app

ROOT = Path(__file__).parents[2]

MODELS = """
models:
  fast: openai/gpt-5-mini
  best: {targets: [anthropic/claude-opus-4-6, openai/gpt-5-mini]}
"""
CREDENTIALS = """
credentials:
  - {id: one, provider: openai, api_key: env:ONE}
  - {id: two, provider: anthropic, api_key: env:TWO}
"""


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "DETOUR_CONFIG",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONE", "sk-one-secret-secret-secret")
    monkeypatch.delenv("TWO", raising=False)
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "detour.yaml"

    def write(text: str = MODELS + CREDENTIALS) -> Path:
        file.write_text(f"version: 1\n{text}")
        return file

    return write


def test_the_version_and_the_commands(invoke):
    assert invoke("--version").stdout == f"detour {__version__}\n"
    shown = invoke("--help").stdout
    for command in (
        "run",
        "demo",
        "exec",
        "env",
        "check",
        "explain",
        "models",
        "credentials",
        "doctor",
        "ca",
    ):
        assert f" {command} " in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(invoke, name):
    shown = invoke(name, "--help")

    assert shown.exit_code == 0
    usage, said = [line.strip() for line in shown.stdout.splitlines() if line.strip()][:2]
    assert f" {name} " in usage and usage.startswith("Usage: ")
    assert said.endswith((".", ",", ";")) or len(said) > 40
    assert "--install-completion" not in shown.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [("check", "--schema"), ("env",)])
def test_an_output_that_cannot_be_written_is_said_in_a_line(tmp_path, command):
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "detour", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    assert ended.returncode == 1
    assert ended.stderr.endswith("detour: output: No space left on device\n")
    assert "Traceback" not in ended.stderr


def test_an_interrupted_start_says_nothing(monkeypatch, capfd):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("detour.cli.app", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "args", [("nonsense",), ("env", "--shell", "tcsh"), ("run", "--nonsense"), ("exec",)]
)
def test_a_misuse_is_2(invoke, args):
    assert invoke(*args).exit_code == 2


@pytest.mark.parametrize("command", ["env", "models", "credentials", "ca", "doctor", "check"])
def test_a_broken_configuration_is_2_with_every_mistake(invoke, config, command):
    file = config("listen: {proxi: 127.0.0.1:1}\nrouting: {max_attempts: none}\n")
    argument = (file,) if command == "check" else ("--config", file)

    shown = invoke(command, *argument)

    assert shown.exit_code == 2
    assert f"{file}:2: " in shown.output and f"{file}:3: " in shown.output


def test_a_configuration_that_is_not_there_is_2(invoke, tmp_path):
    shown = invoke("check", tmp_path / "none.yaml")

    assert shown.exit_code == 2
    assert f"{tmp_path}/none.yaml: cannot be read" in shown.output


def test_check_sums_up_a_valid_one(invoke, config):
    shown = invoke("check", config())

    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert any(
        "warning: " in line and "'two' is inactive: environment variable TWO is not set" in line
        for line in lines
    )
    assert f"{config()}: valid" in lines
    assert "credentials  1 active: one" in lines
    assert "             1 inactive: two" in lines
    assert "models       2 configured: fast, best" in lines


def test_check_names_what_several_providers_serve(invoke, config):
    file = config(
        "providers:\n"
        "  mine: {extends: openai, base_url: 'https://ai.example.com/v1', models: [{id: gpt-5-mini}]}\n"
        "credentials:\n"
        "  - {id: one, provider: mine, api_key: env:ONE, priority: 2}\n"
        "  - {id: other, provider: openai, api_key: env:ONE}\n"
    )

    shown = invoke("check", file)

    assert "ambiguous    gpt-5-mini: mine, then openai; write PROVIDER/gpt-5-mini to mean one" in shown.stdout


def test_check_as_json(invoke, config):
    valid = json.loads(invoke("check", "--json", config()).stdout)
    file = config("listen: {proxi: x}\n")
    broken = invoke("check", "--json", file)

    assert valid["valid"] and valid["credentials"]["active"] == ["one"]
    assert valid["credentials"]["inactive"] == {"two": "environment variable TWO is not set"}
    assert broken.exit_code == 2
    problems = json.loads(broken.stdout)["problems"]
    assert [(p["file"], p["line"]) for p in problems] == [(str(file), 2)]
    assert set(problems[0]) == {"file", "line", "what", "remedy"}


def test_the_schema_is_one_that_editors_can_read(invoke):
    schema = json.loads(invoke("check", "--schema").stdout)

    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["additionalProperties"] is False
    assert {"listen", "providers", "credentials", "models", "routing"} <= set(schema["properties"])
    names = set(_references(schema))
    assert names <= set(schema["$defs"])


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["$ref"]).removeprefix("#/$defs/")] if "$ref" in node else []
        return own + [name for value in node.values() for name in _references(value)]
    return [name for value in node for name in _references(value)] if isinstance(node, list) else []


def test_models_lists_what_can_be_asked_for(invoke, config):
    entries = {
        entry["id"]: entry for entry in json.loads(invoke("models", "--config", config(), "--json").stdout)
    }

    assert entries["fast"]["providers"] == ["openai"] and entries["fast"]["kind"] == "alias"
    assert entries["best"]["kind"] == "virtual"
    assert entries["gpt-5-mini"]["providers"] == ["openai"]
    # Its credential's variable is not set.
    assert not any(name.startswith("claude-") for name in entries)

    table = invoke("models", "--config", config()).stdout.splitlines()
    assert table[0].split() == ["MODEL", "SERVED", "BY", "KIND", "CONTEXT", "OUTPUT"]
    assert any(line.startswith("fast ") for line in table)


def test_models_without_any_credential_says_so(invoke, config):
    shown = invoke(
        "models", "--config", config("credentials: [{id: two, provider: anthropic, api_key: env:TWO}]\n")
    )

    assert shown.exit_code == 0 and "no credential is active" in shown.stdout


def test_credentials_without_an_instance(invoke, config):
    shown = invoke("credentials", "--config", config())

    assert shown.exit_code == 0
    assert "no instance is running" in shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert rows[0][:3] == ["ID", "PROVIDER", "STATE"]
    assert rows[1][:3] == ["one", "openai", "ready"] and rows[2][:3] == ["two", "anthropic", "inactive"]
    listed = json.loads(invoke("credentials", "list", "--config", config(), "--json").stdout)
    assert [(entry["id"], entry["state"]) for entry in listed] == [("one", "ready"), ("two", "inactive")]
    assert "sk-one" not in shown.output + json.dumps(listed)


def test_a_reset_without_an_instance_is_1(invoke, config):
    shown = invoke("credentials", "reset", "one", "--config", config())

    assert (shown.exit_code, shown.stderr) == (1, "detour: no instance is running, so nothing is cooling\n")


def test_testing_an_unknown_credential_names_the_known(invoke, config):
    shown = invoke("credentials", "test", "three", "--config", config())

    assert shown.exit_code == 1 and "no credential has the id 'three'; there are: one, two" in shown.stderr


def test_options_before_a_command_are_the_commands_own(invoke, config, tmp_path):
    file = config(CREDENTIALS + f"data_dir: {tmp_path}/elsewhere\n")
    shown = invoke("credentials", "--json", "--config", file, "list")
    assert [entry["id"] for entry in json.loads(shown.stdout)] == ["one", "two"]
    assert "elsewhere" in invoke("ca", "--config", file, "path").stdout
    month = invoke("usage", "--config", file, "--json", "month", "2026-03")
    assert json.loads(month.stdout) == {"month": "2026-03", "total": None}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--by", "model", "month"], "--by is no option of"),
        (["month", "2026-13"], "'2026-13' is not a month; write it as 2026-03"),
        (["month", "9999-12"], "'9999-12' is not a month"),
        (["--since", "0001-01-01", "--by", "hour"], "'0001-01-01' is not a day; write 2026-03-01, 7d"),
        (["--since", "2d", "--until", "2026-01-01"], "is after the last, 2026-01-01"),
    ],
)
def test_questions_that_make_no_sense_are_2(invoke, args, said):
    shown = invoke("usage", *args)
    assert (shown.exit_code, shown.stdout) == (2, "") and said in shown.stderr


def test_env_makes_the_authority_and_prints_its_variables(invoke, config, tmp_path):
    shown = invoke("env", "--config", config())

    assert "export HTTPS_PROXY='http://127.0.0.1:8080'\n" in shown.stdout
    assert f"export SSL_CERT_FILE='{tmp_path}/.local/share/detour/ca/detour-bundle.pem'\n" in shown.stdout
    assert (tmp_path / ".local/share/detour/ca/mitmproxy-ca.pem").exists()
    assert all(line.startswith("export ") for line in shown.stdout.splitlines())
    assert json.loads(invoke("env", "--config", config(), "--json").stdout)["NODE_USE_ENV_PROXY"] == "1"


def test_env_without_a_proxy_is_2(invoke, config):
    shown = invoke("env", "--config", config("listen: {proxy: null}\n"))

    assert shown.exit_code == 2 and "listen.proxy is null" in shown.stderr


def test_the_authority_is_shown_and_exported_without_its_key(invoke, config, tmp_path):
    file = config()
    facts = json.loads(invoke("ca", "show", "--config", file, "--json").stdout)
    pem = invoke("ca", "export", "--config", file).stdout
    invoke("ca", "export", tmp_path / "ca.der", "--der", "--config", file)

    assert "api.anthropic.com" in facts["hosts"] and facts["name"].startswith("CN=Detour CA ")
    assert pem.startswith("-----BEGIN CERTIFICATE-----") and "PRIVATE" not in pem
    assert (tmp_path / "ca.der").read_bytes().startswith(b"\x30\x82")
    assert invoke("ca", "path", "--config", file).stdout.strip() == facts["certificate"]


def test_rotating_makes_another_authority(invoke, config):
    file = config()
    before = json.loads(invoke("ca", "show", "--config", file, "--json").stdout)["sha256"]

    invoke("ca", "rotate", "--config", file)

    assert json.loads(invoke("ca", "show", "--config", file, "--json").stdout)["sha256"] != before


def test_the_doctor_offline(invoke, config):
    file = config("listen: {proxy: '127.0.0.1:0', gateway: null, admin: null}\n" + CREDENTIALS)

    shown = invoke("doctor", "--offline", "--config", file)
    found = json.loads(invoke("doctor", "--offline", "--json", "--config", file).stdout)

    assert shown.exit_code == 0, shown.output
    assert "credential one" in shown.stdout and "environment variable TWO is not set" in shown.stdout
    assert {entry["level"] for entry in found} <= {"ok", "note"}


def test_what_has_to_be_quick_imports_little():
    program = (
        "import sys\n"
        "from detour.cli import COMMANDS, app\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--version']).exit_code == 0\n"
        "slow = {'mitmproxy', 'httpx', 'cryptography', 'pydantic', 'sqlalchemy', 'router_core.core', 'yaml'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )

    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert shown.stdout == "[]\n", shown.stderr


BODY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def request_file(tmp_path):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(BODY))
    return file


def test_explain_shows_the_way_and_the_difference(invoke, config, request_file):
    arguments = (
        request_file,
        "--path",
        "/v1/chat/completions",
        "--host",
        "api.openai.com",
        "--config",
        config(),
    )

    shown = invoke("explain", *arguments, "-H", "authorization: Bearer the-tools-own-key")

    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "surface   openai-chat generate, openai"
    assert lines[1] == "model     gpt-5-mini"
    assert lines[3].startswith("1. openai/gpt-5-mini, with one: ")
    assert "   POST https://api.openai.com/v1/chat/completions" in lines
    assert "   -authorization: [the client's own]" in lines
    assert "   +authorization: Bearer [secret of one]" in lines
    assert "the-tools-own-key" not in shown.output and "sk-one" not in shown.output


def test_explain_as_json(invoke, config, request_file):
    arguments = (request_file, "--path", "/v1/chat/completions", "--config", config())

    document = json.loads(invoke("explain", *arguments, "--json").stdout)

    assert document["kind"] == "surface" and document["model"] == "gpt-5-mini"
    (step,) = document["steps"]
    assert (step["target"], step["credential"]) == ("openai/gpt-5-mini", "one")
    assert json.loads(step["body"]) == BODY


ODD = r"""{"model": "gpt-5-mini", "e":{ }, "messages": [], "n": [1e400,-0.0], "max_tokens": 5, "x":1.50,"y": 12345678901234567890,
 "z": "\ud800 \u00e9 a,{\" CSI2J \u001b[2J"}"""
SPELLED = r"""     1e400,
     -0.0
   ],
-  "max_tokens": 5,
+  "max_completion_tokens": 5,
   "x": 1.50,
   "y": 12345678901234567890,
   "z": "\ud800 \u00e9 a,{\" \x9b2J \u001b[2J"
"""


def test_explain_shows_a_body_as_it_is_spelled(invoke, config, request_file):
    """Numbers and escapes that Python would write otherwise, and nothing that a terminal would act on."""
    request_file.write_text(ODD.replace("CSI", "\x9b"))
    arguments = (request_file, "--path", "/v1/chat/completions", "--config", config())

    shown = invoke("explain", *arguments)

    assert shown.exit_code == 0, shown.output
    lines = [line[3:] for line in shown.stdout.splitlines()]
    start = lines.index(SPELLED.splitlines()[0])
    assert lines[start : start + 8] == SPELLED.splitlines()
    assert json.loads(invoke("explain", *arguments, "--json").stdout)["steps"][0]["body"].count("1e400") == 1
    assert shown.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--path", "/x", "--host", "example.com"), "tunnelled and never decrypted"),
        (("--path", "/x", "--host", "api.openai.com"), "belongs to openai but is no surface"),
    ],
)
def test_explain_says_what_is_left_alone(invoke, config, request_file, arguments, words):
    shown = invoke("explain", request_file, *arguments, "--config", config())

    assert shown.exit_code == 0
    assert words in shown.stdout


def test_explain_is_1_where_detour_would_refuse(invoke, config, request_file):
    request_file.write_text(json.dumps(BODY | {"model": "no-such-model"}))

    shown = invoke("explain", request_file, "--path", "/v1/chat/completions", "--config", config())

    assert shown.exit_code == 1
    assert "refused   404 model_not_found: " in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("none.json", "--path", "/v1"),
        ("FILE", "--path", "v1"),
        ("FILE", "--path", "/v1", "-H", "nonsense"),
        ("FILE", "--path", "/v1", "--host", "https://api.openai.com"),
        ("FILE",),
    ],
)
def test_explain_misused_is_2(invoke, config, request_file, arguments):
    written = [request_file if argument == "FILE" else argument for argument in arguments]

    assert invoke("explain", *written, "--config", config()).exit_code == 2


def test_check_names_the_files_that_it_has_read(invoke, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "detour.yaml").write_text("version: 1\n")
    (tmp_path / "conf.d" / "10-team.yaml").write_text("models: {fast: anthropic/claude-haiku-4-5}\n")

    shown = invoke("check", tmp_path)
    assert (shown.exit_code, "files        1 beside it: conf.d/10-team.yaml" in shown.stdout) == (0, True)
    told = json.loads(invoke("check", tmp_path, "--json").stdout)
    assert told["files"] == [str(tmp_path / "detour.yaml"), str(tmp_path / "conf.d" / "10-team.yaml")]
