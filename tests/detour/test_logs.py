from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from detour import logs
from detour.logs import LogError, configured
from detour.redaction import redact
from router_core.config.schema import Log

logger = logging.getLogger("detour.test")
EXCHANGE = {"id": "01J", "model": "claude-sonnet-4-5", "status": 200, "tokens": {"input": 3}}


def test_json_is_one_object_a_line(capsys):
    with configured("json", Log()):
        logging.getLogger("detour.exchange").info("%s done", "01J", extra={"exchange": EXCHANGE})
        logger.warning("two\nlines")

    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert first["exchange"] == EXCHANGE
    assert (first["level"], first["logger"], first["message"]) == ("info", "detour.exchange", "01J done")
    assert first["time"].endswith("Z")
    assert second["message"] == "two\nlines"


@pytest.mark.parametrize("form", ["human", "json"])
def test_half_a_character_costs_no_line(tmp_path, form):
    file = tmp_path / "log"
    with configured(form, Log(file=str(file))):
        logging.getLogger("detour.exchange").info("a \ud800", extra={"exchange": {"model": "\ud800"}})
        logger.info("b")

    first, second = file.read_text().splitlines()
    assert json.loads(first)["exchange"]["model"] == "\ud800" and json.loads(second)["message"] == "b"


def test_people_get_the_time_and_the_words(capsys):
    with configured("human", Log()):
        logger.info("hello")
        logger.error("broken")

    first, second = capsys.readouterr().err.splitlines()
    assert first[2] == first[5] == ":" and first[8:] == " hello"
    assert second[8:] == " error: broken"


def test_a_client_cannot_forge_a_line_or_paint_the_terminal(capsys):
    with configured("human", Log()):
        logging.getLogger("detour.exchange").info(
            "%s", "gpt\n12:00:00 forged \x1b[31m", extra={"exchange": {}}
        )

    assert capsys.readouterr().err.splitlines()[0].endswith(r" gpt\x0a12:00:00 forged \x1b[31m")


@pytest.mark.parametrize("form", ["human", "json"])
def test_secrets_are_left_out_of_messages_and_tracebacks(capsys, form):
    secret = "sk-ant-api03-abcdefghijklmnop"
    with configured(form, Log()):
        logger.info("sent %s", {"authorization": f"Bearer {secret}"})
        try:
            raise ValueError(f"bad key {secret}")
        except ValueError:
            logger.exception("failed")

    written = capsys.readouterr().err
    assert secret not in written
    assert "ValueError: bad key [redacted]" in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x-api-key: abc123", "x-api-key: [redacted]"),
        ('{"api_key": "abc123", "n": 1}', '{"api_key": "[redacted]", "n": 1}'),
        ("connect to http://user:hunter2@proxy:3128/", "connect to http://[redacted]@proxy:3128/"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
        ("ANTHROPIC_API_KEY is not set", "ANTHROPIC_API_KEY is not set"),
        ("tokens=1200+344 status=200", "tokens=1200+344 status=200"),
        ("lone surrogate \ud800 stays", "lone surrogate \ud800 stays"),
    ],
)
def test_redaction(text, shown):
    assert redact(text) == shown


def test_debugging_shows_what_libraries_say(capsys):
    with configured("human", Log()):
        logging.getLogger("httpx").info("quiet")
    with configured("human", Log(level="debug")):
        logging.getLogger("httpx").info("loud")
        # It tells of credentials letter by letter.
        logging.getLogger("hpack.hpack").debug("quiet: b'x-api-key'=b'planted'")

    written = capsys.readouterr().err
    assert "loud" in written and "quiet" not in written


def test_the_file_has_a_cap_and_predecessors(tmp_path, capsys):
    file = tmp_path / "logs" / "detour.log"
    log = Log.model_validate({"file": str(file), "size": "1KB", "keep": 2})

    with configured("human", log):
        for number in range(100):
            logger.info("line %d", number)

    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["detour.log", "detour.log.1", "detour.log.2"]
    assert all(path.stat().st_size <= 1024 for path in file.parent.iterdir())
    assert json.loads(file.read_text().splitlines()[-1])["message"] == "line 99"


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(LogError, match=r"log\.file: .*name a file that you may write"),
        configured("human", Log(file=str(tmp_path))),
    ):
        pass


def test_a_slow_output_costs_lines_and_not_time():
    written: list[str] = []
    output = logs._Output(written.extend, threading.Event(), 2)
    for number in range(5):
        output.handle(logging.LogRecord("a", logging.INFO, "", 0, "line %d", (number,), None))
    output.write_out()
    output.handle(logging.LogRecord("a", logging.INFO, "", 0, "later", None, None))
    output.write_out()

    assert written == ["line 0", "line 1", "later", "3 log lines were dropped, the output is too slow"]


def test_lines_are_written_while_the_program_runs(capsys):
    seen = ""
    with configured("human", Log()):
        logger.info("hello")
        for _ in range(200):
            if seen := capsys.readouterr().err:
                break
            time.sleep(0.05)
    assert seen.endswith(" hello\n")


def test_logging_is_as_before_afterwards():
    before = logging.getLogger().handlers[:]
    with configured("json", Log()):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before
