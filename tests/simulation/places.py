"""What a simulation does to each kind of log from outside: death, gaps, lost prefixes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from stream_al.config import Config
from stream_al.port import Log
from stream_al_connectors import MemoryLog, SqliteLog
from stream_al_connectors.memory_state import Stream
from stream_al_connectors.opening import topics_of
from stream_al_connectors.sharing import grown_topics


class Place(Protocol):
    """A log under simulation."""

    log: Log

    def expel(self, member: Any) -> None:
        """Let a member be dead, as when its process was killed."""

    def burn(self, topic: str, partition: int, count: int) -> None:
        """Use up offsets without records."""

    def compact(self, topic: str, begin: int) -> None:
        """Lose the records of partition 0 below `begin`."""

    def grow(self, topics: dict[str, int]) -> None:
        """Add partitions."""

    def close(self) -> None:
        """Release everything."""


class MemoryPlace:
    """The log in memory."""

    def __init__(self, config: Config, clock: Callable[[], int]) -> None:
        self.log = MemoryLog(topics=topics_of(config), clock=clock)

    def expel(self, member: Any) -> None:
        self.log.expel(member)

    def burn(self, topic: str, partition: int, count: int) -> None:
        self.log._state.burn((topic, partition), count)

    def compact(self, topic: str, begin: int) -> None:
        stream = self.log._state.stream(topic, 0)
        stream.begin = begin
        stream.records = [record for record in stream.records if record.offset >= begin]

    def grow(self, topics: dict[str, int]) -> None:
        state = self.log._state
        for topic, count in grown_topics(state.counts, topics).items():
            for partition in range(state.counts[topic], count):
                state.streams[topic, partition] = Stream()
            state.counts[topic] = count

    def close(self) -> None:
        self.log.close()


class SqlitePlace:
    """The log in a file. Locks of a dead member are let go as the operating system does."""

    def __init__(self, config: Config, clock: Callable[[], int], folder: Path) -> None:
        self._path = folder / "log.db"
        self._clock = clock
        self.log: Any = SqliteLog(
            self._path, topics=topics_of(config), durability="normal", clock=clock
        )

    def expel(self, member: Any) -> None:
        seat = member._seat
        for lock in (seat._life, *seat._partitions.values()):
            _let_go(lock)

    def burn(self, topic: str, partition: int, count: int) -> None:
        self._execute(
            "UPDATE streams SET end_offset = end_offset + ? WHERE topic = ? AND partition = ?",
            (count, topic, partition),
        )

    def compact(self, topic: str, begin: int) -> None:
        found = "SELECT id FROM streams WHERE topic = ? AND partition = 0"
        (stream,) = self._execute(found, (topic,))[0]
        low, high = stream << 40, (stream << 40) + begin
        self._execute("DELETE FROM records WHERE place >= ? AND place < ?", (low, high))
        self._execute("UPDATE streams SET begin_offset = ? WHERE id = ?", (begin, stream))

    def grow(self, topics: dict[str, int]) -> None:
        SqliteLog(self._path, topics=topics, durability="normal", clock=self._clock).close()

    def close(self) -> None:
        self.log.close()

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        connection = sqlite3.connect(self._path)
        try:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
        finally:
            connection.close()
        return rows


def _let_go(lock: Any) -> None:
    """Close the lock's file behind the owner's back: it still believes that it holds it."""
    if lock._descriptor is not None:
        os.close(lock._descriptor)
        lock._descriptor = None


def place_of(kind: str, config: Config, clock: Callable[[], int], folder: Path | None) -> Place:
    """Return an empty log of a kind: `memory`, or `sqlite` in `folder`."""
    if kind == "memory":
        return MemoryPlace(config, clock)
    assert folder is not None, "a file needs a folder"
    return SqlitePlace(config, clock, folder)


def look_at_once(member: Any) -> None:
    """Let a member look around at every poll: no real time may pace it."""
    seat = getattr(getattr(member, "inner", member), "_seat", None)
    if seat is not None:  # a broker's members are told by it
        seat.probe_every_s = 0.0
