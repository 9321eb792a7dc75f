"""The time that may expire and forget: the clock's, unless it jumped away from what was known.

A clock that is wrong for a minute must not take what was kept for weeks. So a clock that is more
than a day away from the time that was known before, moved on by a second for each monotonic one, is
not believed for an hour: until then the known time goes on, and nobody deletes.
"""

from __future__ import annotations

DISAGREEMENT_MS = 86_400_000
"""So far may a clock be from the known time and be believed at once: time zones and sleep."""
PATIENCE_S = 3_600.0
"""After so long by the monotonic clock it is believed whatever was known: a deployment that was
off for a week waits an hour with its deletions."""


class BelievedTime:
    """What is believed of the time, from readings of two clocks; pure."""

    def __init__(self) -> None:
        # The wall clock's time as it was believed last, and the monotonic time of that reading.
        self._known: tuple[int, float] | None = None
        self._doubted_s: float | None = None  # monotonic time since when it is not believed

    @property
    def doubted(self) -> bool:
        """Whether the last reading was not believed: nothing is to be deleted."""
        return self._doubted_s is not None

    def begin(self, known_ms: int | None, monotonic_s: float) -> None:
        """Say what time it was at the last thing that is known; None to believe the next reading.

        Examples
        --------
        >>> believed = BelievedTime()
        >>> believed.begin(1_000, 0.0)
        >>> believed.read(1_000 + 2 * DISAGREEMENT_MS, 1.0), believed.doubted
        (2000, True)
        >>> believed.read(1_000 + 2 * DISAGREEMENT_MS, 1.0 + PATIENCE_S), believed.doubted
        (172801000, False)
        """
        self._known = None if known_ms is None else (known_ms, monotonic_s)
        self._doubted_s = None

    def read(self, clock_ms: int, monotonic_s: float) -> int:
        """Return the believed time, ms since 1970, at this reading of both clocks."""
        known_ms, known_s = self._known or (clock_ms, monotonic_s)
        expected_ms = known_ms + int((monotonic_s - known_s) * 1_000)
        if abs(clock_ms - expected_ms) > DISAGREEMENT_MS:
            if self._doubted_s is None:
                self._doubted_s = monotonic_s
            if monotonic_s - self._doubted_s < PATIENCE_S:
                return expected_ms
        self._doubted_s = None
        self._known = clock_ms, monotonic_s
        return clock_ms
