"""Statistics of the events' numbers: scorers measure apart, here it is merged and journaled.

What was merged and not yet journaled is lost at a takeover: harmless, for these records are inputs
of the fold, not accounts.
"""

from __future__ import annotations

import math

from stream_al.messages import (
    NumberStatistics,
    NumberSums,
    StatisticsEntry,
    StatisticsProposal,
)
from stream_al.messages.statistics import SAMPLE_SIZE, knots_of, merge_sums, statistics_of

NUMBERS_MAX = 2_048
"""Numeric features with statistics; a stream that makes up names can't grow the journal's records
without end. Later names have no statistics and count as missing."""
STATISTICS_FIRST = (30, 60, 120, 200)
STATISTICS_STEP_MAX = 100_000
SEND_EVERY_MIN = 30


def next_statistics_at(event_count: int) -> int:
    """Return the merged event count at which statistics are journaled next.

    At 30, 60, 120, 200; then when the count grew by a tenth, at the latest after 10⁵ events.

    Parameters
    ----------
    event_count
        The count of the last record; 0 before the first.

    Examples
    --------
    >>> [next_statistics_at(count) for count in (0, 30, 75, 200, 1_000, 10_000_000)]
    [30, 60, 120, 220, 1100, 10100000]
    """
    for threshold in STATISTICS_FIRST:
        if event_count < threshold:
            return threshold
    return event_count + min(event_count // 10, STATISTICS_STEP_MAX)


def send_every(event_count: int, partitions: int) -> int:
    """Return after how many events a scorer sends what a partition adds to the statistics.

    So that all partitions together reach the next threshold in about one round.

    Examples
    --------
    >>> send_every(30, 4), send_every(10_000, 4), send_every(10_000_000, 4)
    (30, 250, 25000)
    """
    return max(SEND_EVERY_MIN, (next_statistics_at(event_count) - event_count) // partitions)


class StatisticsMerger:
    """Merges what scorers send, exactly, and says when it is worth a journal record.

    Attributes
    ----------
    event_count
        Events merged, over all partitions.
    journaled_count
        Events of the last record, 0 before one; never above `event_count`.
    knots
        Knots of a number, from its first 200 values, frozen with the first record that brought
        them: moving them would change what a learnt weight means.
    """

    def __init__(self) -> None:
        self.event_count = 0
        self.journaled_count = 0
        self.knots: dict[str, tuple[float, ...]] = {}
        # At most NUMBERS_MAX names.
        self._sums: dict[str, NumberSums] = {}
        # Samples on the way to 200 values, of all partitions in the order of their proposals.
        self._samples: dict[str, list[float]] = {}

    def merge(self, proposal: StatisticsProposal) -> None:
        """Add what a scorer measured; numbers that are not finite are left out."""
        self.event_count += proposal.event_count
        for name, sums in proposal.numbers.items():
            before = self._sums.get(name)
            if before is None and len(self._sums) >= NUMBERS_MAX:
                continue
            merged = sums if before is None else merge_sums(before, sums)
            if not (math.isfinite(merged.mean) and math.isfinite(merged.m2)):
                continue
            self._sums[name] = NumberSums(count=merged.count, mean=merged.mean, m2=merged.m2)
            self._gather(name, sums.sample)

    def _gather(self, name: str, sample: tuple[float, ...]) -> None:
        if name not in self.knots and sample:
            gathered = self._samples.setdefault(name, [])
            finite = [value for value in sample if math.isfinite(value)]
            gathered += finite[: SAMPLE_SIZE - len(gathered)]

    def due(self, *, partitions: int, now_ms: int) -> StatisticsEntry | None:
        """Return the record to journal, when there is something worth one."""
        if self.event_count < next_statistics_at(self.journaled_count):
            return None
        full = {
            name: knots_of(sample)
            for name, sample in self._samples.items()
            if len(sample) >= SAMPLE_SIZE
        }
        knots = full | self.knots
        numbers = {
            name: statistics_of(sums, knots.get(name, ())) for name, sums in self._sums.items()
        }
        return StatisticsEntry(
            at_ms=now_ms,
            event_count=self.event_count,
            numbers=numbers,
            send_every=send_every(self.event_count, partitions),
        )

    def fold(self, entry: StatisticsEntry) -> None:
        """Take over a journaled record; what was merged beyond it stays.

        Before a takeover the sums are the very ones the record was made of. After one they begin
        with the record's, as if every number had been in every event.
        """
        self.journaled_count = entry.event_count
        for name, statistics in entry.numbers.items():
            if statistics.knots:
                self.knots.setdefault(name, statistics.knots)
                self._samples.pop(name, None)
        if self.event_count < entry.event_count:
            self.event_count = entry.event_count
            self._sums = {
                name: _sums_of(statistics, entry.event_count)
                for name, statistics in entry.numbers.items()
            }


def _sums_of(statistics: NumberStatistics, count: int) -> NumberSums:
    return NumberSums(count=count, mean=statistics.mean, m2=statistics.sd * statistics.sd * count)
