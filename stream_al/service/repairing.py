"""`positions repair`: sets what workers refused to go on from, and journals that it did.

1. What is wrong is found as a worker finds it (`answered`), in every partition at once
2. Positions of events are set by the only member of the scorers' group
3. Those of labels, and the journal's `start` records, by the owner of the journal, in one step

A death between 2 and 3 leaves positions that a worker refuses: the next run begins anew. A position
goes where every record has one answer; answers of another life of a topic count no more, and the
journal says from where on others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream_al.config import Config
from stream_al.errors import Gone
from stream_al.gate import Gate, unpack_state
from stream_al.messages import JournalRecord, Query, Start, StartEntry
from stream_al.port import Log, Position
from stream_al.service.alone import only_member
from stream_al.service.answered import Input, Wrong, begin_of, judged
from stream_al.service.attempts import parse, write
from stream_al.service.clock import Clock
from stream_al.service.groups import resolver_group, scorer_group
from stream_al.service.inputs import events_input, labels_input, note_of
from stream_al.service.rebuild import fold_journal, rebuild
from stream_al.service.view import journal, recorded_starts, records

MEMBER = "positions"
BUSY = "workers are running; end every one of them, then run this again"
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "events": ("predictions", "queries", "dead_letters"),
    "labels": ("outcomes", "dead_letters"),
}
"""Input → the topics that answer it, by their short names."""


@dataclass(frozen=True, slots=True)
class Found:
    """One partition of an input: its position, and what is wrong with that."""

    it: Input
    position: Position | None
    begin: int
    end: int
    wrong: Wrong | None


def look(log: Log, config: Config) -> list[Found]:
    """Return every partition of events and labels, as a worker would find it."""
    starts = recorded_starts(log, config)
    found = []
    for name in OUTPUTS:
        for partition in range(log.partition_count(config.topic(name))):
            start = starts.of(name, partition)
            if name == "events":
                it = events_input(config, partition, start)
            else:
                it = labels_input(log, config, partition, start)
            found.append(_found(log, it))
    return found


def _found(log: Log, it: Input) -> Found:
    position = log.committed(it.group, it.topic, it.partition)
    wrong = judged(log, it, position) or _damaged(it, position)
    begin = begin_of(log, it, position)
    return Found(it, position, begin, log.end(it.topic, it.partition), wrong)


def _damaged(it: Input, position: Position | None) -> Wrong | None:
    """Return what is wrong with what lies beside a position of events."""
    if it.name != "events" or position is None:
        return None
    try:
        packed, _ = parse(position.metadata, it.partition)
        if packed:
            unpack_state(it.partition, packed)
    except Gone as error:
        return Wrong(str(error), position.offset, answered_to=position.offset)
    return None


def repair(
    log: Log, config: Config, found: list[Found], *, actor: str, reason: str, clock: Clock
) -> None:
    """Set the positions of what is wrong in `found`, and journal it.

    Raises
    ------
    Fenced
        When workers are running.
    """
    wrong = [(one, one.wrong) for one in found if one.wrong is not None]
    session_polls = 100 + config.log.session_timeout // 100
    events = {one.it.partition: _with_gate(log, config, one, it) for one, it in wrong
              if one.it.name == "events"}  # fmt: skip
    if events:
        topic = config.topic("events")
        with (
            only_member(
                log,
                scorer_group(config),
                topic,
                name=MEMBER,
                busy=f"{topic!r}: {BUSY}",
                polls_max=session_polls,
            ) as member,
            member.transaction() as transaction,
        ):
            for partition, position in events.items():
                transaction.commit_position(topic, partition, position)
    journal_topic = config.topic("journal")
    with only_member(
        log,
        resolver_group(config),
        journal_topic,
        name=MEMBER,
        busy=f"{journal_topic!r}: {BUSY}",
        polls_max=session_polls,
    ) as member:
        entries = _entries(log, config, wrong, actor=actor, reason=reason, now_ms=clock.now_ms())
        with member.transaction() as transaction:
            for entry in entries:
                transaction.append(journal_topic, 0, entry.to_wire())
            for one, it in wrong:
                if one.it.name == "labels":
                    note = note_of(_begun(one, it, _ends(log, config, "labels")))
                    position = Position(it.offset, note)
                    transaction.commit_position(one.it.topic, one.it.partition, position)


def _begun(one: Found, wrong: Wrong, ends: Mapping[str, tuple[int, ...]]) -> Start:
    if not wrong.anew:
        return one.it.start_of(one.position)
    return Start(wrong.offset, {name: of[one.it.partition] for name, of in ends.items()})


def _ends(log: Log, config: Config, name: str) -> dict[str, tuple[int, ...]]:
    return {short: tuple(log.settled_ends(config.topic(short))) for short in OUTPUTS[name]}


def _entries(
    log: Log,
    config: Config,
    wrong: list[tuple[Found, Wrong]],
    *,
    actor: str,
    reason: str,
    now_ms: int,
) -> list[JournalRecord]:
    """Return the chained records; none where the journal has not begun."""
    resolver = fold_journal(log, config)
    if resolver.lineage is None:
        return []
    entries = []
    for name in OUTPUTS:
        for anew in (True, False):
            # A label has no state beside its position: nothing of it begins again.
            chosen = {
                one.it.partition: it.offset
                for one, it in wrong
                if one.it.name == name and it.anew == anew and (anew or name == "events")
            }
            if chosen:
                count = log.partition_count(config.topic(name))
                entries.append(
                    StartEntry(
                        at_ms=now_ms,
                        topic="events" if name == "events" else "labels",
                        starts=tuple(chosen.get(partition) for partition in range(count)),
                        outputs=_ends(log, config, name) if anew else {},
                        actor=actor,
                        reason=reason or "; ".join(
                            it.sentence for one, it in wrong if one.it.name == name
                        )[:1_000],
                    )
                )  # fmt: skip
    return resolver.start(now_ms=now_ms, begins=entries)


def _with_gate(log: Log, config: Config, one: Found, wrong: Wrong) -> Position:
    """Return the position of events to commit, with its gate, or one that begins again."""
    if wrong.keeps and one.position is not None:
        packed, _ = parse(one.position.metadata)
        return Position(wrong.offset, write(packed, None))
    gate = Gate(b"packed only", one.it.partition)
    gate.model_version = log.end(config.topic("journal"), 0)
    # No block had more than one of them, so none of its thresholds comes twice.
    gate.renew(sent=_sent(log, config, one.it.partition), blocks=wrong.answered_to)
    return Position(wrong.offset, write(gate.pack(), None))


def _sent(log: Log, config: Config, partition: int) -> int:
    """Return how many query records of a partition there are, or were."""
    topic = config.topic("queries")
    if partition >= log.partition_count(topic):
        return 0
    if log.begin(topic, partition) == 0:
        return sum(_is_query(record.value) for record in records(log, topic, partition, 0))
    closed = sum(
        closes.partition == partition
        for _, entry in journal(log, config)
        if (closes := getattr(entry, "closes", None)) is not None
    )
    pending = rebuild(log, config, now_ms=0).pending_by_partition()
    return int(closed) + pending.get(partition, 0)


def _is_query(value: bytes) -> bool:
    try:
        Query.model_validate_json(value)
    except ValueError:
        return False
    return True
