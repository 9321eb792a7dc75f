"""What is looked at before the first step: whether topics are there, and as wide as a worker needs.

Where the log is made on first use they always are. On Kafka somebody makes them, and a worker that
met a missing one in its loop would stop in the middle, or wait for what never comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from stream_al.config import Config
from stream_al.errors import Ambiguous, ConfigurationError, Fenced
from stream_al.port import Log
from stream_al.service.clock import Clock
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.logs import log as log_line
from stream_al_connectors.opening import SINGLE_PARTITION_TOPICS

Role = Literal["all", "scorer", "resolver"]

_SCORER = ("events", "predictions", "queries", "journal", "statistics", "dead_letters")
_RESOLVER = (
    *("events", "queries", "labels", "outcomes", "journal", "controls", "statistics"),
    "dead_letters",
)
RESOLVER_READS = ("queries", "labels", "journal", "controls", "statistics")
"""What the resolver's state is folded from."""

SLOT_LOOK_S = 1.0

_ANSWERED_IN: Mapping[str, tuple[str, ...]] = {
    "events": ("predictions", "queries", "dead_letters"),
    "labels": ("outcomes", "dead_letters"),
}
"""Input → the topics whose partition of the same number answers it."""


def check_topics(log: Log, config: Config, role: Role) -> None:
    """Refuse to begin where a topic of `role` is missing, or has too few partitions, or too many.

    Raises
    ------
    ConfigurationError
        One sentence with every such topic, and the command that mends it.
    """
    names = dict.fromkeys(
        (_SCORER if role != "resolver" else ()) + (_RESOLVER if role != "scorer" else ())
    )
    wrong = list(_wrong_counts(partition_counts(log, config, names), config))
    if wrong:
        raise ConfigurationError(f"topics: {'; '.join(wrong)}")


def check_slot(log: Log, config: Config, role: Role, *, clock: Clock) -> None:
    """Refuse to begin as slot 0, which nobody asked for, where a worker has it.

    One that was killed stays in its group until its session ends: so long it is waited for.

    Raises
    ------
    Fenced
        Naming a slot that is free.
    """
    groups = (scorer_group(config), resolver_group(config))
    asked = groups if role == "all" else (groups[role == "resolver"],)
    until_s = clock.monotonic_s() + config.log.session_timeout / 1_000 + SLOT_LOOK_S
    waited = False
    while True:
        try:
            found = {group: log.slots(group) for group in groups}
        except Ambiguous:  # brokers that were just started know no groups yet
            found = {}
        if (found or clock.monotonic_s() > until_s) and not any(
            "0" in found.get(group, ()) for group in asked
        ):
            return
        if found and clock.monotonic_s() > until_s:
            taken = set().union(*found.values())
            free = next(n for n in range(len(taken) + 1) if str(n) not in taken)
            raise Fenced(
                f"a worker of {config.app!r} with slot 0 is running, and would be fenced: run "
                f"`stream-al run --slot {free}` for another worker, or `stream-al run --slot 0` to "
                "take its place"
            )
        if found and not waited:
            log_line("slot_taken", slot=0, waits_s=round(until_s - clock.monotonic_s()))
            waited = True
        clock.sleep(SLOT_LOOK_S)


def partition_counts(log: Log, config: Config, names: Iterable[str]) -> dict[str, int]:
    """Return short name → number of partitions of topics that must be there.

    A topic that a user may not see looks like one that is not there, and reads as an empty one.

    Raises
    ------
    ConfigurationError
        One sentence with every topic that is missing, and what to do.
    """
    counts = {name: log.partition_count(config.topic(name)) for name in names}
    missing = [config.topic(name) for name, count in counts.items() if not count]
    if missing:
        raise ConfigurationError(
            f"topics: {', '.join(missing)}: not there, or not to be seen by this user; name the "
            "right ones under `topics`, or run `stream-al topics create`; docs/OPERATIONS.md lists "
            "the rights of each command, `stream-al check` names a worker's that are missing"
        )
    return counts


def _wrong_counts(counts: Mapping[str, int], config: Config) -> Iterator[str]:
    for name, count in counts.items():
        full, wanted = config.topic(name), config.topics.partitions
        if name in SINGLE_PARTITION_TOPICS:
            if count != 1:
                yield (
                    f"{full} has {count} partitions, needs exactly 1, and they can't be taken "
                    "away: name a topic that is not there yet, and run `stream-al topics create`"
                )
            continue
        inputs = [one for one, answers in _ANSWERED_IN.items() if name in answers]
        wanted = max([wanted, *(counts.get(one, 0) for one in inputs)])
        if count < wanted:
            yield (
                f"{full} has {count} partitions, needs {wanted}: "
                "`stream-al topics create` adds them"
            )
