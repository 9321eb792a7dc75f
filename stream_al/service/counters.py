"""Plain counters: the loops add integers here, a scrape reads them. No call per event."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from stream_al.errors import Rewound
from stream_al.port import Member, Transaction
from stream_al.service.repeats import Repeats

LATENCY_BOUNDS_S = (60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800)
BATCH_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
RATE_WINDOW_BATCHES = 200


@dataclass(slots=True)
class Histogram:
    """Counts per bound, the last one above all bounds; their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counters:
    """Everything that one worker process counted since it started."""

    events: int = 0
    predictions: int = 0
    queries: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    digest_mismatches: int = 0
    rebalances: int = 0
    clock_disagreements: int = 0
    near_equal_classes: int = 0
    """New classes that people take for a known one, while this process owned the journal."""
    strays: Counter[str] = field(default_factory=Counter)
    """By topic: records in the journal or among the queries that are not ours."""
    transactions_aborted: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    """Of earlier lives of this worker's slot, by kind."""
    unreadable_events: Counter[str] = field(default_factory=Counter)
    unreadable_labels: Counter[str] = field(default_factory=Counter)
    """Field → values that could not be read and were left out; of the readers."""
    features_missing: Counter[str] = field(default_factory=Counter)
    """Configured feature → events without it; of the reader."""
    repeats: Repeats | None = None
    """Of a scorer: it knows how many ids came again with other features."""
    journal_records: Counter[str] = field(default_factory=Counter)
    score_latency: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS_S))
    commit_latency: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS_S))
    verification_latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS_S))
    recent: deque[tuple[int, int, float]] = field(
        default_factory=lambda: deque(maxlen=RATE_WINDOW_BATCHES)
    )
    """Per batch: events, queries, Σ rate."""

    @contextmanager
    def transaction(self, member: Member) -> Iterator[Transaction]:
        """Give a transaction of `member`, its commit timed, counted when it does not count."""
        began_s = 0.0
        try:
            with member.transaction() as transaction:
                yield transaction
                began_s = perf_counter()  # decides nothing: no clock of the loops
        except Rewound:
            self.transactions_aborted += 1
            raise
        self.commit_latency.observe(perf_counter() - began_s)

    def query_rate(self) -> float | None:
        """Return queries per event over the recent window, in [0, 1]; None before any event."""
        batches = list(self.recent)
        events = sum(batch[0] for batch in batches)
        return sum(batch[1] for batch in batches) / events if events else None
