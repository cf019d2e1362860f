"""A configuration from one machine to the next."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detour import transfer
from detour.cli import app
from detour.transfer import Bundle, TransferError, collect, placed, seal, unseal
from router_core.config import secrets as secret_refs
from router_core.config.loader import load

CONFIG = """\
version: 1
# A comment that stays.
credentials:
  - {id: work, provider: anthropic, api_key: env:WORK_KEY}
  - {id: more, provider: anthropic, api_key: env:WORK_KEY_2}
"""
PART = """\
credentials:
  - {id: disk, provider: mine, api_key: "file:keys/disk.txt"}
"""
PROVIDER = "name: mine\ndisplay_name: Mine\nformat: openai-chat\nbase_url: http://127.0.0.1:9/v1\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real cost would be most of the tests' time."""
    scrypt = transfer.Scrypt
    monkeypatch.setattr(
        transfer, "Scrypt", lambda salt, length, n, r, p: scrypt(salt, length, n=2**10, r=r, p=p)
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    (folder / "providers").mkdir(parents=True)
    (folder / "keys").mkdir()
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "disk.yaml").write_text(PART)
    (folder / "detour.yaml").write_text(CONFIG)
    (folder / "providers" / "mine.yaml").write_text(PROVIDER)
    (folder / "keys" / "disk.txt").write_text("secret-of-disk\n")
    (folder / "keys" / "disk.txt").chmod(0o600)
    monkeypatch.setenv("WORK_KEY", "secret-of-work")
    monkeypatch.setenv("WORK_KEY_2", "secret-of-more")
    return folder


def test_a_setup_moves_with_its_secrets(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, there = tmp_path / "detour.export", tmp_path / "there"
    monkeypatch.setenv("DETOUR_PASSPHRASE", "correct horse")
    run = CliRunner()
    made = run.invoke(
        app, ["config", "export", str(file), "--secrets", "--config", str(here / "detour.yaml")]
    )
    assert (made.exit_code, "3 files and 3 secrets" in made.output) == (0, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"secret-of" not in file.read_bytes()
    for name in ("WORK_KEY", "WORK_KEY_2"):
        monkeypatch.delenv(name)
    done = run.invoke(app, ["config", "import", str(file), "--to", str(there)])
    assert done.exit_code == 0, done.output
    loaded = load(there / "detour.yaml")
    assert loaded.inactive == {}
    keys = [
        secret_refs.resolve_now(c.api_key).get_secret_value() for c in loaded.config.credentials if c.api_key
    ]
    assert keys == ["secret-of-work", "secret-of-more", "secret-of-disk"]
    assert "mine" in loaded.registry.providers
    assert "# A comment that stays." in (there / "detour.yaml").read_text()
    for path in (there / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert "secret-of" not in done.output


def test_secrets_stay_at_home_unless_wanted(here: Path) -> None:
    bundle = collect(load(here / "detour.yaml"), secrets=False)
    assert bundle.secrets == {}
    assert placed(bundle) == {
        "detour.yaml": CONFIG,
        "conf.d/disk.yaml": PART,
        "providers/mine.yaml": PROVIDER,
    }


def test_a_literal_secret_does_not_slip_out(here: Path) -> None:
    (here / "detour.yaml").write_text(CONFIG.replace("env:WORK_KEY}", "sk-literal-secret}"))
    with pytest.raises(TransferError, match="export with --secrets"):
        collect(load(here / "detour.yaml"), secrets=False)
    assert "sk-literal-secret" in collect(load(here / "detour.yaml"), secrets=True).files["detour.yaml"]


def test_what_was_there_is_kept(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "detour.export"
    file.write_bytes(seal(Bundle({"detour.yaml": "version: 1\n"}, {}), "p"))
    monkeypatch.setenv("DETOUR_PASSPHRASE", "p")
    run = CliRunner()
    dry = run.invoke(app, ["config", "import", str(file), "--to", str(here), "--dry-run"])
    assert (dry.exit_code, (here / "detour.yaml").read_text()) == (0, CONFIG)
    assert run.invoke(app, ["config", "import", str(file), "--to", str(here)]).exit_code == 0
    assert (here / "detour.yaml").read_text() == "version: 1\n"
    (kept,) = tmp_path.glob("here.before-*")
    assert (kept / "detour.yaml").read_text() == CONFIG


def test_a_configuration_that_cannot_be_used_changes_nothing(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "detour.export"
    file.write_bytes(seal(Bundle({"detour.yaml": "version: 1\nnonsense: 2\n"}, {}), "p"))
    monkeypatch.setenv("DETOUR_PASSPHRASE", "p")
    done = CliRunner().invoke(app, ["config", "import", str(file), "--to", str(here)])
    assert done.exit_code == 2
    assert (here / "detour.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-1] + bytes([d[-1] ^ 1]), "wrong, or the file is damaged"),
        (lambda d: d.replace(b"detour-config 1", b"detour-config 2"), "another version"),
        (lambda d: b"PK\x03\x04" + d, "no exported configuration"),
        (lambda d: d[:20], "damaged"),
        (lambda d: b"", "no exported configuration"),
    ],
)
def test_files_that_cannot_be_imported(change, message: str) -> None:
    data = seal(Bundle({"detour.yaml": ""}, {}), "right")
    with pytest.raises(TransferError, match=message):
        unseal(change(data), "right")


def test_a_wrong_passphrase() -> None:
    with pytest.raises(TransferError, match="the passphrase is wrong"):
        unseal(seal(Bundle({"detour.yaml": ""}, {}), "right"), "wrong")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "providers/../../x", "a\0b", ".ssh/authorized_keys", ""]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(TransferError, match="cannot be written"):
        unseal(seal(Bundle({name: "x"}, {}), "p"), "p")


def test_references_are_replaced_as_a_whole() -> None:
    text = json.dumps(["env:KEY", "env:KEY_2", "file:a/KEY"])
    files = placed(Bundle({"detour.yaml": text}, {"env:KEY": "1", "env:KEY_2": "2", "file:a/KEY": "3"}))
    assert json.loads(files["detour.yaml"]) == [
        "file:secrets/KEY",
        "file:secrets/KEY_2",
        "file:secrets/KEY-2",
    ]
    assert [files[f"secrets/{n}"] for n in ("KEY", "KEY_2", "KEY-2")] == ["1", "2", "3"]


def test_without_a_passphrase_nothing_is_written(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETOUR_PASSPHRASE", raising=False)
    file = tmp_path / "out"
    done = CliRunner().invoke(app, ["config", "export", str(file), "--config", str(here / "detour.yaml")])
    assert (done.exit_code, file.exists()) == (2, False)


def test_a_folder_stands_for_the_configuration_in_it(here: Path) -> None:
    loaded = load(here)
    assert loaded.path == here / "detour.yaml"
    assert "mine" in loaded.registry.providers
