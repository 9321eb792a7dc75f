"""The resolver's time: its clock's, as long as that agrees with the log (`BelievedTime`).

Where a resolver begins, the newest journal record says what time it was. Records in between make
the time since then known too: a journal may be quiet while events flow.
"""

from __future__ import annotations

from datetime import UTC, datetime

from stream_al.config import Config
from stream_al.labels import DISAGREEMENT_MS, BelievedTime
from stream_al.port import Log
from stream_al.service.answers import last_record
from stream_al.service.clock import Clock
from stream_al.service.counters import Counters
from stream_al.service.logs import log as log_line

STEPS_MAX = 32
"""Half days that are looked through for records; a longer silence is waited out."""


class LogTime:
    """The time by which one resolver decides."""

    def __init__(self, log: Log, config: Config, *, clock: Clock, counters: Counters) -> None:
        self._log = log
        self._config = config
        self._clock = clock
        self._counters = counters
        self._believed = BelievedTime()

    @property
    def doubted(self) -> bool:
        """Whether the clock disagrees: nothing is to be expired or dropped."""
        return self._believed.doubted

    def begin(self, journal_ms: int | None) -> None:
        """Find out what time it was, for whoever became the journal's owner.

        `journal_ms` is the time of its last record; None before the first.
        """
        clock_ms = self._clock.now_ms()
        known_ms = self._newest_event_ms(clock_ms) if journal_ms is None else journal_ms
        if self._lived_through(known_ms, clock_ms):
            known_ms = clock_ms
        self._believed.begin(known_ms, self._clock.monotonic_s())

    def now_ms(self) -> int:
        """Return the believed time; say when that begins or ends to be another than the clock's."""
        clock_ms, before = self._clock.now_ms(), self.doubted
        now_ms = self._believed.read(clock_ms, self._clock.monotonic_s())
        if self.doubted and not before:
            self._counters.clock_disagreements += 1
            log_line(
                "clock_disagrees",
                clock=_shown(clock_ms),
                log=_shown(now_ms),
                until="the clock is right, or 1 h from now: nothing is expired or dropped",
            )
        elif before and not self.doubted:
            log_line("clock_believed", clock=_shown(clock_ms))
        return now_ms

    def _newest_event_ms(self, clock_ms: int) -> int:
        """Return the record time of the newest event, for before there is a journal.

        Only where it is in the past: producers write what they like.
        """
        topic = self._config.topic("events")
        found = (last_record(self._log, topic, n) for n in range(self._log.partition_count(topic)))
        newest_ms = max((record.timestamp_ms for record in found if record), default=clock_ms)
        return min(newest_ms, clock_ms)

    def _lived_through(self, known_ms: int, clock_ms: int) -> bool:
        """Whether there are events from `known_ms` to the clock's time without a day's silence."""
        half_ms = DISAGREEMENT_MS // 2
        for _ in range(STEPS_MAX):
            if abs(clock_ms - known_ms) <= DISAGREEMENT_MS:
                return True
            later_ms = self._event_since(known_ms + half_ms)
            if later_ms is None or later_ms > known_ms + DISAGREEMENT_MS:
                return False
            known_ms = later_ms
        return False

    def _event_since(self, since_ms: int) -> int | None:
        """Return the record time of an event not older than `since_ms`; None without one."""
        topic = self._config.topic("events")
        times = []
        for partition in range(self._log.partition_count(topic)):
            offset = self._log.position_at(topic, partition, since_ms)
            times += [
                record.timestamp_ms for record in self._log.read(topic, partition, offset, limit=1)
            ]
        return min((time for time in times if time >= since_ms), default=None)


def _shown(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
