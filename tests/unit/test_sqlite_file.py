"""The file of a SQLite log: what is refused in one line, and what opening leaves behind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stream_al.config import Config
from stream_al.errors import Ambiguous, ConfigurationError, Gone, StreamAlError
from stream_al.port import Outgoing
from stream_al_connectors import MemoryLog, SqliteLog, open_log

ROOT = Path(__file__).parents[2]
TOPICS = {"events": 2, "journal": 1}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def one_line(error: StreamAlError, path: Path) -> bool:
    text = str(error)
    return "\n" not in text and str(path) in text and ";" in text


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\0" * 100_000, b"{}" * 50_000])
def test_a_file_that_is_no_log_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Gone, one line that names the file; nothing is written, nothing left beside it."""
    path = tmp_path / "events.csv"
    path.write_bytes(content)

    with pytest.raises(Gone) as caught:
        SqliteLog(path, topics=TOPICS)

    assert one_line(caught.value, path)
    assert path.read_bytes() == content
    assert names_in(tmp_path) == ["events.csv"]


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A SQLite file without our application id is not ours to write to."""
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE records (id INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()

    with pytest.raises(Gone, match="another program"):
        SqliteLog(path, topics=TOPICS)

    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["other.db"]


def test_a_log_of_another_format_is_refused(tmp_path: Path) -> None:
    """A file that a newer version wrote is not guessed at."""
    path = tmp_path / "log.db"
    SqliteLog(path, topics=TOPICS).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(Gone, match="format 99, we read 1"):
        SqliteLog(path, topics=TOPICS)


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """No folder can be made below a file, nor a log in a missing folder or instead of a folder."""
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "log.db", tmp_path / "missing" / "log.db", tmp_path):
        with pytest.raises((Ambiguous, Gone)) as caught:
            SqliteLog(path, topics=TOPICS)
        assert one_line(caught.value, path)


def test_a_missing_log_is_not_made_by_who_only_looks(tmp_path: Path) -> None:
    """Without `create` a missing file is a configuration error, and stays missing."""
    path = tmp_path / "log.db"
    with pytest.raises(ConfigurationError, match="there is no log at"):
        SqliteLog(path, topics=TOPICS, create=False)
    assert names_in(tmp_path) == []

    path.touch()
    with pytest.raises(ConfigurationError, match="there is no log at"):
        SqliteLog(path, topics=TOPICS, create=False)
    assert path.stat().st_size == 0


def test_topics_grow_and_never_shrink(tmp_path: Path) -> None:
    """More partitions are added, also under an open log and its member; fewer are refused."""
    path = tmp_path / "log.db"
    old = SqliteLog(path, topics=TOPICS)
    member = old.join("g", "events", name="one")
    member.poll(limit=1, timeout_s=0)
    old.append("events", [Outgoing(b"kept", partition=1)])

    new = SqliteLog(path, topics={"events": 3, "labels": 1})

    assert [new.partition_count(name) for name in ("events", "journal", "labels")] == [3, 1, 1]
    assert new.read("events", 1, 0, limit=1)[0].value == b"kept"
    assert list(member.poll(limit=1, timeout_s=1).assigned) == [2]
    with pytest.raises(ConfigurationError, match="has 3 partitions and can't shrink to 2"):
        SqliteLog(path, topics=TOPICS)
    new.close()
    old.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_durability_is_what_it_says(tmp_path: Path, durability: str, synchronous: int) -> None:
    """`full` syncs every commit, `normal` only checkpoints; both write ahead."""
    log = SqliteLog(tmp_path / "log.db", topics=TOPICS, durability=durability)  # type: ignore[arg-type]
    with log._file.connection() as connection:
        found = connection.execute("PRAGMA synchronous").fetchone()[0]
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    log.close()

    assert (found, mode) == (synchronous, "wal")


def test_a_full_disk_is_said_and_leaves_nothing_half(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for the disk: one line, nothing of the append is there."""
    path = tmp_path / "log.db"
    log = SqliteLog(path, topics=TOPICS)
    log.append("events", [Outgoing(b"before", partition=0)])
    with log._file.connection() as connection:
        connection.execute("PRAGMA max_page_count = 20")

    with pytest.raises(Ambiguous, match="disk is full") as caught:
        log.append("events", [Outgoing(b"x" * 10_000, partition=0)] * 100)

    assert one_line(caught.value, path)
    assert log.end("events", 0) == 1
    assert [r.value for r in log.read("events", 0, 0, limit=9)] == [b"before"]
    log.close()


def test_a_file_that_may_not_grow_is_said(tmp_path: Path) -> None:
    """The system refuses to let the file grow: one line, and a restart finds a whole log."""
    path = tmp_path / "log.db"
    script = """
import resource, signal, sys
from stream_al.errors import Ambiguous
from stream_al.port import Outgoing
from stream_al_connectors import SqliteLog
log = SqliteLog(sys.argv[1], topics={"events": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    for _ in range(100):
        log.append("events", [Outgoing(b"x" * 10_000)])
except Ambiguous as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'connectors'}"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=True,
    )

    assert done.stdout.count("\n") == 1
    assert str(path) in done.stdout
    log = SqliteLog(path, topics={}, create=False)
    end = log.end("events", 0)
    assert end > 1
    assert len(log.read("events", 0, 0, limit=200)) == end
    log.close()


def test_threads_share_a_log(tmp_path: Path) -> None:
    """A thread that looks while another writes sees growth only, and no error."""
    log = SqliteLog(tmp_path / "log.db", topics=TOPICS, durability="normal")
    ends: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            ends.append(log.end("journal", 0))

    thread = threading.Thread(target=look)
    thread.start()
    deadline = time.monotonic() + 10
    while len(set(ends[-1000:])) < 4 and time.monotonic() < deadline:
        log.append("journal", [Outgoing(b"x")] * 5)
    done.set()
    thread.join()
    log.close()

    assert ends == sorted(ends)
    assert all(end % 5 == 0 for end in ends)
    assert len(set(ends)) > 3, "the threads did not run side by side"


def test_a_closed_log_says_so(tmp_path: Path) -> None:
    """Use after `close` is an error with a sentence; closing twice is none."""
    log = SqliteLog(tmp_path / "log.db", topics=TOPICS)
    log.close()
    log.close()

    with pytest.raises(ConfigurationError, match="was closed"):
        log.end("events", 0)


def test_a_busy_log_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that never ends makes others stop with one line."""
    monkeypatch.setattr("stream_al_connectors.sqlite_file.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "log.db"
    log = SqliteLog(path, topics=TOPICS)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Ambiguous, match="locked by another process") as caught:
        log.append("events", [Outgoing(b"")])

    other.close()
    assert one_line(caught.value, path)
    assert log.append("events", [Outgoing(b"")]) == [(0, 0)]
    log.close()


def test_a_configuration_opens_its_log(tmp_path: Path) -> None:
    """Names, partitions, connector and path come from the configuration."""
    path = tmp_path / "x.db"
    config = Config.model_validate(
        {"app": "spam", "log": {"path": str(path)}, "topics": {"partitions": 3, "labels": "mine"}}
    )
    log = open_log(config, clock=lambda: 7)
    counts = {
        name: log.partition_count(name)
        for name in ("spam.events", "mine", "spam.journal", "spam.statistics", "spam.dead-letters")
    }
    log.append("mine", [Outgoing(b"")])
    (record,) = log.read("mine", 0, 0, limit=1)
    log.close()

    assert list(counts.values()) == [3, 3, 1, 1, 3]
    assert record.timestamp_ms == 7
    memory = open_log(Config.model_validate({"log": {"connector": "memory"}}))
    assert isinstance(memory, MemoryLog)
    memory.close()


def test_a_write_transaction_excludes_others_from_its_first_read(tmp_path: Path) -> None:
    """Between looking where a partition ends and writing there, nobody else gets in."""
    path = tmp_path / "log.db"
    errors: list[str] = []

    def intrude() -> int:
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            errors.append(str(error))
        other.close()
        return 1

    log = SqliteLog(path, topics=TOPICS, clock=intrude)
    log.append("events", [Outgoing(b"")])
    log.close()

    assert errors == ["database is locked"]
