"""Arithmetic on the statistics messages: sums merge exactly, and become what the encoder needs.

Pure functions on messages, here because scorers (which sum) and the resolver (which merges) both
need them and may not import each other. Sums merge pairwise: Chan, Golub, LeVeque (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from stream_al.messages.journal import NumberStatistics, NumberSums, StatisticsProposal

SAMPLE_SIZE = 200
KNOT_COUNT = 8
NUMBERS_PER_PROPOSAL = 12
"""With a sample of each: under 64 KiB, which every log takes whatever `events.bytes_max` is."""
_LOWEST, _HIGHEST = 0.02, 0.98


def sums_of(values: Sequence[float]) -> NumberSums:
    """Return count, mean and M2 of `values`, summed in their order.

    Examples
    --------
    >>> sums_of([1.0, 2.0, 3.0])
    NumberSums(count=3, mean=2.0, m2=2.0, sample=())
    >>> sums_of([]).count
    0
    """
    count = len(values)
    if count == 0:
        return NumberSums(count=0, mean=0.0, m2=0.0)
    total = 0.0
    for value in values:
        total += value
    mean = total / count
    m2 = 0.0
    for value in values:
        m2 += (value - mean) * (value - mean)
    return NumberSums(count=count, mean=mean, m2=m2)


def merge_sums(a: NumberSums, b: NumberSums) -> NumberSums:
    """Return the sums of the values of `a` and `b` together; the first sample that exists stays.

    Examples
    --------
    >>> merge_sums(sums_of([1.0, 2.0]), sums_of([6.0])) == sums_of([1.0, 2.0, 6.0])
    True
    """
    sample = a.sample or b.sample
    count = a.count + b.count
    if count == 0:
        return NumberSums(count=0, mean=0.0, m2=0.0, sample=sample)
    delta = b.mean - a.mean
    share = b.count / count
    m2 = a.m2 + b.m2 + delta * delta * a.count * share
    return NumberSums(count=count, mean=a.mean + delta * share, m2=m2, sample=sample)


def statistics_of(sums: NumberSums, knots: Sequence[float] = ()) -> NumberStatistics:
    """Return mean and sd (of the population) of `sums`, with `knots` as they were frozen.

    Examples
    --------
    >>> statistics_of(sums_of([1.0, 3.0]))
    NumberStatistics(mean=2.0, sd=1.0, knots=())
    """
    sd = sqrt(sums.m2 / sums.count) if sums.count else 0.0
    return NumberStatistics(mean=sums.mean, sd=sd, knots=tuple(knots))


def proposals_of(
    partition: int, event_count: int, numbers: Mapping[str, NumberSums]
) -> list[StatisticsProposal]:
    """Return what was measured in messages of bounded size; none when there is no number.

    The last one says of how many events it was, so that nothing is journaled before all have come.

    Examples
    --------
    >>> found = proposals_of(0, 30, {f"n{each}": sums_of([1.0]) for each in range(20)})
    >>> [(len(one.numbers), one.event_count) for one in found]
    [(12, 0), (8, 30)]
    >>> proposals_of(0, 30, {})
    []
    """
    names = list(numbers)
    starts = range(0, len(names), NUMBERS_PER_PROPOSAL)
    return [
        StatisticsProposal(
            partition=partition,
            event_count=event_count if start == starts[-1] else 0,
            numbers={name: numbers[name] for name in names[start : start + NUMBERS_PER_PROPOSAL]},
        )
        for start in starts
    ]


def knots_of(sample: Sequence[float]) -> tuple[float, ...]:
    """Return the 8 knots of a sample: quantiles from 2 to 98 %, linear between neighbours.

    Parameters
    ----------
    sample
        Finite values in any order; an empty sample has no knots.

    Returns
    -------
    tuple of float
        8 values that never decrease, or nothing.

    Examples
    --------
    >>> [round(knot, 2) for knot in knots_of(range(101))]
    [2.0, 15.71, 29.43, 43.14, 56.86, 70.57, 84.29, 98.0]
    >>> knots_of([])
    ()
    """
    if not sample:
        return ()
    ordered = sorted(sample)
    step = (_HIGHEST - _LOWEST) / (KNOT_COUNT - 1)
    return tuple(_quantile(ordered, _LOWEST + i * step) for i in range(KNOT_COUNT))


def _quantile(ordered: Sequence[float], level: float) -> float:
    place = level * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return float(low) if low == high else low + (high - low) * (place - below)
