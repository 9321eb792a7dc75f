"""Watches a running log from outside: what was predicted, asked, labelled, learnt and spent."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.messages import (
    ClosedEntry,
    ControlEntry,
    LabelEntry,
    ModelEntry,
    Outcome,
    Prediction,
    Query,
    unpacked,
)
from stream_al.port import Log, Record
from stream_al.quality import Quality
from stream_al.service.report import AskedRow, Confusion, EstimatePoint, SpendPoint
from stream_al.service.strays import Links, read_query
from stream_al.service.view import records

SAMPLE_EVENTS = 100
ASKED_ROWS = 60
RATE_WINDOW_S = 3.0


class Observer:
    """Follows a log's topics and compares with the truth that only a demo has.

    Parameters
    ----------
    truth
        Event id → true class.
    """

    def __init__(self, log: Log, config: Config, truth: Mapping[str, str]) -> None:
        self._log = log
        self._config = config
        self._truth = truth
        self._positions: dict[tuple[str, int], int] = {}
        self._settings = config.settings()
        self._random_share = config.gate.random_share
        self._links = Links(config.topic("journal"))
        self._last_sample = 0
        self._clock: deque[tuple[float, int]] = deque(maxlen=64)
        self.confusion = Confusion()
        self.quality = Quality()
        self.asked = 0  # by what predictions say
        self.queries: list[Query] = []
        self.reasons: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.labels: dict[str, str] = {}
        self.closed = 0
        self.allowed = 0.0
        self.propensities: list[float] = []
        self.spend: list[SpendPoint] = []
        self.estimates: list[EstimatePoint] = []

    @property
    def events(self) -> int:
        """Events predicted so far."""
        return len(self.propensities)

    @property
    def pending(self) -> int:
        """Queries without an end so far."""
        return len(self.queries) - self.closed

    def events_per_s(self) -> float:
        """Return the rate of the last seconds."""
        if len(self._clock) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._clock[0], self._clock[-1]
        return (last - first) / max(1e-9, last_s - first_s)

    def look(self) -> list[Query]:
        """Read what is new; return the new queries."""
        topic = self._config.topic("queries")
        read = (read_query(topic, record) for record in self._news("queries"))
        found = [query for query in read if query is not None]
        for record in self._news("journal"):
            self._on_journal(record)
        for record in self._news("outcomes"):
            self.outcomes[parse(Outcome, record.value).outcome] += 1
        self.queries += found
        self.reasons.update(query.reason for query in found)
        for record in self._news("predictions"):
            for value in unpacked(record.value):
                self._on_prediction(parse(Prediction, value))
        now_s = time.monotonic()
        self._clock.append((now_s, self.events))
        while now_s - self._clock[0][0] > RATE_WINDOW_S:
            self._clock.popleft()
        return found

    def asked_rows(self) -> tuple[AskedRow, ...]:
        """Return the newest queries as rows of the report."""
        return tuple(_row(query, self.labels.get(query.event_id))
                     for query in self.queries[-ASKED_ROWS:])  # fmt: skip

    def _news(self, name: str) -> Iterator[Record]:
        topic = self._config.topic(name)
        for partition in range(self._log.partition_count(topic)):
            place = (topic, partition)
            for record in records(self._log, topic, partition, self._positions.get(place, 0)):
                self._positions[place] = record.offset + 1
                yield record

    def _on_prediction(self, prediction: Prediction) -> None:
        self.confusion.pairs[self._truth[prediction.event_id], prediction.label] += 1
        self.propensities.append(prediction.propensity)
        self.allowed += prediction.rate
        self.asked += prediction.queried
        if self.events - self._last_sample >= SAMPLE_EVENTS:
            self._last_sample = self.events
            self.sample()

    def sample(self) -> None:
        """Take a point of the curves over time."""
        self.spend.append(
            SpendPoint(event_count=self.events, query_count=len(self.queries), allowed=self.allowed)
        )
        accuracy = self.quality.summary().accuracy
        if accuracy is not None:
            self.estimates.append(
                EstimatePoint(
                    event_count=self.events,
                    estimate=accuracy.value,
                    low=accuracy.low,
                    high=accuracy.high,
                    truth=self.confusion.accuracy(),
                )
            )

    def _on_journal(self, record: Record) -> None:
        entry = self._links.take(record)
        match entry:
            case LabelEntry():
                self.quality.apply(entry, random_share=self._random_share)
                self.labels[entry.event_id] = entry.label
                self.closed += entry.closes is not None
            case ClosedEntry():
                self.closed += 1
            case ControlEntry():
                self._settings = self._settings.folded(entry.patch)
                self._random_share = self._settings.gate.random_share
            case ModelEntry():
                self.quality = Quality(since=record.offset)


def _row(query: Query, label: str | None) -> AskedRow:
    text = query.features.get("text")
    if not isinstance(text, str):
        text = ", ".join(f"{name} {value}" for name, value in query.features.items())
    return AskedRow(
        event_id=query.event_id,
        text=text,
        predicted=query.label,
        probability=query.probabilities.get(query.label or ""),
        reason=query.reason,
        propensity=query.propensity,
        label=label,
    )
