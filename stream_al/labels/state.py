"""The resolver's state: a fold over the journal and the query records, and nothing else.

`fold` takes every journal record, `see` every query record; nothing else changes it. A rebuild
folds the journal first and then reads the queries: a query that the journal closed already is
recognised by its place.
"""

from __future__ import annotations

import json
from collections import defaultdict
from hashlib import blake2b
from typing import Any, assert_never

from pydantic import ValidationError

from stream_al.config import Config
from stream_al.labels.annotators import Annotators
from stream_al.labels.classes import ClassTable
from stream_al.labels.closed import UNLOCATED, ClosedQuery, ClosedTable, Voices, voices_with
from stream_al.labels.gold import GoldTable
from stream_al.labels.pending import PendingQuery, PendingTable
from stream_al.labels.proposals import (
    PROPOSALS_REMEMBERED_MAX,
    SEEDS_REMEMBERED_MAX,
    Remembered,
)
from stream_al.labels.statistics import StatisticsMerger
from stream_al.labels.views import OpenQuery
from stream_al.labels.votes import Ballot
from stream_al.messages import (
    CHAIN_START,
    ClosedEntry,
    ControlEntry,
    DigestEntry,
    GoldEntry,
    Inputs,
    JournalRecord,
    LabelEntry,
    ModelEntry,
    Query,
    RetractionEntry,
    SeedEntry,
    Settings,
    Source,
    StartEntry,
    StatisticsEntry,
    VolunteeredEntry,
    VoteEntry,
)

EventEntry = LabelEntry | VoteEntry | ClosedEntry | RetractionEntry | VolunteeredEntry


class LabelState:
    """What is known of queries, labels and settings.

    Attributes
    ----------
    settings
        The run-time settings in force; the configured ones before the first control record.
    lineage, lineage_at
        The last `model` record, None on an empty journal, and its position.
    inputs
        What of a configuration is in force, as the journal has it; None before it did.
    chain
        Chain hash of the last record folded.
    first_at_ms
        Time of the first record folded; no query counts as asked before it.
    last_at_ms
        Time of the last record folded; None before it, and in a state of an older version.
    pending
        Queries that were seen and not closed; at most one an event.
    closed
        What is remembered of other events; bounded by `labels.closed_max`.
    ballots
        Event → what annotators said about its query that is not closed. An event that nobody said
        anything about has none; there is one at most, for other query records of the event are
        closed before anybody can vote on them.
    queries_end
        Partition of queries → the offset after the last query record seen.
    closed_ahead
        Places that the journal closed before their query record was seen, which happens in a
        rebuild only: at most the query records between `queries_end` and their topic's end.
    seeds, proposals
        What was taught and proposed already; bounded.
    classes
        Classes that the lineage in force may know, who said them and when; bounded.
    annotators
        How good everybody is who answered; bounded.
    gold
        Questions whose answer is known, and who answered them; bounded.
    statistics
        Merged statistics of the events' numbers.
    digested_to
        Position of the last digest of the model.
    skipped_count
        Control records that could not be applied; every worker skips them in the same way.
    """

    last_at_ms: int | None = None  # of the class: states that were pickled before have none
    inputs: Inputs | None = None  # of the class: states that were pickled before 0.2.0 have none

    def __init__(self, config: Config) -> None:
        self.settings: Settings = config.settings()
        self.lineage: ModelEntry | None = None
        self.lineage_at = UNLOCATED
        self.chain = CHAIN_START
        self.first_at_ms: int | None = None
        self.pending = PendingTable()
        self.closed = ClosedTable(config.labels.closed_max, config.labels.revise_within)
        self.ballots: dict[str, Ballot] = {}
        self.queries_end: defaultdict[int, int] = defaultdict(int)
        self.closed_ahead: defaultdict[int, set[int]] = defaultdict(set)
        self.seeds = Remembered(SEEDS_REMEMBERED_MAX)
        self.proposals = Remembered(PROPOSALS_REMEMBERED_MAX)
        self.classes = ClassTable()
        self.annotators = Annotators(config.labels.classes)
        self.gold = GoldTable()
        self.statistics = StatisticsMerger()
        self.skipped_count = 0
        self.digested_to = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was dumped: 0.1.0 had no table of classes, which begins empty then."""
        self.__dict__.update({"classes": ClassTable()} | state)

    # ------------------------------------------------------------------ looking

    def ballot(self, pending: PendingQuery) -> Ballot:
        """Return what was said about a pending query; a new, empty one is not kept."""
        place = pending.place
        ballot = self.ballots.get(pending.event_id)
        return Ballot(place) if ballot is None or ballot.place != place else ballot

    def opened(self, pending: PendingQuery) -> OpenQuery:
        """Return a pending query as people see it."""
        ballot = self.ballot(pending)
        return OpenQuery(
            query=pending.query(),
            place=pending.place,
            asked_ms=pending.base_ms,
            votes=ballot.votes(),
            votes_wanted=ballot.wanted or pending.votes_wanted,
            passed_by=ballot.passed_by(),
        )

    def votes_wanted(self, pending: PendingQuery) -> int:
        """Return how many votes a pending query wants by now."""
        return self.ballot(pending).wanted or pending.votes_wanted

    # ------------------------------------------------------------------ folding

    def begin_queries(self, partition: int, offset: int) -> None:
        """Say that every query record below `offset` is closed, and forget what lies there.

        The begin only grows. For a state that saw no query record of the partition yet.
        """
        assert not self.pending.count(partition), "what is pending is not closed"
        begin = max(self.queries_end[partition], offset)
        self.queries_end[partition] = begin
        ahead = self.closed_ahead.pop(partition, set())
        if ahead:
            self.closed_ahead[partition] = {place for place in ahead if place >= begin}

    def see(self, query: Query, *, place: Source, timestamp_ms: int, now_ms: int) -> bool:
        """Take in a query record; return whether it repeats an event and has to be closed.

        A record that was seen before, or that the journal closed already, changes nothing. One
        that somebody voted on stays open, also when a rebuild comes to another one before it.
        """
        partition, offset = place.partition, place.offset
        if offset < self.queries_end[partition]:
            return False
        self.queries_end[partition] = offset + 1
        if offset in self.closed_ahead[partition]:
            self.closed_ahead[partition].discard(offset)
            return False
        known = self.closed.get(query.event_id)
        volunteered = known is not None and known.state == "volunteered"
        if self.pending.get(query.event_id) is not None or (known is not None and not volunteered):
            return True
        if self._voted_ahead(query.event_id, place):
            return True
        floor_ms = timestamp_ms if self.first_at_ms is None else self.first_at_ms
        self.pending.add(
            query, place=place, timestamp_ms=timestamp_ms, now_ms=now_ms, floor_ms=floor_ms
        )
        return False

    def _voted_ahead(self, event_id: str, place: Source) -> bool:
        """Whether somebody voted on a record of the event, other than `place`, not seen yet."""
        ballot = self.ballots.get(event_id)
        if ballot is None or ballot.place == place:
            return False
        return ballot.place.offset >= self.queries_end[ballot.place.partition]

    def fold(self, record: JournalRecord, position: int) -> None:
        """Take in a journal record; `UNLOCATED` for one that is not committed yet."""
        self.chain = record.chain
        self.last_at_ms = record.at_ms
        if self.first_at_ms is None:
            self.first_at_ms = record.at_ms
        self.classes.fold(record)
        match record:
            case (
                LabelEntry() | VoteEntry() | ClosedEntry() | RetractionEntry() | VolunteeredEntry()
            ):
                self._fold_event(record, position)
            case ControlEntry():
                self._fold_control(record)
            case SeedEntry():
                self.seeds.add((record.event_id, record.label))
            case GoldEntry():
                self.gold.fold(record)
            case StatisticsEntry():
                self.statistics.fold(record)
            case ModelEntry():
                self._begin_lineage(record, position)
            case DigestEntry():
                self.digested_to = record.position
            case StartEntry():
                pass  # of who reads the inputs
            case _:
                assert_never(record)

    def _begin_lineage(self, record: ModelEntry, position: int) -> None:
        self.lineage = record
        self.lineage_at = position
        self._take_inputs(record)
        for event_id in record.without:
            self.gold.forget(event_id)
        if record.start == "empty":
            self.seeds = Remembered(SEEDS_REMEMBERED_MAX)  # it was taught none of them yet
        self._remember_proposal(record.proposal_id)

    def _fold_event(self, record: EventEntry, position: int) -> None:
        match record:
            case LabelEntry():
                self._fold_label(record, position)
            case VoteEntry():
                self._fold_vote(record)
            case ClosedEntry():
                self._fold_closed(record)
            case RetractionEntry():
                self._fold_retraction(record)
            case VolunteeredEntry():
                self._fold_volunteered(record)
            case _:
                assert_never(record)

    def locate(self, record: JournalRecord, position: int) -> None:
        """Give a record that was folded as `UNLOCATED` its place."""
        if isinstance(record, ModelEntry):
            self.lineage_at = position
        if not isinstance(record, LabelEntry):
            return
        closed = self.closed.get(record.event_id)
        if closed is not None and closed.position == UNLOCATED:
            closed.position = position

    def _fold_label(self, entry: LabelEntry, position: int) -> None:
        old = self.closed.get(entry.event_id)
        voices: Voices = () if old is None or entry.overturns is None else old.voices
        at_ms = entry.at_ms if old is None or entry.overturns is None else old.at_ms
        for vote in entry.votes:
            voices = voices_with(voices, vote.annotator, vote.revision)
        if entry.closes is not None:
            self._close(entry.event_id, entry.asked.query)
        self.annotators.observe([(one.annotator, one.label) for one in entry.votes], entry.label)
        closed = ClosedQuery("labelled", entry.label, entry.revision, voices, position, at_ms)
        self.closed.put(entry.event_id, closed)
        self.closed.forget(entry.at_ms)

    def _fold_vote(self, entry: VoteEntry) -> None:
        if entry.truth is not None:
            self._fold_answer(entry, entry.truth)
            return
        closed = self.closed.get(entry.event_id)
        if closed is not None and closed.state == "labelled":
            closed.voices = voices_with(closed.voices, entry.annotator, entry.revision)
            self.annotators.observe_conflict(entry.annotator)
            return
        ballot = self.ballots.get(entry.event_id)
        if ballot is None or ballot.place != entry.query:
            ballot = self.ballots[entry.event_id] = Ballot(entry.query)
        ballot.take(entry)

    def _fold_answer(self, entry: VoteEntry, truth: str) -> None:
        before = self.gold.answer(entry.event_id, entry.annotator)
        if before is not None and before.label is not None:
            self.annotators.forget_gold(entry.annotator, before.label, truth)
        if entry.label is not None:
            self.annotators.observe_gold(entry.annotator, entry.label, truth)
        self.gold.note(entry)

    def _fold_closed(self, entry: ClosedEntry) -> None:
        ballot = self._close(entry.event_id, entry.query)
        if entry.reason == "repeated":
            return
        voices: Voices = ()
        if len(ballot.voices) > 1:
            votes = [(one.annotator, one.label) for one in ballot.votes()]
            if len(votes) > 1:
                self.annotators.observe(votes, None)
        for annotator, voice in ballot.voices.items():
            voices = voices_with(voices, annotator, voice.revision)
        closed = ClosedQuery("closed", None, 0, voices, UNLOCATED, entry.at_ms)
        self.closed.put(entry.event_id, closed)
        self.closed.forget(entry.at_ms)

    def _close(self, event_id: str, place: Source) -> Ballot:
        if place.offset >= self.queries_end[place.partition]:
            self.closed_ahead[place.partition].add(place.offset)
        self.pending.close(event_id, place)
        ballot = self.ballots.get(event_id)
        if ballot is None or ballot.place != place:
            return Ballot(place)
        return self.ballots.pop(event_id)

    def _fold_retraction(self, entry: RetractionEntry) -> None:
        closed = self.closed.get(entry.event_id)
        if closed is not None:
            closed.label = None
            closed.revision = entry.revision
            closed.voices = voices_with(closed.voices, entry.annotator, entry.revision)

    def _fold_volunteered(self, entry: VolunteeredEntry) -> None:
        old = self.closed.get(entry.event_id)
        voices = voices_with(() if old is None else old.voices, entry.annotator, entry.revision)
        if old is not None and old.state == "closed":
            old.voices = voices
            return
        closed = ClosedQuery(
            "volunteered", entry.label, entry.revision, voices, UNLOCATED, entry.at_ms
        )
        self.closed.put(entry.event_id, closed)
        self.closed.forget(entry.at_ms)

    def _fold_control(self, entry: ControlEntry) -> None:
        self._remember_proposal(entry.proposal_id)
        self._take_inputs(entry)
        try:
            self.settings = self.settings.patched(entry.patch)
        except ValidationError:
            self.skipped_count += 1

    def _take_inputs(self, entry: ControlEntry | ModelEntry) -> None:
        if entry.inputs is not None:
            self.inputs = entry.inputs.after(self.inputs)

    def _remember_proposal(self, proposal_id: str | None) -> None:
        if proposal_id is not None:
            self.proposals.add((proposal_id,))

    def mend(self) -> None:
        """Make the tables whole after an exception in the midst of a change."""
        self.pending.mend()
        self.closed.mend()

    # ------------------------------------------------------------------ comparing

    def fingerprint(self) -> str:
        """Return a hash of the state, equal for equal folds. Reads everything: for tests."""
        text = json.dumps(self._described(), sort_keys=True, default=str)
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _described(self) -> list[Any]:
        pending = [
            (one.event_id, one.words, one.facts.hex())
            for one in sorted(self.pending, key=lambda one: one.event_id)
        ]
        closed = [
            (event_id, one.state, one.label, one.revision, one.voices, one.position, one.at_ms)
            for event_id, one in self.closed.items()
        ]
        ballots = [
            (str(one.place), one.wanted, [(name, str(voice)) for name, voice in one.voices.items()])
            for _, one in sorted(self.ballots.items())
        ]
        settings = self.settings.model_dump(mode="json")
        lineage = None if self.lineage is None else self.lineage.chain
        statistics = (self.statistics.journaled_count, sorted(self.statistics.knots.items()))
        ends = sorted((partition, end) for partition, end in self.queries_end.items() if end)
        return [
            self.chain,
            pending,
            closed,
            ballots,
            settings,
            lineage,
            statistics,
            ends,
            len(self.seeds),
            len(self.proposals),
            self.classes.described(),
            self.annotators.described(),
            self.gold.described(),
        ]
