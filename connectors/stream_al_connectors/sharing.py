"""Rules that every log of ours shares: which partition a record takes, who owns how many.

Pure functions; the wall clock, which logs take as their default, is the one exception.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import count
from zlib import crc32

from stream_al.errors import ConfigurationError
from stream_al.port import METADATA_BYTES_MAX, Outgoing, Position

READ_BYTES_MAX = 16 * 1024 * 1024
"""One read returns no more than this many bytes of values, and always one record at least."""

RETENTION_RECORDS_MAX = 10_000
"""One call of `enforce_retention` drops no more records, so that it never blocks writers long."""


def wall_clock_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def fair_share(partitions: int, members: Sequence[int], member: int) -> int:
    """Return how many partitions `member` should own: the oldest members take the remainder.

    Parameters
    ----------
    partitions
        How many there are, 0 or more.
    members
        Numbers of the live members; a lower number joined earlier.
    member
        One of `members`.

    Examples
    --------
    >>> [fair_share(4, [7, 9, 3], member) for member in (3, 7, 9)]
    [2, 1, 1]
    >>> [fair_share(1, [1, 2], member) for member in (1, 2)]
    [1, 0]
    """
    each, rest = divmod(partitions, len(members))
    return each + (sorted(members).index(member) < rest)


def placed(records: Sequence[Outgoing], partitions: int, turn: int) -> list[int]:
    """Return the partition of each record: its own, else its key's hash, else the next in turn.

    Parameters
    ----------
    records
        What is appended.
    partitions
        How many the topic has, 1 or more.
    turn
        Records in the topic so far: where taking turns goes on.

    Examples
    --------
    >>> placed([Outgoing(b""), Outgoing(b""), Outgoing(b"", partition=0)], 2, 5)
    [1, 0, 0]
    >>> placed([Outgoing(b"", key=b"a")] * 2, 8, 0)
    [3, 3]
    """
    turns = count(turn)
    return [_placed_one(record, partitions, turns) for record in records]


def _placed_one(record: Outgoing, partitions: int, turns: count[int]) -> int:
    if record.partition is not None:
        return record.partition
    if record.key is not None:
        return crc32(record.key) % partitions
    return next(turns) % partitions


def checked_position(position: Position) -> Position:
    """Return `position` when a log can keep it.

    Raises
    ------
    ConfigurationError
        When its metadata is longer than `METADATA_BYTES_MAX` or has a zero, or its offset is
        negative.

    Examples
    --------
    >>> checked_position(Position(3, "state"))
    Position(offset=3, metadata='state')
    """
    length = len(position.metadata.encode())
    if length > METADATA_BYTES_MAX:
        raise ConfigurationError(
            f"metadata: {length} bytes are more than the {METADATA_BYTES_MAX} "
            "that a position carries; keep less state beside it"
        )
    if "\0" in position.metadata:
        raise ConfigurationError("metadata: a zero would end it for some clients; leave it out")
    if position.offset < 0:
        raise ConfigurationError(f"offset: {position.offset} is negative; a position starts at 0")
    return position


def no_such_partition(topic: str, partition: int, counts: Mapping[str, int]) -> ConfigurationError:
    """Return the error for a topic or a partition that a log does not have.

    Parameters
    ----------
    topic, partition
        What was named.
    counts
        Topic → number of partitions that there are.

    Examples
    --------
    >>> str(no_such_partition("evnets", 0, {"labels": 1, "events": 4}))
    "topic: 'evnets' is not in this log; it has events, labels"
    >>> str(no_such_partition("events", 9, {"events": 4}))
    "partition: 9 of 'events' does not exist; name one of 0 to 3"
    """
    if topic not in counts:
        names = ", ".join(sorted(counts)) or "none"
        return ConfigurationError(f"topic: {topic!r} is not in this log; it has {names}")
    return ConfigurationError(
        f"partition: {partition} of {topic!r} does not exist; name one of 0 to {counts[topic] - 1}"
    )


def no_such_record(topic: str, partition: int, offset: int) -> ConfigurationError:
    """Return the error of a place that holds no record."""
    return ConfigurationError(
        f"topic {topic!r} partition {partition} has no record at offset {offset}; "
        f"`stream-al read` shows what there is"
    )


def grown_topics(existing: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """Return the topics that must be created or given more partitions.

    Parameters
    ----------
    existing, wanted
        Topic → number of partitions.

    Raises
    ------
    ConfigurationError
        When a topic should get fewer partitions than it has, which would lose records.

    Examples
    --------
    >>> grown_topics({"events": 2, "labels": 1}, {"events": 4, "labels": 1, "journal": 1})
    {'events': 4, 'journal': 1}
    """
    problems = [
        f"topics.partitions: {topic!r} has {existing[topic]} partitions and can't shrink to "
        f"{partitions}; set {existing[topic]} or more, or begin another log"
        for topic, partitions in wanted.items()
        if partitions < max(1, existing.get(topic, 1))
    ]
    if problems:
        raise ConfigurationError(*problems)
    return {
        topic: partitions
        for topic, partitions in wanted.items()
        if partitions > existing.get(topic, 0)
    }


def below_begin(topic: str, partition: int, offset: int, begin: int) -> str:
    """Return the sentence for a read of records that retention dropped.

    Examples
    --------
    >>> below_begin("events", 0, 3, 10)
    "'events' partition 0 begins at offset 10, so the records from 3 on are gone; start over there"
    """
    return (
        f"{topic!r} partition {partition} begins at offset {begin}, so the records from {offset} "
        "on are gone; start over there"
    )
