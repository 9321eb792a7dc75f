"""Rebuilds the resolver's state from the log: what a new owner does, and what commands look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stream_al.config import Config
from stream_al.labels import DISAGREEMENT_MS, Resolver
from stream_al.messages import (
    Inputs,
    JournalRecord,
    LabelEntry,
    Query,
    Source,
    read_journal_record,
)
from stream_al.port import Log, Record
from stream_al.service.groups import next_offset, resolver_group
from stream_al.service.snapshotting import load_resolver
from stream_al.service.strategies import strategies
from stream_al.service.strays import read_query
from stream_al.service.view import journal, records


def new_resolver(log: Log, config: Config, inputs: Inputs | None = None) -> Resolver:
    """Return a resolver that folded nothing, for the partitions that the log has."""
    partitions = log.partition_count(config.topic("events")) or config.topics.partitions
    topics = config.topics.model_copy(update={"partitions": partitions})
    return Resolver(
        config.model_copy(update={"topics": topics}),
        read_back=lambda position: _read_back(log, config, position),
        known_uncertainties=lambda: strategies(config),
        inputs=inputs,
    )


def begin_queries(resolver: Resolver, log: Log, config: Config) -> None:
    """Say to `resolver` which queries are closed by now.

    The committed position of a queries partition is its oldest pending query: what lies below is
    closed, what lies above is to be added from `queries_end` on.
    """
    topic, group = config.topic("queries"), resolver_group(config)
    for partition in range(log.partition_count(topic)):
        oldest = next_offset(log, group, topic, partition)
        resolver.begin_queries(partition, max(oldest, log.begin(topic, partition)))


def fold_journal(log: Log, config: Config, inputs: Inputs | None = None) -> Resolver:
    """Return the resolver's state after the whole journal, before any query is read again.

    From the newest snapshot that fits, else from the journal's beginning.
    """
    resolver = new_resolver(log, config, inputs)
    load_resolver(log, config, resolver)
    begin_queries(resolver, log, config)
    for position, record in journal(log, config, resolver.position):
        resolver.apply(record, position)
    return resolver


def last_at_ms(log: Log, config: Config, resolver: Resolver) -> int | None:
    """Return the time of the journal's last record; None before the first."""
    if resolver.position and resolver.last_at_ms is None:  # all of it is of an older snapshot
        for record in log.read(config.topic("journal"), 0, resolver.position - 1, limit=1):
            return read_journal_record(record.value).at_ms
    return resolver.last_at_ms


def rebuild(log: Log, config: Config, *, now_ms: int) -> Resolver:
    """Return the resolver's state as of now, to look at: what it would decide is not written."""
    resolver = fold_journal(log, config)
    topic = config.topic("queries")
    for partition in range(log.partition_count(topic)):
        found = records(log, topic, partition, resolver.queries_end[partition])
        add_queries(resolver, topic, found, now_ms=now_ms, counted=Counter())
    return resolver


def add_queries(
    resolver: Resolver,
    topic: str,
    found: Iterable[Record],
    *,
    now_ms: int,
    counted: Counter[str],
) -> list[JournalRecord]:
    """Give records of the queries topic to `resolver`; return what it journals about them.

    What is no query of ours is passed over, and counted.
    """
    repeated: list[JournalRecord] = []
    for record in found:
        query = read_query(topic, record)
        if query is None:
            counted["queries"] += 1
            resolver.pass_query(_place(record))
        else:
            repeated += _add_query(resolver, query, record, now_ms=now_ms)
    return repeated


def _add_query(
    resolver: Resolver, query: Query, record: Record, *, now_ms: int
) -> list[JournalRecord]:
    """Give a query to `resolver`.

    A query follows its event: where the log's time of it is long before the event's, the scorer's
    clock was wrong.
    """
    timestamp_ms = record.timestamp_ms
    if timestamp_ms + DISAGREEMENT_MS < query.asked_at_ms <= now_ms:
        timestamp_ms = query.asked_at_ms
    return resolver.add_query(
        query,
        place=_place(record),
        timestamp_ms=timestamp_ms,
        now_ms=now_ms,
    )


def _place(record: Record) -> Source:
    return Source(partition=record.partition, offset=record.offset)


def _read_back(log: Log, config: Config, position: int) -> LabelEntry | None:
    for record in log.read(config.topic("journal"), 0, position, limit=1):
        entry = read_journal_record(record.value)
        if record.offset == position and isinstance(entry, LabelEntry):
            return entry
    return None
