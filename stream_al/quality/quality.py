"""What the labels say about the model: a fold over label and retraction records.

Each label counts by one over the propensity of its query, so the same few labels that teach the
model also measure it over *all* events, without bias. A label whose event met no known class (cold
start) had no prediction and counts as wrong. Labels outside the frame (a propensity that nobody
could have drawn) count nowhere.

Memory is bounded: classes and segments beyond their caps are together in `other`.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from stream_al.messages import Asked, LabelEntry, RetractionEntry
from stream_al.quality.summary import (
    LABELS_MIN,
    QualitySummary,
    class_quality,
    prequential,
    sequence_interval,
)
from stream_al.quality.tally import ClassTally, SequenceTally, Tally

CLASSES_MAX = 256
SEGMENTS_MAX = 50
RECENT_MAX = 500
LOST_REASONS = ("expired", "skipped", "unsure")
OTHER = "other"
WEIGHT_BOUND = 2.0

_Tallied = TypeVar("_Tallied", Tally, ClassTally)


class Quality:
    """Prequential scores and propensity-weighted estimates of one lineage.

    Parameters
    ----------
    segments_max
        Segments with estimates of their own; the rest are together in `other`.
    since
        Journal position where the fold began: labels before it were never counted here, so they
        are not taken back either.

    Examples
    --------
    >>> Quality().summary().accuracy is None
    True
    """

    def __init__(self, *, segments_max: int = SEGMENTS_MAX, since: int = 0) -> None:
        self._since = since
        self._segments_max = segments_max
        self._all = Tally()  # every label in the frame; o = predicted right
        self._sequence = SequenceTally()  # the same labels, for the bound at every look
        self._classes: dict[str, ClassTally] = {}  # at most CLASSES_MAX and `other`
        self._segments: dict[str, Tally] = {}  # at most segments_max and `other`
        self._truncated_count = 0  # labels of _all whose weight was cut, >= 0
        self._lost = dict.fromkeys(LOST_REASONS, 0)  # queries closed without a label
        # Query's partition and offset, and whether it was right: the last labels.
        self._recent: deque[tuple[int, int, bool]] = deque(maxlen=RECENT_MAX)

    def apply(self, entry: LabelEntry, *, random_share: float) -> None:
        """Count a final label; what it overturns is taken back first.

        Parameters
        ----------
        entry
            The journal's record.
        random_share
            In force at its position, in (0, 1]. It bounds the weight at 2/(random_share·rate). A
            weight that was cut is taken back with the bound of that later position, so estimates
            keep a small trace of it when the share was changed in between.
        """
        if self._foreign(entry.asked):
            return
        if entry.replaced_label is not None and self._counted(entry.overturns):
            self._count(entry.asked, entry.replaced_label, random_share, sign=-1)
        self._count(entry.asked, entry.label, random_share, sign=1)

    def retract(self, entry: RetractionEntry, *, random_share: float) -> None:
        """Take back a label: the estimates forget it at once."""
        if self._counted(entry.retracts) and not self._foreign(entry.asked):
            self._count(entry.asked, entry.label, random_share, sign=-1)

    def lost(self, reason: str) -> None:
        """Count a query that was closed without a label.

        Raises
        ------
        ValueError
            When `reason` is not one of `LOST_REASONS`.
        """
        if reason not in self._lost:
            raise ValueError(f"reason is {reason!r}; labels are lost by {', '.join(LOST_REASONS)}")
        self._lost[reason] += 1

    def summary(self) -> QualitySummary:
        """Return everything that is known now."""
        labels = self._all.k
        lost = sum(self._lost.values())
        recent_hits = sum(right for _, _, right in self._recent)
        return QualitySummary(
            prequential=prequential(self._all, self._classes, recent_hits, len(self._recent)),
            accuracy=self._all.interval() if labels >= LABELS_MIN else None,
            accuracy_sequence=sequence_interval(labels, self._sequence),
            classes={
                name: class_quality(found, self._all)
                for name, found in sorted(self._classes.items())
                if found.true.k or found.predicted.k
            },
            segments={
                name: found.interval() if found.k >= LABELS_MIN else None
                for name, found in sorted(self._segments.items())
                if found.k
            },
            truncated_share=self._truncated_count / labels if labels else 0.0,
            lost_share=lost / (lost + labels) if lost else 0.0,
            lost=dict(self._lost),
        )

    def _foreign(self, asked: Asked) -> bool:
        """Whether an earlier lineage's model predicted it: that says nothing of this one."""
        return self._since > 0 and asked.model_version <= self._since

    def _counted(self, position: int | None) -> bool:
        return position is not None and position >= self._since

    def _count(self, asked: Asked, label: str, random_share: float, *, sign: int) -> None:
        """Add one label's terms to every tally (`sign` 1), or subtract them (-1)."""
        propensity, rate = asked.propensity, asked.rate
        if not (0.0 < propensity <= 1.0 and 0.0 < rate <= 1.0):
            return
        weight, truncated = weight_of(propensity, rate, random_share)
        right = asked.label == label
        self._truncated_count += sign * truncated
        self._all.add(weight, hit=right, sign=sign)
        true = _tallied(self._classes, label, CLASSES_MAX, ClassTally).true
        true.add(weight, hit=right, sign=sign)
        if asked.label is not None:
            predicted = _tallied(self._classes, asked.label, CLASSES_MAX, ClassTally).predicted
            predicted.add(weight, hit=right, sign=sign)
        if asked.segment is not None:
            segment = _tallied(self._segments, asked.segment, self._segments_max, Tally)
            segment.add(weight, hit=right, sign=sign)
        scale = random_share / (1.0 + rate)
        error = 0.0 if right else min(scale * rate * weight, 1.0)
        self._sequence.add(error, scale, sign=sign)
        self._note_recent(asked.query.partition, asked.query.offset, right, sign)

    def _note_recent(self, partition: int, offset: int, right: bool, sign: int) -> None:
        if sign > 0:
            self._recent.append((partition, offset, right))
            return
        taken_back = (partition, offset, right)
        if taken_back in self._recent:
            self._recent.remove(taken_back)


def weight_of(propensity: float, rate: float, random_share: float) -> tuple[float, bool]:
    """Return a label's weight 1/propensity, bounded by 2/(random_share·rate), and whether cut.

    Under a constant budget the gate's propensities never reach the bound; when the budget changes
    inside a block they may, and the bound trades a little bias for much less variance.

    Parameters
    ----------
    propensity, rate, random_share
        All in (0, 1].

    Examples
    --------
    >>> weight_of(0.03125, 0.125, 0.25), weight_of(0.001, 0.125, 0.25)
    ((32.0, False), (64.0, True))
    """
    weight, bound = 1.0 / propensity, WEIGHT_BOUND / (random_share * rate)
    return (bound, True) if weight > bound else (weight, False)


def _tallied(
    tallies: dict[str, _Tallied], name: str, names_max: int, empty: type[_Tallied]
) -> _Tallied:
    """Return the tally of `name`, of `other` when there are `names_max` names already."""
    found = tallies.get(name)
    if found is None:
        full = len(tallies) - (OTHER in tallies) >= names_max
        found = tallies.setdefault(OTHER if full else name, empty())
    return found
