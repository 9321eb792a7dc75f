"""The log port: the only way in which loops and commands touch a log.

Three implementations promise the same: SQLite (one machine), memory (tests) and Kafka. Semantics
pinned here are held by one contract suite, `tests/contracts/test_log.py`:

* A topic has partitions; a partition is a sequence of records with growing offsets. Offsets may
  have gaps: "caught up" is ``position >= end`` taken before, never "last offset + 1".
* Readers see committed records only, and a transaction's records and positions become visible
  together: at its exit, or over a network a moment after it.
* A *member* of a group owns partitions of one topic. `poll` tells which were assigned and revoked;
  records of a newly assigned partition flow only after `seek`.
* A transaction belongs to one member: it is refused with `Fenced` when the member lost what it
  commits for. After any exception inside it nothing of it is visible.
* `Rewound` is a `Fenced` of one transaction only: the next `poll` takes everything away and gives
  what is still owned again, and the loop goes on from what is committed.
* The members of a group on the journal's only partition elect its owner in this way; the owner may
  commit positions of partitions of other topics in the name of that ownership.
* Headers are for other programs that read a topic. A log that has none drops them, and nothing here
  reads them: what we need ourselves is in the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

METADATA_BYTES_MAX = 4095
"""Of UTF-8, without a zero: what a broker keeps with a position unless it is told otherwise, less
the zero that librdkafka's callers write behind it."""


WILD_MS = 86_400_000
"""A record of a time so far after now, ms, has it from a clock that was wrong."""


Headers = Sequence[tuple[str, bytes]]
"""Names and values beside a record's value, in their order."""


class Record(NamedTuple):
    """One record as it lies in a log; `timestamp_ms` is the record time that the log gave.

    A tuple, since one is made for every record read: a third of a frozen dataclass's cost.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to append; without a partition the key's hash decides, without a key turns."""

    value: bytes
    key: bytes | None = None
    partition: int | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Position:
    """A committed position: the next offset to read, and a short text committed with it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought."""

    records: Sequence[Record]
    assigned: Sequence[int] = ()
    revoked: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a partition for a group, for `status`: free when `member` is None.

    `committed_at_ms` is None where nothing was committed yet, and on logs that keep no such times
    (Kafka).
    """

    partition: int
    member: str | None
    process: int | None
    epoch: int
    committed_at_ms: int | None


class Transaction(Protocol):
    """Records and positions that become visible together, or not at all."""

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        """Add a record at the end of a partition."""

    def commit_position(self, topic: str, partition: int, position: Position) -> None:
        """Set the group's committed position of a partition.

        The partition is owned by the member, or belongs to another topic than the member's.
        """


class Member(Protocol):
    """One worker's membership in a group; the partitions that it owns are its own until revoked."""

    @property
    def owned(self) -> Sequence[int]:
        """The partitions owned now, after the last `poll`."""

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        """Return up to `limit` records of owned partitions; waits at most `timeout_s` for any.

        Also claims free partitions up to the member's fair share and gives surplus back.
        """

    def batch_max(self, limit: int) -> int:
        """Return how many of up to `limit` inputs one transaction may answer now.

        Fewer where a network is slow: a transaction that takes too long is given up.
        """

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on."""

    def lag(self) -> dict[int, int]:
        """Return partition → how far its end is from what was polled; 0 with no record between."""

    def held_back(self) -> dict[int, int]:
        """Return partition → offsets beyond its end that open transactions hold; see `Log`."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit on a clean exit, abort on an exception.

        Raises
        ------
        Fenced
            At the exit, when this member does not own what it commits for any more; `Rewound` when
            only this transaction does not count.
        """

    def leave(self) -> None:
        """Give everything back at once."""


class Log(Protocol):
    """A log with topics."""

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""

    def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that is still there."""

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record."""

    def ends(self, topic: str) -> list[int]:
        """Return `end` of every partition in their order, at the price of one."""

    def settled_ends(self, topic: str) -> list[int]:
        """Return ends of every partition with everything below that was written before this call.

        Over a network a transaction may be committed, and seen in one partition, while another one
        holds it back behind somebody's open transaction: this waits until that is over.

        Raises
        ------
        Ambiguous
            When it goes on for longer than a client's transaction usually may.
        """

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        """Return up to `limit` committed records from `offset` on.

        Nothing means that there is nothing; without `wait`, that nothing has come here yet: for
        loops that look again and again, since a network takes its time.
        """

    def held_back(self, topic: str) -> dict[int, int]:
        """Return partition → offsets beyond its end that open transactions hold, where it is read.

        Nothing where writing is one step; elsewhere a writer that died holds back its neighbours.
        """

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record not older than `timestamp_ms`, or the end."""

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition."""

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records; return (partition, offset) of each.

        In one atomic step where the log is on this machine. Over a network a failure may leave a
        part of them, and is `Ambiguous`; without one each is there once.
        """

    def join(self, group: str, topic: str, *, name: str) -> Member:
        """Become a member of `group` for the partitions of `topic`."""

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition, as well as can be seen from outside."""

    def slots(self, group: str) -> set[str]:
        """Return the names that members of `group` keep over restarts; none where they don't."""

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim that dies with this process; None when somebody else holds it.

        Seen by the processes of this machine only, on Kafka by those of the same user.
        """

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        """Drop a bounded number of old records of the topics in `keep_ms`; return how many.

        Never beyond the committed position of `groups[topic]`; a topic that is not named keeps all.
        `now_ms` is the caller's time, not the log's clock. A record whose time lies more than
        `WILD_MS` after it was written by a wrong clock: it goes with an old one behind it.
        """

    def rewrite(self, topic: str, partition: int, values: dict[int, bytes]) -> None:
        """Replace the values of records in place, and leave no trace of the old ones in the log.

        For blanking a person's data, and for nothing else: every reader sees another history.
        Without values it changes nothing: it asks whether this log can, and clears the traces that
        an earlier run left.

        Raises
        ------
        ConfigurationError
            When one of the offsets has no record, or this log can't rewrite.
        """

    def close(self) -> None:
        """Release every resource; members leave."""
