"""What the labels there are say about another budget, and where they say nothing. Pure arithmetic.

Recorded: event i was asked with propensity p_i, so a label of it weighs w_i = 1/p_i (bounded as in
`stream_al.quality`). Under the other budget it would be asked with q_i. Then

* accuracy is Σw·o / Σw (Hájek), with Wilson's interval at the effective size;
* the share of the other budget's queries that meet a mistake is Σw·q·[wrong] / Σw·q;
* the variance that its own estimate will have is Σ q·v²·(o - m)² / (Σ q·v)² over all events, v the
  weight that a label will have there; the sum over events is estimated from the labels by w.

An event with p_i = 0 could not be asked: nothing is known there, and its part is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_al.quality import (
    LABELS_MIN,
    Interval,
    weight_of,
    wilson_at_effective_size,
)
from stream_al.quality.tally import Tally


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of events with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimates:
    """What can be said; None where there are too few labels to say it.

    Attributes
    ----------
    accuracy
        Of the recorded predictions over all events that could be asked.
    width, expected_width
        Of the 95 % interval of accuracy: now, and as it would be under the other budget with the
        same part of labels lost.
    mistakes, mistakes_asked_recorded, mistakes_asked
        Wrong predictions in the stream; among them those asked about, as recorded and under the
        other budget.
    labels
        Labels in force that these rest on.
    truncated_share
        Part of them whose weight was cut to its bound.
    lost, lost_share
        Closed queries without a label by reason, and their part of the closed ones; a repeated
        query is none of them.
    open_count
        Recorded queries not closed yet.
    outside_count
        Recorded events that could not be asked (p = 0).
    unsupported_share
        Part of the other budget's spend that falls on those: nothing is known there.
    """

    accuracy: Interval | None
    width: float | None
    expected_width: float | None
    mistakes: Amount | None
    mistakes_asked_recorded: Amount | None
    mistakes_asked: Amount | None
    labels: int
    truncated_share: float
    lost: dict[str, int]
    lost_share: float
    open_count: int
    outside_count: int
    unsupported_share: float


@dataclass(slots=True)
class Support:
    """Sums over one recorded stream and another budget; every event is seen once, in any order."""

    queries: int = 0
    frame_count: int = 0  # events that could be asked: recorded p > 0
    supported_count: int = 0  # events that both budgets could ask about
    outside_count: int = 0  # recorded p = 0
    open_count: int = 0
    truncated_count: int = 0
    spend: float = 0.0  # Σq over all events
    unsupported: float = 0.0  # Σq where p = 0
    mass: float = 0.0  # Σq·v over the supported events
    squares: float = 0.0  # Σq·v² over them
    lost: dict[str, int] = field(default_factory=dict)
    right: Tally = field(default_factory=Tally)  # o = predicted right, by w
    wrong: Tally = field(default_factory=Tally)  # o = predicted wrong, by w·q
    wrong_recorded: Tally = field(default_factory=Tally)  # the same, of the recorded queries
    spread: Tally = field(default_factory=Tally)  # o = predicted right, by w·q·v²
    total: float = 0.0  # Σw of the labels in `spread`

    def see(self, recorded: float, asked: float, weight: float) -> None:
        """Count an event.

        Parameters
        ----------
        recorded, asked
            Its propensity as recorded and under the other budget, in [0, 1].
        weight
            That a label of it would have there, 0 when `asked` is 0.
        """
        self.spend += asked
        if recorded <= 0.0:
            self.outside_count += 1
            self.unsupported += asked
            return
        self.frame_count += 1
        if asked:
            self.supported_count += 1
            mass = asked * weight
            self.mass += mass
            self.squares += mass * weight

    def note_label(
        self, recorded: tuple[float, float, float], asked: float, weight: float, *, right: bool
    ) -> None:
        """Count a label in force.

        Parameters
        ----------
        recorded
            Propensity, rate and random share with which it was asked.
        asked, weight
            As in `see`.
        right
            Whether the recorded prediction was right.
        """
        propensity, rate, random_share = recorded
        own, truncated = weight_of(propensity, rate, random_share)
        self.truncated_count += truncated
        self.right.add(own, hit=right, sign=1)
        self.wrong_recorded.add(1.0, hit=not right, sign=1)
        if asked:
            self.total += own
            self.wrong.add(own * asked, hit=not right, sign=1)
            self.spread.add(own * asked * weight * weight, hit=right, sign=1)

    def note_lost(self, reason: str) -> None:
        """Count a closed query that has no label in force."""
        self.lost[reason] = self.lost.get(reason, 0) + 1

    def estimates(self) -> Estimates:
        """Return what is known."""
        accuracy = _known(self.right)
        lost = sum(count for reason, count in self.lost.items() if reason != "repeated")
        labels = self.right.k
        lost_share = lost / (lost + labels) if lost else 0.0
        return Estimates(
            accuracy=accuracy,
            width=None if accuracy is None else accuracy.high - accuracy.low,
            expected_width=self._expected_width(accuracy, 1.0 - lost_share),
            mistakes=_amount(_complement(accuracy), self.frame_count),
            mistakes_asked_recorded=_amount(_known(self.wrong_recorded), self.queries),
            mistakes_asked=_amount(_known(self.wrong), self.spend - self.unsupported),
            labels=labels,
            truncated_share=self.truncated_count / labels if labels else 0.0,
            lost=dict(sorted(self.lost.items())),
            lost_share=lost_share,
            open_count=self.open_count,
            outside_count=self.outside_count,
            unsupported_share=self.unsupported / self.spend if self.spend else 0.0,
        )

    def _expected_width(self, accuracy: Interval | None, answered_share: float) -> float | None:
        labels = (self.spend - self.unsupported) * answered_share
        if accuracy is None or self.spread.k < LABELS_MIN or labels < LABELS_MIN:
            return None
        value = accuracy.value
        spread = (1.0 - 2.0 * value) * self.spread.s1 + value * value * self.spread.s0
        over_all = max(spread, 0.0) / self.total * self.supported_count
        low, high, _ = wilson_at_effective_size(
            value,
            over_all / (self.mass * self.mass) / answered_share,
            kish_size=self.mass * self.mass / self.squares * answered_share,
        )
        return high - low


def _known(tally: Tally) -> Interval | None:
    """Return the weighted share of o = 1; None below `LABELS_MIN` labels.

    Examples
    --------
    >>> _known(Tally()) is None
    True
    """
    return tally.interval() if tally.k >= LABELS_MIN and tally.s0 else None


def _complement(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(
        1.0 - interval.value,
        1.0 - interval.high,
        1.0 - interval.low,
        interval.labels,
        interval.effective_size,
    )


def _amount(share: Interval | None, of: float) -> Amount | None:
    """Return a share of `of` events as a number of them.

    Examples
    --------
    >>> _amount(Interval(0.5, 0.25, 0.75, 40, 40.0), 200)
    Amount(value=100.0, low=50.0, high=150.0)
    """
    if share is None:
        return None
    return Amount(share.value * of, share.low * of, share.high * of)
