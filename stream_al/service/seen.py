"""What `status` says of events themselves: features that went missing, ids that came again changed.

From a bounded sample of the log: the newest events, and the oldest that are kept; a log too short
for both is halved.
"""

from __future__ import annotations

from typing import Any

from stream_al.config import Config
from stream_al.port import Log
from stream_al.service.sampling import EventSample, gone

RECORDS_MAX = 200
"""Of each end of a partition that is looked at."""
PARTITIONS_MAX = 16
NAMED_MAX = 10


def features_seen(log: Log, config: Config) -> dict[str, Any]:
    """Return what the newest events lack, JSON-ready.

    `edited` counts events of the sample whose id came before in it with other features.
    """
    topic = config.topic("events")
    recent, earlier = EventSample(config), EventSample(config)
    recent.repeats = earlier.repeats  # an edit of one of the oldest is one, too
    edited = 0
    count = log.partition_count(topic)
    for partition in range(0, count, max(1, -(-count // PARTITIONS_MAX))):
        begin, end = log.begin(topic, partition), log.end(topic, partition)
        start = end - min(RECORDS_MAX, -(-(end - begin) // 2))
        _take(earlier, log, topic, partition, (begin, min(start, begin + RECORDS_MAX)))
        before = recent.repeats.changed
        _take(recent, log, topic, partition, (start, end))
        edited += recent.repeats.changed - before
    return {
        "newest_events": recent.read_count,
        "missing": gone(recent, earlier, list(config.events.features)),
        "edited": edited,
    }


def _take(
    sample: EventSample, log: Log, topic: str, partition: int, places: tuple[int, int]
) -> None:
    start, end = places
    if start >= end:
        return
    for record in log.read(topic, partition, start, limit=end - start):
        if record.offset < end:
            sample.take(record.value, record.offset)


def features_lines(found: dict[str, Any]) -> list[str]:
    """Return what a person should know of it; nothing when all is well."""
    lines = []
    for one in found["missing"][:NAMED_MAX]:
        before = one["share_before"]
        was = "" if before is None else f", before in {before:.0%}"
        lines.append(
            f"missing  feature {one['feature']}: in {one['share']:.0%} of the newest "
            f"{one['events']:,} events{was}"
        )
    more = len(found["missing"]) - NAMED_MAX
    if more > 0:
        lines.append(f"missing  {more:,} features more: --json has them all")
    if found["edited"]:
        lines.append(
            f"edited   {found['edited']:,} of the newest {found['newest_events']:,} events have an "
            "id that came before with other features; `events.version` tells edits apart"
        )
    return lines
