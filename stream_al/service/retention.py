"""Retention of a log on this machine: now and then, drop what nobody needs any more."""

from __future__ import annotations

from stream_al.config import Config
from stream_al.port import Log
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.logs import log as log_line

EVERY_S = 60.0
_READ_BY_RESOLVER = ("queries", "labels", "controls", "statistics")
_READ_BY_NOBODY = ("predictions", "outcomes", "dead_letters")


class Retention:
    """Keeps each topic but the journal to `log.retention`, a bounded number of records a call."""

    def __init__(self, log: Log, config: Config, *, monotonic_s: float) -> None:
        self._log = log
        self._config = config
        self._done_s = monotonic_s
        self._left: list[str] = []  # topics of which the last call left some

    def enforce(self, now_ms: int, began_ms: int | None, monotonic_s: float) -> None:
        """Drop what is old at `now_ms`, about once a minute, or at once where a call left some.

        Nothing while the journal, which began at `began_ms`, is not that old itself: records with
        older times have them from a wrong clock.
        """
        if began_ms is None or now_ms - began_ms <= self._config.log.retention:
            return
        if monotonic_s - self._done_s < EVERY_S and not self._left:
            return
        self._done_s = monotonic_s
        groups = dict.fromkeys(_READ_BY_RESOLVER, resolver_group(self._config))
        groups["events"] = scorer_group(self._config)
        left = []
        for name in self._left or [*groups, *_READ_BY_NOBODY]:
            topic = self._config.topic(name)
            owners = {topic: groups[name]} if name in groups else {}
            keep_ms = {topic: self._config.log.retention}
            dropped = self._log.enforce_retention(keep_ms, owners, now_ms=now_ms)
            if dropped:
                log_line("retention", topic=topic, dropped=dropped)
                left.append(name)
        self._left = left
