"""The log in memory: the same promises as the others, for tests and for runs that may be lost.

Several members in one process share one `MemoryLog`. One lock guards everything; a transaction is
written under it as a whole, so nobody sees half of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from stream_al.port import WILD_MS, Outgoing, Owner, Position, Record
from stream_al_connectors.membership import Buffered, GroupMember
from stream_al_connectors.memory_state import Group, MemoryState
from stream_al_connectors.sharing import (
    RETENTION_RECORDS_MAX,
    no_such_partition,
    placed,
    wall_clock_ms,
)


class MemoryLog:
    """A log that lives as long as this object.

    Parameters
    ----------
    topics
        Topic → number of partitions, 1 or more.
    clock
        Gives the record time, in milliseconds since 1970; read once per transaction.
    """

    def __init__(
        self, *, topics: Mapping[str, int], clock: Callable[[], int] = wall_clock_ms
    ) -> None:
        self._state = MemoryState(topics)
        self._clock = clock
        self._members: list[GroupMember] = []

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""
        return self._state.counts.get(topic, 0)

    def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that is still there."""
        with self._state.changed:
            return self._state.stream(topic, partition).begin

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record."""
        with self._state.changed:
            return self._state.stream(topic, partition).end

    def ends(self, topic: str) -> list[int]:
        """Return `end` of every partition in their order."""
        return [self.end(topic, partition) for partition in range(self.partition_count(topic))]

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        """Return up to `limit` committed records from `offset` on; they are here at once."""
        del wait
        with self._state.changed:
            return self._state.read(topic, partition, offset, limit)

    def settled_ends(self, topic: str) -> list[int]:
        """Return `ends`: what is written is committed."""
        return self.ends(topic)

    def held_back(self, topic: str) -> dict[int, int]:
        """Return nothing: a transaction here is one step."""
        del topic
        return {}

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record not older than `timestamp_ms`, or the end."""
        with self._state.changed:
            stream = self._state.stream(topic, partition)
            younger = (r.offset for r in stream.records if r.timestamp_ms >= timestamp_ms)
            return next(younger, stream.end)

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition."""
        with self._state.changed:
            self._state.stream(topic, partition)
            found = self._state.positions.get((group, topic, partition))
        return found[0] if found else None

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records in one atomic step; return (partition, offset) of each."""
        state = self._state
        with state.changed:
            partitions = self.partition_count(topic)
            if not partitions:
                raise no_such_partition(topic, 0, state.counts)
            turn = sum(self.end(topic, partition) for partition in range(partitions))
            places = placed(records, partitions, turn)
            for partition in set(places):
                state.stream(topic, partition)
            now_ms = self._clock()
            appended = [
                (partition, state.extend((topic, partition), [(it.key, it.value)], now_ms)[0])
                for partition, it in zip(places, records, strict=True)
            ]
            state.changed.notify_all()
        return appended

    def join(self, group: str, topic: str, *, name: str) -> GroupMember:
        """Become a member of `group` for the partitions of `topic`."""
        with self._state.changed:
            self._state.stream(topic, 0)
            number = self._state.join((group, topic), name)
        seat = _MemorySeat(self._state, self._clock, (group, topic), number)
        member = GroupMember(topic, seat)
        self._members = [*(known for known in self._members if known.active), member]
        return member

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition."""
        with self._state.changed:
            return [
                self._state.owner((group, topic), partition)
                for partition in range(self.partition_count(topic))
            ]

    def slots(self, group: str) -> set[str]:
        """Return nothing: a name here is a member's alone, and who takes it fences nobody."""
        del group
        return set()

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim; None when somebody else holds it."""
        with self._state.changed:
            if name in self._state.claims:
                return None
            self._state.claims.add(name)
        return self._claimed(name)

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        try:
            yield
        finally:
            with self._state.changed:
                self._state.claims.discard(name)

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        """Drop a bounded number of old records of the topics in `keep_ms`; return how many.

        Never beyond the committed position of `groups[topic]`; without a group by time alone.
        """
        dropped = 0
        with self._state.changed:
            for topic, keep in keep_ms.items():
                for partition in range(self.partition_count(topic)):
                    left = RETENTION_RECORDS_MAX - dropped
                    place = (topic, partition)
                    fresh = (now_ms - keep, now_ms + WILD_MS)
                    dropped += self._state.drop(place, fresh, groups.get(topic), left)
        return dropped

    def rewrite(self, topic: str, partition: int, values: dict[int, bytes]) -> None:
        """Replace the values of records in place."""
        with self._state.changed:
            self._state.rewrite((topic, partition), values)

    def expel(self, member: GroupMember) -> None:
        """Treat a member as dead: what it owned is free, what it still commits is fenced."""
        with self._state.changed:
            self._state.forget(member.number)

    def close(self) -> None:
        """Let all members leave."""
        for member in self._members:
            member.leave()


class _MemorySeat:
    """One member's place in a group; see `stream_al_connectors.membership.Seat`."""

    probe_every_s = 0.0

    def __init__(
        self, state: MemoryState, clock: Callable[[], int], group: Group, number: int
    ) -> None:
        self.number = number
        self._state = state
        self._clock = clock
        self._group = group
        self._topic = group[1]

    def partition_count(self) -> int:
        return self._state.counts[self._topic]

    def live(self) -> Sequence[int]:
        with self._state.changed:
            return list(self._state.live[self._group])

    def claim(self, partition: int) -> int | None:
        with self._state.changed:
            return self._state.take(self._group, partition, self.number)

    def release(self, partition: int) -> None:
        with self._state.changed:
            self._state.free(self._group, partition, self.number)

    def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        with self._state.changed:
            return self._state.read(self._topic, partition, offset, limit)

    def end(self, partition: int) -> int:
        with self._state.changed:
            return self._state.stream(self._topic, partition).end

    def check(self, topic: str, partition: int) -> None:
        self._state.stream(topic, partition)

    def commit(self, buffered: Buffered, epochs: Mapping[int, int]) -> None:
        with self._state.changed:
            self._state.commit(self._group, self.number, buffered, epochs, self._clock())

    def wait(self, timeout_s: float) -> None:
        with self._state.changed:
            self._state.changed.wait(timeout_s)

    def leave(self) -> None:
        with self._state.changed:
            self._state.forget(self.number)
