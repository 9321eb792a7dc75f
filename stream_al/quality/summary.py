"""What the labels say about the model: frozen values, and the arithmetic from tallies to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream_al.quality.intervals import (
    Interval,
    hajek_interval,
    ratio_interval,
    sequence_half_width,
)
from stream_al.quality.tally import ClassTally, SequenceTally, Tally

LABELS_MIN = 20
"""Below this a class or segment has too few labels for an interval that keeps its promise."""


@dataclass(frozen=True, slots=True)
class Prequential:
    """Scores of predictions made before learning, over the labelled events only, unweighted.

    They look worse than the stream is, for the gate asks where the model is unsure: the estimates
    beside them speak for all events. Every number is 0 while `count` is 0.

    Attributes
    ----------
    count
        Labels counted.
    accuracy, macro_f1
        In [0, 1]; macro F1 over all classes that occurred or were predicted.
    kappa
        Cohen's kappa, in [-1, 1]; 0 where chance alone would explain everything.
    recent_accuracy, recent_count
        Accuracy of the last labels, at most 500; of all when every recent one was retracted.
    """

    count: int = 0
    accuracy: float = 0.0
    macro_f1: float = 0.0
    kappa: float = 0.0
    recent_accuracy: float = 0.0
    recent_count: int = 0


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """Estimates for one class; None says "too few labels" (below `LABELS_MIN`).

    Attributes
    ----------
    labels, predicted
        Labels of this class, and labels of events predicted as it.
    """

    labels: int
    predicted: int
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    prevalence: Interval | None


@dataclass(frozen=True, slots=True)
class QualitySummary:
    """What is known at one journal position.

    Attributes
    ----------
    prequential
        Scores of the labelled events themselves.
    accuracy
        Of all events, weighted by propensity; None before the first label.
    accuracy_sequence
        The same, valid at every look and without asymptotics: for alarms. For `burst` 1; wider.
    classes, segments
        Name → estimates; names beyond the cap are together in `other`. A segment of None has too
        few labels.
    truncated_share
        Part of the labels whose weight was cut to its bound.
    lost_share, lost
        Part of the closed queries that brought no label, and how many by reason. The estimates are
        biased by them if loss depends on the class.
    """

    prequential: Prequential
    accuracy: Interval | None
    accuracy_sequence: Interval | None
    classes: Mapping[str, ClassQuality]
    segments: Mapping[str, Interval | None]
    truncated_share: float
    lost_share: float
    lost: Mapping[str, int]


def kappa(count: int, hits: int, marginals: list[tuple[int, int]]) -> float:
    """Return Cohen's kappa; 0 where agreement by chance is certain or nothing is counted.

    Parameters
    ----------
    count, hits
        Labels, and those predicted right.
    marginals
        For each class: how many are of it, how many were predicted as it.

    Examples
    --------
    >>> kappa(10, 8, [(5, 5), (5, 5)])
    0.6
    >>> kappa(10, 10, [(10, 10)])
    0.0
    """
    chance = sum(true * predicted for true, predicted in marginals)
    possible = count * count - chance
    return (hits * count - chance) / possible if possible else 0.0


def prequential(
    accuracy: Tally, classes: Mapping[str, ClassTally], recent_hits: int, recent_count: int
) -> Prequential:
    """Return the unweighted scores.

    Examples
    --------
    >>> right = Tally(k=4, hits=3)
    >>> spam = ClassTally(true=Tally(k=2, hits=2), predicted=Tally(k=3, hits=2))
    >>> ham = ClassTally(true=Tally(k=2, hits=1), predicted=Tally(k=1, hits=1))
    >>> scores = prequential(right, {"spam": spam, "ham": ham}, 3, 4)
    >>> scores.accuracy, round(scores.macro_f1, 3), scores.kappa
    (0.75, 0.733, 0.5)
    """
    count = accuracy.k
    if not count:
        return Prequential()
    share = accuracy.hits / count
    marginals = [(found.true.k, found.predicted.k) for found in classes.values()]
    f1 = [
        2.0 * found.true.hits / (found.true.k + found.predicted.k)
        for found in classes.values()
        if found.true.k + found.predicted.k
    ]
    return Prequential(
        count=count,
        accuracy=share,
        macro_f1=sum(f1) / len(f1),
        kappa=kappa(count, accuracy.hits, marginals),
        recent_accuracy=recent_hits / recent_count if recent_count else share,
        recent_count=recent_count,
    )


def class_quality(found: ClassTally, everything: Tally) -> ClassQuality:
    """Return one class's estimates from its tallies and the tally of all labels.

    Examples
    --------
    >>> few = ClassTally(true=Tally(k=2, hits=2), predicted=Tally(k=3, hits=2))
    >>> class_quality(few, Tally(k=4, hits=3)).recall is None
    True
    """
    true, predicted = found.true, found.predicted
    enough = true.k >= LABELS_MIN
    return ClassQuality(
        labels=true.k,
        predicted=predicted.k,
        precision=predicted.interval() if predicted.k >= LABELS_MIN else None,
        recall=true.interval() if enough else None,
        f1=_f1(true, predicted) if enough else None,
        prevalence=(
            hajek_interval(everything.k, everything.s0, true.s0, everything.q0, true.q0)
            if enough
            else None
        ),
    )


def sequence_interval(labels: int, tally: SequenceTally) -> Interval | None:
    """Return the accuracy with bounds that hold at every look; None before the first label.

    Examples
    --------
    >>> wide = sequence_interval(400, SequenceTally(x1=8.0, x2=4.0, scale=80.0))
    >>> wide.value, round(wide.low, 2), round(wide.high, 2)
    (0.9, 0.78, 1.0)
    """
    if not labels:
        return None
    half = sequence_half_width(max(tally.x2, 0.0))
    error, low, high = (
        min(max(bound / tally.scale, 0.0), 1.0)
        for bound in (tally.x1, tally.x1 - half, tally.x1 + half)
    )
    return Interval(1.0 - error, 1.0 - high, 1.0 - low, labels, float(labels))


def _f1(true: Tally, predicted: Tally) -> Interval:
    """Return F1 = Σw·a / Σw·b with a = 2·TP, b = 2·TP + FP + FN."""
    squares = 4.0 * true.q1
    missed = true.q0 + predicted.q0 - true.q1 - predicted.q1
    return ratio_interval(
        true.k + predicted.k - true.hits,
        2.0 * true.s1,
        true.s0 + predicted.s0,
        (squares, squares, squares + max(missed, 0.0)),
    )
