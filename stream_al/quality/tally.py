"""Sums over labels that can be undone: what every estimate is computed from.

A label's terms are added, and subtracted again when it is overturned or retracted. Floats may drift
by some 1e-16 of the largest sum for each label taken back; an emptied tally is exactly zero again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_al.quality.intervals import Interval, hajek_interval


@dataclass(slots=True)
class Tally:
    """The sums of `intervals` over some labels, each of weight w and outcome o in {0, 1}.

    Attributes
    ----------
    k, hits
        Number of labels, and of those with o = 1.
    s0, s1, q0, q1
        Σw, Σw·o, Σw², Σw²·o.
    """

    k: int = 0
    hits: int = 0
    s0: float = 0.0
    s1: float = 0.0
    q0: float = 0.0
    q1: float = 0.0

    def add(self, weight: float, *, hit: bool, sign: int) -> None:
        """Count a label (`sign` 1) or take it back (-1).

        Examples
        --------
        >>> tally = Tally()
        >>> tally.add(10.0, hit=True, sign=1)
        >>> tally.add(10.0, hit=True, sign=-1)
        >>> tally == Tally()
        True
        """
        self.k += sign
        self.s0 += sign * weight
        self.q0 += sign * weight * weight
        if hit:
            self.hits += sign
            self.s1 += sign * weight
            self.q1 += sign * weight * weight
        if self.hits <= 0:
            self.hits, self.s1, self.q1 = 0, 0.0, 0.0
        if self.k <= 0:
            self.k, self.s0, self.q0 = 0, 0.0, 0.0

    def interval(self) -> Interval:
        """Return the weighted share of o = 1; at least one label must be counted."""
        return hajek_interval(self.k, self.s0, self.s1, self.q0, self.q1)


@dataclass(slots=True)
class ClassTally:
    """One class: labels that are of it, and labels that were predicted as it; o = both."""

    true: Tally = field(default_factory=Tally)
    predicted: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class SequenceTally:
    """Sums for the bound that holds at any time: Σx, Σx² and Σ of x's scale."""

    x1: float = 0.0
    x2: float = 0.0
    scale: float = 0.0

    def add(self, x: float, scale: float, *, sign: int) -> None:
        """Count a block's x in [0, 1], whose mean is its error times `scale`, or take it back."""
        self.x1 += sign * x
        self.x2 += sign * x * x
        self.scale += sign * scale
