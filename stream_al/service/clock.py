"""Time as the loops see it: one object, so that a simulation can hand them its own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a loop may ask about time."""

    def now_ms(self) -> int:
        """Return the wall clock, ms since 1970. It may jump."""

    def monotonic_s(self) -> float:
        """Return seconds from some beginning; they never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's time."""

    def now_ms(self) -> int:
        """Return the wall clock, ms since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds since some beginning."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let the thread wait."""
        time.sleep(seconds)
