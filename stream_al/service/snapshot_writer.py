"""Who writes snapshots: a process of its own that folds the journal itself, so that no batch waits.

A worker starts it when the journal grew enough, and never forks. It begins with the newest snapshot
that fits, follows the journal, writes now and then, and ends with its worker: when its stdin ends.
A claim keeps it the only one of its log. Its failure is a log line, and another try later.

A snapshot says which queries are closed. So the committed positions of queries are read *before*
the journal's end: whatever lies below them is closed by a record that the snapshot has folded.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.importing import looked_beside
from stream_al.messages import ModelEntry
from stream_al.port import Log
from stream_al.service.clock import Clock
from stream_al.service.follower import Follower
from stream_al.service.groups import check_lineage
from stream_al.service.logs import log as log_line
from stream_al.service.rebuild import begin_queries, new_resolver
from stream_al.service.snapshotting import load_newest, load_resolver, snapshot_store, take
from stream_al.service.view import journal
from stream_al_connectors.snapshot_envelope import RejectedSnapshot
from stream_al_connectors.snapshots import SnapshotFile, SnapshotStore

CLAIM = "snapshots"
LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 60.0
LEAVE_S = 2.0
STOP_EVERY_RECORDS = 500
NICENESS = 10


class SnapshotWriter:
    """Folds the journal and writes what came of it; holds the claim of its log.

    Parameters
    ----------
    stop
        Asked between slices of the fold: whether to leave.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        store: SnapshotStore,
        *,
        clock: Clock,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._log = log
        self._config = config
        self._store = store
        self._clock = clock
        self._stop = stop
        self._engine = Engine(config, secret=b"")  # it opens no partition, so it needs no secret
        self._follower = Follower(log, config, self._engine, clock=clock)
        self._resolver = new_resolver(log, config)
        self._written = min(
            load_newest(log, config, self._engine), load_resolver(log, config, self._resolver)
        )
        store.sweep()

    @property
    def due(self) -> bool:
        """Whether the journal grew by `snapshots.every_records` since the newest snapshot."""
        every = self._config.snapshots.every_records
        end = self._log.end(self._config.topic("journal"), 0)
        return bool(every) and end - self._written >= every

    def write(self) -> SnapshotFile | None:
        """Fold to the journal's present end and write a snapshot there, unless there is one.

        None when there is nothing new, or when `stop` said so.
        """
        begin_queries(self._resolver, self._log, self._config)
        if not self._fold() or self._engine.version <= self._written:
            return None
        before, now_ms = self._written, self._clock.now_ms()
        snapshot = take(self._config, self._engine, self._resolver, now_ms=now_ms)
        file = self._store.write(snapshot.header, snapshot.payload)
        self._written = file.position
        end = self._log.end(self._config.topic("journal"), 0)
        dropped = self._store.prune(self._config.snapshots.keep, end=end)
        self._remove_what_knew_the_forgotten(before)
        log_line(
            "snapshot_written",
            position=file.position,
            bytes=len(snapshot.payload),
            dropped=len(dropped),
        )
        return file

    def _remove_what_knew_the_forgotten(self, start: int) -> None:
        """Remove snapshots from before a lineage that leaves events out.

        `journal redact` removes those that it sees; this looks after the rename, at what it could
        not see, and on every machine that keeps snapshots of its own.
        """
        for position, entry in journal(self._log, self._config, start):
            if isinstance(entry, ModelEntry) and entry.without:
                self._store.remove_to(position)

    def follow(self, wait: Callable[[float], None]) -> None:
        """Write whenever it is `due`, until `stop`; `wait` sleeps, and returns early to leave.

        A snapshot that can't be written is tried again later.
        """
        while not self._stop():
            pause_s = LOOK_EVERY_S
            if self.due:
                try:
                    self.write()
                except (OSError, RejectedSnapshot) as error:
                    pause_s = RETRY_AFTER_S
                    log_line("snapshot_not_written", why=error, retry_s=pause_s)
            wait(pause_s)

    def _fold(self) -> bool:
        """Let both folds reach the journal's end of now; False when told to leave before."""
        end = self._log.end(self._config.topic("journal"), 0)
        while self._engine.version < end and not self._stop():
            if not self._follower.follow(wait=True):
                break
        check_lineage(self._engine.lineage, self._config)
        resolver, position = self._resolver, self._engine.version
        for at, record in journal(self._log, self._config, resolver.position):
            if at >= position or (at % STOP_EVERY_RECORDS == 0 and self._stop()):
                break
            resolver.apply(record, at)
        return resolver.position == position and not self._stop()


class ParentPipe:
    """The stdin that a worker holds open: its end says that the worker is gone."""

    def __init__(self) -> None:
        self._ended = False

    def config(self) -> Config:
        """Return the configuration that the worker sends first."""
        return Config.model_validate_json(sys.stdin.buffer.readline())

    def ended(self) -> bool:
        """Whether the worker is gone."""
        self.wait(0.0)
        return self._ended

    def wait(self, seconds: float) -> None:
        """Wait, at most until the worker is gone."""
        if self._ended:
            return
        stdin = sys.stdin.fileno()
        readable, _, _ = select.select([stdin], [], [], seconds)
        self._ended = bool(readable) and not os.read(stdin, 1_024)


class SnapshotChild:
    """The writer as a worker sees it: started when needed, watched, ended with the worker.

    Parameters
    ----------
    command
        What is run; it gets the configuration as one line on stdin. Ours when left out.
    retry_after_s
        How long after one start there may be another.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        *,
        command: tuple[str, ...] | None = None,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        self._log = log
        self._config = config
        self._command = command or _writer_command()
        self._retry_after_s = retry_after_s
        in_memory = config.log.connector == "memory"  # which no other process can read
        self._store = None if in_memory else snapshot_store(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s: float | None = None

    def poll(self, now_s: float) -> None:
        """Start the writer when the journal grew enough; about once a second.

        Parameters
        ----------
        now_s
            The clock that never goes back.
        """
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._closed(self._process)
            if code:
                log_line("snapshot_writer_ended", code=code, retry_s=self._retry_after_s)
        if self._is_wanted(now_s):
            self._started_s = now_s
            self._start()

    def age_s(self, now_ms: int) -> float | None:
        """Return how old the newest snapshot is, in seconds; None without one."""
        newest = self._newest()
        found = self._store.look(newest) if self._store and newest else None
        return None if found is None else max(0, now_ms - found[0]) / 1_000

    def close(self) -> None:
        """End the writer at once: what it has not finished is as if it had not begun."""
        process = self._process
        if process is None:
            return
        self._closed(process)
        process.terminate()
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _closed(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()

    def _is_wanted(self, now_s: float) -> bool:
        every = self._config.snapshots.every_records
        if not every or self._store is None:
            return False
        if self._started_s is not None and now_s - self._started_s < self._retry_after_s:
            return False
        newest = self._newest()
        return self._end() - (newest.position if newest else 0) >= every

    def _newest(self) -> SnapshotFile | None:
        end = self._end()
        files = self._store.files() if self._store else []
        return next((file for file in files if file.position <= end), None)

    def _end(self) -> int:
        return self._log.end(self._config.topic("journal"), 0)

    def _start(self) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONHASHSEED": "0"},
            )
        except OSError as error:
            log_line("snapshot_writer_not_started", why=error)
            return
        self._process = process
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.write(self._config.model_dump_json().encode() + b"\n")
                process.stdin.flush()


def _writer_command() -> tuple[str, ...]:
    """Return our own command line, which finds the user's code where this process does."""
    beside = looked_beside()
    return (
        *(sys.executable, "-P", "-m", "stream_al", "snapshot", "write", "--follow"),
        *(("--beside", str(beside)) if beside else ()),
    )
