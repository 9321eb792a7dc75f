"""Whether a committed position may be true: nothing at or above it has its answer yet.

A position and the answers below it are committed together. Kafka 4.3.1 can tell positions before it
has loaded them (docs/GUARANTEES.md), brokers drop those of a group that was away for a week, and
people set them back: whoever begins at such a one answers again what is answered.
"""

from __future__ import annotations

import json

from stream_al.errors import Gone
from stream_al.messages import unpacked
from stream_al.port import Log, Position, Record
from stream_al.service.clock import Clock
from stream_al.service.groups import next_position

LOADED_S = 4.0
"""So long a coordinator may load its positions."""

ASK_EVERY_S = 0.2
LOOK_BACK = 8
"""So many offsets from the end are read at first: markers of transactions may be the last ones."""


def true_position(
    log: Log, group: str, place: tuple[str, int], *, answers: str, clock: Clock
) -> Position:
    """Return where `group` goes on in `place`, once that is not below what is answered.

    Parameters
    ----------
    place
        Topic and partition.
    answers
        The topic whose partition of the same number has the answers, in their order. What is
        answered otherwise (a dead letter) does not show.

    Raises
    ------
    Gone
        Naming both, when it stays below for 4 s. Only by answers that were there before it was
        asked for: later ones may be another owner's, while this process stood still.
    """
    topic, partition = place
    until_s = clock.monotonic_s() + LOADED_S
    before: int | None = None
    while True:
        found = next_position(log, group, topic, partition)
        answered = _answered_to(log, answers, partition)
        if answered is None or answered < found.offset:
            return found
        if before is not None and clock.monotonic_s() > until_s:
            if before < found.offset:  # another owner goes on and on: it has fenced this one
                return found
            raise Gone(
                f"{topic!r} partition {partition} is answered up to offset {answered} in "
                f"{answers!r}, but the position of group {group!r} is {found.offset}: it was set "
                f"back or dropped; set it to {answered + 1}, or begin with another `app` and other "
                "topics"
            )
        before = answered
        clock.sleep(ASK_EVERY_S)


def _answered_to(log: Log, answers: str, partition: int) -> int | None:
    """Return the offset that the last answer is to; None where there is none of ours."""
    if partition >= log.partition_count(answers):
        return None
    last = last_record(log, answers, partition)
    if last is None:
        return None
    try:
        return int(json.loads(unpacked(last.value)[-1])["source"]["offset"])
    except (ValueError, LookupError, TypeError):
        return None


def last_record(log: Log, topic: str, partition: int) -> Record | None:
    """Return the last record of a partition, if any; the last offsets may be empty."""
    back = LOOK_BACK
    while True:
        begin, end = log.begin(topic, partition), log.end(topic, partition)
        position = start = max(begin, end - back)
        last = None
        try:
            while position < end and (found := log.read(topic, partition, position, limit=back)):
                last = found[-1]
                position = last.offset + 1
        except Gone:  # retention was quicker
            continue
        if last is not None or start == begin:
            return last
        back *= LOOK_BACK
