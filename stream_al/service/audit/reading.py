"""How the audit reads a log that may be at work: bounds taken in a safe order, then partitions.

The order is the whole trick. Of two things that one transaction wrote, the one looked for *later*
is there whenever the one seen *earlier* is. On one machine a transaction becomes visible at once;
over a network it may be seen in one partition while another one still holds it back, so ends that
have to hold all of what was seen before are `settled_ends`:

1. `settled`: the journal's end. Outcomes and queries of records below it are visible from now on.
2. `committed`: the positions of every input. Whatever they stand for is visible from now on.
3. the ends of predictions, queries, outcomes and dead letters: nothing beyond is looked at.
4. `committed_after`: the positions again. What was seen in 3 was committed with a position below.
5. the journal's end once more: no prediction or outcome within 3 knows of a later record.

Retention may drop records while we read: a reader goes on at the new beginning, and remembers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from stream_al.config import Config
from stream_al.errors import Gone
from stream_al.port import Log, Position, Record

READ_RECORDS_MAX = 500
OUTPUT_TOPICS = ("predictions", "queries", "outcomes", "dead_letters")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Up to where this audit looks.

    Attributes
    ----------
    settled, journal_end
        The journal's end before and after everything else.
    committed, committed_after
        (`events` or `labels`, partition) → position before and after the ends were taken.
    gates
        Events partition → the metadata of its position in `committed`.
    ends
        (short name of an output topic, partition) → its end.
    """

    settled: int
    journal_end: int
    committed: dict[tuple[str, int], int]
    committed_after: dict[tuple[str, int], int]
    gates: dict[int, str]
    ends: dict[tuple[str, int], int]


def take_bounds(log: Log, config: Config) -> Bounds:
    """Take the bounds of an audit, in the order that the module states."""
    journal = config.topic("journal")
    settled = log.end(journal, 0)
    positions = _positions(log, config)
    ends = {
        (name, partition): end
        for name in OUTPUT_TOPICS
        for partition, end in enumerate(log.settled_ends(config.topic(name)))
    }
    after = _positions(log, config)
    return Bounds(
        settled=settled,
        journal_end=log.settled_ends(journal)[0],
        committed={place: position.offset for place, position in positions.items()},
        committed_after={place: position.offset for place, position in after.items()},
        gates={
            partition: position.metadata
            for (name, partition), position in positions.items()
            if name == "events"
        },
        ends=ends,
    )


def _positions(log: Log, config: Config) -> dict[tuple[str, int], Position]:
    """Return what scorers and resolver committed for their inputs; 0 where they never did."""
    return {
        (name, partition): log.committed(f"{config.app}.{role}", config.topic(name), partition)
        or Position(0)
        for name, role in (("events", "scorer"), ("labels", "resolver"))
        for partition in range(log.partition_count(config.topic(name)))
    }


class Reader:
    """The committed records of one partition below `end`, once, in order.

    Attributes
    ----------
    low
        The first offset that could be read; it grows when retention overtakes the reader.
    since
        The first that counts.
    end
        Where reading ends.
    """

    def __init__(self, log: Log, topic: str, partition: int, end: int, since: int = 0) -> None:
        self._log = log
        self.topic = topic
        self.partition = partition
        self.end = end
        known = partition < log.partition_count(topic)
        self.since = since
        self.low = max(log.begin(topic, partition), since) if known else end

    @classmethod
    def of(cls, other: Reader, end: int) -> Reader:
        """Return a reader of the same partition, up to `end`."""
        return cls(other._log, other.topic, other.partition, end)

    @property
    def dropped(self) -> bool:
        """Whether records at the beginning are gone."""
        return self.low > self.since

    def __iter__(self) -> Iterator[Record]:
        position = self.low
        while position < self.end:
            try:
                batch = self._log.read(self.topic, self.partition, position, limit=READ_RECORDS_MAX)
            except Gone:
                begin = self._log.begin(self.topic, self.partition)
                if begin <= position:
                    raise
                self.low = position = begin
                continue
            if not batch:
                return
            if batch[-1].offset < self.end:
                yield from batch
            else:
                yield from (record for record in batch if record.offset < self.end)
            position = batch[-1].offset + 1


def unreadable(error: Exception) -> str:
    """Return in words why a record can't be read.

    Examples
    --------
    >>> unreadable(KeyError("source")), unreadable(TypeError("'int' object is not …"))
    ('`source` is missing', 'a field has another type')
    >>> unreadable(ValueError("expected value at line 1 column 1"))
    'expected value at line 1 column 1'
    """
    match error:
        case KeyError():
            return f"`{error.args[0]}` is missing"
        case ValueError():
            return str(error)
    return "a field has another type"


def decoded(value: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `value`; None when there is none.

    Examples
    --------
    >>> decoded(b'{"a": 1}'), decoded(b"[1]"), decoded(b"{")
    ({'a': 1}, None, None)
    """
    try:
        body = from_json(value)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
