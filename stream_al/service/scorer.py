"""The scorer's loop: events in, predictions and queries out, one transaction a batch.

One step, over the port only:

1. fold the journal's news, a slice of them (`Follower`)
2. poll a batch of events, and learn which partitions came and went
3. a partition that came: its gate from the committed metadata, the journal at least to the version
   that its gate has seen, then seek
4. predict, gate, encode; what can't be read becomes a dead letter
5. commit predictions, queries, dead letters, positions and gate states together

What a death leaves behind, and what is done about it, is told in `attempts`: here a partition's
first batch is marked before it is tried, and careful partitions go on one event at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from stream_al.config import Config
from stream_al.engine import EventReader
from stream_al.errors import Gone, InvalidInput, Rewound
from stream_al.messages import packed
from stream_al.port import Log, Member, Position, Record, Transaction
from stream_al.service.answered import true_position
from stream_al.service.attempts import PAUSE_S, Attempts, Mark, write
from stream_al.service.clock import Clock
from stream_al.service.counters import Counters
from stream_al.service.dead import append_letter, dead_letter, quarantined
from stream_al.service.follower import Follower
from stream_al.service.groups import (
    check_reached,
    next_offset,
    read_to_end,
    resolver_group,
    scorer_group,
)
from stream_al.service.inputs import events_input
from stream_al.service.logs import log as log_line
from stream_al.service.repeats import Repeats

BATCH_RECORDS_MAX = 1_000
OLDEST_OPEN_EVERY_S = 1.0


class Scorer:
    """One scorer: a member of the group on events, with the engine of its `follower`."""

    def __init__(
        self,
        log: Log,
        config: Config,
        follower: Follower,
        *,
        name: str,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self.engine = follower.engine
        self._follower = follower
        self._log = log
        self._config = config
        self._counters = counters
        self._clock = clock
        self._reader = EventReader(config.events)
        counters.features_missing = self._reader.missing
        counters.unreadable_events = self._reader.unreadable
        counters.repeats = self._repeats = Repeats(config.events)
        self._events = config.topic("events")
        self._predictions = config.topic("predictions")
        self._queries = config.topic("queries")
        self._statistics = config.topic("statistics")
        self._dead_letters = config.topic("dead_letters")
        self._attempts = Attempts()
        self._oldest_open: dict[int, int] = {}
        self._oldest_open_read_s = 0.0
        self._name = name
        # None until the journal is folded: a newcomer takes no partition that it can't score yet.
        self._member: Member | None = None

    @property
    def owned(self) -> tuple[int, ...]:
        """The events partitions that this scorer owns now."""
        return () if self._member is None else tuple(self._member.owned)

    @property
    def joined(self) -> bool:
        """Whether the journal was folded to its end once, so that partitions may come."""
        return self._member is not None

    def step(self, *, timeout_s: float) -> bool:
        """Do one step; return whether there was anything to do."""
        folded = self._follower.follow()
        if self._member is None:
            self._join_when_folded()
            return True
        if self.engine.lineage is None:
            if not folded:
                self._clock.sleep(timeout_s)
            return folded
        batch = self._member.poll(limit=BATCH_RECORDS_MAX, timeout_s=0 if folded else timeout_s)
        self._counters.rebalances += bool(batch.assigned or batch.revoked)
        for partition in batch.revoked:
            self.engine.drop_partition(partition)
            self._attempts.drop(partition)
        try:
            for partition in batch.assigned:
                self._take_over(partition)
            if batch.records:
                self._score(list(batch.records))
        except Rewound as why:
            log_line("rewound", topic=self._events, why=str(why))
        return folded or bool(batch.records) or bool(batch.assigned)

    def lag(self) -> dict[int, int]:
        """Return how many records each owned partition has that are not scored yet."""
        return {} if self._member is None else self._member.lag()

    def held_back(self) -> dict[int, int]:
        """Return how many offsets of each owned partition open transactions hold back."""
        return {} if self._member is None else self._member.held_back()

    def caught_up(self) -> bool:
        """Whether the journal and every owned partition are read to their present ends."""
        if not self._follower.at_end:
            return False
        return all(
            read_to_end(
                self._log,
                self._events,
                partition,
                self._done_to(partition),
            )
            for partition in range(self._log.partition_count(self._events))
        )

    def leave(self) -> None:
        """Give the partitions back."""
        if self._member is not None:
            self._member.leave()

    # ------------------------------------------------------------------ steps

    def _join_when_folded(self) -> None:
        if self._follower.at_end:
            log_line("journal_folded", position=self.engine.version)
            self._member = self._log.join(scorer_group(self._config), self._events, name=self._name)

    def _owning(self) -> Member:
        assert self._member is not None, "partitions come to members only"
        return self._member

    def _done_to(self, partition: int) -> int:
        group, start = scorer_group(self._config), self.engine.starts.of("events", partition)
        found = self._log.committed(group, self._events, partition)
        begin = self._log.begin(self._events, partition)
        return max(begin, start.first) if found is None else found.offset

    def _take_over(self, partition: int) -> None:
        if self._log.committed(scorer_group(self._config), self._events, partition) is None:
            # Where it begins stands in the journal, beside the model that it waited for.
            self._follower.follow_to(self._log.end(self._config.topic("journal"), 0))
        start = self.engine.starts.of("events", partition)
        it = events_input(self._config, partition, start)
        done = true_position(self._log, it, clock=self._clock)
        offset = done.offset
        check_reached(self._events, partition, offset, self._log.end(self._events, partition))
        packed = self._attempts.take_over(partition, offset, done.metadata)
        self.engine.open_partition(partition, packed)
        seen = self.engine.gates[partition].model_version
        if not self._follower.follow_to(seen):
            raise Gone(
                f"events partition {partition} was scored with journal position {seen}, "
                f"but the journal ends at {self.engine.version}; restore the journal's file"
            )
        self._owning().seek(partition, offset)
        log_line("partition_assigned", topic=self._events, partition=partition, offset=offset)

    def _score(self, records: list[Record]) -> None:
        if self._attempts.taken_over:
            self._mark({record.partition: record.offset + 1 for record in records})
        careful = list(self._attempts.careful)
        if not careful:
            self._score_batch(records)
            return
        # The others first: a death of a careful event must not count as theirs.
        if quiet := [record for record in records if record.partition not in careful]:
            self._score_batch(quiet)
        for partition in careful:
            self._score_alone([record for record in records if record.partition == partition])

    def _mark(self, ends: dict[int, int]) -> None:
        """Commit the marks of partitions whose first records came, all in one transaction."""
        due = self._attempts.begin(ends, now_ms=self._clock.now_ms())
        if not due:
            return  # what was taken over is idle: nothing of it is in this batch
        with self._counters.transaction(self._owning()) as transaction:
            for partition, (offset, metadata) in due.items():
                transaction.commit_position(self._events, partition, Position(offset, metadata))
        for partition in due.keys() & self._attempts.careful.keys():
            log_line("careful", partition=partition, until=self._attempts.careful[partition].until)

    def _score_alone(self, records: list[Record]) -> None:
        """Score a careful partition's records in batches of one, until it is past the place."""
        attempts = self._attempts
        begun = False
        for index, record in enumerate(records):
            partition, after = record.partition, record.offset + 1
            mark = attempts.careful.get(partition)
            if mark is None:
                self._score_batch(records[index:])
                return
            poison = attempts.is_poison(partition)
            if not poison and not begun:
                if mark.singles:
                    self._clock.sleep(PAUSE_S)
                packed = self.engine.pack_partition(partition)
                place = Position(mark.offset, write(packed, attempts.alone(partition)))
                with self._counters.transaction(self._owning()) as transaction:
                    transaction.commit_position(self._events, partition, place)
            begun = index + 1 < len(records)
            left = attempts.passed(partition, after, goes_on=begun)
            if poison:
                self._quarantine(record, mark, left)
            else:
                self._score_batch([record], left)

    def _quarantine(self, record: Record, mark: Mark, left: Mark | None) -> None:
        """Set an event aside that killed the process again and again, and go on behind it."""
        batch = _Batch()
        with self._counters.transaction(self._owning()) as transaction:
            self._set_aside(transaction, record, quarantined(mark), batch)
            self._commit(transaction, record.partition, record.offset + 1, left)
        self._counters.events += 1
        self._counters.dead_letters.update(batch.dead_letters)
        log_line("event_quarantined", partition=record.partition, offset=record.offset)

    def _score_batch(self, records: list[Record], mark: Mark | None = None) -> None:
        started_s = self._clock.monotonic_s()
        batch = _Batch()
        self._read_oldest_open()
        now_ms = self._clock.now_ms()
        with self._counters.transaction(self._owning()) as transaction:
            for partition, run in groupby(records, key=attrgetter("partition")):
                last = None
                for last in run:
                    self._score_one(transaction, last, now_ms, batch)
                assert last is not None
                for value in packed(batch.packed):
                    transaction.append(self._predictions, partition, value)
                batch.packed.clear()
                self._commit(transaction, partition, last.offset + 1, mark)
        counters = self._counters
        counters.events += len(records)
        counters.predictions += batch.predictions
        counters.queries.update(batch.queries)
        counters.dead_letters.update(batch.dead_letters)
        counters.recent.append((len(records), batch.queries.total(), batch.rate))
        counters.score_latency.observe(self._clock.monotonic_s() - started_s)

    def _score_one(
        self, transaction: Transaction, record: Record, now_ms: int, batch: _Batch
    ) -> None:
        partition = record.partition
        oldest_ms = self._oldest_open.get(partition)
        try:
            event = self._reader.read(record.value)
            decision = self.engine.score(
                event,
                partition=partition,
                offset=record.offset,
                at_ms=record.timestamp_ms,
                oldest_open_ms=None if oldest_ms is None else max(0, now_ms - oldest_ms),
            )
            key = event.event_id.encode("utf-8")
        except InvalidInput as error:
            self._set_aside(transaction, record, error, batch)
            return
        self._repeats.note(event, record.value)
        if self._config.predictions.pack == "poll":
            batch.packed.append(decision.wire())
        else:
            transaction.append(self._predictions, partition, decision.wire(), key)
        batch.predictions += 1
        batch.rate += decision.fields["rate"]
        query = decision.query
        if query is not None:
            transaction.append(self._queries, partition, query.to_wire(), key)
            batch.queries[query.reason] += 1

    def _set_aside(
        self, transaction: Transaction, record: Record, error: InvalidInput, batch: _Batch
    ) -> None:
        letter = dead_letter(self._events, record, error, raw_max=self._config.events.bytes_max)
        append_letter(transaction, self._dead_letters, letter)
        batch.dead_letters[error.error] += 1

    def _commit(
        self, transaction: Transaction, partition: int, offset: int, mark: Mark | None
    ) -> None:
        if partition in self.engine.statistics_due:
            for statistics in self.engine.take_statistics(partition):
                transaction.append(self._statistics, 0, statistics.to_wire())
        metadata = write(self.engine.pack_partition(partition), mark)
        transaction.commit_position(self._events, partition, Position(offset, metadata))

    def _read_oldest_open(self) -> None:
        """For back-pressure: the record time of each owned partition's oldest open query."""
        now_s = self._clock.monotonic_s()
        if self.engine.settings.gate.back_pressure is None:
            self._oldest_open.clear()
            return
        if now_s - self._oldest_open_read_s < OLDEST_OPEN_EVERY_S:
            return
        self._oldest_open_read_s = now_s
        self._oldest_open.clear()
        for partition in self.owned:
            group = resolver_group(self._config)
            offset = next_offset(self._log, group, self._queries, partition)
            for record in self._log.read(self._queries, partition, offset, limit=1):
                self._oldest_open[partition] = record.timestamp_ms


@dataclass(slots=True)
class _Batch:
    """What one batch counted; added to the worker's counters only once it is committed."""

    predictions: int = 0
    packed: list[bytes] = field(default_factory=list)
    rate: float = 0.0
    queries: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
