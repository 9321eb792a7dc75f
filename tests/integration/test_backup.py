"""`backup` beside a worker, `restore` when nobody has the log open: checked on both ways."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.integration.conftest import Deployment, native, until


@pytest.fixture
def copied(deployment: Deployment) -> Path:
    """Give a copy of a log that went on since: 40 events are in it, 60 in the log."""
    deployment.send(*(native(n) for n in range(40)))
    deployment.done("run", "--until-idle")
    file = deployment.folder / "copy.db"
    deployment.done("backup", file)
    deployment.send(*(native(n) for n in range(40, 60)))
    deployment.done("run", "--until-idle")
    return file


def _events(deployment: Deployment) -> int:
    said = deployment.done("read", "events").out.splitlines()
    return len(said)


def test_a_backup_beside_a_worker_is_one_whole_file(deployment: Deployment) -> None:
    """A5: one consistent state, mode 0600 under any umask, which an audit finds clean."""
    deployment.worker()
    deployment.send(*(native(n) for n in range(300)))
    file = deployment.folder / "copy.db"

    said = deployment.done("backup", file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "t.db.secret" in said.err
    beside = sorted(path.name for path in deployment.folder.glob("*copy.db*"))
    assert beside == ["copy.db"]
    deployment.configure("other.yaml", log={"path": "copy.db"})
    deployment.done("audit", "--config", "other.yaml")
    read = deployment.done("read", "events", "--config", "other.yaml")
    assert len(read.out.splitlines()) == 300


def test_a_backup_overwrites_nothing_unless_told(deployment: Deployment, copied: Path) -> None:
    """A5: exit 2 names --force; and the log itself, or what lies beside it, is no place for it."""
    assert deployment.cli("backup", copied).code == 2
    assert "--force" in deployment.cli("backup", copied).err
    deployment.done("backup", copied, "--force")
    for own in ("t.db", "t.db-wal", "t.db.locks"):
        ended = deployment.cli("backup", own, "--force")
        assert (ended.code, "the log itself" in ended.err) == (2, True)
    ended = deployment.cli("backup", "no folder/copy.db")
    assert (ended.code, "its folder is not there" in ended.err) == (2, True)
    assert _events(deployment) == 60


def test_a_backup_replaces_a_link_instead_of_following_it(
    deployment: Deployment, copied: Path
) -> None:
    """A5, D2: --force writes no file that a link leads to."""
    victim = deployment.folder / "victim"
    victim.write_text("precious")
    link = deployment.folder / "link.db"
    link.symlink_to(victim)

    assert deployment.cli("backup", link).code == 2
    deployment.done("backup", link, "--force")

    assert victim.read_text() == "precious"
    assert not link.is_symlink()


def test_a_restored_log_is_the_copy_and_keeps_what_was_there(
    deployment: Deployment, copied: Path
) -> None:
    """A5: the worker goes on from the copy; what was there lies beside it under another name."""
    said = deployment.done("restore", copied)

    assert _events(deployment) == 40
    kept = list(deployment.folder.glob("t.db.replaced-*"))
    assert len(kept) == 1
    assert str(kept[0].name) in said.err
    assert stat.S_IMODE((deployment.folder / "t.db").stat().st_mode) == 0o600
    deployment.send(*(native(n) for n in range(40, 60)))
    deployment.done("run", "--until-idle")
    deployment.done("audit")
    deployment.done("restore", kept[0], "--no-keep")
    assert _events(deployment) == 60
    assert list(deployment.folder.glob("*.part")) == []


def test_a_restore_beside_the_write_ahead_log_of_a_killed_worker(
    deployment: Deployment, copied: Path
) -> None:
    """A5: neither undone nor damaged; what the killed one had is kept with its write-ahead log."""
    worker = deployment.worker()
    deployment.send(*(native(n) for n in range(60, 90)))
    until(lambda: (deployment.folder / "t.db-wal").stat().st_size > 200_000)
    worker.kill()

    deployment.done("restore", copied)

    assert _events(deployment) == 40
    kept = next(path for path in deployment.folder.glob("t.db.replaced-*[0-9]"))
    rows = sqlite3.connect(kept).execute(
        "SELECT sum(end_offset) FROM streams WHERE topic LIKE ?", ("%events",)
    )
    assert rows.fetchone() == (90,)


@pytest.mark.parametrize("way", [shutil.copyfile, shutil.move])
def test_a_copy_that_was_laid_over_the_log_is_refused_and_then_taken(
    deployment: Deployment, copied: Path, way: object
) -> None:
    """A5: the line names `stream-al restore` with the log's own path, and that does it."""
    worker = deployment.worker()
    deployment.send(*(native(n) for n in range(60, 90)))
    until(lambda: (deployment.folder / "t.db-wal").stat().st_size > 200_000)
    worker.kill()
    way(str(copied), str(deployment.folder / "t.db"))  # type: ignore[operator]

    for command in (("run", "--until-idle"), ("status",), ("read", "events"), ("check",)):
        ended = deployment.cli(*command)
        assert ended.code == 2, ended
        assert "stream-al restore t.db" in ended.err

    deployment.done("restore", "t.db")
    assert _events(deployment) == 40
    deployment.done("run", "--until-idle")
    deployment.done("audit")


@pytest.mark.parametrize("holder", ["worker", "reader", "stopped"])
def test_a_restore_is_refused_while_anybody_has_the_log_open(
    deployment: Deployment, copied: Path, holder: str
) -> None:
    """A5: a worker, a command that only reads, a process that stands still: exit 2 says who."""
    if holder == "reader":
        process = deployment.start("read", "events", "--follow")
        until(lambda: len(process.out.splitlines()) == 60)
    else:
        process = deployment.worker()
    if holder == "stopped":
        process.send_signal(signal.SIGSTOP)

    ended = deployment.cli("restore", copied)

    assert ended.code == 2
    assert "t.db is open" in ended.err
    process.send_signal(signal.SIGCONT)
    assert process.poll() is None
    assert _events(deployment) == 60


def _no_log(folder: Path) -> Path:
    (folder / "bad.db").write_text("hello")
    return folder / "bad.db"


def _another_program(folder: Path) -> Path:
    with sqlite3.connect(folder / "bad.db") as other:
        other.execute("CREATE TABLE t (x)")
    return folder / "bad.db"


def _newer_format(folder: Path) -> Path:
    shutil.copy(folder / "copy.db", folder / "bad.db")
    connection = sqlite3.connect(folder / "bad.db", isolation_level=None)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    return folder / "bad.db"


def _another_app(folder: Path) -> Path:
    shutil.copy(folder / "copy.db", folder / "bad.db")
    connection = sqlite3.connect(folder / "bad.db", isolation_level=None)
    connection.execute("UPDATE streams SET topic = replace(topic, 't.', 'other.')")
    connection.close()
    return folder / "bad.db"


def _damaged(folder: Path) -> Path:
    content = bytearray((folder / "copy.db").read_bytes())
    for start in range(8192 * 3, len(content), 8192):
        content[start : start + 4_000] = os.urandom(4_000)
    (folder / "bad.db").write_bytes(content)
    return folder / "bad.db"


def _half(folder: Path) -> Path:
    content = (folder / "copy.db").read_bytes()
    (folder / "bad.db").write_bytes(content[: len(content) // 3])
    return folder / "bad.db"


def _missing(folder: Path) -> Path:
    return folder / "bad.db"


def _folder(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (_no_log, "name another copy"),
        (_another_program, "no log of ours"),
        (_newer_format, "format 9"),
        (_another_app, "another app"),
        (_damaged, "bad.db"),
        (_half, "name another copy"),
        (_missing, "not there"),
        (_folder, "no file"),
    ],
)
def test_a_file_that_is_no_copy_of_this_log_changes_nothing(
    deployment: Deployment, copied: Path, make: object, named: str
) -> None:
    """A5: exit 2 in one line that names the file, and the log is as it was."""
    file = make(deployment.folder)  # type: ignore[operator]
    before = (deployment.folder / "t.db").read_bytes()

    ended = deployment.cli("restore", file)

    assert ended.code == 2, ended
    assert named in ended.err
    assert "stream-al restore" not in ended.err, "it would lead in a circle"
    assert (deployment.folder / "t.db").read_bytes() == before
    assert list(deployment.folder.glob("*.part")) == []


def test_a_copy_with_violations_is_restored_by_force_only(
    deployment: Deployment, copied: Path
) -> None:
    """A5: exit 3 as of `audit`, with what it found; the log is as it was until told otherwise."""
    connection = sqlite3.connect(copied, isolation_level=None)
    connection.execute(
        "DELETE FROM records WHERE place IN (SELECT r.place FROM records r JOIN streams s ON "
        "r.place >> 40 = s.id WHERE s.topic = 't.predictions' LIMIT 1)"
    )
    connection.close()

    ended = deployment.cli("restore", copied)

    assert ended.code == 3, ended
    assert "--force" in ended.err
    assert _events(deployment) == 60
    deployment.done("restore", copied, "--force")
    assert _events(deployment) == 40


def test_a_log_that_is_not_there_is_restored_and_its_secret_asked_for(
    deployment: Deployment, copied: Path
) -> None:
    """A5: on another machine, or after `rm m.db*`."""
    for path in deployment.folder.glob("t.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    said = deployment.done("restore", copied)

    assert _events(deployment) == 40
    assert "t.db.secret" in said.err


def test_other_logs_have_no_file_to_copy(deployment: Deployment) -> None:
    """A5: on Kafka, and in memory, both commands refuse with a line."""
    (deployment.folder / "secret").write_text("x" * 32)
    deployment.configure(
        log={"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"]},
        gate={"secret_file": "secret"},
    )
    for command in ("backup", "restore"):
        ended = deployment.cli(command, "copy.db")
        assert (ended.code, "log.connector is kafka" in ended.err) == (2, True)
