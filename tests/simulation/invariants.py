"""What must hold, read from the topics: by a live reader after every side effect, and at the end.

The reader keeps its own books and shares nothing with the loops but message parsing: I1, I2, I3,
I6 and I7 at every moment; I4, I5 and I8 when everything is quiet. A breach is an `AssertionError`
that names the invariant and the place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from math import ceil
from typing import Any

from stream_al.config import Config
from stream_al.engine import Engine, EventReader
from stream_al.errors import Gone
from stream_al.gate.packing import unpack_state
from stream_al.messages import (
    CHAIN_START,
    ClosedEntry,
    LabelEntry,
    ModelEntry,
    Source,
    VoteEntry,
    chained,
    read_journal_record,
)
from stream_al.port import Log, Record
from stream_al.replay import Refold
from stream_al.service.attempts import parse
from stream_al.service.groups import resolver_group, scorer_group

Place = tuple[int, int]
READ_MAX = 10_000
_TAUGHT = {"event_id", "label", "features", "patch", "numbers", "start", "config_hash"}


class Tail:
    """The records of a partition that were not read yet."""

    def __init__(self, log: Log, topic: str, partition: int) -> None:
        self._log, self._topic, self._partition = log, topic, partition
        self.position = 0

    def news(self, *, below: int | None = None) -> list[Record]:
        """Return new records, of offsets under `below`."""
        place = (self._topic, self._partition)
        try:
            found = self._log.read(*place, self.position, limit=READ_MAX)
        except Gone:  # retention may drop offsets that no record had; a record would be missed
            self.position = self._log.begin(*place)
            found = self._log.read(*place, self.position, limit=READ_MAX)
        if below is not None:
            found = [record for record in found if record.offset < below]
        if found:
            self.position = found[-1].offset + 1
        return found


class Books:
    """What a live reader knows of one partition number of every topic.

    Attributes
    ----------
    answered
        Offsets of events with a prediction or a dead letter.
    heard
        Offsets of labels with an outcome or a dead letter.
    asked, queried
        Sources in queries, and in predictions that say `queried`, in their order.
    version
        Of the last prediction.
    """

    def __init__(self, log: Log, config: Config, partition: int) -> None:
        def tail(name: str) -> Tail:
            return Tail(log, config.topic(name), partition)

        self.events, self.predictions, self.queries = (
            tail("events"), tail("predictions"), tail("queries"),
        )  # fmt: skip
        self.labels, self.outcomes, self.letters = (
            tail("labels"), tail("outcomes"), tail("dead_letters"),
        )  # fmt: skip
        self.answered: set[int] = set()
        self.heard: set[int] = set()
        self.events_done = self.labels_done = 0
        self.asked: list[int] = []
        self.queried: list[int] = []
        self.open: dict[int, int] = {}
        self.version = 0
        self.last_source = -1
        self.committed: dict[str, int] = {}


class LiveReader:
    """Reads along like any consumer, and holds the invariants at every moment."""

    def __init__(self, log: Log, config: Config) -> None:
        self._log = log
        self._config = config
        self._books: dict[int, Books] = {}
        self._journal = Tail(log, config.topic("journal"), 0)
        self._journal_committed = 0
        self._chain = CHAIN_START
        self._labels: set[tuple[str, int]] = set()
        self._closed: set[Place] = set()
        self._voted: set[Source] = set()
        self.events_total = self.labels_total = 0

    def look(self) -> None:
        """Read what is new; raise AssertionError at the first breach."""
        log, config = self._log, self._config
        for partition in range(log.partition_count(config.topic("events"))):
            if partition not in self._books:
                self._books[partition] = Books(log, config, partition)
        for partition, books in self._books.items():
            self._events(partition, books)
        self._journaled()
        for partition, books in self._books.items():
            self._heard(partition, books)
            self._pending(partition, books)

    def _moved(self, group: str, name: str, partition: int, books: Books) -> int:
        found = self._log.committed(group, self._config.topic(name), partition)
        offset = found.offset if found else 0
        before = books.committed.get(name, 0)
        assert offset >= before, f"I7: {name}/{partition} went back from {before} to {offset}"
        books.committed[name] = offset
        return offset

    def _events(self, partition: int, books: Books) -> None:
        done = self._moved(scorer_group(self._config), "events", partition, books)
        for record in books.predictions.news():
            self._prediction(partition, books, json.loads(record.value))
        for record in books.letters.news():
            letter = json.loads(record.value)
            if letter.get("redrives"):
                continue
            if letter["topic"] == self._config.topic("events"):
                _once(books.answered, letter["offset"], f"I1: events/{partition}")
            elif letter["topic"] == self._config.topic("labels"):
                _once(books.heard, letter["offset"], f"I2: labels/{partition}")
        for record in books.events.news(below=done):
            assert record.offset in books.answered, f"I1: events/{partition}/{record.offset}: lost"
            books.events_done += 1
            self.events_total += 1
        assert len(books.answered) == books.events_done, (
            f"I6: events/{partition}: {len(books.answered)} answers, {books.events_done} committed"
        )
        for record in books.queries.news():
            source = json.loads(record.value)["source"]["offset"]
            books.asked.append(source)
            books.open[source] = record.offset
        assert books.asked == books.queried, (
            f"I6: queries/{partition} {books.asked[-3:]}, predictions {books.queried[-3:]}"
        )
        self._gate_state(partition, books)

    def _prediction(self, partition: int, books: Books, one: dict[str, Any]) -> None:
        source, version = one["source"]["offset"], one["model_version"]
        _once(books.answered, source, f"I1: events/{partition}")
        assert source > books.last_source, f"I1: predictions/{partition}: {source} out of order"
        assert version >= books.version, (
            f"I7: predictions/{partition}: version {version} after {books.version}"
        )
        books.last_source, books.version = source, version
        if one["queried"]:
            books.queried.append(source)

    def _gate_state(self, partition: int, books: Books) -> None:
        group, topic = scorer_group(self._config), self._config.topic("events")
        found = self._log.committed(group, topic, partition)
        packed = parse("" if found is None else found.metadata)[0]
        if not packed:
            return
        state = unpack_state(partition, packed)
        assert state.sent == len(books.asked), (
            f"I6: the gate state of {partition} says {state.sent} queries, {len(books.asked)} are"
        )
        assert state.model_version >= books.version, f"I7: the gate of {partition} went back"

    def _heard(self, partition: int, books: Books) -> None:
        done = self._moved(resolver_group(self._config), "labels", partition, books)
        for record in books.outcomes.news():
            source = json.loads(record.value)["source"]
            assert source["partition"] == partition, f"I2: outcomes/{partition}: of another place"
            _once(books.heard, source["offset"], f"I2: labels/{partition}")
        for record in books.labels.news(below=done):
            assert record.offset in books.heard, f"I2: labels/{partition}/{record.offset}: lost"
            books.labels_done += 1
            self.labels_total += 1
        assert len(books.heard) == books.labels_done, (
            f"I2: labels/{partition}: {len(books.heard)} heard, {books.labels_done} committed"
        )

    def _journaled(self) -> None:
        for record in self._journal.news():
            entry = read_journal_record(record.value)
            assert entry.chain == chained(entry, self._chain).chain, f"I3: chain at {record.offset}"
            self._chain = entry.chain
            if isinstance(entry, LabelEntry):
                _once(self._labels, (entry.event_id, entry.revision), "I3: journal")
            if isinstance(entry, VoteEntry):
                self._voted.add(entry.query)
            if isinstance(entry, ClosedEntry) and entry.reason == "repeated":
                assert entry.query not in self._voted, f"I2: votes at {entry.query} are lost"
            closes = getattr(entry, "closes", None)
            if closes is not None:
                _once(self._closed, (closes.partition, closes.offset), "I3: closed")
                books = self._books[closes.partition]
                assert closes.offset in books.open, f"I3: {closes} was never asked"
                del books.open[closes.offset]

    def _pending(self, partition: int, books: Books) -> None:
        done = self._moved(resolver_group(self._config), "queries", partition, books)
        oldest = min(books.open.values(), default=None)
        assert oldest is None or done <= oldest, (
            f"I3: queries/{partition} is committed at {done}, its oldest pending is {oldest}"
        )

    # ------------------------------------------------------------------ when all is quiet

    def done(self) -> None:
        """Hold I8: nothing is left to answer, and every query is closed."""
        self.look()
        for partition, books in self._books.items():
            for name, tail in (("events", books.events), ("labels", books.labels)):
                left = len(tail.news())
                assert not left, f"I8: {left} records of {name}/{partition} were never taken"
            assert not books.open, f"I3: queries of {partition} never closed: {books.open}"


def _once(found: set[Any], key: Any, where: str) -> None:
    assert key not in found, f"{where}/{key}: twice"
    found.add(key)


def records(log: Log, topic: str, partition: int) -> list[Record]:
    """Return all records of a partition that are left."""
    return log.read(topic, partition, log.begin(topic, partition), limit=READ_MAX)


def bursts(log: Log, config: Config) -> list[int]:
    """Return every burst that an operator set."""
    return [
        one["patch"]["gate"]["burst"]
        for one in map(_body, records(log, config.topic("journal"), 0))
        if one["kind"] == "control" and "burst" in one["patch"].get("gate", {})
    ]


def _body(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.value)
    return found


def check_spend(predictions: Iterable[Record], burst: int, where: str) -> None:
    """Hold I4: over any run of a partition, queries − Σ rate stays below 2·burst."""
    worst = 0.0
    for one in map(_body, predictions):
        asked = one.get("would_query", one["queried"])
        assert 0 <= one["propensity"] <= 1, f"I4: {where}: propensity {one['propensity']}"
        assert not asked or one["propensity"] > 0, f"I4: {where}: asked without a chance"
        worst = max(0.0, worst + asked - one["rate"])
        assert ceil(worst - 1e-6) <= 2 * burst, f"I4: {where}: {worst} above the budget"


def all_predictions(log: Log, config: Config) -> dict[int, list[Record]]:
    """Return partition → its predictions, in their order."""
    topic = config.topic("predictions")
    return {p: records(log, topic, p) for p in range(log.partition_count(topic))}


class Offline:
    """Folds the journal from nothing and scores every event again: I5, and I3's counter.

    Attributes
    ----------
    engine
        After `run`, at the journal's end.
    lessons
        Journal position → hash of what was learnt and set up to there.
    """

    def __init__(self, log: Log, config: Config, secret: bytes) -> None:
        self._log, self._config = log, config
        self.engine = Engine(config, secret=secret)
        self._journal = records(log, config.topic("journal"), 0)
        self._next = 0
        self._taught = ""
        self.lessons: dict[int, str] = {0: ""}

    def run(self) -> None:
        """Raise AssertionError for the first prediction or query that comes out otherwise."""
        log, config, engine = self._log, self._config, self.engine
        stored: list[tuple[int, int, int, bytes]] = []
        for partition, found in all_predictions(log, config).items():
            engine.open_partition(partition)
            for record in found:
                one = json.loads(record.value)
                place = (one["model_version"], partition, one["source"]["offset"])
                stored.append((*place, record.value))
        stored.sort()
        topics = [config.topic(name) for name in ("events", "queries")]
        counts = range(log.partition_count(topics[0]))
        events = {(p, r.offset): r for p in counts for r in records(log, topics[0], p)}
        queries = {p: [r.value for r in records(log, topics[1], p)] for p in counts}
        reader = EventReader(config.events)
        for version, partition, offset, value in stored:
            self._fold_to(version)
            event = events[partition, offset]
            decision = engine.score(
                reader.read(event.value),
                partition=partition,
                offset=offset,
                at_ms=event.timestamp_ms,
            )
            where = f"I5: {partition}/{offset} at version {version}"
            if engine.minds_age:  # what it knew of the oldest open query is not on record
                said = json.loads(value)["probabilities"]
                assert decision.prediction.probabilities == said, where
                continue
            again = decision.prediction.to_wire()
            assert again == value, f"{where}: {again.decode()} was {value.decode()}"
            if decision.query is not None:
                sent = queries[partition][engine.gates[partition].sent - 1]
                assert decision.query.to_wire() == sent, f"{where}: another query"
        self._fold_to(None)

    def _fold_to(self, version: int | None) -> None:
        while self._next < len(self._journal):
            record = self._journal[self._next]
            if version is not None and record.offset >= version:
                break
            self._next += 1
            self._apply(record)
        reached = version is None or self.engine.version >= version
        assert reached, f"I5: version {version} is beyond the journal"

    def _apply(self, record: Record) -> None:
        entry = read_journal_record(record.value)
        model = None
        if isinstance(entry, ModelEntry) and entry.start == "replay":
            refold = Refold(self._config, entry, record.offset)
            for earlier in self._journal:
                if not refold.done:
                    refold.apply(read_journal_record(earlier.value), earlier.offset)
            model = refold.model
        self.engine.apply(entry, record.offset, model=model)
        if entry.kind in {"label", "seed", "volunteered", "control", "model", "statistics"}:
            said = entry.model_dump_json(include=_TAUGHT)
            self._taught = blake2b(f"{self._taught} {entry.kind} {said}".encode()).hexdigest()
        self.lessons[self.engine.version] = self._taught


def first_taught(log: Log, config: Config, count: int) -> tuple[str, ...]:
    """Return the events of the first `count` label records of the journal."""
    entries = (read_journal_record(one.value) for one in records(log, config.topic("journal"), 0))
    labels = [entry.event_id for entry in entries if isinstance(entry, LabelEntry)]
    return tuple(dict.fromkeys(labels))[:count]


def learnt_by_hand(log: Log, config: Config) -> int:
    """Return how many lessons the lineage in force was given, counted without an engine."""
    lessons: list[tuple[int, str, bool]] = []  # position, event, whether labels were frozen then
    lineage: dict[str, Any] = {}
    begun, frozen = 0, False
    for record in records(log, config.topic("journal"), 0):
        one = json.loads(record.value)
        match one["kind"]:
            case "model":
                lineage, begun = one, record.offset
            case "control":
                frozen = one["patch"].get("modes", {}).get("frozen", frozen)
            case "label" | "seed" | "volunteered" if one["features"] is not None:
                lessons.append((record.offset, one["event_id"], frozen))
    replays = lineage.get("start", "empty") == "replay"
    first = lineage.get("lessons_from", 0) if replays else begun
    thawed_to, without = lineage.get("thawed_to", 0), set(lineage.get("without", ()))
    return sum(
        at >= first and event_id not in without and (not still or at < min(thawed_to, begun))
        for at, event_id, still in lessons
    )
