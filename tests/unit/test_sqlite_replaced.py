"""A log file that is removed, moved or replaced: under whom has it open, and before a start."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream_al.errors import Gone
from stream_al.port import Member, Outgoing, Position
from stream_al_connectors import SqliteLog
from stream_al_connectors.sqlite_file import CHECK_EVERY_S
from stream_al_connectors.sqlite_watch import CHECKPOINT_PAGES, PAGE_BYTES

ROOT = Path(__file__).parents[2]
TOPICS = {"events": 2, "journal": 1}
FILL = """
import sys
from stream_al.port import Outgoing
from stream_al_connectors import SqliteLog
log = SqliteLog(sys.argv[1], topics={}, durability="normal", create=False)
for _ in range(int(sys.argv[2])):
    log.append("events", [Outgoing(b"x" * int(sys.argv[3])) for _ in range(20)])
print("filled", flush=True)
input()
"""


def opened(path: Path, *, create: bool = False) -> SqliteLog:
    return SqliteLog(path, topics=TOPICS if create else {}, durability="normal", create=create)


def filled(path: Path, batches: int = 3) -> None:
    """Make a log, or go on with one, and close it: everything is in the file then."""
    log = opened(path, create=True)
    for _ in range(batches):
        log.append("events", [Outgoing(b"x" * 100) for _ in range(20)])
    log.close()


def killed(path: Path, batches: int = 5, record_bytes: int = 100) -> None:
    """Let a process append to a log and die of SIGKILL: its write-ahead log stays."""
    with subprocess.Popen(
        [sys.executable, "-c", FILL, str(path), str(batches), str(record_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'connectors'}"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "filled\n"
        process.send_signal(signal.SIGKILL)
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def poll_for_ever(member: Member) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        member.poll(limit=1, timeout_s=0.05)


def _remove(path: Path) -> None:
    path.unlink()


def _remove_all(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        if each.is_file():
            each.unlink()


def _move_a_copy_over(path: Path) -> None:
    path.with_name("backup.db").replace(path)


def _remove_wal(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def _remove_shm(path: Path) -> None:
    path.with_name(f"{path.name}-shm").unlink()


def _swap_wal(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy(path.with_name(f"{path.name}-wal"), other)
    other.replace(path.with_name(f"{path.name}-wal"))


def _rename_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def _replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _copy_an_older_one_over(path: Path) -> None:
    shutil.copyfile(path.with_name("backup.db"), path)


def _copy_something_else_over(path: Path) -> None:
    shutil.copyfile(__file__, path)


def _cut(path: Path) -> None:
    os.truncate(path, 0)


WAYS: list[Callable[[Path], None]] = [
    _remove,
    _remove_all,
    _move_a_copy_over,
    _remove_wal,
    _remove_shm,
    _swap_wal,
    _rename_the_folder,
    _replace_by_a_folder,
    _copy_an_older_one_over,
    _copy_something_else_over,
    _cut,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a log that grew since a copy of it, `backup.db`, was taken."""
    folder = tmp_path / "data"
    folder.mkdir()
    filled(folder / "m.db")
    shutil.copy(folder / "m.db", folder / "backup.db")
    filled(folder / "m.db")
    return folder / "m.db"


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_to_a_file_that_was_replaced_is_gone(
    path: Path, way: Callable[[Path], None]
) -> None:
    """A4: the file at the path, and its side files, are compared with the open ones."""
    log = opened(path)
    log.append("events", [Outgoing(b"a")])
    way(path)

    with pytest.raises(Gone) as caught:
        log.append("events", [Outgoing(b"b")])
    log.close()

    assert str(path) in str(caught.value)
    assert "stream-al restore FILE" in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_a_member_that_only_waits_finds_it_too(path: Path, way: Callable[[Path], None]) -> None:
    """A4: within a second, for a worker that has nothing to do."""
    log = opened(path)
    member = log.join("g", "events", name="w")
    member.poll(limit=1, timeout_s=0.2)
    way(path)

    started = time.monotonic()
    with pytest.raises(Gone):
        poll_for_ever(member)
    log.close()

    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_finds_it_too(path: Path, way: Callable[[Path], None]) -> None:
    """A4: `read --follow` and `annotate` never commit, and look as often."""
    log = opened(path)
    log.append("events", [Outgoing(b"a")])
    way(path)
    time.sleep(CHECK_EVERY_S)

    with pytest.raises(Gone):
        log.read("events", 0, 0, limit=10)
    log.close()


def test_a_link_that_leads_elsewhere_now_is_gone(path: Path) -> None:
    """A4: a path is followed to its end."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    log = opened(link)
    log.append("events", [Outgoing(b"a")])
    link.unlink()
    link.symlink_to(path.with_name("backup.db"))

    with pytest.raises(Gone):
        log.append("events", [Outgoing(b"b")])
    log.close()


def test_what_others_may_do_to_a_log_is_no_replacement(path: Path) -> None:
    """A4: other processes commit, checkpoint and leave, rights and times change: all goes on."""
    log = opened(path)
    log.append("events", [Outgoing(b"a")])
    member = log.join("g", "events", name="w")
    other = opened(path)
    other.append("events", [Outgoing(b"b")] * 1_000)
    other.close()
    path.chmod(0o640)
    os.utime(path)
    tool = sqlite3.connect(path)
    tool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tool.close()
    path.rename(path.with_name("aside"))
    path.with_name("aside").rename(path)
    time.sleep(CHECK_EVERY_S)

    while not member.owned:
        member.poll(limit=1, timeout_s=0.1)
    with member.transaction() as transaction:
        transaction.append("events", 0, b"c")
        transaction.commit_position("events", 0, Position(1))
    assert len(log.read("events", 0, 0, limit=10_000)) > 500
    log.close()


def test_long_write_ahead_logs_still_end_in_the_file(path: Path) -> None:
    """A4: the file is written after commits once there is much to write, and that is no copy."""
    log, other = opened(path), opened(path)
    before = path.stat().st_size
    for _ in range(8):
        log.append("events", [Outgoing(b"x" * PAGE_BYTES) for _ in range(CHECKPOINT_PAGES // 4)])
        other.append("events", [Outgoing(b"y")])
    grown = path.stat().st_size - before

    assert grown > CHECKPOINT_PAGES * PAGE_BYTES
    log.close()
    other.close()


def _cp(backup: Path, path: Path) -> None:
    shutil.copyfile(backup, path)


def _cp_with_times(backup: Path, path: Path) -> None:
    os.utime(backup, ns=(1, 1))
    shutil.copy2(backup, path)


def _mv(backup: Path, path: Path) -> None:
    shutil.move(backup, path)


def _rsync(backup: Path, path: Path) -> None:
    shutil.copy2(backup, path.with_name(".m.db.x7Yt"))
    path.with_name(".m.db.x7Yt").replace(path)


COPIES = [_cp, _cp_with_times, _mv, _rsync]


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("grown", [False, True], ids=["same file", "older file"])
def test_a_copy_beside_the_write_ahead_log_of_a_killed_process_is_refused(
    tmp_path: Path, copy: Callable[[Path, Path], None], grown: bool
) -> None:
    """A5: it is not undone in silence, not damaged, and the line names both ways out."""
    path, backup = tmp_path / "m.db", tmp_path / "backup.db"
    filled(path)
    shutil.copy(path, backup)
    if grown:
        filled(path, batches=50)
    killed(path)
    before = path.with_name("m.db-wal").read_bytes()
    copy(backup, path)

    with pytest.raises(Gone) as caught:
        opened(path)

    assert f"stream-al restore {path}" in str(caught.value)
    assert str(path.with_name("m.db.locks") / "file") in str(caught.value)
    assert path.with_name("m.db-wal").read_bytes() == before


def test_a_copy_that_was_made_while_it_was_written_is_refused_too(tmp_path: Path) -> None:
    """A5: SQLite's own backup, taken beside a process that was killed later."""
    path, backup = tmp_path / "m.db", tmp_path / "backup.db"
    filled(path)
    log = opened(path)
    log.append("events", [Outgoing(b"a")])
    source, target = sqlite3.connect(path), sqlite3.connect(backup)
    source.backup(target)
    source.close()
    target.close()
    log.append("events", [Outgoing(b"b")])
    log.close()
    killed(path)
    shutil.copyfile(backup, path)

    with pytest.raises(Gone, match="a copy was laid over it"):
        opened(path)


@pytest.mark.parametrize("copy", [_mv, _cp])
def test_a_copy_beside_a_long_write_ahead_log_is_refused(
    tmp_path: Path, copy: Callable[[Path, Path], None]
) -> None:
    """A5: where SQLite may have written the file at any commit, what is in it still tells."""
    path, backup = tmp_path / "m.db", tmp_path / "backup.db"
    filled(path)
    shutil.copy(path, backup)
    killed(path, batches=4 * CHECKPOINT_PAGES // 20, record_bytes=PAGE_BYTES)
    copy(backup, path)

    with pytest.raises(Gone, match="a copy was laid over it"):
        opened(path)


@pytest.mark.parametrize("record_bytes", [100, PAGE_BYTES])
def test_a_killed_process_alone_refuses_nothing(tmp_path: Path, record_bytes: int) -> None:
    """A5: what it committed is there, however often that happens."""
    path = tmp_path / "m.db"
    filled(path)
    for round_ in range(1, 4):
        killed(path, batches=50, record_bytes=record_bytes)
        log = opened(path)
        assert sum(log.ends("events")) == 60 + round_ * 1_000
        log.close()


def test_files_that_were_moved_together_go_on(tmp_path: Path) -> None:
    """A5: a killed deployment is copied to another disk with all that lies beside its log."""
    path = tmp_path / "a" / "m.db"
    path.parent.mkdir()
    filled(path)
    killed(path)
    shutil.copytree(tmp_path / "a", tmp_path / "b")

    log = opened(tmp_path / "b" / "m.db")

    assert sum(log.ends("events")) == 160
    log.close()


def test_a_copy_over_a_closed_log_is_simply_the_log(tmp_path: Path) -> None:
    """A5: without a write-ahead log nothing stands against it."""
    path, backup = tmp_path / "m.db", tmp_path / "backup.db"
    filled(path)
    shutil.copy(path, backup)
    filled(path)
    shutil.copyfile(backup, path)

    log = opened(path)

    assert sum(log.ends("events")) == 60
    log.close()
