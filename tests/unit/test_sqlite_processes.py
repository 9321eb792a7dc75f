"""Several real processes on one SQLite log: killed, stopped, interleaved."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from stream_al.port import Log, Member, Outgoing, Position
from stream_al_connectors import SqliteLog
from stream_al_connectors.sqlite_file import CHECKPOINT_PAGES, PAGE_BYTES

ROOT = Path(__file__).parents[2]
TOPICS = {"events": 4, "queries": 4, "journal": 1}
HEAD = """
import sys
from stream_al.port import Outgoing, Position
from stream_al_connectors import SqliteLog
log = SqliteLog(sys.argv[1], topics={}, durability="normal", create=False)
def say(line):
    print(line, flush=True)
"""
OWN = """
member = log.join("g", sys.argv[2], name="child")
while not member.owned:
    member.poll(limit=1, timeout_s=0.05)
say("owns")
while True:
    member.poll(limit=1, timeout_s=0.05)
"""
WRITE = """
member = log.join("g", "journal", name="child")
while not member.owned:
    member.poll(limit=1, timeout_s=0.05)
found = log.committed("g", "journal", 0)
at = found.offset if found else 0
say("writes")
while True:
    with member.transaction() as transaction:
        for partition in range(4):
            for _ in range(25):
                transaction.append("events", partition, b"x" * 300)
        at += 1
        transaction.commit_position("journal", 0, Position(at, str(at * 25)))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    made = SqliteLog(path, topics=TOPICS, durability="normal")
    yield made
    made.close()


@pytest.fixture
def start(path: Path, log: SqliteLog) -> Iterator[Start]:
    """Start a script on the log, and return when it has said its first line."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + script, str(path), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'connectors'}"},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), "the script ended without a word"
        return process

    yield run
    for process in started:
        kill(process)
        assert process.stdout is not None
        process.stdout.close()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def seconds_until_owned(member: Member) -> float:
    began = time.monotonic()
    while not member.owned:
        assert time.monotonic() - began < 5, "nothing was taken over"
        member.poll(limit=1, timeout_s=0.05)
    return time.monotonic() - began


def check_whole(log: Log) -> int:
    """Check that records and position agree, and return the number of transactions."""
    position = log.committed("g", "journal", 0)
    if position is None:
        assert [log.end("events", partition) for partition in range(4)] == [0] * 4
        return 0
    assert int(position.metadata) == position.offset * 25
    for partition in range(4):
        assert log.end("events", partition) == position.offset * 25
        last = log.read("events", partition, position.offset * 25 - 25, limit=50)
        assert len(last) == 25
    return position.offset


def test_a_killed_owner_is_replaced_at_once(log: SqliteLog, start: Start) -> None:
    """SIGKILL frees its locks: the standby owns within a second, under a new epoch."""
    child = start(OWN, "journal")
    standby = log.join("g", "journal", name="standby")
    standby.poll(limit=1, timeout_s=0.3)
    assert list(standby.owned) == []
    assert [owner.process for owner in log.owners("g", "journal")] == [child.pid]

    kill(child)

    assert seconds_until_owned(standby) < 1.0
    (owner,) = log.owners("g", "journal")
    assert (owner.member, owner.epoch, owner.process) == ("standby", 2, os.getpid())


def test_a_second_process_helps(log: SqliteLog, start: Start) -> None:
    """Two processes share the events; when one is killed the other has all again."""
    child = start(OWN, "events")
    mine = log.join("g", "events", name="mine")
    deadline = time.monotonic() + 5
    while len(mine.owned) < 2 and time.monotonic() < deadline:
        mine.poll(limit=1, timeout_s=0.05)
    names = sorted(str(owner.member) for owner in log.owners("g", "events"))
    assert names == ["child", "child", "mine", "mine"]

    kill(child)

    deadline = time.monotonic() + 1
    while len(mine.owned) < 4 and time.monotonic() < deadline:
        mine.poll(limit=1, timeout_s=0.05)
    assert list(mine.owned) == [0, 1, 2, 3]


def test_a_stopped_owner_keeps_its_locks(log: SqliteLog, start: Start) -> None:
    """SIGSTOP is no death: nobody takes over, and everybody can see who holds it."""
    child = start(OWN, "journal")
    standby = log.join("g", "journal", name="standby")
    child.send_signal(signal.SIGSTOP)

    standby.poll(limit=1, timeout_s=0.5)

    assert list(standby.owned) == []
    (owner,) = log.owners("g", "journal")
    assert (owner.member, owner.process) == ("child", child.pid)
    child.send_signal(signal.SIGCONT)


def test_a_dead_owner_is_seen_as_free(log: SqliteLog, start: Start) -> None:
    """What nobody holds is free, whatever the file says about who was there."""
    kill(start(OWN, "journal"))

    (owner,) = log.owners("g", "journal")
    assert (owner.member, owner.process, owner.epoch) == (None, None, 1)


def test_two_processes_append_and_lose_nothing(log: SqliteLog, start: Start) -> None:
    """2,000 records each, interleaved: every one is there once, in its writer's order."""
    script = """
import time
say("ready")
while not log.end("queries", 0):
    pass
for n in range(0, 2000, 10):
    log.append("journal", [Outgoing(f"{sys.argv[2]} {n + i}".encode()) for i in range(10)])
    time.sleep(0.001)
"""
    writers = [start(script, "a"), start(script, "b")]
    log.append("queries", [Outgoing(b"go", partition=0)])
    assert [process.wait(30) for process in writers] == [0, 0]

    values: list[str] = []
    while records := log.read("journal", 0, len(values), limit=1_000):
        values += [record.value.decode() for record in records]
    assert len(values) == log.end("journal", 0) == 4_000
    assert sum(one[0] != other[0] for one, other in pairwise(values)) > 2, "not interleaved"
    for name in ("a", "b"):
        assert [v for v in values if v[0] == name] == [f"{name} {n}" for n in range(2_000)]


def test_a_kill_leaves_whole_transactions_only(log: SqliteLog, start: Start) -> None:
    """Ten lives, each killed in the middle of its writing: records and positions agree."""
    chance = random.Random(7)
    before = 0
    productive = 0
    for _ in range(10):
        child = start(WRITE)
        time.sleep(0.05 + 0.1 * chance.random())
        kill(child)
        after = check_whole(log)
        productive += after > before
        before = after

    assert productive >= 6


def test_a_live_reader_sees_transactions_whole(log: SqliteLog, start: Start) -> None:
    """While another process writes, a position never runs ahead of the records below it."""
    start(WRITE)
    deadline = time.monotonic() + 10
    seen: set[int] = set()
    while len(seen) < 100 and time.monotonic() < deadline:
        position = log.committed("g", "journal", 0)
        if position is None:
            continue
        for partition in range(4):
            end = log.end("events", partition)
            assert end % 25 == 0
            assert end >= int(position.metadata)
        seen.add(position.offset)

    assert len(seen) == 100


def test_a_poll_wakes_for_another_process(log: SqliteLog, start: Start) -> None:
    """A waiting poll returns soon after a foreign commit, long before its timeout."""
    member = log.join("g", "journal", name="one")
    seconds_until_owned(member)
    member.seek(0, 0)
    start("""
say("ready")
import time
time.sleep(0.3)
log.append("journal", [Outgoing(str(time.time()).encode())])
""")

    (record,) = member.poll(limit=5, timeout_s=10).records

    assert time.time() - float(record.value) < 1.0


def test_a_deleted_lock_file_fences_the_first_owner(
    path: Path, log: SqliteLog, start: Start
) -> None:
    """Locks deleted by hand: the second process takes over and the first one's commit fails."""
    script = """
from stream_al.errors import Fenced
member = log.join("g", "journal", name="child")
while not member.owned:
    member.poll(limit=1, timeout_s=0.05)
say("owns")
while not log.committed("g", "events", 0):
    pass
try:
    with member.transaction() as transaction:
        transaction.append("queries", 0, b"too late")
except Fenced as error:
    say(error.kind)
"""
    child = start(script)
    for lock in path.with_name("log.db.locks").glob("*/*"):
        lock.unlink()
    mine = log.join("g", "journal", name="mine")
    seconds_until_owned(mine)
    with mine.transaction() as transaction:
        transaction.commit_position("events", 0, Position(1))

    assert child.communicate(timeout=10)[0].strip() == "fenced"
    assert log.end("queries", 0) == 0


def test_a_claim_dies_with_its_process(path: Path, log: SqliteLog, start: Start) -> None:
    """Somebody else's claim is None until they are killed; files are cleaned up."""
    child = start("""
with log.claim("query-1"):
    say("claimed")
    import time
    time.sleep(60)
""")
    assert log.claim("query-1") is None
    kill(child)

    claim = log.claim("query-1")

    assert claim is not None
    with claim:
        pass
    assert list(path.with_name("log.db.locks").glob("claim-*")) == []


def test_readers_do_not_hold_up_the_checkpoint(path: Path, log: SqliteLog, start: Start) -> None:
    """While a reader goes through the log, the write-ahead file stays small: no snapshot."""
    start(WRITE)
    deadline = time.monotonic() + 90
    offset = largest = written = 0
    while written < 4 * CHECKPOINT_PAGES * PAGE_BYTES and time.monotonic() < deadline:
        offset += len(log.read("events", 0, offset, limit=50))
        largest = max(largest, path.with_name("log.db-wal").stat().st_size)
        written = log.end("events", 0) * 4 * 300

    assert offset > 0
    assert written >= 4 * CHECKPOINT_PAGES * PAGE_BYTES, "too little was written to tell"
    assert largest < written / 2


def test_many_processes_create_one_log(path: Path, tmp_path: Path, start: Start) -> None:
    """Processes that start at once on no file find one whole log."""
    script = f"""
fresh = SqliteLog({str(tmp_path / "fresh.db")!r}, topics={{"events": 4}}, durability="normal")
say("opened")
fresh.append("events", [Outgoing(b"x", partition=0)] * 10)
fresh.close()
log.close()
"""
    for process in [start(script) for _ in range(3)]:
        assert process.wait(20) == 0

    fresh = SqliteLog(tmp_path / "fresh.db", topics={}, create=False)
    assert fresh.end("events", 0) == 30
    fresh.append("events", [Outgoing(b"")])
    fresh.close()
