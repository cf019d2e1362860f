"""Tools' settings: what is set, what stays, and that everything can be put back."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from typer.testing import CliRunner

from detour import setup
from detour.cli import app
from detour.setup import TOOLS, Gateway, Model, SetupError, edits, jsonc
from router_core.formats import Format

MODELS = (
    Model("claude-opus-4-6", Format.ANTHROPIC, 200_000, 64_000),
    Model("gpt-5.1", Format.OPENAI_RESPONSES),
    Model("glm-4.7", Format.OPENAI_CHAT, 128_000),
)
GATEWAY = Gateway("http://127.0.0.1:8317", "a-client-key", MODELS)
CLAUDE = b'{\n  "model": "opus",\n  "env": {"FOO": "1"},\n  "permissions": {"allow": ["Bash(ls:*)"]}\n}\n'
CODEX = b"""# mine
model = "gpt-5.5"
model_provider = "openai" # was the default
[model_providers.azure]
name = "Azure"

[model_providers.detour]
base_url = "http://old:1/v1"
[model_providers.detour.http_headers]
a = "b"

[tui]
notifications = true"""


def env(home: Path) -> dict[str, str]:
    return {"HOME": str(home)}


def set_up(tool: str, gateway: Gateway, home: Path, folder: Path) -> None:
    setup.apply(setup.plan(tool, gateway, env(home)), folder)


def test_claude_code_keeps_every_other_setting(tmp_path):
    file = tmp_path / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_bytes(CLAUDE)

    (change,) = setup.plan("claude-code", GATEWAY, env(tmp_path))

    assert change.file == file and change.before == CLAUDE
    assert json.loads(change.after) == {
        "model": "opus",
        "env": {
            "FOO": "1",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8317",
            "ANTHROPIC_AUTH_TOKEN": "a-client-key",
        },
        "permissions": {"allow": ["Bash(ls:*)"]},
    }
    assert change.after.endswith(b'"permissions": {"allow": ["Bash(ls:*)"]}\n}\n')


def test_codex_replaces_its_own_table_and_no_other(tmp_path):
    after = TOOLS["codex"].settings[0].edit(CODEX, GATEWAY)

    found = tomllib.loads(after.decode())
    assert found["model_provider"] == "detour" and found["model"] == "gpt-5.5"
    assert found["model_providers"]["azure"] == {"name": "Azure"}
    assert found["model_providers"]["detour"] == {
        "name": "Detour",
        "base_url": "http://127.0.0.1:8317/v1",
        "wire_api": "responses",
        "http_headers": {"x-api-key": "a-client-key"},
    }
    assert found["tui"] == {"notifications": True}
    assert after.startswith(b'# mine\nmodel = "gpt-5.5"\nmodel_provider = "detour"\n')


def test_codex_without_settings_gets_some(tmp_path):
    assert TOOLS["codex"].settings[0].edit(b"", GATEWAY) == (
        b'model_provider = "detour"\n\n[model_providers.detour]\nname = "Detour"\n'
        b'base_url = "http://127.0.0.1:8317/v1"\nwire_api = "responses"\n'
        b'http_headers = { "x-api-key" = "a-client-key" }\n'
    )


def test_gemini_replaces_its_lines_and_adds_the_others():
    before = b"# keys\nexport GEMINI_API_KEY=old\r\nOTHER='x y'"

    after = TOOLS["gemini"].settings[0].edit(before, GATEWAY)

    assert after == (
        b"# keys\nGEMINI_API_KEY=a-client-key\r\nOTHER='x y'\r\nGOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8317\r\n"
    )


def test_gemini_is_told_how_it_logs_in_and_keeps_the_rest():
    before = b'{"ui": {"theme": "x"}, "security": {"auth": {"selectedType": "oauth-personal"}, "a": 1}}'

    after = json.loads(TOOLS["gemini"].settings[1].edit(before, GATEWAY))

    security = {"auth": {"selectedType": "gemini-api-key"}, "a": 1}
    assert after == {"ui": {"theme": "x"}, "security": security}


def test_opencode_has_a_base_for_each_format():
    providers = json.loads(TOOLS["opencode"].settings[0].edit(b"{}", GATEWAY))["provider"]

    assert {name: entry["options"]["baseURL"] for name, entry in providers.items()} == {
        "anthropic": "http://127.0.0.1:8317/v1",
        "openai": "http://127.0.0.1:8317/v1",
        "google": "http://127.0.0.1:8317/v1beta",
    }


def test_droid_has_an_entry_for_each_model_beside_those_of_others():
    other = {"model": "x", "displayName": "Mine", "baseUrl": "http://other", "provider": "openai"}
    stale = {"model": "gone", "displayName": "gone (Detour)"}
    before = json.dumps({"theme": "dark", "customModels": [stale, other]}).encode()

    after = json.loads(TOOLS["droid"].settings[0].edit(before, GATEWAY))

    assert after["theme"] == "dark"
    assert after["customModels"][0] == other
    assert after["customModels"][1:] == [
        {
            "model": model,
            "displayName": f"{model} (Detour)",
            "provider": provider,
            "baseUrl": f"http://127.0.0.1:8317{path}",
            "apiKey": "a-client-key",
            **limit,
        }
        for model, provider, path, limit in (
            ("claude-opus-4-6", "anthropic", "", {"maxOutputTokens": 64_000}),
            ("gpt-5.1", "openai", "/v1", {}),
            ("glm-4.7", "generic-chat-completion-api", "/v1", {}),
        )
    ]


def test_openclaw_has_a_provider_for_each_of_its_formats():
    before = b'{"models": {"providers": {"mine": {"baseUrl": "http://other"}}}, "agents": {"a": 1}}'

    after = json.loads(TOOLS["openclaw"].settings[0].edit(before, GATEWAY))

    assert after["agents"] == {"a": 1}
    assert after["models"]["mode"] == "merge"
    providers = after["models"]["providers"]
    assert providers["mine"] == {"baseUrl": "http://other"}
    assert {
        name: (each["api"], each["baseUrl"], [model["id"] for model in each["models"]])
        for name, each in providers.items()
        if name != "mine"
    } == {
        "detour-anthropic": ("anthropic-messages", "http://127.0.0.1:8317", ["claude-opus-4-6"]),
        "detour-openai": ("openai-completions", "http://127.0.0.1:8317/v1", ["gpt-5.1", "glm-4.7"]),
    }
    assert providers["detour-anthropic"]["models"][0]["contextWindow"] == 200_000


@pytest.mark.parametrize("tool", ["droid", "openclaw"])
def test_a_tool_that_is_told_of_models_needs_some(tmp_path, tool):
    with pytest.raises(SetupError, match="nothing can be asked for at the gateway now"):
        setup.plan(tool, Gateway("http://127.0.0.1:8317", "k"), env(tmp_path))


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("claude-code", b"{'a': 1}"),
        ("claude-code", b"[1]"),
        ("codex", b"= broken"),
        ("codex", b'x = """\n[model_providers.detour]\n"""\nmodel_provider = "a"\n'),
        ("gemini", b"\xff\xfe"),
        ("droid", b'{"customModels": {}}'),
        ("openclaw", b"{models: {}}"),
    ],
)
def test_what_cannot_be_edited_is_named_and_said_in_words(tmp_path, tool, text):
    file = TOOLS[tool].settings[0].file(env(tmp_path))
    file.parent.mkdir(parents=True)
    file.write_bytes(text)

    with pytest.raises(SetupError, match=f"^{file}: .* by hand: "):
        setup.plan(tool, GATEWAY, env(tmp_path))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("before", [None, b"", b"\n"])
def test_nothing_is_lost_and_a_second_setup_changes_nothing(tmp_path, tool, before):
    files, folder = [s.file(env(tmp_path)) for s in TOOLS[tool].settings], tmp_path / "backups"
    for file in files:
        if before is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(before)

    for _ in range(2):
        set_up(tool, GATEWAY, tmp_path, folder)
        assert all(again.before == again.after for again in setup.plan(tool, GATEWAY, env(tmp_path)))
    assert {stat.S_IMODE(backup.stat().st_mode) for backup in folder.iterdir()} == {0o600}

    assert setup.undo(tool, folder) == files
    assert {file.read_bytes() if file.exists() else None for file in files} == {before}
    assert list(folder.iterdir()) == []


def test_the_mode_and_a_link_stay(tmp_path):
    real = tmp_path / "dotfiles" / "settings.json"
    real.parent.mkdir()
    real.write_bytes(CLAUDE)
    real.chmod(0o640)
    file = tmp_path / ".claude" / "settings.json"
    file.parent.mkdir()
    file.symlink_to(real)

    set_up("claude-code", GATEWAY, tmp_path, tmp_path / "backups")
    assert file.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640

    setup.undo("claude-code", tmp_path / "backups")
    assert file.is_symlink() and real.read_bytes() == CLAUDE and stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_link_that_leads_nowhere_does_so_again(tmp_path):
    file, real = tmp_path / ".claude" / "settings.json", tmp_path / "gone" / "settings.json"
    file.parent.mkdir()
    file.symlink_to(real)

    set_up("claude-code", GATEWAY, tmp_path, tmp_path / "backups")
    assert file.is_symlink() and real.exists()

    setup.undo("claude-code", tmp_path / "backups")
    assert file.is_symlink() and not real.exists()


def test_one_of_two_files_that_cannot_be_written_leaves_both(tmp_path, monkeypatch):
    files, folder = [s.file(env(tmp_path)) for s in TOOLS["gemini"].settings], tmp_path / "backups"
    files[0].parent.mkdir()
    files[0].write_bytes(b"GEMINI_API_KEY=mine\n")
    write = setup.write_atomic

    def write_one(path, *rest):
        if path == files[1]:
            raise PermissionError(13, "Permission denied", "a temporary file")
        write(path, *rest)

    monkeypatch.setattr(setup, "write_atomic", write_one)
    with pytest.raises(SetupError, match=f"^{files[1]}: Permission denied; nothing was written$"):
        set_up("gemini", GATEWAY, tmp_path, folder)

    assert files[0].read_bytes() == b"GEMINI_API_KEY=mine\n" and not files[1].exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("tool", ["claude-code", "codex", "opencode"])
def test_a_byte_order_mark_stays(tmp_path, tool):
    before = setup.BOM + (b'model = "gpt-5.5"\r\n' if tool == "codex" else b'{"a": 1}\r\n')
    file = TOOLS[tool].settings[0].file(env(tmp_path))
    file.parent.mkdir(parents=True)
    file.write_bytes(before)

    set_up(tool, GATEWAY, tmp_path, tmp_path / "backups")
    after = file.read_bytes()
    assert after.startswith(setup.BOM) and after.count(setup.BOM) == 1 and GATEWAY.url.encode() in after

    setup.undo(tool, tmp_path / "backups")
    assert file.read_bytes() == before


COMMENTS = b"""{
  // The theme, "quoted".
  "theme": "dark", /* with // in it */
  "env": {
    "NODE_OPTIONS": "--x", // mine
    "ANTHROPIC_BASE_URL": "http://elsewhere" /* was "here" */,
  },
  "hooks": [1, 2,], // the last
}
// The end.
"""


def test_comments_and_commas_stay_where_they_are():
    after = edits.json_set(
        COMMENTS, {"env": {"ANTHROPIC_BASE_URL": "http://d", "TOKEN": "t"}, "new": {"a": 1}}
    )

    for comment in (b'// The theme, "quoted".\n', b"/* with // in it */", b'/* was "here" */', b"// mine\n"):
        assert comment in after
    assert after.endswith(b"// The end.\n") and b"[1, 2,]" in after
    assert json.loads(jsonc.plain(after)) == {
        "theme": "dark",
        "env": {"NODE_OPTIONS": "--x", "ANTHROPIC_BASE_URL": "http://d", "TOKEN": "t"},
        "hooks": [1, 2],
        "new": {"a": 1},
    }
    assert edits.json_set(after, {"env": {"TOKEN": "t"}, "new": {"a": 1}}) == after


@pytest.mark.parametrize(
    "text", [b"{ // nothing\n}", b"/* a */ {} // b", b'{"a": 1 // c\n, /* d */ }', b'{"a": {/* e */}}']
)
def test_comments_stay_around_nothing_too(text):
    after = edits.json_set(text, {"a": {"b": "//"}, "c": "/* no comment */"})

    assert json.loads(jsonc.plain(after))["a"] == {"b": "//"}
    assert [
        part
        for part in (b"// nothing\n", b"/* a */", b"// b", b"// c\n", b"/* d */", b"/* e */")
        if part in text
    ] == [
        part
        for part in (b"// nothing\n", b"/* a */", b"// b", b"// c\n", b"/* d */", b"/* e */")
        if part in after
    ]


def test_a_comment_in_what_is_replaced_is_not_thrown_away():
    with pytest.raises(ValueError, match="a comment in what would be changed"):
        edits.json_change(b'{"list": [1, /* mine */ 2]}', "list", lambda known: [3])


def test_later_changes_are_not_thrown_away(tmp_path):
    file, login = (s.file(env(tmp_path)) for s in TOOLS["gemini"].settings)
    folder = tmp_path / "backups"
    set_up("gemini", GATEWAY, tmp_path, folder)
    file.write_bytes(file.read_bytes() + b"MORE=1\n")

    with pytest.raises(SetupError, match="was changed since; --force"):
        setup.undo("gemini", folder)
    assert login.exists()
    # Set up anew, the later state is the one to come back to.
    set_up("gemini", Gateway("http://other:1", "k"), tmp_path, folder)
    setup.undo("gemini", folder)
    assert file.read_bytes().endswith(b"MORE=1\n") and not login.exists()


def test_undoing_what_was_never_done_is_said(tmp_path):
    with pytest.raises(SetupError, match="has not changed the settings of codex"):
        setup.undo("codex", tmp_path)


@given(
    st.dictionaries(
        st.text(max_size=8), st.recursive(st.text() | st.integers() | st.none(), st.lists), max_size=5
    )
)
def test_json_keeps_what_it_does_not_set(settings):
    settings.pop("env", None)
    text = json.dumps(settings, indent=1).encode()

    after = edits.json_set(text, {"env": {"A": "1"}})

    assert json.loads(after) == settings | {"env": {"A": "1"}}


@given(st.text())
def test_toml_holds_any_key(value):
    # TOML cannot express lone surrogates, and neither can UTF-8.
    value = value.encode("utf-8", "replace").decode()

    after = edits.toml_set(b'a = 1\n[b]\nc = "d"\n', "key", "x", "t.u", {"v": value, "w": {"h": value}})

    assert tomllib.loads(after.decode()) == {
        "key": "x",
        "a": 1,
        "b": {"c": "d"},
        "t": {"u": {"v": value, "w": {"h": value}}},
    }


def test_the_command_shows_asks_and_puts_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLAUDE_CONFIG_DIR", "XDG_DATA_HOME", "DETOUR_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".claude" / "settings.json"
    config = tmp_path / "detour.yaml"
    config.write_text("version: 1\naccess: {keys: [{name: me, key: env:CLIENT}]}\n")
    monkeypatch.setenv("CLIENT", "the-client-key-of-mine")

    def invoke(*args: str):
        return CliRunner().invoke(app, ["setup", "claude-code", "--config", str(config), *args])

    asked, written = invoke(), invoke("--yes")
    again, undone = invoke("--yes"), invoke("--undo")

    assert (
        asked.exit_code == 1
        and "nothing was written" in asked.stderr
        and not asked.stdout.startswith("written")
    )
    assert '+    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8317",' in asked.stdout
    assert "the-client-key-of-mine" not in asked.output + written.output
    assert written.exit_code == 0 and written.stdout.endswith(
        "detour setup claude-code --undo puts it back\n"
    )
    assert again.stdout == f"{file}: all of it is there already\n"
    assert undone.exit_code == 0 and not file.exists()


@pytest.mark.parametrize(
    "tool, words", [("amp", "detour exec -- amp"), ("copilot", "COPILOT_PROVIDER_BASE_URL")]
)
def test_a_tool_without_a_settings_file_is_told_what_to_do_instead(tool, words):
    shown = CliRunner().invoke(app, ["setup", tool])

    assert shown.exit_code == 1
    assert "no settings file to write" in shown.stderr and words in shown.stderr


def test_every_tool_can_be_asked_for():
    from detour.commands.setup import Tool

    assert {tool.value for tool in Tool} == TOOLS.keys() | setup.WITHOUT_SETTINGS.keys()
