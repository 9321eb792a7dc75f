"""What a log in memory holds: records, positions, owners; one class, changed in one place.

Nothing here locks: whoever calls holds `MemoryState.changed`.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream_al.errors import Fenced, Gone
from stream_al.port import Owner, Position, Record
from stream_al_connectors.membership import Buffered, Place
from stream_al_connectors.sharing import (
    READ_BYTES_MAX,
    below_begin,
    grown_topics,
    no_such_partition,
    no_such_record,
)

Group = tuple[str, str]
"""A group and the topic that its members share."""


@dataclass(slots=True)
class Stream:
    """One partition: records with growing offsets in [begin, end); offsets may have gaps."""

    begin: int = 0
    end: int = 0
    records: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Ownership:
    """Who owns a partition: nobody when `number` is None; `epoch` grows with every owner."""

    epoch: int = 0
    number: int | None = None


class MemoryState:
    """All of a log in memory.

    Attributes
    ----------
    changed
        The one lock; notified after every commit.
    counts
        Topic → number of partitions.
    streams
        Place → its records; one for every partition of `counts`.
    positions
        (group, topic, partition) → position and when it was committed, in ms.
    owners
        (group, topic, partition) → who owns it; absent when nobody ever did.
    live
        Group → number → name of the members that joined and did neither leave nor die.
    joined_count
        Members ever joined: the last number given.
    claims
        Names claimed now.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.counts = grown_topics({}, topics)
        self.streams: dict[Place, Stream] = {
            (topic, partition): Stream()
            for topic, partitions in self.counts.items()
            for partition in range(partitions)
        }
        self.positions: dict[tuple[str, str, int], tuple[Position, int]] = {}
        self.owners: dict[tuple[str, str, int], Ownership] = {}
        self.live: dict[Group, dict[int, str]] = {}
        self.joined_count = 0
        self.claims: set[str] = set()

    def stream(self, topic: str, partition: int) -> Stream:
        """Return one partition, or raise ConfigurationError."""
        stream = self.streams.get((topic, partition))
        if stream is None:
            raise no_such_partition(topic, partition, self.counts)
        return stream

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Record]:
        """Return up to `limit` records and about `READ_BYTES_MAX` bytes from `offset` on."""
        stream = self.stream(topic, partition)
        if offset < stream.begin:
            raise Gone(below_begin(topic, partition, offset, stream.begin))
        first = bisect_left(stream.records, offset, key=lambda record: record.offset)
        found: list[Record] = []
        bytes_read = 0
        for record in stream.records[first : first + limit]:
            found.append(record)
            bytes_read += len(record.value)
            if bytes_read >= READ_BYTES_MAX:
                break
        return found

    def extend(
        self, place: Place, rows: Iterable[tuple[bytes | None, bytes]], now_ms: int
    ) -> range:
        """Append keys and values to a partition; return their offsets."""
        stream = self.stream(*place)
        first = stream.end
        for key, value in rows:
            stream.records.append(Record(place[1], stream.end, now_ms, key, value))
            stream.end += 1
        return range(first, stream.end)

    def rewrite(self, place: Place, values: Mapping[int, bytes]) -> None:
        """Replace values of records; all of them or none."""
        stream = self.stream(*place)
        indexes = {record.offset: index for index, record in enumerate(stream.records)}
        for offset in values:
            if offset not in indexes:
                raise no_such_record(*place, offset)
        for offset, value in values.items():
            index = indexes[offset]
            stream.records[index] = stream.records[index]._replace(value=value)

    def burn(self, place: Place, count: int) -> None:
        """Use up `count` offsets without a record, as the control records of a broker do."""
        self.stream(*place).end += count

    def commit(
        self, group: Group, number: int, buffered: Buffered, epochs: Mapping[int, int], now_ms: int
    ) -> None:
        """Write a member's transaction, when `epochs` are in force and its own."""
        for partition, epoch in epochs.items():
            if self.owners[*group, partition] != Ownership(epoch, number):
                raise Fenced(f"{group[1]!r} partition {partition}: another member took it over")
        for place, (keys, values) in buffered.records.items():
            self.extend(place, zip(keys, values, strict=True), now_ms)
        for place, position in buffered.positions.items():
            self.positions[group[0], *place] = (position, now_ms)
        self.changed.notify_all()

    def join(self, group: Group, name: str) -> int:
        """Return the number of a new member."""
        self.joined_count += 1
        self.live.setdefault(group, {})[self.joined_count] = name
        return self.joined_count

    def take(self, group: Group, partition: int, number: int) -> int | None:
        """Return the new epoch of a partition that was free, else None."""
        owner = self.owners.setdefault((*group, partition), Ownership())
        if owner.number is not None:
            return None
        owner.epoch += 1
        owner.number = number
        return owner.epoch

    def free(self, group: Group, partition: int, number: int) -> None:
        """Free a partition when `number` owns it."""
        owner = self.owners[*group, partition]
        if owner.number == number:
            owner.number = None

    def forget(self, number: int) -> None:
        """Let a member be dead: what it owned is free, what it commits from now on is fenced."""
        for members in self.live.values():
            members.pop(number, None)
        for owner in self.owners.values():
            if owner.number == number:
                owner.number = None
        self.changed.notify_all()

    def owner(self, group: Group, partition: int) -> Owner:
        """Return who owns a partition."""
        owner = self.owners.get((*group, partition), Ownership())
        committed = self.positions.get((*group, partition))
        return Owner(
            partition=partition,
            member=None if owner.number is None else self.live[group][owner.number],
            process=None if owner.number is None else os.getpid(),
            epoch=owner.epoch,
            committed_at_ms=committed[1] if committed else None,
        )

    def drop(self, place: Place, fresh: tuple[int, int], group: str | None, limit: int) -> int:
        """Drop up to `limit` records that `group` has read, to the last one older than `fresh`.

        A record whose time lies in `fresh` ends it, both bounds included.
        """
        stream = self.stream(*place)
        bound = stream.end
        if group is not None:
            committed = self.positions.get((group, *place))
            bound = committed[0].offset if committed else 0
        count = 0
        for index, record in enumerate(stream.records):
            if record.offset >= bound or fresh[0] <= record.timestamp_ms <= fresh[1]:
                break
            if record.timestamp_ms < fresh[0]:
                count = index + 1
        count = min(count, limit)
        if count:
            stream.begin = stream.records[count - 1].offset + 1
            del stream.records[:count]
        return count
