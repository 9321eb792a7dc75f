"""What `quality` runs: real streams, prequential, in memory or through the embedded worker.

An event is scored with the prediction made before anything was learnt from it. A delay of d events
means: the label of event i is given after event i + d was scored, before event i + d + 1 is.

A run through the worker has a twin, an `ActiveLearner` with the same secret. The twin says after
which events something is learnt, so that events can go in batches and the delay still is exact; and
every prediction that the worker writes must be the twin's, to the last bit.
"""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Literal

from stream_al import ActiveLearner, Config, Event, Label, Prediction
from stream_al.port import Log, Outgoing
from stream_al.quality import Interval, QualitySummary
from stream_al.quality.summary import kappa
from stream_al.service.clock import SystemClock
from stream_al.service.evaluate import EVENT_MS, follow
from stream_al.service.worker import Worker
from stream_al.testing import Example, obfuscated
from stream_al_connectors import open_log

DATA = Path(__file__).parents[3] / "shared" / "data"
WINDOW_EVENTS = 1_000
BATCH_EVENTS_MAX = 500
STEPS_MAX = 100

Arm = Literal["gate", "random", "all"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One run.

    Attributes
    ----------
    stream
        A name of `STREAMS`, with `[:n]` behind it for its first n events.
    share
        The budget, labels per event; 1 for the arm `all`.
    learning_rate
        Of the preset `river`; its own when None.
    """

    stream: str
    preset: str
    arm: Arm
    share: float
    delay: int
    seed: int
    through: Literal["worker", "memory"] = "memory"
    learning_rate: float | None = None

    @property
    def secret(self) -> bytes:
        """The gate's secret: the only thing that differs between seeds."""
        return b"quality %d" % self.seed

    def config(self, path: str | None = None) -> Config:
        """Return the configuration of this run; the seed is the gate's secret, not in here."""
        gate = {
            "budget": {"share": self.share},
            "random_share": 1.0 if self.arm == "random" else 0.2,
        }
        parameters = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return Config.model_validate(
            {
                "log": {"path": path, "durability": "normal"},
                "topics": {"partitions": 1},
                "model": {"preset": self.preset, "parameters": parameters},
                "gate": gate,
            }
        )


class Score:
    """Counts of truth and prediction over all events.

    Before the first label there is no prediction. For the estimates that counts as wrong; in the
    tables it counts as the first class, as in the recipes: River's binary models begin there.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._first = min(example.label for example in examples)
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._unanswered: Counter[str] = Counter()
        self._window: deque[bool] = deque(maxlen=WINDOW_EVENTS)
        self._window_count = 0
        self.window_max = 0
        self.query_count = 0

    def add(self, truth: str, prediction: Prediction) -> None:
        """Count one event."""
        self._pairs[truth, prediction.label or self._first] += 1
        self._unanswered[truth] += prediction.label is None
        self.query_count += prediction.queried
        if len(self._window) == WINDOW_EVENTS:
            self._window_count -= self._window[0]
        self._window.append(prediction.queried)
        self._window_count += prediction.queried
        self.window_max = max(self.window_max, self._window_count)

    def figures(self, cell: Cell) -> dict[str, Any]:
        """Return accuracy, macro F1 and kappa in points, and the spend against the budget."""
        events = self._pairs.total()
        truths: Counter[str] = Counter()
        said: Counter[str] = Counter()
        for (truth, label), count in self._pairs.items():
            truths[truth] += count
            said[label] += count
        hits = {name: self._pairs[name, name] for name in truths}
        f1 = [2 * hits[name] / (truths[name] + said[name]) for name in truths]
        right = sum(hits.values())
        marginals = [(truths[name], said[name]) for name in truths]
        return {
            "events": events,
            "accuracy": 100.0 * right / events,
            "macro_f1": 100.0 * sum(f1) / len(f1),
            "kappa": 100.0 * kappa(events, right, marginals),
            "spend": self.query_count / (cell.share * events),
            "window_over": self.window_max - cell.share * min(WINDOW_EVENTS, events),
            "unanswered": 100.0 * self._unanswered.total() / events,
            "truth": 100.0 * (right - self._unanswered[self._first]) / events,
            "recalls": {
                name: 100.0 * (hits[name] - self._unanswered[name] * (name == self._first)) / count
                for name, count in truths.items()
            },
            "truths": dict(truths),
        }


# ---------------------------------------------------------------------- streams


def stream(name: str) -> list[Example]:
    """Return the examples of a stream: `elec2`, `sms[:1000]`."""
    base, _, cut = name.partition("[:")
    rows = _numbers(base) if base in {"elec2", "weather"} else _texts(base)
    return [
        Example(Event(event_id=f"{base}-{index}", features=features), label)
        for index, (features, label) in enumerate(rows[: int(cut[:-1]) if cut else None])
    ]


def _texts(name: str) -> list[tuple[dict[str, Any], str]]:
    file = "youtube_spam" if name == "youtube" else "sms_spam"
    with gzip.open(DATA / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rng = Random(1)
    return [
        (
            {"text": obfuscated(row["text"], rng) if name == "obfuscated" else row["text"]},
            ("ham", "spam")[row["y"]],
        )
        for row in rows
    ]


def _numbers(name: str) -> list[tuple[dict[str, Any], str]]:
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [
        (
            {column: float(value) for column, value in row.items() if column != "y"},
            f"class {row['y']}",
        )
        for row in rows
    ]


# ---------------------------------------------------------------------- runs


def run(cell: Cell) -> dict[str, Any]:
    """Run one cell; return it with its figures."""
    started = time.perf_counter()
    examples = stream(cell.stream)
    if cell.through == "worker":
        score, summary = _through_worker(cell, examples)
    else:
        score, summary = _in_memory(cell, examples)
    figures = score.figures(cell)
    return {
        **asdict(cell),
        **figures,
        **_estimates(summary, figures),
        "seconds": time.perf_counter() - started,
    }


def _in_memory(cell: Cell, examples: Sequence[Example]) -> tuple[Score, QualitySummary]:
    learner = ActiveLearner(cell.config(), secret=cell.secret)
    score = Score(examples)
    for example, step in zip(examples, follow(learner, examples, cell.delay), strict=True):
        score.add(example.label, step.prediction)
    return score, learner.quality


class StreamClock(SystemClock):
    """The time of the stream, which the log and the worker read."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms


def _through_worker(cell: Cell, examples: Sequence[Example]) -> tuple[Score, QualitySummary]:
    with TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        config, clock = cell.config(f"{folder}/quality.db"), StreamClock()
        log = open_log(config, clock=clock.now_ms)
        try:
            worker = Worker(
                log, config, role="all", secret=cell.secret, name="quality", clock=clock
            )
            driven = _Driven(log, config, worker)
            score = _drive(driven, clock, cell, examples)
            assert worker.scorer is not None
            return score, worker.scorer.engine.quality.summary()
        finally:
            log.close()


def _drive(driven: _Driven, clock: StreamClock, cell: Cell, examples: Sequence[Example]) -> Score:
    twin = ActiveLearner(cell.config(), secret=cell.secret)
    score = Score(examples)
    batch: list[tuple[Example, Prediction]] = []
    last = len(examples) - 1
    for index, step in enumerate(follow(twin, examples, cell.delay)):
        batch.append((examples[index], step.prediction))
        if not (step.moved or len(batch) == BATCH_EVENTS_MAX or index == last):
            continue
        clock.at_ms = index * EVENT_MS
        for (example, expected), found in zip(batch, driven.score(batch), strict=True):
            if not _alike(expected, found):
                raise RuntimeError(f"{cell}: worker and twin differ\n{expected}\n{found}")
            score.add(example.label, found)
        driven.label(step.labels, version=twin.engine.version)
        batch.clear()
    return score


def _alike(a: Prediction, b: Prediction) -> bool:
    """Whether two predictions of one event say the same, to the last bit; times may differ."""
    return a.model_copy(update={"at_ms": 0}) == b.model_copy(update={"at_ms": 0})


class _Driven:
    """A real worker over a real log, given a step at a time."""

    def __init__(self, log: Log, config: Config, worker: Worker) -> None:
        assert worker.scorer is not None
        self._log = log
        self._config = config
        self._worker = worker
        self._engine = worker.scorer.engine
        self._predicted = 0

    def score(self, batch: Sequence[tuple[Example, Prediction]]) -> list[Prediction]:
        """Append events, and return the predictions that the worker committed for them."""
        outgoing = [Outgoing(example.event.to_wire(), partition=0) for example, _ in batch]
        self._log.append(self._config.topic("events"), outgoing)
        topic, wanted = self._config.topic("predictions"), self._predicted + len(batch)
        for _ in range(STEPS_MAX):
            self._worker.step()
            if self._log.end(topic, 0) >= wanted:
                break
        found = self._log.read(topic, 0, self._predicted, limit=len(batch))
        self._predicted = wanted
        return [Prediction.model_validate_json(record.value) for record in found]

    def label(self, labels: Sequence[Label], *, version: int) -> None:
        """Append labels, and let the worker learn up to the journal position `version`."""
        if labels:
            outgoing = [Outgoing(label.to_wire(), partition=0) for label in labels]
            self._log.append(self._config.topic("labels"), outgoing)
        for _ in range(STEPS_MAX):
            if self._engine.version >= version:
                return
            self._worker.step()
        raise RuntimeError(f"the worker stands at {self._engine.version}, not at {version}")


def _estimates(summary: QualitySummary, figures: dict[str, Any]) -> dict[str, Any]:
    """Return estimate minus truth, half-width and whether covered: accuracy, rarest class."""
    truths = figures["truths"]
    rarest = min(truths, key=truths.__getitem__)
    recall = summary.classes[rarest].recall if rarest in summary.classes else None
    sequence = summary.accuracy_sequence
    return {
        "estimate": _against(summary.accuracy, figures["truth"]),
        "recall": _against(recall, figures["recalls"][rarest]),
        "unweighted_error": 100.0 * summary.prequential.accuracy - figures["truth"],
        "sequence": _against(sequence, figures["truth"]),
    }


def _against(interval: Interval | None, truth: float) -> dict[str, float] | None:
    if interval is None:
        return None
    low, high = 100.0 * interval.low, 100.0 * interval.high
    return {
        "error": 100.0 * interval.value - truth,
        "covered": float(low <= truth <= high),
        "half_width": (high - low) / 2.0,
        "labels": float(interval.labels),
    }
