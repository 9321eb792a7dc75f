"""Prometheus metrics from plain counters, by a collector of our own: nothing is done per event.

The worker's loop publishes a `View` about once a second; a scrape reads the newest one and the
counters. Names begin with `stream_al_`; labels come from closed sets.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream_al.errors import INPUT_ERRORS
from stream_al.messages import JournalRecord, Mode, Modes, OutcomeName, Reason
from stream_al.quality import QualitySummary
from stream_al.service.counters import Counters, Histogram
from stream_al.service.exits import KINDS

JOURNAL_KINDS = tuple(
    kind.model_fields["kind"].default for kind in get_args(get_args(JournalRecord)[0])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the loop knows at one moment; frozen, so that a scrape in another thread may read it."""

    model_version: int = 0
    journal_lag: int = 0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    budget_share: float = 0.0
    budget_remaining: float | None = None
    pending: Mapping[int, int] = field(default_factory=dict)
    oldest_pending_s: float = 0.0
    quality: QualitySummary | None = None
    learn_failures: int = 0
    snapshot_age_s: float | None = None
    held_back: Mapping[tuple[str, int], int] = field(default_factory=dict)
    features_left_out: Mapping[str, int] = field(default_factory=dict)
    modes: Modes = field(default_factory=Modes)


class WorkerCollector(Collector):
    """Turns counters and the newest view into metric families, each series with its `app`.

    Counters of closed sets begin at 0, each of the set: Prometheus sees no increase in a series
    that begins with 1.
    """

    def __init__(self, counters: Counters, *, app: str) -> None:
        self.view = View()
        self._counters = counters
        self._app = app

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family of this worker."""
        for family in self._families():
            family.samples = [
                sample._replace(labels={"app": self._app, **sample.labels})
                for sample in family.samples
            ]
            yield family

    def _families(self) -> Iterable[Metric]:
        yield from self._counts()
        yield from _read(self._counters, self.view)
        yield from self._gauges(self.view)
        if self.view.quality is not None:
            yield from _quality(self.view.quality)

    def _counts(self) -> Iterable[Metric]:
        counters = self._counters
        yield _count("events", "Events read and committed", counters.events)
        yield _count("predictions", "Predictions written", counters.predictions)
        yield _counts("queries", "Queries sent to people", "reason", counters.queries, Reason)
        yield _counts("labels", "Labels received", "outcome", counters.labels, OutcomeName)
        letters = dict.fromkeys(INPUT_ERRORS, 0) | counters.dead_letters
        yield _counts("dead_letters", "Records set aside", "error", letters)
        yield _count(
            "model_digest_mismatches",
            "Digests in the journal that this worker does not share",
            counters.digest_mismatches,
        )
        records = dict.fromkeys(JOURNAL_KINDS, 0) | counters.journal_records
        yield _counts("journal_records", "Records journaled", "kind", records)
        yield _count(
            "rebalances", "Times that partitions came or went in this process", counters.rebalances
        )
        yield _count(
            "transactions_aborted",
            "Batches done again, since the group moved while they were made",
            counters.transactions_aborted,
        )
        strays = dict.fromkeys(("journal", "queries"), 0) | counters.strays
        yield _counts("strays", "Records in our own topics that are not ours", "topic", strays)
        yield _count(
            "clock_disagreements",
            "Times that this resolver's clock jumped away from the log's time",
            counters.clock_disagreements,
        )
        yield _count(
            "near_equal_classes",
            "New classes that people take for a known one: by case, spaces or letters alike",
            counters.near_equal_classes,
        )
        exits = dict.fromkeys(KINDS, 0) | counters.exits
        yield _counts("exits", "Ends of earlier lives of this slot", "kind", exits)
        yield _histogram("commit_latency_seconds", "Time of a commit", counters.commit_latency)
        yield _histogram("score_latency_seconds", "Time of a batch", counters.score_latency)
        yield _histogram(
            "verification_latency_seconds",
            "Record time of a query to its label",
            counters.verification_latency,
        )

    def _gauges(self, view: View) -> Iterable[Metric]:
        rate = self._counters.query_rate()
        if rate is not None:
            yield _gauge("query_rate_ratio", "Queries per event, recent window", rate)
        yield _gauge("budget_share_ratio", "Share of events that may be asked", view.budget_share)
        if view.budget_remaining is not None:
            text = "Labels that the hourly budget would allow now"
            yield _gauge("budget_remaining_labels", text, view.budget_remaining)
        yield _modes(view.modes)
        yield _gauge("model_version", "Journal position of the model", view.model_version)
        yield _gauge("journal_lag_records", "Journal records not yet folded", view.journal_lag)
        yield _gauge("learn_failures", "Labels that the model refused", view.learn_failures)
        if view.snapshot_age_s is not None:
            yield _gauge("snapshot_age_seconds", "Age of the newest snapshot", view.snapshot_age_s)
        pending = GaugeMetricFamily(
            "stream_al_pending_queries", "Queries without a label yet", labels=["partition"]
        )
        for partition, count in view.pending.items():
            pending.add_metric([str(partition)], count)
        yield pending
        yield _gauge(
            "oldest_pending_query_seconds", "Age of the oldest open query", view.oldest_pending_s
        )
        lag = GaugeMetricFamily(
            "stream_al_consumer_lag_records", "Records not yet read", labels=["topic", "partition"]
        )
        for (topic, partition), count in view.lag.items():
            lag.add_metric([topic, str(partition)], count)
        yield lag
        held = GaugeMetricFamily(
            "stream_al_open_transaction_records",
            "Offsets that transactions not ended yet hold back, so that nobody reads on",
            labels=["topic", "partition"],
        )
        for (topic, partition), count in view.held_back.items():
            held.add_metric([topic, str(partition)], count)
        yield held
        info = GaugeMetricFamily(
            "stream_al_build_info", "Versions of this worker", labels=["version", "river", "python"]
        )
        info.add_metric([version("stream-al"), version("river"), platform.python_version()], 1)
        yield info


def _quality(quality: QualitySummary) -> Iterable[Metric]:
    prequential = quality.prequential
    if prequential.count:
        yield _gauge(
            "prequential_accuracy_ratio",
            "Accuracy of predictions made before learning, of labelled events",
            prequential.recent_accuracy,
        )
    if quality.accuracy is not None:
        accuracy, text = quality.accuracy, "Accuracy over all events, estimated by propensity"
        yield _gauge("estimated_accuracy_ratio", text, accuracy.value)
        yield _gauge("estimated_accuracy_low_ratio", f"{text}: lower 95 % bound", accuracy.low)
        yield _gauge("estimated_accuracy_high_ratio", f"{text}: upper 95 % bound", accuracy.high)


def _modes(modes: Modes) -> Metric:
    family = GaugeMetricFamily(
        "stream_al_mode", "1 while it is in force; `normal` while none of the others is",
        labels=["mode"],
    )  # fmt: skip
    on = {name for name in get_args(Mode) if getattr(modes, name, False)} or {"normal"}
    for name in get_args(Mode):
        family.add_metric([name], name in on)
    return family


def _read(counters: Counters, view: View) -> Iterable[Metric]:
    """Yield what the readers of events and labels, and the guard, could not use."""
    yield _counts(
        "features_missing",
        "Events in which a configured feature was missing or null",
        "feature",
        counters.features_missing,
    )
    yield _counts(
        "features_left_out",
        "Values that can be no feature and were left out: objects, lists of no declared type",
        "feature",
        view.features_left_out,
    )
    yield _unreadable(counters)
    yield _count(
        "event_ids_changed",
        "Events whose id came before with other features; `events.version` tells them apart",
        counters.repeats.changed if counters.repeats else 0,
    )


def _unreadable(counters: Counters) -> Metric:
    family = CounterMetricFamily(
        "stream_al_unreadable_fields",
        "Times, segments and other information that could not be read and was left out",
        labels=["topic", "field"],
    )
    for topic, found in (
        ("events", counters.unreadable_events),
        ("labels", counters.unreadable_labels),
    ):
        for name, count in dict(found).items():
            family.add_metric([topic, name], count)
    return family


def _count(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"stream_al_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"stream_al_{name}", text, value=value)


def _counts(
    name: str, text: str, label: str, values: Mapping[str, int], names: object = None
) -> Metric:
    """Return counters by a label; `names` is a `Literal` of all that there may be."""
    family = CounterMetricFamily(f"stream_al_{name}", text, labels=[label])
    for key, value in (dict.fromkeys(get_args(names), 0) | dict(values)).items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    buckets = []
    seen = 0
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    for bound, count in zip(bounds, list(histogram.counts), strict=True):
        seen += count
        buckets.append((bound, seen))
    return HistogramMetricFamily(
        f"stream_al_{name}", text, buckets=buckets, sum_value=histogram.total
    )
