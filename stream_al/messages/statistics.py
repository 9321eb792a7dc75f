"""Arithmetic on the statistics messages: sums merge exactly, and become what the encoder needs.

Pure functions on messages, here because scorers (which sum) and the resolver (which merges) both
need them and may not import each other. Sums merge pairwise: Chan, Golub, LeVeque (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from stream_al.messages.journal import NumberStatistics, NumberSums

SAMPLE_SIZE = 200
KNOT_COUNT = 8
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
