"""Do annotators agree beyond chance: Krippendorff's alpha, from sums that are kept online.

Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011 (nominal data, any
number of annotators, missing votes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

CLASSES_MAX = 256
OTHER_CLASS = ""


class Agreement:
    """Sums over events with two votes or more.

    Votes that settle early are not followed by others, and disagreement is: alpha is that of the
    votes that were asked for, a little below that of a panel that always votes in full.

    Examples
    --------
    >>> agreement = Agreement()
    >>> for labels in (["ok", "ok"], ["spam", "spam"], ["ok", "spam"]):
    ...     agreement.add(labels)
    >>> round(agreement.alpha(), 3)
    0.444
    """

    __slots__ = ("_counts", "_disagreed")

    def __init__(self) -> None:
        # Class → votes for it; at most CLASSES_MAX, and OTHER_CLASS for the rest together.
        self._counts: dict[str, int] = {}
        # Sum of ordered pairs of different labels within an event ÷ (its votes - 1).
        self._disagreed = 0.0

    def add(self, labels: Sequence[str]) -> None:
        """Take in the labels of one event, two or more."""
        counts = Counter(labels)
        size = len(labels)
        pairs = size * size - sum(count * count for count in counts.values())
        self._disagreed += pairs / (size - 1)
        for label, count in counts.items():
            known = label in self._counts or len(self._counts) < CLASSES_MAX
            name = label if known else OTHER_CLASS
            self._counts[name] = self._counts.get(name, 0) + count

    def alpha(self) -> float | None:
        """Return alpha: 1 is perfect, 0 is chance; None while all votes are for one class."""
        total = sum(self._counts.values())
        expected = total * total - sum(count * count for count in self._counts.values())
        if expected == 0:
            return None
        return 1.0 - (total - 1) * self._disagreed / expected

    def described(self) -> list[object]:
        """Return the whole state, to be compared."""
        return [list(self._counts.items()), self._disagreed]
