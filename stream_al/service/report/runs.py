"""Runs with known truth: their counts, their curves, and how runs over seeds become one arm. Pure.

The demo and `evaluate` both count and join in this way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream_al.quality.summary import kappa
from stream_al.service.report.figures import Arm, ArmName, band


@dataclass(frozen=True, slots=True)
class Run:
    """One arm with one seed: (events, score) and (labels, score), both rising, and the spend."""

    by_events: tuple[tuple[float, float], ...]
    by_labels: tuple[tuple[float, float], ...]
    query_count: int


@dataclass(slots=True)
class Confusion:
    """Counts of (truth, predicted); a missing prediction counts as wrong."""

    pairs: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def macro_f1(self) -> float:
        """Return the mean F1 over the classes seen so far, in [0, 1].

        Examples
        --------
        >>> Confusion(Counter({("ham", "ham"): 8, ("spam", "ham"): 2})).macro_f1()
        0.4444444444444444
        """
        truths, predicted = self._marginals()
        scores = [
            2 * self.pairs[name, name] / (count + predicted[name]) for name, count in truths.items()
        ]
        return sum(scores) / len(scores) if scores else 0.0

    def accuracy(self) -> float:
        """Return the share of right predictions, in [0, 1].

        Examples
        --------
        >>> Confusion(Counter({("ham", "ham"): 8, ("spam", None): 2})).accuracy()
        0.8
        """
        return self._right() / max(1, self.pairs.total())

    def recall(self, name: str) -> tuple[int, int]:
        """Return how many events of a class were found, and how many there were.

        Examples
        --------
        >>> Confusion(Counter({("spam", "spam"): 3, ("spam", "ham"): 1})).recall("spam")
        (3, 4)
        """
        there = self._marginals()[0][name]
        return self.pairs[name, name], there

    def rarest(self) -> str | None:
        """Return the class with the fewest events, by name where several have as few.

        Examples
        --------
        >>> Confusion(Counter({("ham", "ham"): 8, ("spam", None): 2})).rarest()
        'spam'
        """
        truths = self._marginals()[0]
        return min(sorted(truths), key=truths.__getitem__, default=None)

    def kappa(self) -> float:
        """Return Cohen's kappa, in [-1, 1]: 0 is what guessing with the same shares reaches.

        Examples
        --------
        >>> Confusion(Counter({("ham", "ham"): 8, ("spam", "ham"): 2})).kappa()
        0.0
        """
        truths, predicted = self._marginals()
        marginals = [(count, predicted[name]) for name, count in truths.items()]
        return kappa(self.pairs.total(), self._right(), marginals)

    def _right(self) -> int:
        return sum(count for (truth, label), count in self.pairs.items() if truth == label)

    def _marginals(self) -> tuple[Counter[str], Counter[str | None]]:
        truths: Counter[str] = Counter()
        predicted: Counter[str | None] = Counter()
        for (truth, label), count in self.pairs.items():
            truths[truth] += count
            predicted[label] += count
        return truths, predicted


def arm_figures(name: ArmName, runs: Sequence[Run]) -> Arm:
    """Join one arm's runs over the seeds into curves with their spread."""
    return Arm(
        name=name,
        by_events=band([run.by_events for run in runs]),
        by_labels=band([run.by_labels for run in runs]),
        final=tuple(run.by_events[-1][1] for run in runs),
        labels_mean=sum(run.by_labels[-1][0] for run in runs) / len(runs),
    )
