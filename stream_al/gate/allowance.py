"""What one events partition may spend: the settings in force, as integers that `Gate` reads.

Built once for each change of the settings, never for an event. Masses and rates are integers in
units of 2^-30 label, so every machine gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Self

from stream_al.messages import Settings

UNIT = 1 << 30
"""Mass of one label; a rate of one label per event."""

HOUR_CREDIT_LABELS_MIN = 2
HOUR_CREDIT_PART = 10
"""Unspent credit is kept up to a tenth of the hour's labels, and up to two labels in any case."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of one partition; build it with `Allowance.of`.

    Attributes
    ----------
    share_units
        Labels per event in UNITs, in [0, UNIT]; 0 while paused. Rounded up, so that 1/B events
        fill a block: rounded down, 20 events at 5 % would leave a 21st in it.
    floor_units
        The random part of every label in UNITs; in force from the next block on.
    burst
        Labels in a block (M); in force from the next block on.
    limited
        Whether any of the limits below is on; without them only the share counts.
    hour_units
        Labels per hour of record time in UNITs, of this partition; None is off.
    hour_credit_max
        The most credit that may gather.
    votes
        Labels that a query is expected to cost.
    open_max
        Pending queries of this partition at which nothing is asked; None is off.
    back_pressure_ms
        Age of the oldest pending query at which nothing is asked; None is off.
    """

    share_units: int
    floor_units: int
    burst: int
    limited: bool
    hour_units: int | None
    hour_credit_max: int
    votes: int
    open_max: int | None
    back_pressure_ms: int | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return one partition's part of the settings: the budgets per hour and open are split.

        Examples
        --------
        >>> settings = Settings(partitions=4).patched({"gate": {"budget": {"open": 1000}}})
        >>> Allowance.of(settings).open_max
        250
        >>> Allowance.of(settings.patched({"modes": {"paused": True}})).share_units
        0
        """
        gate = settings.gate
        budget = gate.budget
        hour = None if budget.per_hour is None else budget.per_hour / settings.partitions
        kept = max(HOUR_CREDIT_LABELS_MIN, (hour or 0.0) / HOUR_CREDIT_PART)
        return cls(
            share_units=0 if settings.modes.paused else ceil(budget.share * UNIT),
            floor_units=round(gate.random_share * UNIT),
            burst=gate.burst,
            limited=not (hour is None and budget.open is None and gate.back_pressure is None),
            hour_units=None if hour is None else round(hour * UNIT),
            hour_credit_max=round(kept * UNIT),
            votes=settings.votes,
            open_max=None if budget.open is None else budget.open // settings.partitions,
            back_pressure_ms=gate.back_pressure,
        )

    def at_pressure(self, open_count: int, oldest_open_ms: int | None) -> int:
        """Return the share that the pending queries leave, in UNITs.

        Parameters
        ----------
        open_count
            Pending queries of the partition.
        oldest_open_ms
            Age of the oldest of them; None when there is none. Below 0 counts as 0.

        Examples
        --------
        >>> gate = {"budget": {"share": 1}, "back_pressure": "10m"}
        >>> Allowance.of(Settings().patched({"gate": gate})).at_pressure(1, 150_000) / UNIT
        0.75
        """
        if self.open_max is not None and open_count >= self.open_max:
            return 0
        limit = self.back_pressure_ms
        if limit is None or oldest_open_ms is None:
            return self.share_units
        if oldest_open_ms >= limit:
            return 0
        return self.share_units * (limit - max(oldest_open_ms, 0)) // limit
