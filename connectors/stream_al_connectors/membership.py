"""How a member lives: claims its fair share, reads it in turns, commits what it owns.

One recurrence for every log of ours. What differs (locks, epochs, storage) is behind `Seat`.
Members are numbered in the order in which they joined, so that a newcomer moves no partition but
the surplus. No clock decides who owns what; the monotonic clock only paces the looking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from stream_al.errors import Fenced
from stream_al.port import Batch, Headers, Position, Record, Transaction
from stream_al_connectors.sharing import checked_position, fair_share

WAIT_S_MAX = 0.05
"""A waiting member looks around at least so often: an owner that died is soon replaced."""

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Buffered:
    """A transaction that gathers everything and writes at its end.

    Attributes
    ----------
    records
        Place → keys and values in their order, two lists of one length.
    headers
        Place → index among its records → headers, of the few records that have any.
    positions
        Place → the position to commit; the last one said counts.
    """

    def __init__(self, check: Callable[[str, int], object]) -> None:
        self._check = check
        self.records: dict[Place, tuple[list[bytes | None], list[bytes]]] = {}
        self.headers: dict[Place, dict[int, Headers]] = {}
        self.positions: dict[Place, Position] = {}

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Add a record at the end of a partition."""
        place = (topic, partition)
        if place not in self.records:
            self._check(topic, partition)
            self.records[place] = ([], [])
        keys, values = self.records[place]
        if headers:
            self.headers.setdefault(place, {})[len(values)] = headers
        keys.append(key)
        values.append(value)

    def commit_position(self, topic: str, partition: int, position: Position) -> None:
        """Set the group's committed position of a partition."""
        self._check(topic, partition)
        self.positions[topic, partition] = checked_position(position)


class Seat(Protocol):
    """What a log gives one member of a group.

    Attributes
    ----------
    number
        In the order of joining, unique in the group for ever.
    probe_every_s
        How often looking around is worth its cost.
    """

    number: int
    probe_every_s: float

    def partition_count(self) -> int:
        """Return how many partitions the topic has now."""

    def live(self) -> Sequence[int]:
        """Return the numbers of the members that live; without `number`: the seat was lost."""

    def claim(self, partition: int) -> int | None:
        """Take a free partition and return its new epoch; None when it is not free."""

    def release(self, partition: int) -> None:
        """Give a partition back."""

    def read(self, partition: int, offset: int, limit: int) -> list[Record]:
        """Return up to `limit` committed records from `offset` on."""

    def end(self, partition: int) -> int:
        """Return the offset after the last committed record."""

    def check(self, topic: str, partition: int) -> None:
        """Raise ConfigurationError when there is no such partition."""

    def commit(self, buffered: Buffered, epochs: Mapping[int, int]) -> None:
        """Write everything or nothing; Fenced when one of `epochs` is no longer in force."""

    def wait(self, timeout_s: float) -> None:
        """Return when something was committed since the last call, or after `timeout_s`."""

    def leave(self) -> None:
        """Stop being a live member; every partition was released before."""


class GroupMember:
    """One worker's membership in a group, over the seat that a log gave it.

    Attributes
    ----------
    _epochs
        Owned partition → the epoch under which it was claimed.
    _offsets
        Owned partition → the next offset to read; only those that were sought.
    _turn
        Counts polls: the partition to begin with moves on, so that none starves.
    _looked_at
        When membership was last looked at, monotonic seconds.
    _left
        Whether `leave` was called; nothing is owned then, and never again.
    """

    def __init__(self, topic: str, seat: Seat) -> None:
        self._topic = topic
        self._seat = seat
        self._epochs: dict[int, int] = {}
        self._offsets: dict[int, int] = {}
        self._turn = 0
        self._looked_at = float("-inf")
        self._left = False

    def batch_max(self, limit: int) -> int:
        """Return `limit`: what is on this machine is written at once."""
        return limit

    @property
    def number(self) -> int:
        """The member's number, in the order of joining."""
        return self._seat.number

    @property
    def active(self) -> bool:
        """Whether `leave` was not called yet."""
        return not self._left

    @property
    def owned(self) -> Sequence[int]:
        """The partitions owned now, after the last `poll`."""
        return tuple(sorted(self._epochs))

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        """Return up to `limit` records of owned partitions; waits at most `timeout_s` for any.

        Raises
        ------
        Fenced
            When this member left, or its seat was taken away.
        Gone
            When the records at a sought offset were dropped.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            assigned, revoked = self._look_around()
            records = self._read_in_turns(limit)
            left_s = deadline - time.monotonic()
            if records or assigned or revoked or left_s <= 0:
                return Batch(records, assigned, revoked)
            self._seat.wait(min(left_s, WAIT_S_MAX))

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on.

        Raises
        ------
        Fenced
            When the partition is not owned.
        """
        if partition not in self._epochs:
            raise Fenced(self._not_owned(partition))
        self._offsets[partition] = offset

    def lag(self) -> dict[int, int]:
        """Return partition → how far its end is from what was polled; 0 with no record between."""
        return {
            partition: self._seat.end(partition) - offset
            if self._seat.read(partition, offset, 1)
            else 0
            for partition, offset in self._offsets.items()
        }

    def held_back(self) -> dict[int, int]:
        """Return nothing: a transaction here is one step."""
        return {}

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit on a clean exit, abort on an exception; see `stream_al.port.Member`."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        buffered = Buffered(self._seat.check)
        yield buffered
        if buffered.records or buffered.positions:
            self._seat.commit(buffered, self._epochs_needed(buffered))

    def leave(self) -> None:
        """Give everything back at once; a second call does nothing."""
        if self._left:
            return
        self._left = True
        for partition in list(self._epochs):
            self._release(partition)
        self._seat.leave()

    def _epochs_needed(self, buffered: Buffered) -> dict[int, int]:
        """Return the epochs that must be in force for this transaction to count.

        Those of the own partitions that it commits; for anything else all that are owned, at least
        one: only an owner acts, a standby never.
        """
        own = [partition for topic, partition in buffered.positions if topic == self._topic]
        for partition in own:
            if partition not in self._epochs:
                raise Fenced(self._not_owned(partition))
        if not self._epochs:
            raise Fenced(f"{self._topic!r}: this member owns no partition, so it commits nothing")
        return {partition: self._epochs[partition] for partition in own or self._epochs}

    def _look_around(self) -> tuple[list[int], list[int]]:
        """Return the partitions assigned and revoked by looking at who lives."""
        if self._left:
            raise Fenced(f"{self._topic!r}: this member has left its group")
        now = time.monotonic()
        if now - self._looked_at < self._seat.probe_every_s:
            return [], []
        self._looked_at = now
        live = self._seat.live()
        if self._seat.number not in live:
            raise Fenced(f"{self._topic!r}: the lock of this member was taken away; restart it")
        partitions = self._seat.partition_count()
        share = fair_share(partitions, live, self._seat.number)
        revoked = sorted(self._epochs)[share:]
        for partition in revoked:
            self._release(partition)
        return self._claim_up_to(share, partitions), revoked

    def _claim_up_to(self, share: int, partitions: int) -> list[int]:
        assigned: list[int] = []
        for partition in range(partitions):
            if len(self._epochs) >= share:
                break
            if partition in self._epochs:
                continue
            epoch = self._seat.claim(partition)
            if epoch is not None:
                self._epochs[partition] = epoch
                assigned.append(partition)
        return assigned

    def _release(self, partition: int) -> None:
        del self._epochs[partition]
        self._offsets.pop(partition, None)
        self._seat.release(partition)

    def _read_in_turns(self, limit: int) -> list[Record]:
        """Return up to `limit` records; partitions share them, and take what others leave."""
        order = sorted(self._offsets)
        if not order:
            return []
        self._turn += 1
        start = self._turn % len(order)
        order = order[start:] + order[:start]
        records: list[Record] = []
        while order and len(records) < limit:
            order = self._read_round(order, limit, records)
        return records

    def _read_round(self, order: list[int], limit: int, records: list[Record]) -> list[int]:
        """Read each partition's share into `records`; return those that may hold more."""
        unfinished: list[int] = []
        for index, partition in enumerate(order):
            share = -(-(limit - len(records)) // (len(order) - index))
            if share < 1:
                break
            found = self._seat.read(partition, self._offsets[partition], share)
            if found:
                records.extend(found)
                self._offsets[partition] = found[-1].offset + 1
            if len(found) == share:
                unfinished.append(partition)
        return unfinished

    def _not_owned(self, partition: int) -> str:
        return f"{self._topic!r} partition {partition} is not owned by this member"
