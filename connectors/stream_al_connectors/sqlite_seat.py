"""One member's place in a group over a SQLite log: locks say who lives and owns, epochs fence."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from sqlite3 import Connection

from stream_al.errors import Ambiguous, Fenced
from stream_al.port import Record
from stream_al_connectors import sqlite_records
from stream_al_connectors.locks import FileLock, GroupLocks
from stream_al_connectors.membership import Buffered
from stream_al_connectors.sqlite_file import explained
from stream_al_connectors.sqlite_store import SqliteStore

_SLEEP_S = 0.002


class SqliteSeat:
    """See `stream_al_connectors.membership.Seat`.

    Attributes
    ----------
    _life
        The lock that says that this member lives; held from joining to leaving.
    _partitions
        Partition → the lock under which it is owned.
    _watcher
        A connection that never writes, so that its data version changes with every commit.
    _seen
        The data version when `wait` last looked.
    """

    probe_every_s = 0.1

    def __init__(self, store: SqliteStore, group: str, topic: str, name: str) -> None:
        self._store = store
        self._group = group
        self._topic = topic
        self._name = name
        self._path = store.file.path
        self._partitions: dict[int, FileLock] = {}
        self._watcher: Connection | None = None
        self._seen: int | None = None
        with store.file.writing() as connection:
            self.number = sqlite_records.new_member(connection, name)
        with explained(self._path):
            self._locks: GroupLocks = store.file.locks.group(group, topic)
            life = self._locks.member(self.number)
        if life is None:
            raise Ambiguous(f"{self._path}: the lock of a new member is held; start again")
        self._life = life

    def partition_count(self) -> int:
        """Return how many partitions the topic has now."""
        return self._store.partition_count(self._topic)

    def live(self) -> Sequence[int]:
        """Return the numbers of the members that live."""
        with explained(self._path):
            try:
                return self._locks.live(self.number)
            except FileNotFoundError as error:
                self._store.file.check()  # the folder may have gone with the log
                raise Fenced(f"{self._topic!r}: the folder of locks was taken away") from error

    def claim(self, partition: int) -> int | None:
        """Take a free partition and return its new epoch."""
        with explained(self._path):
            lock = self._locks.partition(partition)
        if lock is None:
            return None
        try:
            with self._store.file.writing() as connection:
                place = (self._topic, partition)
                epoch = sqlite_records.new_epoch(
                    connection, self._group, place, self._name, os.getpid()
                )
        except BaseException:
            lock.release()
            raise
        self._partitions[partition] = lock
        return epoch

    def release(self, partition: int) -> None:
        """Give a partition back."""
        self._partitions.pop(partition).release()

    def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Return up to `limit` committed records from `offset` on."""
        return self._store.read(self._topic, partition, offset, limit)

    def end(self, partition: int) -> int:
        """Return the offset after the last committed record."""
        return self._store.end(self._topic, partition)

    def check(self, topic: str, partition: int) -> None:
        """Raise ConfigurationError when there is no such partition."""
        self._store.check(topic, partition)

    def commit(self, buffered: Buffered, epochs: Mapping[int, int]) -> None:
        """Write everything or nothing, when `epochs` are in force."""
        with self._store.file.writing() as connection:
            sqlite_records.check_epochs(connection, self._group, self._topic, epochs)
            now_ms = self._store.clock()
            self._store.write(connection, buffered, now_ms)
            sqlite_records.commit_positions(connection, self._group, buffered.positions, now_ms)

    def wait(self, timeout_s: float) -> None:
        """Return when something was committed since the last call, or after `timeout_s`."""
        if self._watcher is None:
            with self._store.file.explained():
                self._watcher = self._store.file.connect()
        deadline = time.monotonic() + timeout_s
        while True:
            with self._store.file.explained():
                version = self._watcher.execute("PRAGMA data_version").fetchone()[0]
            left_s = deadline - time.monotonic()
            if version != self._seen or left_s <= 0:
                self._seen = version
                return
            time.sleep(min(_SLEEP_S, left_s))

    def leave(self) -> None:
        """Stop being a live member."""
        self._life.release(delete=True)
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
