"""The difference of two means with its interval, by Welch (1947), without assuming equal variances.

Degrees of freedom after Satterthwaite (1946). Few seeds make it wide, which is what few seeds know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one mean lies above another, and its 95 % interval."""

    mean: float
    low: float
    high: float


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Return the mean of `ours` minus that of `theirs`, with Welch's interval.

    Parameters
    ----------
    ours, theirs
        At least two values each. Where neither varies at all the interval is the difference itself.

    Examples
    --------
    >>> found = difference([0.95, 0.96, 0.97], [0.90, 0.91, 0.92])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
    (0.05, 0.027, 0.073)
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - takes a third of a second to import

    mean = fmean(ours) - fmean(theirs)
    parts = (variance(ours) / len(ours), variance(theirs) / len(theirs))
    spread = sum(parts)
    if spread <= 0.0:
        return Difference(mean, mean, mean)
    freedom = spread**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True)
    )
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * sqrt(spread)
    return Difference(mean, mean - reach, mean + reach)
