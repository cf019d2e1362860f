"""Whose a file of the spool is, and what becomes of those of processes that are gone."""

import os
from pathlib import Path

from router_core.usage.entry import entry_of
from router_core.usage.spool import Spool, read
from tests.router_core.usage.exchanges import exchange


def ids(spool: Spool) -> set[str]:
    """Of everything that `spool` reads back; removes it."""
    found = set()
    for path in spool.waiting():
        found |= {entry.id for entries in read(path, 10) for entry in entries}
        path.unlink()
    return found


def test_a_file_is_its_writers_while_it_lives(tmp_path: Path) -> None:
    one, other = Spool(tmp_path, 1 << 20), Spool(tmp_path, 1 << 20)
    one.append([entry_of(exchange(id="a")).entry])
    other.append([entry_of(exchange(id="b")).entry])
    assert ids(other) == {"b"}
    one.close()
    assert ids(other) == {"a"}
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_after_a_reading_is_in_a_new_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for name in ("a", "b"):
        spool.append([entry_of(exchange(id=name)).entry])
        assert ids(spool) == {name}
    spool.append([entry_of(exchange(id="c")).entry])
    for path in tmp_path.iterdir():
        path.unlink()  # by somebody who tidies up
    spool.append([entry_of(exchange(id="d")).entry])
    assert ids(spool) == {"d"}


def test_a_number_that_another_process_has_by_now_keeps_nothing_back(tmp_path: Path) -> None:
    gone = Spool(tmp_path, 1 << 20)
    gone.append([entry_of(exchange(id="a")).entry])
    gone.close()
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{os.getppid()}.jsonl")
    assert ids(Spool(tmp_path, 1 << 20)) == {"a"}
