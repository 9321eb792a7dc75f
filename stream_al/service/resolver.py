"""The resolver's loop: labels, controls and statistics in, journal and outcomes out.

One active owner, elected on the journal's only partition; the others stand by. One step, over the
port only:

1. poll the journal: it tells whether we own it, and brings our own records back with their places
2. on becoming owner rebuild from queries and journal
3. read labels, controls and statistics
4. then the queries to their present ends: a label follows its visible query, so what is unknown
   then is unknown
5. decide; commit journal, outcomes, dead letters and positions together

The committed position of a queries partition is its oldest pending query, where a rebuild begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stream_al.config import Config
from stream_al.engine import LabelReader, parse
from stream_al.errors import InvalidInput, Rewound
from stream_al.labels import Resolver
from stream_al.messages import (
    ControlProposal,
    DigestEntry,
    Inputs,
    JournalRecord,
    Source,
    StartEntry,
    StatisticsProposal,
)
from stream_al.port import Log, Position, Record, Transaction
from stream_al.service.answered import true_position
from stream_al.service.clock import Clock
from stream_al.service.counters import Counters
from stream_al.service.dead import check_size, dead_letter
from stream_al.service.environment import environment
from stream_al.service.follower import Digest
from stream_al.service.groups import (
    check_first,
    check_reached,
    lag,
    next_offset,
    read_to_end,
    resolver_group,
)
from stream_al.service.inputs import WRITTEN, labels_input, note_of
from stream_al.service.log_time import LogTime
from stream_al.service.logs import log as log_line
from stream_al.service.mapping import Fit
from stream_al.service.rebuild import add_queries, fold_journal, last_at_ms
from stream_al.service.resolver_step import Step
from stream_al.service.retention import Retention
from stream_al.service.strays import Links
from stream_al.service.view import READ_RECORDS_MAX

LABELS_STEP_MAX = 500
PROPOSALS_STEP_MAX = 200
JOURNAL_STEP_MAX = 5_000
QUERY_READS_MAX = 5
INPUT_BYTES_MORE = 65_536  # around the features; what is journaled of them must fit a broker

Clean = Callable[[dict[str, Any]], dict[str, Any]]


class ResolverLoop:
    """One resolver: active while it owns the journal, else a hot standby.

    Parameters
    ----------
    clean
        The guard for features that labels and seeds bring along.
    witness
        Gives the newest digest of a model that follows the journal in this process.
    any_lineage
        Go on whatever model the journal teaches: for `model activate` and its like alone.
    begins
        Says by the clock where inputs begin, when the journal does.
    inputs
        By what this process works: journaled where the journal has none, else it must be the same.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        *,
        name: str,
        counters: Counters,
        clean: Clean,
        clock: Clock,
        witness: Callable[[], Digest | None] = lambda: None,
        any_lineage: bool = False,
        begins: Callable[[int], StartEntry | None] = lambda _: None,
        inputs: Inputs | None = None,
    ) -> None:
        self._log = log
        self._fit = Fit(config, inputs)
        self._config = config
        self._counters = counters
        self._any_lineage = any_lineage
        self._begins = begins
        self._clean = clean
        self._clock = clock
        self._witness = witness
        self._environment = environment()
        self._reader = LabelReader(config.labels)
        counters.unreadable_labels = self._reader.unreadable
        self._group = resolver_group(config)
        self._journal = config.topic("journal")
        self._queries = config.topic("queries")
        self._labels = config.topic("labels")
        self._controls = config.topic("controls")
        self._statistics = config.topic("statistics")
        self._inputs = (
            (self._controls, PROPOSALS_STEP_MAX),
            (self._statistics, PROPOSALS_STEP_MAX),
            (self._labels, LABELS_STEP_MAX),
        )
        # Next offset to read of each input partition; what is committed may be older.
        self._positions: dict[tuple[str, int], int] = {}
        self._committed: dict[tuple[str, int], int] = {}
        self._notes: dict[tuple[str, int], str] = {}  # what is committed beside a position
        self._resolver: Resolver | None = None
        self._links = Links(self._journal)
        self._known_partitions: tuple[int, ...] = ()
        self._retention = Retention(log, config, monotonic_s=clock.monotonic_s())
        self._time = LogTime(log, config, clock=clock, counters=counters)
        self._member = log.join(self._group, self._journal, name=name)

    @property
    def active(self) -> Resolver | None:
        """The resolver's state while this process owns the journal; to look at only."""
        return self._resolver

    def step(self, *, timeout_s: float) -> bool:
        """Do one step; return whether there was anything to do."""
        batch = self._member.poll(limit=JOURNAL_STEP_MAX, timeout_s=timeout_s)
        self._counters.rebalances += bool(batch.assigned or batch.revoked)
        if batch.revoked:
            self._resolver = None
        if batch.assigned:
            self._time.begin(self._take_over())
        resolver = self._resolver
        if resolver is None:
            return False
        for record in batch.records:
            entry = self._links.take(record)
            if entry is not None:
                resolver.confirm(entry, record.offset)
        if self._partitions() != self._known_partitions:
            self._take_over()  # the division of the budget changes with them
            return True
        if not self._any_lineage:
            self._fit.check(resolver.lineage, resolver.inputs)
        try:
            return self._decide(resolver) or bool(batch.records) or bool(batch.assigned)
        except Rewound as why:
            log_line("rewound", topic=self._journal, why=str(why))
            return True  # the next poll gives the journal again, and we take over once more

    def caught_up(self) -> bool:
        """Whether labels, controls and statistics are read to their present ends, by any owner."""
        return all(
            read_to_end(self._log, topic, partition, self._committed_offset(topic, partition))
            for topic, _ in self._inputs
            for partition in range(self._log.partition_count(topic))
        )

    def lag(self) -> dict[tuple[str, int], int]:
        """Return (topic, partition) → records not taken yet; nothing while standing by."""
        if self._resolver is None:
            return {}
        ends = {topic: self._log.ends(topic) for topic, _ in self._inputs}  # a request a topic
        return {
            (topic, partition): lag(self._log, topic, partition, next_, end=ends[topic][partition])
            for (topic, partition), next_ in self._positions.items()
        }

    def leave(self) -> None:
        """Give the journal back."""
        self._resolver = None
        self._member.leave()

    # ------------------------------------------------------------------ taking over

    def _take_over(self) -> int | None:
        """Fold the journal, and go on from there; return the time of its last record."""
        self._known_partitions = self._partitions()
        resolver = fold_journal(self._log, self._config, self._fit.own)
        if resolver.lineage is None:
            check_first(self._log, self._config)
        self._positions = {
            (topic, partition): self._done_to(topic, partition)
            for topic, _ in self._inputs
            for partition in range(self._log.partition_count(topic))
        }
        self._check_reached(resolver)
        self._committed = {}
        self._resolver = resolver
        self._links = Links(self._journal, resolver.chain, counted=self._counters.strays)
        self._member.seek(0, resolver.position)
        log_line("journal_owned", position=resolver.position, pending=resolver.pending_count)
        return last_at_ms(self._log, self._config, resolver)

    def _check_reached(self, resolver: Resolver) -> None:
        """Refuse to go on where an input, or the journal, lost what was read already."""
        positions = self._positions | {(self._journal, 0): self._committed_offset(self._journal, 0)}
        for partition, offset in resolver.queries_end.items():
            positions[self._queries, partition] = offset
        ends = {topic: self._log.ends(topic) for topic, _ in positions}
        for (topic, partition), offset in positions.items():
            check_reached(topic, partition, offset, ends[topic][partition])

    def _partitions(self) -> tuple[int, ...]:
        """Return how many partitions there are of what grows: they come one topic after another."""
        grow = ("events", "labels", "queries")
        return tuple(self._log.partition_count(self._config.topic(name)) for name in grow)

    def _committed_offset(self, topic: str, partition: int) -> int:
        return next_offset(self._log, self._group, topic, partition)

    def _done_to(self, topic: str, partition: int) -> int:
        """Return where to go on in an input; a control or statistics heard twice does no harm."""
        if topic != self._labels:
            return self._committed_offset(topic, partition)
        it = labels_input(self._log, self._config, partition)
        found = true_position(self._log, it, clock=self._clock)
        self._notes[topic, partition] = note_of(it.start_of(found))
        return found.offset

    # ------------------------------------------------------------------ deciding

    def _decide(self, resolver: Resolver) -> bool:
        doubted = self._time.doubted
        now_ms = self._time.now_ms()
        if doubted and not self._time.doubted:
            # What was asked meanwhile counts from another time now.
            self._take_over()
            return True
        step = Step()
        begins = self._begins(now_ms) if resolver.lineage is None else None
        step.journal += resolver.start(now_ms=now_ms, begins=[] if begins is None else [begins])
        taken = list(self._read_inputs())
        complete, repeated = self._read_queries(resolver, now_ms, to_end=bool(taken))
        step.journal += repeated
        if complete:
            self._handle_all(resolver, taken, step, now_ms)
        if not self._time.doubted:
            step.journal += resolver.tick(now_ms)
        step.journal += self._digests(resolver, now_ms)
        positions = self._positions | self._oldest_pending(resolver)
        if step.journal or positions != self._committed:
            with self._counters.transaction(self._member) as transaction:
                self._write(transaction, step, positions)
                transaction.commit_position(self._journal, 0, Position(resolver.position, WRITTEN))
            self._committed = positions
            step.count(self._counters)
        if not self._time.doubted:
            self._retention.enforce(now_ms, resolver.first_at_ms, self._clock.monotonic_s())
        return bool(taken or step.journal or not complete)

    def _digests(self, resolver: Resolver, now_ms: int) -> list[JournalRecord]:
        found = self._witness()
        if found is None:
            return []
        return resolver.on_digest(
            DigestEntry(
                at_ms=now_ms,
                position=found.position,
                model_id=found.model_id,
                digest=found.digest,
                learnt_count=found.learnt_count,
                environment=self._environment,
            )
        )

    def _read_inputs(self) -> Iterator[tuple[str, Record]]:
        for topic, limit in self._inputs:
            partitions = [place[1] for place in self._positions if place[0] == topic]
            for partition in partitions:
                position = self._positions[topic, partition]
                most = self._member.batch_max(limit)
                records = self._log.read(topic, partition, position, limit=most, wait=False)
                for record in records:
                    yield topic, record

    def _read_queries(
        self, resolver: Resolver, now_ms: int, *, to_end: bool
    ) -> tuple[bool, list[JournalRecord]]:
        """Add new queries, a bounded number a step; say whether all that there are were read.

        Only inputs make it matter what there is: without any, what has come here is enough.
        """
        repeated: list[JournalRecord] = []
        complete = True
        ends = self._log.ends(self._queries) if to_end else ()
        for partition in range(len(ends) or self._log.partition_count(self._queries)):
            start = resolver.queries_end.get(partition, 0)
            found: list[Record] = []
            for _ in range(QUERY_READS_MAX):
                if to_end and start >= ends[partition]:
                    break
                found = self._log.read(
                    self._queries, partition, start, limit=READ_RECORDS_MAX, wait=to_end
                )
                if not found:  # the last offsets may be empty
                    break
                repeated += add_queries(
                    resolver, self._queries, found, now_ms=now_ms, counted=self._counters.strays
                )
                start = found[-1].offset + 1
            complete = complete and (not found or (to_end and start >= ends[partition]))
        return complete, repeated

    def _oldest_pending(self, resolver: Resolver) -> dict[tuple[str, int], int]:
        found = {}
        for partition, end in resolver.queries_end.items():
            oldest = resolver.oldest_pending(partition)
            found[self._queries, partition] = end if oldest is None else oldest.offset
        return found

    def _handle_all(
        self, resolver: Resolver, taken: list[tuple[str, Record]], step: Step, now_ms: int
    ) -> None:
        """Decide about inputs; what must wait for the commit holds back those behind it only.

        But for controls: one that waits until all is confirmed would wait for ever.
        """
        waiting: set[tuple[str, int]] = set()
        for topic, record in taken:
            place = topic, record.partition
            if place in waiting:
                continue
            if self._handle(resolver, topic, record, step, now_ms):
                self._positions[place] = record.offset + 1
            elif topic == self._controls:
                return
            else:
                waiting.add(place)

    def _handle(
        self, resolver: Resolver, topic: str, record: Record, step: Step, now_ms: int
    ) -> bool:
        """Decide about one input; False when what was decided must be committed first."""
        bytes_max = self._config.events.bytes_max
        try:
            check_size(record, bytes_max + INPUT_BYTES_MORE)
            if topic == self._labels:
                return self._on_label(resolver, record, step, now_ms)
            if topic == self._controls:
                return self._on_control(resolver, record, step, now_ms)
            statistics = parse(StatisticsProposal, record.value)
            step.journal += resolver.on_statistics(statistics, now_ms=now_ms)
        except InvalidInput as error:
            step.letters.append(dead_letter(topic, record, error, raw_max=bytes_max))
        return True

    def _on_label(self, resolver: Resolver, record: Record, step: Step, now_ms: int) -> bool:
        label = self._reader.read(record.value)
        if label.features is not None:
            label = label.model_copy(update={"features": self._clean(label.features)})
        if not resolver.ready(label, now_ms=now_ms):
            return False
        resolution = resolver.on_label(
            label, source=Source(partition=record.partition, offset=record.offset), now_ms=now_ms
        )
        step.journal += resolution.records
        step.outcomes.append(resolution.outcome)
        step.name(resolution.new_class)
        return True

    def _on_control(self, resolver: Resolver, record: Record, step: Step, now_ms: int) -> bool:
        proposal = parse(ControlProposal, record.value)
        if proposal.features is not None:
            proposal = proposal.model_copy(update={"features": self._clean(proposal.features)})
        if not resolver.ready_for(proposal):
            return False
        result = resolver.on_control(proposal, now_ms=now_ms)
        if result.problem is not None:
            raise InvalidInput("InvalidProposal", result.problem)
        step.journal += result.records
        step.name(result.new_class if result.records else None)
        return True

    # ------------------------------------------------------------------ committing

    def _write(
        self, transaction: Transaction, step: Step, positions: dict[tuple[str, int], int]
    ) -> None:
        step.write(transaction, self._config)
        for place, offset in positions.items():
            if self._committed.get(place) != offset:
                note = self._notes.get(place, "")
                transaction.commit_position(*place, Position(offset, note))
