"""``detour capture`` in this process, on records that were saved before."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from detour.cli import app
from detour.commands.capture.rows import COLUMNS, table
from router_core.capture.folder import Folders
from router_core.capture.reader import read, summarise
from router_core.capture.record import Body, Frame, Received, Record
from router_core.capture.redaction import Redactor
from router_core.capture.save import save
from tests.router_core.capture.samples import EVENTS, record

CONFIG = """
data_dir: {folder}
providers: {{anthropic: {{base_url: "{base}"}}}}
credentials:
  - {{id: work, provider: anthropic, api_key: env:WORK_KEY}}
  - {{id: other, provider: openai, api_key: env:OTHER_KEY}}
"""


class House:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data" / "captures"
        self.config = folder / "detour.yaml"
        self.configure("https://api.anthropic.com")

    def configure(self, base: str) -> None:
        self.config.write_text(CONFIG.format(folder=self.config.parent / "data", base=base))

    def save(self, one: Record) -> Path:
        return save(one, Folders(self.folder), Redactor(b"k" * 32))

    def __call__(self, *args: object) -> Result:
        command, *rest = map(str, args)
        return CliRunner().invoke(app, ["capture", command, "--config", str(self.config), *rest])


@pytest.fixture
def house(tmp_path, monkeypatch) -> House:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WORK_KEY", "sk-work-key-of-now-00")
    monkeypatch.delenv("OTHER_KEY", raising=False)
    return House(tmp_path)


def failed(id: str, created: float) -> Record:
    one = record(id, created)
    one.opening.model, one.opening.tool, one.opening.provider = "gpt-x", "codex", "openai"
    one.opening.url = "https://api.openai.com/v1/responses"
    one.client.response = Received(0.1, 429)
    one.attempts = []
    one.end = {"kind": "end", "t": 0.2, "status": 429, "provider": "openai"}
    return one


@pytest.fixture
def three(house) -> House:
    """A stream of long ago, a failure of just now, and one that never ended."""
    house.save(record("01old", 1_700_000_000.0))
    house.save(failed("02new", time.time() - 60))
    path = house.save(record("03open", time.time() - 30))
    path.write_bytes(path.read_bytes().rpartition(b'{"kind":"end"')[0])
    return house


# -- list -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ([], ["01old", "02new", "03open"]),
        (["--provider", "anthropic"], ["01old", "03open"]),
        (["--provider", "open*"], ["02new"]),
        (["--model", "claude-*"], ["01old", "03open"]),
        (["--client", "codex"], ["02new"]),
        (["--client", "127.0.0.1"], ["01old", "02new", "03open"]),
        (["--host", "*.openai.com"], ["02new"]),
        (["--status", "429"], ["02new"]),
        (["--status", "4xx"], ["02new"]),
        (["--status", "error"], ["02new"]),
        (["--status", "ok"], ["01old"]),
        (["--status", "open"], ["03open"]),
        (["--since", "1h"], ["02new", "03open"]),
        (["--since", "2023-11-01", "--until", "2023-12-01"], ["01old"]),
        (["--text", "BONJOUR"], ["01old", "03open"]),
        (["--text", "nowhere"], []),
        (["--limit", "1"], ["03open"]),
        (["--status", "ok", "--model", "gpt*"], []),
    ],
)
def test_list_filters(three, options, ids):
    result = three("list", "--json", *options)
    assert result.exit_code == 0, result.output
    assert [row["id"] for row in json.loads(result.stdout)] == ids


def test_list_shows_a_table(three):
    lines = three("list").stdout.splitlines()
    [old] = [line for line in lines if "01old" in line]
    assert re.search(r"claude-code +POST api\.anthropic\.com/v1/messages +claude-x +anthropic +200 +2", old)
    assert any("02new" in line and "429" in line for line in lines)
    assert any("03open" in line and " open " in line for line in lines)


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (200, [column.title for column in COLUMNS]),
        (80, ("id", "time", "request", "model", "status")),
        (40, ("id", "request", "status")),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns(three, width, kept):
    shown = table([summarise(path) for path in three.folder.rglob("*.jsonl")], width)
    assert tuple(column.header for column in shown.columns) == tuple(kept)


def test_files_that_are_no_records_are_named_and_the_rest_listed(three):
    foreign = three.folder / "2023-11-14" / "00foreign.jsonl"
    foreign.write_text("<xml>")
    result = three("list", "--json")
    assert len(json.loads(result.stdout)) == 3
    assert f"skipped {foreign}: not a capture of Detour" in result.stderr
    (three.folder / "2099-01-01" / "09damaged.jsonl").mkdir(parents=True)
    assert json.loads(three("show", "last", "--json").stdout)["id"] == "03open"


@pytest.mark.parametrize("options", [["--since", "yesterday"], ["--status", "bad"], ["--until", "1 parsec"]])
def test_list_refuses_what_it_cannot_read(three, options):
    result = three("list", *options)
    assert result.exit_code == 2 and options[0] in result.stderr and options[1] in result.stderr


def test_an_empty_folder_says_how_to_fill_it(house):
    result = house("list")
    assert result.exit_code == 0 and "set capture.mode" in result.stderr


# -- show -------------------------------------------------------------------------------------------------


def test_show_has_headers_bodies_conversation_and_timeline(three):
    out = three("show", "01old").stdout
    for expected in (
        "model      claude-x",
        "attempt 1  anthropic/claude-x; [cred-1]",
        "x-api-key: redacted-secret-",
        '"max_tokens": 9',
        "the same as the client's",
        "[user]\n  hi",
        "[assistant]\n  Bonjour",
        "--- timeline: 7 events",
        "content_block_delta  jour",
    ):
        assert expected in out, expected


def test_show_one_section_of_one_side(three):
    out = three("show", "01old", "--only", "body", "--side", "1").stdout
    assert "slow down" in out and "conversation" not in out and "Bonjour" not in out
    result = three("show", "01old", "--side", "7")
    assert result.exit_code == 1 and "it has client, upstream, 1, 2" in result.stderr
    assert three("show", "01old", "--only", "everything").exit_code == 2


def test_show_folds_a_long_line(house):
    one = record()
    one.attempts = []
    one.client.response.body = Body(b"a" * 1_000_000, [(0.3, 1_000_000)])
    house.save(one)
    shown = house("show", "last", "--only", "body").stdout
    assert len(shown) < 10_000 and " ... 996000 characters ... " in shown
    assert "a" * 1_000_000 in house("show", "last", "--only", "body", "--full").stdout


def test_show_json_is_the_whole_record(three):
    shown = json.loads(three("show", "01old", "--json").stdout)
    assert shown["client"]["response"]["body"] == b"".join(EVENTS).decode()
    assert [hop["number"] for hop in shown["attempts"]] == [1, 2]


def test_rules_are_shown_with_their_reasons_those_of_the_answer_too(house):
    one = record()
    one.attempts[0].about["reasons"] = {"thrifty": "keeps the bill down"}
    one.end["reasons"] = {"thrifty": "keeps the bill down", "answer-model-name": "some compare it"}
    house.save(one)
    shown = [
        line.split(maxsplit=1)[1]
        for line in house("show", "last").stdout.splitlines()
        if line.startswith("rule ")
    ]
    assert shown == ["thrifty: keeps the bill down", "answer-model-name, of the answer: some compare it"]


def test_recorded_bytes_do_not_speak_to_the_terminal(house):
    one = record()
    one.opening.model = "\x1b]0;title\x07"
    one.client.response.headers.append(("x-evil", "\x1b[31mred"))
    one.client.response.body.data = b"\x1b]0;title\x07 and more"
    one.client.response.body.chunks = [(0.3, len(one.client.response.body.data))]
    one.frames = [Frame(0.4, 0, False, "text", b"\x1b[2J")]
    house.save(one)
    out = house("show", "last").stdout
    assert "\x1b" not in out and "\\x1b[31mred" in out
    assert "\x1b" not in house("list").stdout


@pytest.mark.parametrize(
    ("name", "words"), [("nothing", "no record 'nothing'"), ("0", "begins the ids of 3 records")]
)
def test_a_wrong_id_is_said(three, name, words):
    result = three("show", name)
    assert result.exit_code == 1 and words in result.stderr


def test_a_websocket_is_shown_as_a_conversation_and_a_timeline(house):
    one = record()
    one.opening.format = "openai-responses"
    for hop in (one.client, *one.attempts):
        hop.about.pop("format", None)
        hop.request.body.data, hop.request.body.chunks = b"", []
        hop.response.body.data, hop.response.body.chunks = b"", []
    text = {"type": "output_text", "text": "Sunny."}
    answer = {"object": "response", "output": [{"type": "message", "role": "assistant", "content": [text]}]}
    said = [
        (True, {"type": "response.create", "model": "m", "input": "How is it?"}),
        (False, {"type": "response.completed", "response": answer}),
    ]
    one.frames = [Frame(0.5 + n, 0, c, "text", json.dumps(d).encode()) for n, (c, d) in enumerate(said)]
    house.save(one)
    out = house("show", "last").stdout
    assert "[user]\n  How is it?" in out and "[assistant]\n  Sunny." in out
    assert "-> response.create" in out and "<- response.completed" in out


# -- diff -------------------------------------------------------------------------------------------------


def test_diff_of_client_and_upstream(three):
    out = three("diff", "01old").stdout
    assert "client and attempt 1" in out and "client and attempt 2" in out
    assert "~ header x-api-key" in out and "+ header x-detour-id" in out


def test_diff_of_two_records(three):
    changes = json.loads(three("diff", "01old", "02new", "--json").stdout)
    [between] = changes
    assert {"where": "status", "kind": "changed", "before": 200, "after": 429} in between["response"]


# -- export and import ------------------------------------------------------------------------------------


def test_export_names_the_variable_of_the_credential(three):
    assert "-H 'x-api-key: '\"$WORK_KEY\"" in three("export", "01old").stdout


@pytest.mark.parametrize("format", ["curl", "httpie", "httpx", "raw", "pytest", "har", "mitm"])
def test_exports_hold_no_placeholder_and_are_their_owners(three, tmp_path, format):
    target = tmp_path / "out"
    result = three("export", "01old", "--format", format, "--output", target)
    assert result.exit_code == 0, result.output
    assert target.stat().st_size > 100 and stat.S_IMODE(target.stat().st_mode) == 0o600
    if format not in ("har", "mitm"):
        assert b"redacted-secret" not in target.read_bytes()


def test_export_says_what_cannot_be(three):
    assert "har or mitm" in three("export", "01old", "02new").stderr
    assert "there are curl, httpie" in three("export", "01old", "-f", "postman").stderr
    assert three("export", "02new", "-f", "pytest").exit_code == 0


@pytest.mark.parametrize("format", ["har", "mitm"])
def test_what_was_exported_is_imported(three, tmp_path, format):
    target = tmp_path / "out"
    three("export", "01old", "02new", "-f", format, "-o", target)
    ids = json.loads(three("import", target, "--json").stdout)
    rows = {row["id"]: row for row in json.loads(three("list", "--json").stdout)}
    assert len(ids) == 2
    first = rows[ids[0]]
    assert (first["provider"], first["model"], first["via"]) == ("anthropic", "claude-x", "import")
    assert (first["format"], first["operation"]) == ("anthropic", "generate")


def test_secrets_of_other_tools_files_are_replaced_on_import(house, tmp_path):
    request = {
        "method": "POST",
        "url": "https://api.anthropic.com/v1/messages?key=planted-query",
        "headers": [
            {"name": "x-api-key", "value": "planted-header"},
            {"name": "cookie", "value": "a=planted-cookie"},
        ],
        "postData": {"text": '{"model":"m","api_key":"planted-body","note":"sk-work-key-of-now-00"}'},
    }
    file = tmp_path / "foreign.har"
    file.write_text(json.dumps({"log": {"entries": [{"request": request}, {"bad": 1}]}}))
    result = house("import", file)
    assert "entry 1" in result.stderr
    written = read(next(house.folder.rglob("*.jsonl")))
    assert written.opening.model == "m"
    for path in house.folder.rglob("*.jsonl"):
        assert b"planted" not in path.read_bytes() and b"sk-work-key" not in path.read_bytes()


def test_import_names_bad_files_and_takes_the_rest(three, tmp_path):
    good, bad = tmp_path / "good.har", tmp_path / "bad.bin"
    three("export", "01old", "-f", "har", "-o", good)
    bad.write_bytes(b"\x00\x01")
    result = three("import", bad, tmp_path / "absent", good)
    assert result.exit_code == 1 and len(result.stdout.split()) == 1
    assert "bad.bin: no HAR" in result.stderr and "absent: No such file" in result.stderr
    (tmp_path / "empty").write_bytes(b"")
    result = three("import", tmp_path / "empty")
    assert (result.exit_code, result.stdout) == (1, "") and "empty: the file is empty" in result.stderr
    newer = tmp_path / "newer.jsonl"
    newer.write_text('{"format":"detour-capture","version":9,"exchange":{}}\n')
    assert three("import", newer).stderr.count(str(newer)) == 1


@pytest.mark.parametrize("created", [float("nan"), 1e18, -5.0])
def test_an_exchange_from_no_time_is_imported_as_of_now(house, tmp_path, created):
    from mitmproxy.io import FlowWriter
    from mitmproxy.test import tflow

    flow = tflow.tflow(resp=True)
    flow.request.timestamp_start = created
    with (tmp_path / "odd.flow").open("wb") as file:
        FlowWriter(file).add(flow)
    assert house("import", tmp_path / "odd.flow").exit_code == 0
    [path] = house.folder.rglob("*.jsonl")
    assert abs(read(path).opening.created - time.time()) < 86400


# -- prune and tail ---------------------------------------------------------------------------------------


def test_prune(three):
    for path in three.folder.rglob("01old.jsonl"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert three("prune").stdout == "1 records deleted\n"
    assert json.loads(three("prune", "--size", "1B", "--json").stdout) == {"deleted": ["02new", "03open"]}
    three.save(record())
    assert three("prune", "--all").stdout == "1 records deleted\n"
    assert three("prune", "--size", "large").exit_code == 2


def test_prune_says_what_it_cannot_delete(three, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    result = three("prune", "--all")
    assert result.exit_code == 1 and result.stdout == "0 records deleted\n"
    assert "Permission denied (3 records" in result.stderr


def test_tail_prints_what_ends_from_now_on(three):
    def soon() -> None:
        time.sleep(0.5)
        three.save(failed("04next", time.time()))

    thread = threading.Thread(target=soon)
    thread.start()
    result = three("tail", "-n", "1", "--json", "--status", "429")
    thread.join()
    assert json.loads(result.stdout)["id"] == "04next"


# -- replay -----------------------------------------------------------------------------------------------


@pytest.fixture
def upstream(house):
    """Answers as it is told, and remembers what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            server.seen.append((self.path, dict(self.headers), body))
            answer = server.answer
            self.send_response_only(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        seen: list = []  # noqa: RUF012
        answer = b"".join(EVENTS)

    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def recorded(house: House, upstream, change: Callable[[Record], None] = lambda one: None) -> None:
    one = record()
    one.attempts[1].request.url = f"http://127.0.0.1:{upstream.server_port}/v1/messages"
    one.attempts[1].about["credential"] = "work"
    change(one)
    house.save(one)


def test_replay_sends_the_request_with_the_credential_of_now(house, upstream):
    recorded(house, upstream)
    result = house("replay", "last")
    assert result.exit_code == 0, result.output
    [(path, headers, body)] = upstream.seen
    assert (path, headers["x-api-key"]) == ("/v1/messages", "sk-work-key-of-now-00")
    assert body == record().attempts[1].request.body.data
    assert "as recorded" in result.stdout and "Bonjour" in result.stdout
    assert "sk-work" not in result.output


def test_replay_compares_with_the_recorded_answer(house, upstream):
    recorded(house, upstream)
    upstream.answer = b"".join(EVENTS).replace(b"Bon", b"Gut")
    result = house("replay", "last", "--times", "2", "--json")
    one, two = json.loads(result.stdout)
    assert one["same"] is False and one["status"] == 200 and two["changes"] == one["changes"]
    assert [(c["where"], c["before"], c["after"]) for c in one["changes"]] == [
        ("event 2 $.delta.text", "Bon", "Gut")
    ]
    assert len(upstream.seen) == 2


def test_replay_to_another_address_sends_no_credential_that_was_not_named(house, upstream):
    recorded(house, upstream)
    house("replay", "last", "--to", f"http://127.0.0.1:{upstream.server_port}/other")
    house("replay", "last", "--to", f"http://127.0.0.1:{upstream.server_port}", "--to", "work")
    first, second = upstream.seen
    assert first[0] == "/other/v1/messages" and "x-api-key" not in first[1]
    assert second[1]["x-api-key"] == "sk-work-key-of-now-00"
    assert "redacted" not in str(upstream.seen)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--side", "client"], "--to work"),
        (["--to", "nobody"], "neither a URL nor a credential; there are other, work"),
        (["--to", "other"], "other belongs to openai and the request went to anthropic"),
    ],
)
def test_replay_refuses_and_names_the_remedy(house, upstream, options, words):
    recorded(house, upstream)
    result = house("replay", "last", *options)
    assert result.exit_code in (1, 2) and words in result.stderr
    assert upstream.seen == []


def test_replay_refuses_a_secret_of_the_body(house, upstream):
    def plant(one: Record) -> None:
        data = b'{"refresh_token":"redacted-secret-0123456789ab"}'
        one.attempts[1].request.body.data, one.attempts[1].request.body.chunks = data, [(0.0, len(data))]

    recorded(house, upstream, plant)
    result = house("replay", "last")
    assert result.exit_code == 1 and "--with-placeholders" in result.stderr and upstream.seen == []
    assert house("replay", "last", "--with-placeholders").exit_code == 0


def test_replay_without_an_answer_fails(house):
    one = record()
    one.attempts[1].request.url = "http://127.0.0.1:9/v1/messages"
    one.attempts[1].about["credential"] = "work"
    house.save(one)
    result = house("replay", "last")
    assert result.exit_code == 1 and "127.0.0.1" in result.stdout
