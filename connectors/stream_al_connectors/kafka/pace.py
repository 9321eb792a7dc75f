"""How many records a transaction takes: as many as end well before the brokers give it up.

Brokers that throttle a client (a quota of its user or client id) answer each request later, by as
much as it wrote too much: a transaction of a usual size then outlives its time-out, again and
again. So the first ones are small, those behind a quick one larger, and those behind a slow one as
large as fits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stream_al_connectors.kafka.client_log import throttled
from stream_al_connectors.kafka.doubts import THROTTLED_S

_LOGGER = logging.getLogger("kafka.pace")

FIRST_RECORDS = 250
MOST_RECORDS = 10_000
GROW_EVERY_S = 0.5
"""Throttling shows itself a moment later: by then a batch must not have grown by much."""

QUICK_S, WANTED_S, SLOW_S = 0.5, 1.0, 2.0
GIVEN_UP_SHARE = 8
"""By how much the next transaction is smaller than one that was given up."""


class Pace:
    """The size of one member's next transaction, by how long the last ones took.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 2.0])
    >>> pace = Pace("moderation.scorer-0", lambda: next(seconds))
    >>> pace.took(250, 0.1); pace.limit
    500
    >>> pace.took(500, 5.0); pace.limit
    100
    """

    def __init__(self, name: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.limit = FIRST_RECORDS
        self._name = name
        self._monotonic_s = monotonic_s
        self._grown_s = monotonic_s()

    def took(self, count: int, seconds: float) -> None:
        """Take note of a transaction of `count` records."""
        if seconds > SLOW_S:
            if self._shrink(int(min(count, self.limit) * WANTED_S / seconds)):
                _LOGGER.warning(
                    "%s: a transaction of %d records took %.1f s; going on with %d at a time%s",
                    *(self._name, count, seconds, self.limit, throttled(THROTTLED_S)),
                )
            return
        now_s = self._monotonic_s()
        if seconds < QUICK_S and count >= self.limit and now_s - self._grown_s >= GROW_EVERY_S:
            self.limit = min(2 * self.limit, MOST_RECORDS)
            self._grown_s = now_s

    def given_up(self, count: int, name: str) -> str:
        """Take note of a transaction that outlived its time-out; return the sentence for it."""
        self._shrink(min(count, self.limit) // GIVEN_UP_SHARE)
        return (
            f"a transaction of {count:,} records failed or took too long ({name}); going "
            f"on from what is committed, with {self.limit} at a time{throttled(THROTTLED_S)}"
        )

    def _shrink(self, fits: int) -> bool:
        before, self.limit = self.limit, max(1, min(self.limit, fits))
        self._grown_s = self._monotonic_s()
        return self.limit < before
