"""Speed and memory of the audit, on logs that are sound and made without a model."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from pydantic_core import from_json

from stream_al.config import Config
from stream_al.gate import Allowance, Gate
from stream_al.labels import Resolver
from stream_al.messages import Event, JournalRecord, Label, Prediction, Query, Source, query_id_of
from stream_al.port import Log, Outgoing, Position
from stream_al.service.audit import audit
from stream_al.service.view import records
from stream_al_connectors.opening import open_log
from tests.benchmarks.row import SECRET, Row, paired, texts

RECORDS_PER_EVENT = 2.2  # event and prediction; of every twentieth query, label, outcome, journal
CHUNK = 1_000
TOPICS = ("events", "predictions", "queries", "labels", "outcomes", "journal")


def _config(folder: str) -> Config:
    return Config.model_validate(
        {"app": "b", "log": {"path": f"{folder}/log.db", "durability": "normal"}}
    )


def make(folder: str, count: int) -> None:
    """Write a log of about `count` records, as workers would have left it."""
    config = _config(folder)
    log = open_log(config)
    made = _Made(log, config)
    messages = texts(CHUNK)
    for start in range(0, int(count / RECORDS_PER_EVENT), CHUNK):
        made.chunk(messages, start)
    made.commit()
    log.close()


class _Made:
    """Writes events and everything that follows from them, partition by partition in turn."""

    def __init__(self, log: Log, config: Config) -> None:
        self._log, self._config = log, config
        self._partitions = range(config.topics.partitions)
        self._gates = [Gate(SECRET, partition) for partition in self._partitions]
        self._allowance = Allowance.of(config.settings())
        self._offsets = [0 for _ in self._partitions]
        self._resolver = Resolver(config, read_back=lambda _: None)
        self._journal(self._resolver.start(now_ms=0))

    def _put(self, topic: str, rows: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
        outgoing = [Outgoing(value, partition=partition) for partition, value in rows]
        return self._log.append(self._config.topic(topic), outgoing) if outgoing else []

    def chunk(self, messages: list[str], start: int) -> None:
        events, predictions, queries = [], [], []
        for number, text in enumerate(messages, start):
            partition = number % len(self._partitions)
            source = Source(partition=partition, offset=self._offsets[partition])
            self._offsets[partition] += 1
            event = Event(event_id=f"e{number}", features={"text": text}, at_ms=number)
            events.append((partition, event.to_wire()))
            said = self._prediction(event, source, number)
            predictions.append((partition, said.to_wire()))
            if said.queried:
                queries.append((partition, self._query(event, said)))
        self._put("events", events)
        self._put("predictions", predictions)
        wires = [(partition, query.to_wire()) for partition, query in queries]
        places = self._put("queries", wires)
        for (_, query), (partition, offset) in zip(queries, places, strict=True):
            place = Source(partition=partition, offset=offset)
            self._resolver.add_query(query, place=place, timestamp_ms=0, now_ms=start)
        self._answer([query for _, query in queries], start)

    def _answer(self, queries: list[Query], now_ms: int) -> None:
        labels = [Label(event_id=one.event_id, label="spam", annotator="a") for one in queries]
        partitions = [query.source.partition for query in queries]
        wires = [label.to_wire() for label in labels]
        places = self._put("labels", list(zip(partitions, wires, strict=True)))
        outcomes, journal = [], []
        for label, (partition, offset) in zip(labels, places, strict=True):
            source = Source(partition=partition, offset=offset)
            found = self._resolver.on_label(label, source=source, now_ms=now_ms)
            outcomes.append((partition, found.outcome.to_wire()))
            journal += found.records
        self._put("outcomes", outcomes)
        self._journal(journal)

    def _journal(self, decided: list[JournalRecord]) -> None:
        places = self._put("journal", [(0, one.to_wire()) for one in decided])
        for record, (_, offset) in zip(decided, places, strict=True):
            self._resolver.confirm(record, offset)

    def _prediction(self, event: Event, source: Source, number: int) -> Prediction:
        share = 0.5 + number % 499 / 1_000
        doubt = 2 - 2 * share
        choice = self._gates[source.partition].decide(doubt, number, self._allowance)
        return Prediction.of_valid(
            {
                "schema_version": 1,
                "event_id": event.event_id,
                "source": source,
                "label": "spam",
                "probabilities": {"ham": 1 - share, "spam": share},
                "uncertainty": doubt,
                "queried": choice.asked,
                "reason": ("random" if choice.floor else "uncertain") if choice.asked else None,
                "propensity": choice.propensity,
                "rate": round(choice.rate, 8),
                "mode": "normal",
                "model_version": 2 + number // 100,
                "segment": None,
                "at_ms": number,
            }
        )

    def _query(self, event: Event, said: Prediction) -> Query:
        more = {
            "query_id": query_id_of(event.event_id),
            "features": event.features,
            "priority": said.uncertainty,
            "votes_wanted": 1,
            "asked_at_ms": 0,
            "expires_at_ms": 10**12,
            "meta": None,
        }
        return Query.model_validate(said.model_dump() | more)

    def commit(self) -> None:
        """Commit what scorers and resolver have read."""
        for role, topic, inputs in (
            ("scorer", "events", "events"),
            ("resolver", "journal", "labels"),
        ):
            member = self._log.join(f"b.{role}", self._config.topic(topic), name="made")
            member.poll(limit=1, timeout_s=0)
            full = self._config.topic(inputs)
            with member.transaction() as transaction:
                for partition in self._partitions:
                    end = Position(self._log.end(full, partition))
                    transaction.commit_position(full, partition, end)
            member.leave()


def _values(log: Log, config: Config) -> Iterator[bytes]:
    for topic in TOPICS:
        full = config.topic(topic)
        for partition in range(log.partition_count(full)):
            for record in records(log, full, partition, 0):
                yield record.value


def speed_rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        make(folder, 50_000)
        config = _config(folder)
        log = open_log(config, create=False)
        values = list(_values(log, config))
        audited = _checked(log, config)

        def ours() -> None:
            audit(log, config)

        def decode() -> None:
            for value in values:
                from_json(value)

        def standard() -> None:
            for value in values:
                json.loads(value)

        # The bound is on Python's own decoder; the row of pydantic's, which the audit uses and is
        # three times as fast, says how much of the audit is decoding.
        for name, base, bound in (("json.loads", standard, 0.25), ("pydantic", decode, 0.15)):
            mine, theirs = paired(ours, base)
            detail = f"{len(values) / mine:,.0f} records/s, {audited:,} events"
            yield Row(f"audit, records/s ÷ JSON-decoding them ({name})", theirs / mine, bound,
                      at_least=True, detail=detail)  # fmt: skip
        log.close()


def _checked(log: Log, config: Config) -> int:
    report = audit(log, config)
    assert report.clean, report.violations[:3]
    return report.checked["b.events"]


def _peak(folder: str) -> int:
    """Return the resident bytes of a process after it audited the log in `folder`."""
    code = (
        "import resource, sys;"
        "from tests.benchmarks.bench_audit import _config, _checked, open_log;"
        "config = _config(sys.argv[1]); log = open_log(config, create=False);"
        "_checked(log, config);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


def memory_row() -> Iterator[Row]:
    peaks = []
    for count in (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            make(folder, count)
            peaks.append(_peak(folder))
    detail = f"{peaks[0] / 1_024:.0f} → {peaks[1] / 1_024:.0f} MB"
    yield Row("audit, memory of 10⁶ records ÷ of 10⁵", peaks[1] / peaks[0], 1.25, detail=detail)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "audit": speed_rows,
    "audit-memory": memory_row,
}
