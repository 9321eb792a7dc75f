"""The consumer groups: names, where each goes on, and the check that a worker fits the journal."""

from __future__ import annotations

import json

from stream_al.config import Config
from stream_al.errors import Ambiguous, ConfigurationError, Gone
from stream_al.messages import ModelEntry, unpacked
from stream_al.port import Log, Record

LOOK_BACK = 8


def scorer_group(config: Config) -> str:
    """Return the name of the scorers' consumer group."""
    return f"{config.app}.scorer"


def resolver_group(config: Config) -> str:
    """Return the name of the resolvers' consumer group."""
    return f"{config.app}.resolver"


def next_offset(log: Log, group: str, topic: str, partition: int) -> int:
    """Return where `group` goes on in a partition: its committed position, else the beginning."""
    done = log.committed(group, topic, partition)
    return done.offset if done else log.begin(topic, partition)


def check_reached(topic: str, partition: int, offset: int, end: int) -> None:
    """Refuse to go on from a committed position that lies above the end: nothing comes there.

    Raises
    ------
    Gone
        Naming both: the log lost records that were read already, or was made anew.
    """
    if offset > end:
        raise Gone(
            f"{topic!r} partition {partition} ends at {end}, but is committed up to {offset}: it "
            "lost records, or was made anew; restore it, or begin with another `app`"
        )


def check_unanswered(
    log: Log, group: str, place: tuple[str, int], offset: int, *, answers: str
) -> None:
    """Refuse to go on from a committed position below a record that has its answer.

    Both are committed together, so this is no position of ours: brokers drop those of a group that
    was away for a week, people set them back, and a coordinator that had only just started has
    been seen to give an old one.

    Parameters
    ----------
    place, offset
        Topic and partition, and from where `group` would read on.
    answers
        The topic whose partition of the same number has the answers, in their order.

    Raises
    ------
    Ambiguous
        Naming both: whatever is answered from there on is answered twice.
    """
    topic, partition = place
    if partition >= log.partition_count(answers):
        return
    last = last_record(log, answers, partition)
    answered = None if last is None else _source_offset(last.value)
    if answered is not None and answered >= offset:
        raise Ambiguous(
            f"{topic!r} partition {partition} is answered up to offset {answered} in {answers!r}, "
            f"but the position of group {group!r} is {offset}: it was set back, dropped, or told "
            f"wrongly; restart this worker, and when it says so again set it to {answered + 1}, or "
            "begin with another `app` where the topic was made anew"
        )


def last_record(log: Log, topic: str, partition: int) -> Record | None:
    """Return the last record of a partition, if any; the last offsets may be empty."""
    begin, end = log.begin(topic, partition), log.end(topic, partition)
    back = LOOK_BACK
    while True:
        position = start = max(begin, end - back)
        last = None
        while position < end and (found := log.read(topic, partition, position, limit=back)):
            last = found[-1]
            position = last.offset + 1
        if last is not None or start == begin:
            return last
        back *= LOOK_BACK


def _source_offset(value: bytes) -> int | None:
    """Return the offset that the last answer in a record is to; None where it is none of ours."""
    try:
        return int(json.loads(unpacked(value)[-1])["source"]["offset"])
    except (ValueError, LookupError, TypeError):
        return None


def read_to_end(log: Log, topic: str, partition: int, position: int) -> bool:
    """Whether no record is left from `position` on; the last offsets may be empty."""
    return lag(log, topic, partition, position) == 0


def lag(log: Log, topic: str, partition: int, position: int, *, end: int | None = None) -> int:
    """Return how many offsets are left from `position` on; 0 when no record is among them.

    `end` is the partition's where it is known.
    """
    left = (log.end(topic, partition) if end is None else end) - position
    return left if left > 0 and log.read(topic, partition, position, limit=1) else 0


def check_lineage(lineage: ModelEntry | None, config: Config) -> None:
    """Refuse to go on when the journal teaches a model of another configuration.

    Raises
    ------
    ConfigurationError
        Naming both, and the command that starts the configured one.
    """
    if lineage is not None and lineage.config_hash != config.model_hash():
        raise ConfigurationError(
            f"the journal's lineage is of model configuration {lineage.config_hash} "
            f"({lineage.preset}), this worker's is {config.model_hash()} "
            f"({config.model.factory or config.model.preset}); run `stream-al model activate` to "
            "start the configured model, or configure the other"
        )
