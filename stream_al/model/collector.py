"""What one partition's events say about their numbers, until it is sent to the resolver.

Values are kept as they come and folded in batches: appending is what an event pays for.
"""

from __future__ import annotations

from typing import Any

from stream_al.messages import NumberSums
from stream_al.messages.statistics import SAMPLE_SIZE, merge_sums, sums_of

NAMES_MAX = 2_048
_BATCH = 128


class StatisticsCollector:
    """Accumulates count, mean and M2 per number, and a sample while the journal has no knots.

    Attributes
    ----------
    event_count
        Events added since the last `take`.
    _values
        Name → values not yet folded; at most 2,048 names and a batch of 128 events.
    _sums
        Name → what was folded since the last `take`.
    settled
        Names whose knots are in the journal: no sample is taken of them any more.
    _samples
        Name → its first values since the last `take`, at most 200.
    """

    def __init__(self) -> None:
        self.event_count = 0
        self._values: dict[str, list[float]] = {}
        self._sums: dict[str, NumberSums] = {}
        self._samples: dict[str, list[float]] = {}
        self.settled: set[str] = set()

    def add(self, features: dict[str, Any]) -> None:
        """Count the numbers and booleans of one event's cleaned features."""
        values = self._values
        for name, value in features.items():
            kind = type(value)
            if kind is float or kind is int or kind is bool:
                try:
                    values[name].append(value)
                except KeyError:
                    if len(values) < NAMES_MAX:
                        values[name] = [value]
        self.event_count += 1
        if self.event_count % _BATCH == 0:
            self._fold()

    def take(self) -> dict[str, NumberSums]:
        """Return the sums and samples since the last `take`, and begin anew."""
        self._fold()
        taken = {}
        for name, sums in self._sums.items():
            sample = self._samples.get(name)
            taken[name] = sums.model_copy(update={"sample": tuple(sample)}) if sample else sums
        self._sums = {}
        self._samples = {}
        self.event_count = 0
        return taken

    def _fold(self) -> None:
        for name, values in self._values.items():
            if not values:
                continue
            numbers = [float(value) for value in values]
            values.clear()
            if name not in self.settled:
                sample = self._samples.setdefault(name, [])
                sample += numbers[: SAMPLE_SIZE - len(sample)]
            sums = sums_of(numbers)
            known = self._sums.get(name)
            self._sums[name] = sums if known is None else merge_sums(known, sums)
