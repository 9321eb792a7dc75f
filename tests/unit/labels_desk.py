"""A resolver with a journal in memory, and what the benchmarks measure on it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

from stream_al.config import Config
from stream_al.labels import Resolution, Resolver
from stream_al.messages import (
    JournalRecord,
    Label,
    LabelEntry,
    Outcome,
    Query,
    Source,
    query_id_of,
    read_journal_record,
)

START_MS = 1_795_406_400_000
DAY_MS = 86_400_000


def query(event_id: str, offset: int, **changes: Any) -> Query:
    """Return a query about an event at `offset` of events; two classes, one number."""
    values: dict[str, Any] = {
        "query_id": query_id_of(event_id),
        "event_id": event_id,
        "source": Source(partition=changes.pop("partition", 0), offset=offset),
        "features": {"followers": 12.5, "text": "free мoney 💰"},
        "label": "spam",
        "probabilities": {"ok": 0.31, "spam": 0.69},
        "uncertainty": 0.62,
        "propensity": 0.31,
        "rate": 0.05,
        "model_version": 812,
        "reason": "uncertain",
        "priority": 0.62,
        "votes_wanted": 1,
        "asked_at_ms": START_MS,
        "expires_at_ms": START_MS + 7 * DAY_MS,
        "segment": "en",
        "meta": {"url": "…"},
    }
    return Query(**{**values, **changes})


class Desk:
    """A resolver, its journal (positions with gaps, as in Kafka), its queries and its outcomes."""

    def __init__(self, config: Config | None = None, *, confirming: bool = True) -> None:
        self.config = config or Config()
        self.journal: dict[int, JournalRecord] = {}
        self.unconfirmed: list[JournalRecord] = []
        self.asked: list[tuple[Query, Source, int]] = []
        self.outcomes: list[Outcome] = []
        self.confirming = confirming
        self.now_ms = START_MS
        self.resolver = self.new_resolver()
        self.journaled(self.resolver.start(now_ms=self.now_ms))

    def new_resolver(self) -> Resolver:
        known = frozenset({"margin", "entropy"})
        return Resolver(self.config, read_back=self.read_back, known_uncertainties=lambda: known)

    def read_back(self, position: int) -> LabelEntry | None:
        record = self.journal.get(position)
        return record if isinstance(record, LabelEntry) else None

    def journaled(self, records: Any) -> list[JournalRecord]:
        """Take the records of a decision; commit at once when `confirming`."""
        self.unconfirmed += records
        if self.confirming:
            self.commit()
        return list(records)

    def commit(self) -> None:
        """Append through the wire, and bring positions back."""
        for record in self.unconfirmed:
            position = 2 * len(self.journal)
            self.journal[position] = read_journal_record(record.to_wire())
            self.resolver.confirm(self.journal[position], position)
        self.unconfirmed = []

    def ask(self, event_id: str, *, at_ms: int | None = None, **changes: Any) -> Source:
        """Make a query visible; return its place in the queries topic."""
        place = self.ask_unread(event_id, at_ms=at_ms, **changes)
        asked, _, timestamp_ms = self.asked[-1]
        self.journaled(
            self.resolver.add_query(
                asked, place=place, timestamp_ms=timestamp_ms, now_ms=self.now_ms
            )
        )
        return place

    def ask_unread(self, event_id: str, *, at_ms: int | None = None, **changes: Any) -> Source:
        """Make a query visible that this resolver does not read any more; return its place."""
        place = Source(partition=changes.get("partition", 0), offset=3 * len(self.asked))
        asked = query(event_id, 100 + len(self.asked), **changes)
        self.asked.append((asked, place, self.now_ms if at_ms is None else at_ms))
        return place

    def say(self, event_id: str, label: str | None = "spam", **changes: Any) -> Resolution:
        """Send a label (annotator `ann` unless told); return what became of it."""
        values = {"annotator": "ann", **changes}
        said = Label(event_id=event_id, label=label, **values)
        source = Source(partition=0, offset=len(self.outcomes))
        if not self.resolver.ready(said, now_ms=self.now_ms):
            self.commit()
        resolution = self.resolver.on_label(said, source=source, now_ms=self.now_ms)
        assert resolution.outcome.source == source
        self.outcomes.append(resolution.outcome)
        self.journaled(resolution.records)
        return resolution

    def tick(self, after_ms: int = 0) -> list[JournalRecord]:
        """Let time pass, then let the resolver look at its clock."""
        self.now_ms += after_ms
        return self.journaled(self.resolver.tick(self.now_ms))

    def rebuilt(self) -> Resolver:
        """Return what another process makes of journal and queries, read as a service reads."""
        resolver, records = self._rebuilt(
            sorted({place.partition for _, place, _ in self.asked}), {}
        )
        assert not records, "everything was closed by the journal already"
        return resolver

    def take_over(
        self, partitions: Sequence[int], *, begins: Mapping[int, int] | None = None
    ) -> list[JournalRecord]:
        """Let another process own the journal; return what it journals about the queries.

        Parameters
        ----------
        partitions
            Of queries, in the order in which it reads them.
        begins
            Partition → where it begins, of those whose beginning was dropped.
        """
        self.resolver, records = self._rebuilt(partitions, begins or {})
        return self.journaled(records)

    def _rebuilt(
        self, partitions: Sequence[int], begins: Mapping[int, int]
    ) -> tuple[Resolver, list[JournalRecord]]:
        self.commit()
        resolver = self.new_resolver()
        for partition in partitions:
            oldest = self.resolver.oldest_pending(partition)
            committed = self.resolver.queries_end[partition] if oldest is None else oldest.offset
            resolver.begin_queries(partition, max(committed, begins.get(partition, 0)))
        for position, record in self.journal.items():
            resolver.apply(record, position)
        records: list[JournalRecord] = []
        for asked, place, timestamp_ms in sorted(
            self.asked, key=lambda one: partitions.index(one[1].partition)
        ):
            records += resolver.add_query(
                asked, place=place, timestamp_ms=timestamp_ms, now_ms=self.now_ms
            )
        return resolver, records


def filled(pending_count: int) -> Desk:
    """Return a desk with so many pending queries in four partitions, without features."""
    desk = Desk()
    for index in range(pending_count):
        asked = query(
            f"event-{index:07}", index, partition=index % 4, features={}, meta=None, priority=0.5
        )
        place = Source(partition=index % 4, offset=index)
        desk.resolver.add_query(
            asked, place=place, timestamp_ms=desk.now_ms + index, now_ms=desk.now_ms + index
        )
    return desk


def bytes_per_pending(pending_count: int = 20_000) -> float:
    """Return how many bytes a pending query without features takes."""
    filled(10)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        desk = filled(pending_count)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert desk.resolver.pending_count == pending_count
    return taken / pending_count


def seconds_per_turn(pending_count: int, turns: int = 2_000) -> float:
    """Return the time of a query, a label and a tick with so many queries pending, all the time.

    The older half stays open, so every label closes a query in the middle of its line.
    """
    desk = filled(pending_count)
    resolver = desk.resolver
    now_ms = desk.now_ms + pending_count
    asked = [
        query(f"event-{index:07}", index, partition=index % 4, features={})
        for index in range(pending_count, pending_count + turns)
    ]
    labels = [
        Label(event_id=f"event-{index:07}", label="ok", annotator="ann")
        for index in range(pending_count // 2, pending_count // 2 + turns)
    ]
    started = time.perf_counter()
    for one, label in zip(asked, labels, strict=True):
        place = one.source
        resolver.add_query(one, place=place, timestamp_ms=now_ms, now_ms=now_ms)
        resolver.on_label(label, source=place, now_ms=now_ms)
        resolver.tick(now_ms)
        resolver.oldest_pending(place.partition)
    seconds = time.perf_counter() - started
    assert resolver.pending_count == pending_count
    return seconds / turns
