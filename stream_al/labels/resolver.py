"""The resolver: what a label, a proposal or the clock leads to, in the words of the journal.

It *decides* by returning journal records; its state changes only by *folding* records. A decision
folds its own records at once, so the next one sees them; `confirm` brings their journal positions
later. Folding the same journal and the same queries in another process gives the same state.

A service does, in this order:

1. rebuild: `begin_queries` for each partition of queries, `apply` for every journal record, then
   `add_query` from there to the queries' ends
2. `start`; then labels and proposals, after reading queries to their present ends; `tick`
3. before each `on_label`, `ready`; if it is not, commit and `confirm` first
4. commit all records, then `confirm` each as the journal's tail brings it back

Time is `now_ms`, an input. Nothing here reads or writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from stream_al.config import Config
from stream_al.errors import Fenced
from stream_al.labels.closed import UNLOCATED
from stream_al.labels.entries import closed_entry, outcome_of
from stream_al.labels.gold import GoldQuestion, question_of
from stream_al.labels.hearing import answerable, hear
from stream_al.labels.proposals import (
    ProposalResult,
    control_entry,
    division_entries,
    first_entries,
    gold_entry,
    model_entry,
    proposal_problem,
    seed_entry,
    unknown_inputs,
)
from stream_al.labels.resolution import Resolution
from stream_al.labels.rulings import Heard, needs_first, rule
from stream_al.labels.state import LabelState
from stream_al.labels.views import AnnotatorView, ClassView, OldestPending, OpenQuery
from stream_al.messages import (
    ControlProposal,
    DigestEntry,
    Inputs,
    JournalRecord,
    Label,
    LabelEntry,
    ModelEntry,
    Query,
    Settings,
    Source,
    StartEntry,
    StatisticsProposal,
    chained,
)

EXPIRED_PER_TICK_MAX = 1_000
"""Queries that one `tick` closes at most: labels come in between, and a transaction stays small."""
UNCONFIRMED_MAX = 100_000
"""Records decided and not confirmed; far above what one step of a service decides."""


class Resolver:
    """Decides what becomes of labels, queries and proposals.

    Parameters
    ----------
    config
        `labels`, `topics.partitions` and what the model and the settings begin with.
    read_back
        Journal position → the label record there, or None when it can't be read any more: features
        of closed queries are not kept in memory.
    known_uncertainties
        Gives the names that `gate.uncertainty` may take; None for any.
    inputs
        What this configuration decides: journaled where the journal knows none; None for silence.

    Attributes
    ----------
    position
        The next journal position to fold.
    """

    def __init__(
        self,
        config: Config,
        *,
        read_back: Callable[[int], LabelEntry | None],
        known_uncertainties: Callable[[], frozenset[str]] | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self._config = config
        self._classes = config.labels.classes
        self._inputs = inputs
        self._read_back = read_back
        self._known_uncertainties = known_uncertainties
        self._state = LabelState(config)
        # The records decided here and not confirmed, in order; the one that is folded now.
        self._unconfirmed: deque[JournalRecord] = deque()
        self._folding: JournalRecord | None = None
        self.position = 0

    # ------------------------------------------------------------------ looking

    @property
    def settings(self) -> Settings:
        """The run-time settings in force."""
        return self._state.settings

    @property
    def lineage(self) -> ModelEntry | None:
        """The model record in force; None on an empty journal."""
        return self._state.lineage

    @property
    def inputs(self) -> Inputs | None:
        """What of a configuration is in force, as the journal has it."""
        return self._state.inputs

    @property
    def chain(self) -> str:
        """Chain hash of the last record, decided or folded."""
        return self._state.chain

    @property
    def first_at_ms(self) -> int | None:
        """Time of the journal's first record: nothing in the log is older."""
        return self._state.first_at_ms

    @property
    def last_at_ms(self) -> int | None:
        """Time of the last record; None before it, and in a state of an older version."""
        return self._state.last_at_ms

    @property
    def queries_end(self) -> dict[int, int]:
        """Partition of queries → the offset after the last record seen; 0 before the first."""
        return self._state.queries_end

    @property
    def pending_count(self) -> int:
        """How many queries are pending."""
        return len(self._state.pending)

    @property
    def closed_count(self) -> int:
        """How many events that are not pending are remembered."""
        return len(self._state.closed)

    @property
    def skipped_count(self) -> int:
        """How many journal records could not be applied."""
        return self._state.skipped_count

    def pending_by_partition(self) -> dict[int, int]:
        """Return how many queries are pending in each partition that ever had one."""
        pending = self._state.pending
        return {partition: pending.count(partition) for partition in pending.partitions()}

    def oldest_pending(self, partition: int) -> OldestPending | None:
        """Return the oldest pending query of a partition; without one, all of it is done."""
        oldest = self._state.pending.oldest(partition)
        return None if oldest is None else OldestPending(oldest.base_ms, oldest.place.offset)

    def open_queries(self, limit: int) -> list[OpenQuery]:
        """Return up to `limit` pending queries, most urgent first. Reads them all: for people."""
        return [self._state.opened(pending) for pending in self._state.pending.most_urgent(limit)]

    def open_query(self, event_id: str) -> OpenQuery | None:
        """Return the pending query of one event."""
        pending = self._state.pending.get(event_id)
        return None if pending is None else self._state.opened(pending)

    def annotators(self) -> list[AnnotatorView]:
        """Return what is known of everybody who answered, who answered most first."""
        return self._state.annotators.views()

    def classes(self) -> list[ClassView]:
        """Return what is known of each class of the lineage in force, in the order met."""
        return self._state.classes.views()

    def agreement(self) -> float | None:
        """Return Krippendorff's alpha over all queries with two votes or more."""
        return self._state.annotators.alpha()

    def gold_questions(self, annotator: str) -> list[GoldQuestion]:
        """Return the gold questions that somebody has not answered yet, oldest first."""
        state = self._state
        return [
            gold
            for gold in state.gold
            if state.gold.answer(gold.event_id, annotator) is None
            and answerable(state, gold.event_id)
        ]

    def fingerprint(self) -> str:
        """Return a hash of the state, equal for equal folds. Reads everything: for tests."""
        return self._state.fingerprint()

    # ------------------------------------------------------------------ folding

    def begin_queries(self, partition: int, offset: int) -> None:
        """Say that all query records below `offset` are closed; before queries are added."""
        self._state.begin_queries(partition, offset)

    def apply(self, record: JournalRecord, position: int) -> None:
        """Fold a record that another process, or an earlier life, journaled at `position`."""
        assert not self._unconfirmed, "confirm what was decided before folding what others decided"
        self._state.fold(record, position)
        self.position = position + 1

    def confirm(self, record: JournalRecord, position: int) -> None:
        """Take note that a record decided here lies in the journal at `position`.

        Raises
        ------
        Fenced
            When it is not the next of our own: the journal has another writer.
        """
        if not self._unconfirmed or self._unconfirmed[0].chain != record.chain:
            raise Fenced(
                f"journal position {position}: a {record.kind} record is not ours; another "
                "resolver took the journal over"
            )
        self._state.locate(record, position)
        self.position = position + 1
        self._unconfirmed.popleft()

    def pass_query(self, place: Source) -> None:
        """Pass over a record of the queries topic that is no query."""
        ends = self._state.queries_end
        ends[place.partition] = max(ends[place.partition], place.offset + 1)

    def add_query(
        self, query: Query, *, place: Source, timestamp_ms: int, now_ms: int
    ) -> list[JournalRecord]:
        """Take in the query record at `place`; a repeated event's record is closed at once.

        It counts as asked at the log's `timestamp_ms`, clipped to [the journal's first record or
        the latest such time in its partition, `now_ms`].
        """
        if not self._state.see(query, place=place, timestamp_ms=timestamp_ms, now_ms=now_ms):
            return []
        repeated = closed_entry(
            query.event_id, "repeated", place=place, closes=query.source, now_ms=now_ms
        )
        return self._decided([repeated])

    def _decided(self, records: Iterable[JournalRecord]) -> list[JournalRecord]:
        """Chain and fold what was decided, in order."""
        linked: list[JournalRecord] = []
        for record in records:
            assert len(self._unconfirmed) < UNCONFIRMED_MAX, "commit and confirm what was decided"
            linked.append(chained(record, self._state.chain))
            self._take(linked[-1])
        return linked

    def _take(self, record: JournalRecord) -> None:
        self._folding = record
        self._state.fold(record, UNLOCATED)
        self._unconfirmed.append(record)
        self._folding = None

    def mend(self) -> list[JournalRecord]:
        """Finish a change that an exception broke off; return what is to be confirmed."""
        self._state.mend()
        if self._folding is not None and self._folding not in self._unconfirmed:
            self._take(self._folding)  # again: at worst an annotator's answer counts twice
        self._folding = None
        return list(self._unconfirmed)

    # ------------------------------------------------------------------ labels

    def ready(self, label: Label, *, now_ms: int) -> bool:
        """Whether `on_label` can decide now.

        It can't when the label bears on a label record whose journal position is not known yet:
        commit, `confirm`, and it can.
        """
        label, invalid, _ = self._state.classes.enter_label(label, self._classes)
        return invalid is not None or self._located(self._heard(label, now_ms))

    def on_label(self, label: Label, *, source: Source, now_ms: int) -> Resolution:
        """Decide what becomes of the label that lies at `source` in the labels topic."""
        label, invalid, new_class = self._state.classes.enter_label(label, self._classes)
        if invalid is not None:
            return Resolution(outcome_of(label, "invalid", invalid, source), ())
        heard = self._heard(label, now_ms)
        assert self._located(heard), "commit and confirm first: ask `ready`"
        first = None
        if heard.closed is not None and needs_first(heard):
            first = self._read_back(heard.closed.position)
        ruling = rule(heard, self._config.labels, first)
        records = tuple(self._decided(ruling.records))
        if not records or new_class is None:
            return Resolution(outcome_of(label, ruling.outcome, ruling.reason, source), records)
        reason = new_class.joined(ruling.reason)
        return Resolution(outcome_of(label, ruling.outcome, reason, source), records, new_class)

    @staticmethod
    def _located(heard: Heard) -> bool:
        closed = heard.closed
        return closed is None or closed.position != UNLOCATED or not needs_first(heard)

    def _heard(self, label: Label, now_ms: int) -> Heard:
        return hear(self._state, label, self._config.labels, now_ms=now_ms)

    # ------------------------------------------------------------------ the clock

    def tick(self, now_ms: int) -> list[JournalRecord]:
        """Close queries that nobody answered in time, at most `EXPIRED_PER_TICK_MAX` a call."""
        asked_to_ms = now_ms - self._config.labels.expire_after
        return self._decided(
            closed_entry(one.event_id, "expired", place=one.place, closes=one.source, now_ms=now_ms)
            for one in self._state.pending.asked_to(asked_to_ms, EXPIRED_PER_TICK_MAX)
        )

    # ------------------------------------------------------------------ proposals

    def start(self, *, now_ms: int, begins: Iterable[StartEntry] = ()) -> list[JournalRecord]:
        """Journal what has to stand there before the first decision.

        On an empty journal the lineage and the configured settings; later the division of the
        budget, when partitions or votes were changed in the configuration; and where inputs begin.
        """
        config, own = self._config, self._inputs
        if self.lineage is None:
            first = first_entries(config, chain=self.chain, now_ms=now_ms, inputs=own)
        else:
            first = division_entries(config, self.settings, now_ms=now_ms)
            first += unknown_inputs(own, self.inputs, now_ms=now_ms)
        return self._decided([*first, *begins])

    def ready_for(self, proposal: ControlProposal) -> bool:
        """Whether `on_control` can decide now: a lineage that replays needs positions."""
        return proposal.start == "empty" or not self._unconfirmed

    def on_control(self, proposal: ControlProposal, *, now_ms: int) -> ProposalResult:
        """Judge what an operator proposes; a proposal that came before changes nothing."""
        if (proposal.proposal_id,) in self._state.proposals:
            return ProposalResult()
        known, new_class = self._known_uncertainties, None
        problem = proposal_problem(proposal, self.settings, self.lineage, known)
        if problem is None and proposal.kind in {"seed", "gold"}:
            entered = self._state.classes.enter(proposal.label or "", self._classes)
            proposal = proposal.model_copy(update={"label": entered.name})
            problem, new_class = entered.problem, entered.new
        if problem is not None:
            return ProposalResult(problem=problem)
        record: JournalRecord
        match proposal.kind:
            case "control" | "mapping":
                record = control_entry(proposal, now_ms=now_ms)
            case "model":
                assert self.lineage is not None, "`start` comes first"
                record = model_entry(
                    proposal,
                    chain=self.chain,
                    now_ms=now_ms,
                    before=(self.lineage, self._state.lineage_at),
                    end=self.position,
                )
            case "seed":
                record = seed_entry(proposal, now_ms=now_ms)
                if (record.event_id, record.label) in self._state.seeds:
                    return ProposalResult()
            case "gold":
                record = gold_entry(proposal, now_ms=now_ms)
                if self._state.gold.get(record.event_id) == question_of(record):
                    return ProposalResult()
        return ProposalResult(records=tuple(self._decided([record])), new_class=new_class)

    def on_statistics(self, proposal: StatisticsProposal, *, now_ms: int) -> list[JournalRecord]:
        """Merge what a scorer measured; return the record when there is enough for one."""
        merger = self._state.statistics
        merger.merge(proposal)
        due = merger.due(partitions=self.settings.partitions, now_ms=now_ms)
        return [] if due is None else self._decided([due])

    def on_digest(self, entry: DigestEntry) -> list[JournalRecord]:
        """Journal a digest of the model, unless one of this position or a later one is known."""
        return self._decided([entry]) if entry.position > self._state.digested_to else []

    # ------------------------------------------------------------------ carrying on elsewhere

    def dump(self) -> dict[str, Any]:
        """Return the state, live: pickle or copy it before going on."""
        return {"state": self._state, "unconfirmed": self._unconfirmed, "position": self.position}

    def restore(self, dumped: dict[str, Any], *, classes: Iterable[str] = ()) -> None:
        """Go on from what `dump` returned; one of 0.1.0 has no classes: its model's are those."""
        self._state, self._unconfirmed = dumped["state"], dumped["unconfirmed"]
        self.position = dumped["position"]
        self._state.classes.know(classes)
