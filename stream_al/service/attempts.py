"""Attempt marks: how an event that kills the process every time is found and set aside. Pure.

What a scorer commits as metadata of an events partition is ``<packed gate>.<mark>``: the gate's
text ends with its first full stop, what follows is ours, and mostly empty.

1. On taking over a partition, before its first batch is tried, a mark is committed: where, how
   often this place was begun before without an end, how far the batch reaches. A partition without
   records gets none, so restarts while it is idle count for nothing.
2. The next commit clears it. So a mark that is found was left by a death.
3. `CAREFUL_ATTEMPTS` of them at one place, and the partition is *careful*: batches of one, until it
   has passed the end of every batch that died there.
4. A careful event is tried only after a mark with one *single* more was committed for its place.
   `SINGLES_MAX` found there are as many deaths with nothing else in the batch: it is set aside.

Deaths from outside hit one event alone too seldom for 4; that is what 3 is for, and a pause before
an event that was hit once is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

from stream_al.errors import Gone

CAREFUL_ATTEMPTS = 2
"""So many deaths at one place before batches of one: one alone is mostly bad luck."""
SINGLES_MAX = 3
"""So many deaths of an event alone before it is set aside."""
PAUSE_S = 0.5
"""Before an event that a death hit alone is tried alone again: whatever kills workers soon after
their start strikes in the pause then, and proves nothing against the event."""
QUARANTINED = "Quarantined"
"""The error class of the dead letter of an event that was set aside."""

_TAG = "a1:"
_END = "."
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """What was begun at a position, and not yet done.

    Attributes
    ----------
    offset
        The position that it was committed with.
    attempts
        How often the place was begun, 1 or more.
    singles
        How often the event at `offset` was begun alone.
    until
        Careful up to here: the end of the farthest batch that was begun, above `offset`.
    since_ms
        When it was begun first, ms since 1970.
    """

    offset: int
    attempts: int
    singles: int
    until: int
    since_ms: int


class TakenOver(NamedTuple):
    """A partition of which nothing was tried yet: its position, gate and the mark found there."""

    offset: int
    packed: str
    found: Mark | None


def parse(metadata: str, partition: int | None = None) -> tuple[str, Mark | None]:
    """Return the packed gate, with its full stop or empty, and the mark behind it.

    Parameters
    ----------
    partition
        Whose metadata it is, for the sentence.

    Raises
    ------
    Gone
        When what stands behind the gate is no mark.

    Examples
    --------
    >>> parse("g1:7:abcd.a1:17,2,0,517,99")
    ('g1:7:abcd.', Mark(offset=17, attempts=2, singles=0, until=517, since_ms=99))
    >>> parse("g1:7:abcd."), parse("")
    (('g1:7:abcd.', None), ('', None))
    """
    gate, end, text = metadata.partition(_END)
    if not end:
        gate, text = "", metadata
    if not text:
        return gate + end, None
    numbers = text.removeprefix(_TAG).split(",")
    whole = all(number.isascii() and number.isdigit() for number in numbers)
    if text.startswith(_TAG) and len(numbers) == _FIELDS and whole:
        mark = Mark(*map(int, numbers))
        if mark.attempts > 0 and mark.until > mark.offset:
            return gate + end, mark
    where = "" if partition is None else f" of events partition {partition}"
    raise Gone(
        f"the committed metadata{where} ends with {text[:40]!r}, which is no attempt mark; "
        "restore the log's committed positions"
    )


def write(packed: str, mark: Mark | None) -> str:
    """Return the metadata of a packed gate and a mark: what `parse` reads.

    Examples
    --------
    >>> write("g1:7:abcd.", Mark(offset=17, attempts=2, singles=0, until=517, since_ms=99))
    'g1:7:abcd.a1:17,2,0,517,99'
    >>> write("g1:7:abcd.", None)
    'g1:7:abcd.'
    """
    if mark is None:
        return packed
    return packed + _TAG + ",".join(map(str, astuple(mark)))


class Attempts:
    """The owned partitions that need marks; in quiet times none.

    Attributes
    ----------
    taken_over
        Partition → what was found; nothing of it was tried since.
    careful
        Partition → the mark in force; batches of one.
    """

    def __init__(self) -> None:
        self.taken_over: dict[int, TakenOver] = {}
        self.careful: dict[int, Mark] = {}

    def take_over(self, partition: int, offset: int, metadata: str) -> str:
        """Remember what was committed at `offset`; return the packed gate in it.

        Raises
        ------
        Gone
            When the metadata is damaged.
        """
        packed, found = parse(metadata, partition)
        if found is not None and found.offset != offset:
            found = None  # somebody moved the position: what died elsewhere says nothing here
        self.taken_over[partition] = TakenOver(offset, packed, found)
        return packed

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker owns now."""
        self.taken_over.pop(partition, None)
        self.careful.pop(partition, None)

    def begin(self, ends: Mapping[int, int], *, now_ms: int) -> dict[int, tuple[int, str]]:
        """Return partition → (position, metadata) to commit before a batch is tried.

        Parameters
        ----------
        ends
            Partition → the offset after its last record in the batch. Those that were not taken
            over just now need nothing.
        now_ms
            The wall clock.
        """
        due: dict[int, tuple[int, str]] = {}
        for partition in sorted(self.taken_over.keys() & ends.keys()):
            offset, packed, found = self.taken_over.pop(partition)
            mark = Mark(offset, 1, 0, ends[partition], now_ms)
            if found is not None:
                careful = found.attempts >= CAREFUL_ATTEMPTS
                until = found.until if careful else max(found.until, mark.until)
                mark = replace(found, attempts=found.attempts + 1, until=until)
                if careful:
                    self.careful[partition] = mark
            due[partition] = (offset, write(packed, mark))
        return due

    def is_poison(self, partition: int) -> bool:
        """Whether the next event of a careful partition was begun alone often enough."""
        return self.careful[partition].singles >= SINGLES_MAX

    def alone(self, partition: int) -> Mark:
        """Return the mark to commit before the next event of a careful partition is tried."""
        mark = self.careful[partition]
        mark = self.careful[partition] = replace(mark, singles=mark.singles + 1)
        return mark

    def passed(self, partition: int, offset: int, *, goes_on: bool) -> Mark | None:
        """Return the mark to commit with the result of a careful event.

        Parameters
        ----------
        offset
            The position after it.
        goes_on
            Whether the next event is tried right after this commit, which then says so for it.

        Returns
        -------
        Mark or None
            None when the partition is careful no more.
        """
        mark = self.careful[partition]
        if offset >= mark.until:
            del self.careful[partition]
            return None
        mark = self.careful[partition] = replace(mark, offset=offset, singles=int(goes_on))
        return mark
