"""Recording: what is kept, what is dropped, and that the proxy's side never waits for a disk."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from router_core.capture import folder as captures
from router_core.capture.queue import ITEM_BYTES, Queue
from router_core.capture.reader import read
from router_core.capture.record import Opening, Record
from router_core.capture.recorder import Recorder
from router_core.capture.runs import operations
from router_core.capture.writer import Settings, Writer
from router_core.config.schema import Capture
from router_core.exchange import Exchange
from tests.router_core.capture.samples import EVENTS, JSON, STREAM, URL, attempt, exchange, outgoing, written

PATIENCE = 60.0
POOL_SECRET = "sk-ant-api03-of-the-pool-77"


class PatientRecorder(Recorder):
    """Waits until all is written, however busy the machine is: the writer gives way to everything else."""

    def close(self, timeout: float = PATIENCE) -> None:
        super().close(timeout)


class House:
    def __init__(self, tmp_path: Path, stack: ExitStack) -> None:
        self.folder = tmp_path / "captures"
        self._stack = stack
        self._key = tmp_path / "capture-key"

    def recorder(self, **capture) -> Recorder:
        recorder = PatientRecorder(
            Capture(**{"mode": "all", **capture}), self.folder, self._key, [], ["x-api-key"]
        )
        self._stack.callback(recorder.close)
        return recorder

    def records(self) -> list[Record]:
        return [read(path) for path in captures.paths(captures.Folders(self.folder))]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def run(recorder: Recorder, one: Exchange, status: int = 200, error: str | None = None, pieces=EVENTS):
    """One exchange with one attempt, whose answer goes to the client as it comes."""
    recording = recorder.start(one, URL)
    if recording is None:
        return None
    tried = attempt(status=status)
    one.attempts.append(tried)
    one.status, one.error = status, error
    recording.client_request(one.request)
    recording.attempt_request(tried, outgoing(tried))
    recording.attempt_response_headers(tried, status, STREAM)
    recording.client_response(status, STREAM)
    for piece in pieces:
        recording.attempt_data(tried, piece)
        recording.client_data(piece)
    recording.finish(one)
    return recording


def eventually(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_exchange_is_recorded_with_everything_that_passed(house):
    recorder = house.recorder()
    run(recorder, exchange())
    recorder.close()
    [record] = house.records()
    assert record.opening.tool == "claude-code" and record.opening.model == "claude-x"
    assert record.client.request.body.data == record.attempts[0].request.body.data
    assert record.client.response.body.data == record.attempts[0].response.body.data == b"".join(EVENTS)
    assert [size for _, size in record.client.response.body.chunks] == [len(e) for e in EVENTS]
    assert record.attempts[0].about["credential"] == "cred-1"
    assert record.attempts[0].about["outcome"] == {"phase": "done", "status": 200}
    assert (record.end["status"], record.end["attempts"], record.problems) == (200, 1, [])
    assert recorder.stats.recorded == 1 and recorder.stats.dropped == 0


def test_an_answer_that_passes_unchanged_is_written_once(house):
    recorder = house.recorder()
    run(recorder, exchange(), pieces=EVENTS * 50)
    recorder.close()
    assert written(house.folder).count(b"message_stop\\ndata") == 50


def test_an_answer_that_is_changed_on_its_way_is_written_twice(house):
    recorder = house.recorder()
    one = exchange()
    recording, tried = recorder.start(one, URL), attempt()
    recording.client_response(200, STREAM)
    recording.attempt_response_headers(tried, 200, STREAM)
    recording.attempt_data(tried, b"data: 1\n\nda")
    recording.client_data(b"data: 1\n\nda")
    recording.attempt_data(tried, b"ta: 2\n\n")
    recording.client_data(b"ta: two\n\n")
    one.status = 200
    recording.finish(one)
    recorder.close()
    [record] = house.records()
    assert record.attempts[0].response.body.data == b"data: 1\n\ndata: 2\n\n"
    assert record.client.response.body.data == b"data: 1\n\ndata: two\n\n"


def test_files_are_for_their_owner_only(house):
    recorder = house.recorder()
    run(recorder, exchange())
    recorder.close()
    for path in house.folder.parent.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_no_secret_reaches_the_disk(house):
    recorder = house.recorder(redact=["falcon"], redact_names=["x-own"])
    recorder.know(["known-to-the-pool-only"])
    body = b'{"model":"m","api_key":"planted-in-body","note":"falcon known-to-the-pool-only"}'
    one = exchange(
        headers=[
            ("authorization", "Bearer planted-in-header"),
            ("cookie", "s=planted-in-cookie"),
            ("x-own", "planted-own"),
        ],
        body=body,
    )
    recording, tried = recorder.start(one, URL + "?key=planted-in-query"), attempt()
    recording.client_request(one.request)
    recording.attempt_request(tried, outgoing(tried, body))
    recording.attempt_response_headers(tried, 401, [*JSON, ("set-cookie", "s=planted-in-cookie")])
    answer = f'{{"error":"no {POOL_SECRET}, no planted-in-header-but-longer"}}'.encode()
    for cut in (answer[:20], answer[20:30], answer[30:]):
        recording.attempt_data(tried, cut)
        recording.client_data(cut)
    recording.websocket_message(True, "text", b'{"token":"x","client_secret":"planted-in-message"}')
    one.status, one.error = 401, f"the upstream said {POOL_SECRET}"
    recording.finish(one)
    recorder.close()
    data = written(house.folder)
    assert b"redacted-secret-" in data
    for secret in (
        b"planted-in-body",
        b"falcon",
        b"known-to-the-pool",
        b'planted-in-header"',
        b"planted-in-cookie",
        b"planted-own",
        b"planted-in-query",
        POOL_SECRET.encode(),
        b"planted-in-message",
    ):
        assert secret not in data, secret


def test_bodies_are_decoded_before_they_are_redacted(house):
    import gzip

    recorder = house.recorder()
    one = exchange()
    recording, tried = recorder.start(one, URL), attempt()
    encoded = gzip.compress(b'{"api_key":"planted","a":1}')
    recording.attempt_response_headers(tried, 200, [*JSON, ("content-encoding", "gzip")])
    for start in range(0, len(encoded), 7):
        recording.attempt_data(tried, encoded[start : start + 7])
    one.status = 200
    recording.finish(one)
    recorder.close()
    [record] = house.records()
    assert record.attempts[0].response.body.data.startswith(b'{"api_key":"redacted-secret-')


def test_a_body_that_cannot_be_decoded_is_not_written(house):
    recorder = house.recorder()
    one = exchange()
    recording, tried = recorder.start(one, URL), attempt()
    recording.attempt_response_headers(tried, 200, [*JSON, ("content-encoding", "snappy")])
    recording.attempt_data(tried, b"planted-bytes")
    one.status = 200
    recording.finish(one)
    recorder.close()
    [record] = house.records()
    assert "snappy" in record.attempts[0].response.body.unreadable
    assert b"planted-bytes" not in written(house.folder)


@pytest.mark.parametrize(
    ("status", "error", "kept"), [(200, None, 0), (404, None, 1), (200, "client disconnected", 1)]
)
def test_errors_only_keeps_what_failed(house, status, error, kept):
    recorder = house.recorder(mode="errors")
    run(recorder, exchange(), status, error)
    recorder.close()
    assert len(house.records()) == kept
    assert recorder.stats.discarded == 1 - kept
    assert not list(house.folder.rglob("*.spool*/**/*.jsonl"))


def test_errors_only_keeps_a_failure_that_another_attempt_made_up_for(house):
    recorder = house.recorder(mode="errors")
    one = exchange()
    one.attempts += [attempt(1, status=429), attempt(2)]
    recording = recorder.start(one, URL)
    one.status = 200
    recording.finish(one)
    recorder.close()
    assert len(house.records()) == 1


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ([], True),
        ([{"mode": "off", "provider": "anthropic"}], False),
        ([{"mode": "off", "provider": "openai"}], True),
        ([{"mode": "off", "model": "claude-*"}], False),
        ([{"mode": "off", "client": "claude-code"}], False),
        ([{"mode": "off", "client": "127.0.0.1"}], False),
        ([{"mode": "off", "path": "/v1/mess*"}], False),
        ([{"mode": "off", "host": "*.anthropic.com"}], False),
        ([{"mode": "all", "model": "claude-x"}, {"mode": "off"}], True),
        ([{"mode": "off", "model": "gpt*"}, {"mode": "off", "path": "/v2/*"}], True),
    ],
)
def test_rules_choose_by_provider_model_client_and_path(house, rules, kept):
    recorder = house.recorder(rules=rules)
    recording = run(recorder, exchange())
    recorder.close()
    assert (recording is not None) == kept
    assert len(house.records()) == kept


@pytest.mark.parametrize(("provider", "kept"), [("anthropic", 0), ("openai", 1)])
def test_a_rule_for_a_provider_waits_until_it_is_known(house, provider, kept):
    recorder = house.recorder(rules=[{"mode": "off", "provider": provider}])
    run(recorder, exchange(provider=None))
    recorder.close()
    assert len(house.records()) == kept


@pytest.mark.parametrize("mode", ["all", "errors"])
@pytest.mark.parametrize("known", [{}, {"provider": None}], ids=["known", "by-the-plan"])
def test_a_provider_may_have_a_folder_of_its_own(house, tmp_path, mode, known):
    """Also where who serves is only known in the end."""
    recorder = house.recorder(mode=mode, dirs={"anthropic": str(tmp_path / "own")})
    run(recorder, exchange("01a", **known), status=500)
    recorder.configure(Capture(mode=mode, dirs={"openai": str(tmp_path / "other")}), house.folder)
    run(recorder, exchange("01b", **known), status=500)
    recorder.close()
    assert [p.stem for p in captures.paths(captures.Folders(tmp_path / "own"))] == ["01a"]
    assert [p.stem for p in captures.paths(captures.Folders(house.folder))] == ["01b"]


def test_the_configuration_is_changed_at_run_time(house, tmp_path):
    recorder = house.recorder(mode="off")
    assert recorder.idle and run(recorder, exchange("01a")) is None
    recorder.configure(Capture(mode="all", redact=["Bonjour|Bon"]), house.folder, ["x-carrier"])
    assert not recorder.idle
    one = exchange("01b")
    one.request.headers.append(("x-carrier", "planted"))
    run(recorder, one)
    recorder.configure(Capture(mode="all"), other := tmp_path / "other")
    run(recorder, exchange("01c"))
    recorder.configure(Capture(mode="off"), house.folder)
    assert run(recorder, exchange("01d")) is None
    recorder.close()
    [record] = house.records()
    assert record.id == "01b"
    assert b"Bon" not in record.client.response.body.data
    assert b"planted" not in written(house.folder)
    assert [path.stem for path in captures.paths(captures.Folders(other))] == ["01c"]


def test_nothing_is_started_while_nothing_is_recorded(house):
    recorder = house.recorder(mode="off")
    run(recorder, exchange())
    recorder.close()
    assert not house.folder.exists()


def test_what_passes_through_is_recorded_as_it_passes(house):
    recorder = house.recorder()
    recording = recorder.open(Opening("01p", time.time(), "POST", URL + "/telemetry"), time.monotonic())
    recording.passing_request("POST", JSON)
    recording.passing_data(b'{"eve')
    recording.passing_data(b'nt":1}')
    recording.client_response(204, [])
    recording.end(204, None)
    recorder.close()
    [record] = house.records()
    assert record.client.request.body.data == b'{"event":1}'
    assert (record.client.response.status, record.attempts) == (204, [])


def test_a_full_disk_drops_records_and_says_so(house, caplog):
    house.folder.parent.mkdir(exist_ok=True)
    house.folder.write_text("a file where the folder should be")
    recorder = house.recorder()
    recording = run(recorder, exchange())
    assert recording is not None
    recorder.close()
    assert recorder.stats.dropped == 1 and recorder.stats.recorded == 0
    assert "1 records were dropped" in caplog.text and str(house.folder) in caplog.text


def test_a_full_disk_is_named_by_its_folder(tmp_path):
    writer = Writer()
    writer.configure(0, asdict(Settings(str(tmp_path / "captures"), str(tmp_path / "key"), 1.0, 1)))
    writer._failed(1, OSError(errno.ENOSPC, "No space left on device"))  # as `os.write` says it
    assert writer.stats.problem == f"{tmp_path}/captures: No space left on device"


def test_a_slow_disk_drops_records_and_never_traffic(house, caplog):
    recorder = house.recorder()
    recorder._queue._max_bytes = 10_000
    recorder._pump.start = lambda: None  # nobody takes anything out: the disk hangs
    recording = recorder.start(exchange(), URL)
    for _ in range(100):
        recording.client_data(b"x" * 1000)
    assert not recording.live
    assert recorder._queue.size <= 10_000
    assert recorder.stats.dropped == 1


def test_the_queue_is_bounded_in_bytes_and_in_number():
    queue = Queue(max_bytes=2 * ITEM_BYTES + 30)
    one = queue.open(1)
    assert queue.put(one, (1, 0.0, b"x" * 20), 20)
    assert not queue.put(one, (1, 0.1, b"y" * 20 * ITEM_BYTES), 20 * ITEM_BYTES)
    assert queue.put(one, (1, 0.2, b""), 0) and queue.put(one, (1, 0.3, b""), 0)
    one.items.append(0.4)
    assert not queue.put(one, (1, 0.5, b""), 0)
    queue.put_last(one, ("finish",))
    assert queue.size == 4 * ITEM_BYTES + 20
    expected = [(1, 0.0, b"x" * 20), (1, 0.2, b""), (1, 0.3, b""), 0.4, ("finish",)]
    assert queue.take() == ([], [(1, expected)])
    assert queue.size == 0 and queue.take() is None


def test_a_lane_is_taken_in_parts_and_the_others_have_their_turns():
    queue = Queue()
    lanes = [queue.open(number) for number in (1, 2)]
    for at in range(3):
        for lane in lanes:
            queue.put(lane, (1, float(at), b"x" * 1000), 1000)
    taken = []
    while batch := queue.take(max_bytes=2 * (1000 + ITEM_BYTES)):
        taken.append([(number, [item[1] for item in items]) for number, items in batch[1]])
    assert taken == [[(1, [0.0, 1.0])], [(1, [2.0]), (2, [0.0])], [(2, [1.0, 2.0])]]


def test_a_secret_is_told_before_the_request_that_it_goes_with():
    """Although the recording has been waiting to be taken since before there was the secret."""
    queue = Queue()
    lane = queue.open(1)
    queue.put(lane, ("begin",), 0)
    queue.know(["secret"])
    queue.put(lane, ("request", "secret"), 0)
    assert queue.take() == (["secret"], [(1, [("begin",), ("request", "secret")])])


def test_recordings_of_a_writer_that_is_gone_are_refused():
    queue = Queue()
    old = queue.open(1)
    queue.generation += 1
    item = (1, 0.1, b"")
    assert not queue.put(old, item, 0) and queue.put(queue.open(2), item, 0)


def test_nothing_is_lost_between_two_threads():
    queue = Queue()
    lanes = [queue.open(number) for number in range(5)]
    taken: dict[int, list] = {lane.number: [] for lane in lanes}
    done = threading.Event()

    def take() -> None:
        while True:
            last = done.is_set()
            while batch := queue.take(5000):
                for number, items in batch[1]:
                    taken[number] += [item[1] for item in items]
            if last:
                return

    thread = threading.Thread(target=take)
    thread.start()
    for at in range(20_000):
        while not queue.put(lanes[at % 5], (1, at, b"x" * (at % 7)), at % 7):
            time.sleep(0.001)
    done.set()
    thread.join()
    assert taken == {n: list(range(n, 20_000, 5)) for n in range(5)}
    assert queue.size == 0


PASSING = [(1, 0.1, b"a"), 0.2, (1, 0.3, b"b"), 0.4]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (PASSING, [("passed", 1, [(0.1, b"a"), (0.3, b"b")], [0.2, 0.4])]),
        ([("begin", 1), *PASSING[:2]], [("begin", 1), ("passed", 1, [(0.1, b"a")], [0.2])]),
        (PASSING[:3], [("passed", 1, [(0.1, b"a")], [0.2]), ("data", 0.3, 1, b"b")]),
        (PASSING[1:3], [("echo", 0.2), ("data", 0.3, 1, b"b")]),
        (
            [(1, 0.1, b"a"), (1, 0.2, b"b"), 0.3],
            [("data", 0.1, 1, b"a"), ("passed", 1, [(0.2, b"b")], [0.3])],
        ),
        ([(1, 0.1, b"a"), (0, 0.2, b"A")], [("data", 0.1, 1, b"a"), ("data", 0.2, 0, b"A")]),
        (
            [*PASSING[:2], (2, 0.3, b"b"), 0.4],
            [("passed", 1, [(0.1, b"a")], [0.2]), ("passed", 2, [(0.3, b"b")], [0.4])],
        ),
        ([(0, 0.1, b"a"), 0.2], [("data", 0.1, 0, b"a"), ("echo", 0.2)]),
    ],
)
def test_pieces_that_only_passed_are_put_together(items, expected):
    assert list(operations(items)) == expected


@pytest.mark.parametrize("held", range(6))
def test_a_record_is_the_same_however_its_reports_are_handed_over(house, held):
    """The writer may get them in any number of batches, and the client its pieces late."""
    recorder, one, tried = house.recorder(), exchange(), attempt()
    recording = recorder.start(one, URL)
    recording.attempt_response_headers(tried, 200, STREAM)
    for event in EVENTS[:held]:
        recording.attempt_data(tried, event)
    recording.client_response(200, STREAM)
    if held:
        recording.client_data(b"".join(EVENTS[:held]))
    for event in EVENTS[held:]:
        recording.attempt_data(tried, event)
        recording.client_data(event)
    one.status = 200
    recording.finish(one)
    recorder.close()
    [record] = house.records()
    assert record.attempts[0].response.body.data == record.client.response.body.data == b"".join(EVENTS)
    sizes = [size for _, size in record.client.response.body.chunks]
    first = [len(b"".join(EVENTS[:held]))] if held else []
    assert sizes == first + [len(e) for e in EVENTS[held:]]
    assert [size for _, size in record.attempts[0].response.body.chunks] == [len(e) for e in EVENTS]


def test_a_writer_that_dies_is_replaced_and_its_records_counted(house, monkeypatch, caplog):
    monkeypatch.setattr("router_core.capture.pump.RESTART", 0.0)
    recorder = house.recorder()
    lost = recorder.start(exchange("01lost"), URL)
    lost.client_response(200, STREAM)
    eventually(lambda: bool(captures.paths(captures.Folders(house.folder))))
    os.kill(recorder._pump._process.pid, signal.SIGKILL)

    def noticed() -> bool:
        # The first write after the death may still succeed.
        lost.client_data(b"data: 1\n\n")
        return recorder._queue.generation > 0

    eventually(noticed)
    lost.client_data(b"data: 2\n\n")
    assert not lost.live
    run(recorder, exchange("01next"))
    recorder.close()
    assert recorder.stats.dropped == 1 and recorder.stats.recorded == 1
    assert [r.id for r in house.records()] == ["01lost", "01next"]


def test_bytes_that_are_no_text_do_not_cost_the_record(house):
    recorder = house.recorder()
    recording = recorder.start(exchange("01odd"), URL + "?q=\udcff")
    recording.client_response(200, [*STREAM, ("x-name", "caf\udce9")])
    recording.client_data(EVENTS[0])
    recording.end(200, None)
    recorder.close()
    assert recorder.stats.recorded == 1 and recorder.stats.dropped == 0
    [found] = house.records()
    assert found.opening.url.endswith("?q=\\udcff")
    assert ("x-name", "caf\\udce9") in found.client.response.headers
    assert found.client.response.body.data == EVENTS[0]


KILLED = """
import os, signal, sys, time
from pathlib import Path
from router_core.capture.recorder import Recorder
from router_core.capture.runs import operations
from router_core.capture.writer import Settings, Writer
from router_core.config.schema import Capture
from tests.router_core.capture.samples import EVENTS, STREAM, URL, exchange

for id, mode in (("01all", "all"), ("01errors", "errors")):
    recorder = Recorder(Capture(mode=mode), Path(sys.argv[1]), Path(sys.argv[2]))
    recording = recorder.start(exchange(id), URL)
    recording.client_response(200, STREAM)
    recording.client_data(EVENTS[0])
    while recorder._queue.size or recorder._pump._process is None:
        time.sleep(0.01)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_records_survive_a_proxy_that_is_killed(house, tmp_path):
    """The writer of a killed process writes what it was told, in both modes."""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", KILLED, str(house.folder), str(tmp_path / "capture-key")]
    done = subprocess.run(command, cwd=root)
    assert done.returncode == -signal.SIGKILL
    eventually(lambda: len(captures.paths(captures.Folders(house.folder))) == 2)
    eventually(lambda: all(r.client.response and r.client.response.body.data for r in house.records()))
    for record in house.records():
        assert record.client.response.body.data == EVENTS[0]
        assert record.end is None


def test_what_a_dead_process_left_in_its_spool_is_kept(house):
    recorder = house.recorder()
    run(recorder, exchange("01seed"))
    recorder.close()
    left = house.folder / captures.SPOOL / "1999999999-dead"
    left.mkdir(parents=True)
    [path] = captures.paths(captures.Folders(house.folder))
    path.rename(left / "01left.jsonl")
    assert captures.adopt(captures.Folders(house.folder)) == 1
    assert [p.stem for p in captures.paths(captures.Folders(house.folder))] == ["01left"]
    assert not left.exists()


def test_an_error_of_our_own_ends_the_recording_and_nothing_else(house, caplog):
    recorder = house.recorder()
    recording = recorder.start(exchange(), URL)
    recording.attempt_request(None, None)
    assert not recording.live
    recording.client_data(b"goes nowhere")
    recorder.close()
    assert recorder.stats.dropped == 1
