"""The log in one SQLite file: one machine, several processes, no broker.

WAL mode and one `BEGIN IMMEDIATE … COMMIT` for each transaction: readers never wait, never see
half of one, and no read outlives its statement. Who owns what is said by locks of the operating
system in `<path>.locks`; the epochs in the file fence whoever lost them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

from stream_al.port import WILD_MS, Outgoing, Owner, Position, Record
from stream_al_connectors import sqlite_records
from stream_al_connectors.locks import FileLock, GroupLocks
from stream_al_connectors.membership import Buffered, GroupMember, Place
from stream_al_connectors.sharing import (
    RETENTION_RECORDS_MAX,
    grown_topics,
    no_such_partition,
    no_such_record,
    placed,
    wall_clock_ms,
)
from stream_al_connectors.sqlite_file import Durability, SqliteFile, explained
from stream_al_connectors.sqlite_seat import SqliteSeat
from stream_al_connectors.sqlite_store import SqliteStore


class SqliteLog:
    """A log in one file, for many processes and threads of one machine.

    Parameters
    ----------
    path
        The file. Lock files lie in the folder `<path>.locks` beside it.
    topics
        Topic → number of partitions. Missing ones are created; a topic may grow, never shrink.
    durability
        `full`: a commit survives a power cut (some ms each). `normal`: a killed process only.
    clock
        Gives the record time, in milliseconds since 1970; read once per transaction.
    create
        Make the file and the topics when missing. Without it the log is used as it is.

    Raises
    ------
    ConfigurationError
        When a topic would shrink, or the file is missing and `create` is false.
    Gone
        When the file is no log.
    Ambiguous
        When it can't be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        topics: Mapping[str, int],
        durability: Durability = "full",
        clock: Callable[[], int] = wall_clock_ms,
        create: bool = True,
    ) -> None:
        self._file = SqliteFile(Path(path), durability=durability, create=create)
        self._store = SqliteStore(self._file, clock)
        self._members: list[GroupMember] = []
        self._claims: set[FileLock] = set()
        try:
            self._grow(topics, create=create)
        except BaseException:
            self._file.close()
            raise

    def _grow(self, topics: Mapping[str, int], *, create: bool) -> None:
        with self._file.connection() as connection:
            grown = grown_topics(sqlite_records.topics(connection), topics)
        if grown and create:
            with self._file.writing() as connection:
                sqlite_records.add_partitions(connection, grown)

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""
        return self._store.partition_count(topic)

    def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that is still there."""
        with self._file.connection() as connection:
            return sqlite_records.bounds(
                connection, self._store.stream(connection, topic, partition)
            )[0]

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record."""
        return self._store.end(topic, partition)

    def ends(self, topic: str) -> list[int]:
        """Return `end` of every partition in their order."""
        return [self.end(topic, partition) for partition in range(self.partition_count(topic))]

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        """Return up to `limit` committed records from `offset` on; they are here at once.

        Raises
        ------
        Gone
            When the records at `offset` were dropped.
        """
        del wait
        return self._store.read(topic, partition, offset, limit)

    def settled_ends(self, topic: str) -> list[int]:
        """Return `ends`: what is written is committed."""
        return self.ends(topic)

    def held_back(self, topic: str) -> dict[int, int]:
        """Return nothing: a transaction here is one step."""
        del topic
        return {}

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record not older than `timestamp_ms`, or the end."""
        with self._file.connection() as connection:
            stream = self._store.stream(connection, topic, partition)
            begin, end = sqlite_records.bounds(connection, stream)
            return sqlite_records.first_since(connection, stream, begin, end, timestamp_ms)

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition."""
        with self._file.connection() as connection:
            self._store.stream(connection, topic, partition)
            found = sqlite_records.committed(connection, group, (topic, partition))
        return found[0] if found else None

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records in one atomic step; return (partition, offset) of each."""
        with self._file.writing() as connection:
            counts = sqlite_records.topics(connection)
            if topic not in counts:
                raise no_such_partition(topic, 0, counts)
            streams = [self._store.stream(connection, topic, at) for at in range(counts[topic])]
            turn = sum(sqlite_records.bounds(connection, stream)[1] for stream in streams)
            buffered = Buffered(self._store.check)
            places = placed(records, counts[topic], turn)
            for partition, record in zip(places, records, strict=True):
                buffered.append(topic, partition, record.value, record.key)
            firsts = self._store.write(connection, buffered, self._store.clock())
        offsets = {place[1]: count(first) for place, first in firsts.items()}
        return [(partition, next(offsets[partition])) for partition in places]

    def join(self, group: str, topic: str, *, name: str) -> GroupMember:
        """Become a member of `group` for the partitions of `topic`."""
        self._store.check(topic, 0)
        member = GroupMember(topic, SqliteSeat(self._store, group, topic, name))
        self._members = [*(known for known in self._members if known.active), member]
        return member

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition: free is what nobody holds the lock of."""
        with explained(self._file.path):
            locks = self._file.locks.group(group, topic)
        partitions = range(self.partition_count(topic))
        return [self._owner(locks, group, (topic, partition)) for partition in partitions]

    def _owner(self, locks: GroupLocks, group: str, place: Place) -> Owner:
        with self._file.connection() as connection:
            found = sqlite_records.owner(connection, group, place)
            committed = sqlite_records.committed(connection, group, place)
            held = locks.is_owned(place[1])
        epoch, name, process = found or (0, None, None)
        return Owner(
            partition=place[1],
            member=name if held else None,
            process=process if held else None,
            epoch=epoch,
            committed_at_ms=committed[1] if committed else None,
        )

    def slots(self, group: str) -> set[str]:
        """Return nothing: a name here is a process's alone, and who takes it fences nobody."""
        del group
        return set()

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim that dies with this process; None when somebody else holds it."""
        with explained(self._file.path):
            lock = self._file.locks.claim(name)
        if lock is None:
            return None
        self._claims.add(lock)
        return self._claimed(lock)

    @contextmanager
    def _claimed(self, lock: FileLock) -> Iterator[None]:
        try:
            yield
        finally:
            lock.release(delete=True)
            self._claims.discard(lock)

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        """Drop a bounded number of old records of the topics in `keep_ms`; return how many.

        Never beyond the committed position of `groups[topic]`; without a group by time alone.
        """
        dropped = 0
        with self._file.writing() as connection:
            counts = sqlite_records.topics(connection)
            for topic, keep in keep_ms.items():
                for partition in range(counts.get(topic, 0)):
                    stream = self._store.stream(connection, topic, partition)
                    dropped += sqlite_records.drop(
                        connection,
                        (topic, partition),
                        stream,
                        (now_ms - keep, now_ms + WILD_MS),
                        groups.get(topic),
                        RETENTION_RECORDS_MAX - dropped,
                    )
        return dropped

    def rewrite(self, topic: str, partition: int, values: dict[int, bytes]) -> None:
        """Replace the values of records in place; what stood there is overwritten in the file.

        Raises
        ------
        ConfigurationError
            When one of the offsets has no record.
        Ambiguous
            When a reader keeps the old pages in use: it is done, run it again to clear them.
        """
        with self._file.writing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            stream = self._store.stream(connection, topic, partition)
            for offset, value in values.items():
                if not sqlite_records.rewrite(connection, stream, offset, value):
                    raise no_such_record(topic, partition, offset)
        self._file.clear_wal()

    def close(self) -> None:
        """Let all members leave and all claims go, and close the file."""
        for member in self._members:
            member.leave()
        for lock in list(self._claims):
            lock.release(delete=True)
        self._claims.clear()
        self._file.close()
