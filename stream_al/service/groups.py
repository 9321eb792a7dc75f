"""The consumer groups: names, where each goes on, and the check that a worker fits the journal."""

from __future__ import annotations

from stream_al.config import Config
from stream_al.errors import ConfigurationError, Gone
from stream_al.inputs import differing_model, inputs_of
from stream_al.messages import Inputs, ModelEntry
from stream_al.port import Log, Position
from stream_al.service.answers import last_record


def scorer_group(config: Config) -> str:
    """Return the name of the scorers' consumer group."""
    return f"{config.app}.scorer"


def resolver_group(config: Config) -> str:
    """Return the name of the resolvers' consumer group."""
    return f"{config.app}.resolver"


def next_position(log: Log, group: str, topic: str, partition: int) -> Position:
    """Return where `group` goes on in a partition: its committed position, else the beginning."""
    return log.committed(group, topic, partition) or Position(log.begin(topic, partition))


def next_offset(log: Log, group: str, topic: str, partition: int) -> int:
    """Return the offset of `next_position`."""
    return next_position(log, group, topic, partition).offset


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
            "was deleted and made again, or lost records; restore it, or begin with another `app`"
        )


def check_first(log: Log, config: Config) -> None:
    """Refuse to begin a journal where another one was: predictions and outcomes name it.

    Raises
    ------
    Gone
        Naming what is there.
    """
    for name in ("predictions", "outcomes"):
        topic = config.topic(name)
        for partition in range(log.partition_count(topic)):
            last = last_record(log, topic, partition)
            if last is not None:
                raise Gone(
                    f"{config.topic('journal')!r} is empty, but {topic!r} partition {partition} "
                    f"has a record at offset {last.offset} that was made with it: it was deleted "
                    "and made again, and what was learnt is gone; restore it, or begin with "
                    "another `app` and teach it by `stream-al seed`"
                )


def read_to_end(log: Log, topic: str, partition: int, position: int) -> bool:
    """Whether no record is left from `position` on; the last offsets may be empty."""
    return lag(log, topic, partition, position) == 0


def lag(log: Log, topic: str, partition: int, position: int, *, end: int | None = None) -> int:
    """Return how many offsets are left from `position` on; 0 when no record is among them.

    `end` is the partition's where it is known.
    """
    left = (log.end(topic, partition) if end is None else end) - position
    return left if left > 0 and log.read(topic, partition, position, limit=1) else 0


def check_lineage(
    lineage: ModelEntry | None, config: Config, in_force: Inputs | None = None
) -> None:
    """Refuse to go on when the journal teaches a model of another configuration.

    Raises
    ------
    ConfigurationError
        Naming both, in what they differ where `in_force` tells, and the command that starts the
        configured one.
    """
    if lineage is not None and lineage.config_hash != config.model_hash():
        raise ConfigurationError(
            f"the journal's lineage is of model configuration {lineage.config_hash} "
            f"({lineage.preset}), this worker's is {config.model_hash()} "
            f"({config.model.factory or config.model.preset}){_in_what(in_force, config)}; run "
            "`stream-al model activate` to start the configured model (`--replay` teaches it what "
            "fits of what the other learnt), or configure the other"
        )


def _in_what(in_force: Inputs | None, config: Config) -> str:
    found = [] if in_force is None else differing_model(in_force, inputs_of(config))
    return f": {'; '.join(found)}" if found else ""
