"""The writer's process as a worker sees it: started when needed, and never the worker's end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_al.config import Config
from stream_al.messages import SeedEntry
from stream_al.port import Log, Outgoing
from stream_al.service.snapshot_writer import SnapshotChild
from stream_al_connectors import open_log

SLEEPER = (sys.executable, "-c", "import sys, time; print(sys.stdin.readline()); time.sleep(60)")
STUBBORN = (
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
)


def config_of(folder: Path, **snapshots: Any) -> Config:
    return Config.model_validate(
        {
            "log": {"path": str(folder / "log.db"), "durability": "normal"},
            "snapshots": {"every_records": 10} | snapshots,
        }
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


@pytest.fixture
def log(config: Config) -> Iterator[Log]:
    log = open_log(config)
    yield log
    log.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("stream_al"), "propagate", True)
    caplog.set_level(logging.INFO, "stream_al")
    return lambda: [line for line in caplog.messages if line.startswith("snapshot_")]


def grow(log: Log, config: Config, count: int) -> None:
    entry = SeedEntry(at_ms=0, event_id="e", label="ok")
    log.append(config.topic("journal"), [Outgoing(entry.to_wire())] * count)


def ended(child: SnapshotChild) -> None:
    assert child._process is not None
    child._process.wait(10)


def test_it_is_started_when_the_journal_grew_enough(log: Log, config: Config) -> None:
    """Below `every_records` nothing runs; at it one process does, however often it is polled."""
    child = SnapshotChild(log, config, command=SLEEPER)
    try:
        grow(log, config, 9)
        child.poll(1.0)
        assert child._process is None
        grow(log, config, 1)
        child.poll(2.0)
        first = child._process
        assert first is not None
        child.poll(3.0)
        assert child._process is first
    finally:
        child.close()
    assert first.returncode is not None


def test_it_counts_from_the_newest_snapshot_of_this_journal(log: Log, config: Config) -> None:
    """A file beyond the journal's end is of a rolled-back journal and counts for nothing."""
    child = SnapshotChild(log, config, command=SLEEPER)
    folder = Path(f"{config.log.path}.snapshots")
    folder.mkdir()
    grow(log, config, 15)
    (folder / f"{6:020d}.snapshot").touch()
    child.poll(1.0)
    assert child._process is None
    assert child.age_s(time.time_ns() // 1_000_000) == pytest.approx(0.0, abs=10.0)

    (folder / f"{6:020d}.snapshot").rename(folder / f"{6_000:020d}.snapshot")
    assert child.age_s(0) is None
    try:
        child.poll(2.0)
        assert child._process is not None
    finally:
        child.close()


@pytest.mark.parametrize("command", [("false",), (sys.executable, "-c", "1 / 0")])
def test_its_failure_is_one_line_and_a_retry_later(
    log: Log, config: Config, lines: Callable[[], list[str]], command: tuple[str, ...]
) -> None:
    """The worker goes on; until the retry nothing is started and nothing more is said."""
    child = SnapshotChild(log, config, command=command, retry_after_s=60.0)
    grow(log, config, 10)
    child.poll(1.0)
    ended(child)

    for second in range(2, 60):
        child.poll(float(second))
    assert lines() == ["snapshot_writer_ended code=1 retry_s=60.0"]
    assert child._process is None

    child.poll(61.0)
    ended(child)
    child.close()


def test_a_command_that_is_not_there_is_a_line_too(
    log: Log, config: Config, lines: Callable[[], list[str]]
) -> None:
    """Even then the worker only says so."""
    child = SnapshotChild(log, config, command=("/nowhere/python",))
    grow(log, config, 10)

    child.poll(1.0)
    child.poll(2.0)

    assert len(lines()) == 1
    assert lines()[0].startswith("snapshot_writer_not_started why=")
    child.close()


def test_a_writer_that_another_worker_keeps_away_is_no_failure(
    log: Log, config: Config, lines: Callable[[], list[str]]
) -> None:
    """It ends with 0 when it does not get the claim."""
    child = SnapshotChild(log, config, command=("true",))
    grow(log, config, 10)
    child.poll(1.0)
    ended(child)

    child.poll(2.0)

    assert lines() == []
    child.close()


@pytest.mark.parametrize("command", [SLEEPER, STUBBORN], ids=["sleeper", "stubborn"])
def test_close_ends_it_in_time(log: Log, config: Config, command: tuple[str, ...]) -> None:
    """A worker leaves within seconds, whatever its writer is doing."""
    child = SnapshotChild(log, config, command=command)
    grow(log, config, 10)
    child.poll(1.0)
    process = child._process
    assert process is not None
    started = time.monotonic()

    child.close()
    child.close()

    assert process.returncode is not None
    assert time.monotonic() - started < 4.0


def test_it_is_never_started_without_a_file_or_when_it_is_off(tmp_path: Path) -> None:
    """A log in memory can't be read by another process; `every_records: 0` is off."""
    off = config_of(tmp_path, every_records=0)
    memory = Config.model_validate(
        {
            "log": {"connector": "memory"},
            "snapshots": {"every_records": 1, "directory": str(tmp_path / "s")},
        }
    )
    for config in (off, memory):
        log = open_log(config)
        grow(log, config, 100)
        child = SnapshotChild(log, config, command=("false",))
        child.poll(1.0)
        assert child._process is None
        assert child.age_s(0) is None
        child.close()
        log.close()
