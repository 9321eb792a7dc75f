"""From a configuration to its log: which topics, how many partitions, which connector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from stream_al.config import TOPIC_NAMES, Config
from stream_al.port import Log
from stream_al_connectors.memory import MemoryLog
from stream_al_connectors.sharing import wall_clock_ms
from stream_al_connectors.sqlite import SqliteLog

SINGLE_PARTITION_TOPICS = ("journal", "controls", "statistics")
"""Topics with one order for everything; all others have as many partitions as events."""


def topics_of(config: Config) -> dict[str, int]:
    """Return full name → number of partitions of every topic.

    Examples
    --------
    >>> counts = topics_of(Config(app="spam"))
    >>> counts["spam.events"], counts["spam.journal"], counts["spam.dead-letters"]
    (4, 1, 4)
    """
    return {
        config.topic(name): 1 if name in SINGLE_PARTITION_TOPICS else config.topics.partitions
        for name in TOPIC_NAMES
    }


def log_path(config: Config) -> str:
    """Return the file of the embedded log; on Kafka only what local files are named after.

    Examples
    --------
    >>> log_path(Config(app="spam"))
    'spam.db'
    """
    return config.log.path or (
        config.app if config.log.connector == "kafka" else f"{config.app}.db"
    )


def in_log(config: Config, name: str) -> str:
    """Return a topic and the log that it is in, as people find it again.

    Examples
    --------
    >>> in_log(Config(app="spam", log={"path": "/var/spam.db"}), "dead_letters")
    'spam.dead-letters in /var/spam.db'
    """
    topic = config.topic(name)
    match config.log.connector:
        case "sqlite":
            return f"{topic} in {Path(log_path(config)).absolute()}"
        case "kafka":
            return f"{topic} on {', '.join(config.log.bootstrap_servers)}"
        case "memory":
            return f"{topic} in memory"


def open_log(
    config: Config,
    *,
    create: bool = True,
    clock: Callable[[], int] = wall_clock_ms,
    tell: Callable[[str], None] | None = None,
) -> Log:
    """Open the log that `config.log.connector` names.

    Parameters
    ----------
    config
        Whose topics the log has.
    create
        Make the log and its topics when missing; else a missing log is a ConfigurationError.
    clock
        Gives the record time, in milliseconds since 1970.
    tell
        Is told `deadline`, right before a call over a network that hangs ends the process.
    """
    topics = topics_of(config)
    match config.log.connector:
        case "sqlite":
            return SqliteLog(
                log_path(config),
                topics=topics,
                durability=config.log.durability,
                clock=clock,
                create=create,
            )
        case "memory":
            return MemoryLog(topics=topics, clock=clock)
        case "kafka":
            from stream_al_connectors.kafka import KafkaLog  # noqa: PLC0415 - half a second to import

            return KafkaLog(config, clock=clock, tell=tell)
        case _ as never:
            assert_never(never)
