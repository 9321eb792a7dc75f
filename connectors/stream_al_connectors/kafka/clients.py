"""What the connector needs of a client of Kafka, in our words: one that reads, one that writes.

Rules A to F of exactly once, rewinds, deadlines, parking and the watch are written once, over these
two; `pure.py` (kafka-python) and `fast.py` (librdkafka) carry them out. Every failure comes out as
a `ClientError`. No client starts to read by itself: nothing flows from a place before `read_from`.
What brokers are only asked is no matter of transport: see `asking.py` and `groups.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from stream_al.port import Headers, Outgoing, Position, Record

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Reader(Protocol):
    """Reads the committed records of places."""

    def read_from(self, place: Place, offset: int) -> None:
        """Read `place` from `offset` on, whatever was read of it before."""

    def stop(self, place: Place) -> None:
        """Read `place` no further; what was fetched of it and not polled is forgotten."""

    def poll(self, timeout_s: float, limit: int) -> Mapping[Place, Sequence[Record]]:
        """Return up to `limit` records, at once when there are any, else after `timeout_s`.

        Raises
        ------
        OutOfRange
            When there is no record at the position of a place, nor was it about to come.
        """

    def position(self, place: Place) -> int | None:
        """Return the next offset to poll, behind markers and aborted records; None: not read."""

    def high_watermark(self, place: Place) -> int | None:
        """Return the end of `place`, open transactions and all, as of its last fetch."""

    def close(self) -> None:
        """Stop; a member of a group says nothing to it, since its identity stays."""


@contextmanager
def closed_unless_done(close: Callable[[], object]) -> Iterator[None]:
    """Release a client that a constructor, which fails in this block, can't give to anybody."""
    with ExitStack() as opened:
        opened.callback(close)
        yield
        opened.pop_all()


def held_back(reader: Reader, ends: Mapping[Place, int]) -> dict[int, int]:
    """Return partition → offsets between its last stable one, in `ends`, and its high watermark.

    The latter is as of the last fetch, which costs nothing.
    """
    found = {}
    for place, end in ends.items():
        high = reader.high_watermark(place)
        found[place[1]] = max(0, high - end) if high is not None else 0
    return found


class GroupReader(Reader, Protocol):
    """Reads what a group deals out to one of its members, the slot of a worker.

    Everything is taken back before anything is dealt out anew (`range`, eager), and both only
    inside `poll`.
    """

    def owned(self) -> set[int]:
        """Return the partitions that are this member's since the last `poll`."""

    def came(self) -> set[int]:
        """Return the partitions that were dealt out since the last call; they are silent."""

    def membership(self) -> Any | None:
        """Return what fences a transaction with the records of the last `poll`.

        It is of the round of dealing out in which those partitions came, never a later one. None
        while partitions are dealt out, or when the group goes on without this member.
        """

    def member_id(self) -> str | None:
        """Return the coordinator's name for this member; None where there is no membership."""


class Writer(Protocol):
    """Writes each record once; with an identity in transactions, one at a time.

    Others hear of added partitions first, and a client refuses what it has not heard of: so both
    ways of writing wait until it has. What bounds that is the caller's deadline.
    """

    def append(
        self, topic: str, records: Sequence[Outgoing], timestamp_ms: int, *, partitions: int
    ) -> list[tuple[int, int]]:
        """Write records to a topic of so many partitions, outside of transactions.

        Returns
        -------
        list
            (partition, offset) of each record.

        A key without a partition takes that which Java's client would: the same by every transport.
        """

    def begin(self, places: Iterable[Place]) -> None:
        """Begin a transaction of records at `places`."""

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None,
        timestamp_ms: int,
        headers: Headers = (),
    ) -> None:
        """Add a record to the transaction; it may fail as late as in `commit`."""

    def send_positions(self, positions: Mapping[Place, Position], membership: Any) -> None:
        """Add positions of the group of `membership`.

        Raises
        ------
        ClientError
            Of doubt `MOVED`, here or in `commit`, when the group is not as `membership` says.
        """

    def flush(self) -> None:
        """Wait until the brokers have every record of the transaction."""

    def commit(self) -> None:
        """Make everything visible; returns when it is."""

    def abort(self) -> None:
        """Make nothing visible. The writer is good for nothing after it."""

    def close(self) -> None:
        """Release everything."""


class Transport(Protocol):
    """Makes clients of one kind."""

    def reader(self) -> Reader:
        """Return a reader of any place."""

    def member(self, group: str, instance: str, topic: str) -> GroupReader:
        """Join a group as `instance`, which stays the same over restarts."""

    def writer(self, identity: str | None = None) -> Writer:
        """Return a writer; an identity fences whoever had it, and aborts what they left open."""
