"""What the log and its members do alike in one SQLite file: find, read and write partitions."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

from stream_al.port import Record
from stream_al_connectors import sqlite_records
from stream_al_connectors.membership import Buffered, Place
from stream_al_connectors.sharing import no_such_partition
from stream_al_connectors.sqlite_file import SqliteFile


class SqliteStore:
    """A log file, the clock that stamps its records, and where its partitions are.

    Attributes
    ----------
    _streams
        Place → number in the file. Partitions are never deleted, so what was found stays true.
    """

    def __init__(self, file: SqliteFile, clock: Callable[[], int]) -> None:
        self.file = file
        self.clock = clock
        self._streams: dict[Place, int] = {}

    def stream(self, connection: Connection, topic: str, partition: int) -> int:
        """Return the number of a partition; ConfigurationError when there is none."""
        place = (topic, partition)
        known = self._streams.get(place)
        if known is None:
            known = sqlite_records.stream_id(connection, topic, partition)
            if known is None:
                raise no_such_partition(topic, partition, sqlite_records.topics(connection))
            self._streams[place] = known
        return known

    def check(self, topic: str, partition: int) -> None:
        """Raise ConfigurationError when there is no such partition."""
        if (topic, partition) not in self._streams:
            with self.file.connection() as connection:
                self.stream(connection, topic, partition)

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""
        with self.file.connection() as connection:
            return sqlite_records.topics(connection).get(topic, 0)

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record."""
        with self.file.connection() as connection:
            return sqlite_records.bounds(connection, self.stream(connection, topic, partition))[1]

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        """Return up to `limit` committed records from `offset` on."""
        with self.file.connection() as connection:
            stream = self.stream(connection, topic, partition)
            return sqlite_records.read(connection, (topic, partition), stream, offset, limit)

    def write(self, connection: Connection, buffered: Buffered, now_ms: int) -> dict[Place, int]:
        """Write the records of a transaction; return the first offset at each place."""
        return {
            place: sqlite_records.append(
                connection, self.stream(connection, *place), keys, values, now_ms
            )
            for place, (keys, values) in buffered.records.items()
        }
