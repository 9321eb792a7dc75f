"""The same stream in memory, for this gate, for random and for every label; over fixed seeds.

Prequential: every event is scored with the prediction made before anything was learnt from it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stream_al.config import Config
from stream_al.learner import ActiveLearner
from stream_al.service.report.figures import Arm, ArmName, band
from stream_al.testing import Example, SimulatedAnnotators

SEEDS = (1, 2, 3, 4, 5)
ARMS: tuple[ArmName, ...] = ("gate", "random", "all")
DELAY_EVENTS_MAX = 50
NOISE = 0.02
DUPLICATES = 0.03
POINTS = 60
EVENT_MS = 1_000


@dataclass(frozen=True, slots=True)
class Run:
    """One arm with one seed: (events, score) and (labels, score), both rising, and the spend."""

    by_events: tuple[tuple[float, float], ...]
    by_labels: tuple[tuple[float, float], ...]
    query_count: int


@dataclass(slots=True)
class Confusion:
    """Counts of (truth, predicted); a missing prediction counts as wrong."""

    pairs: Counter[tuple[str, str | None]]

    def macro_f1(self) -> float:
        """Return the mean F1 over the classes seen so far, in [0, 1]."""
        classes = {truth for truth, _ in self.pairs}
        truths: Counter[str] = Counter()
        predicted: Counter[str | None] = Counter()
        for (truth, label), count in self.pairs.items():
            truths[truth] += count
            predicted[label] += count
        scores = [2 * self.pairs[name, name] / (truths[name] + predicted[name]) for name in classes]
        return sum(scores) / len(scores) if scores else 0.0

    def accuracy(self) -> float:
        """Return the share of right predictions, in [0, 1]."""
        right = sum(count for (truth, label), count in self.pairs.items() if truth == label)
        return right / max(1, self.pairs.total())


def people(examples: Sequence[Example], seed: int) -> SimulatedAnnotators:
    """Return the demo's annotators: late by up to 50 events, sometimes wrong, sometimes twice."""
    return SimulatedAnnotators(
        seed,
        classes=sorted({example.label for example in examples}),
        delay_events=(0, DELAY_EVENTS_MAX),
        noise=NOISE,
        duplicates=DUPLICATES,
    )


def run_arm(examples: Sequence[Example], arm: ArmName, seed: int, share: float) -> Run:
    """Run one arm over the stream; the seed orders the stream, the gate and the people."""
    shuffled = list(examples)
    random.Random(seed).shuffle(shuffled)
    gate = {"budget": {"share": 1.0 if arm == "all" else share}}
    if arm == "random":
        gate["random_share"] = 1.0  # type: ignore[assignment]
    config = Config.model_validate({"model": {"seed": seed}, "gate": gate})
    learner, annotators = ActiveLearner(config), people(examples, seed)
    confusion = Confusion(Counter())
    by_events: list[tuple[float, float]] = []
    by_labels: list[tuple[float, float]] = []
    queries, labels = 0, 0
    every = max(1, len(shuffled) // POINTS)
    for index, example in enumerate(shuffled):
        now_ms = index * EVENT_MS
        decision = learner.score(example.event, now_ms=now_ms)
        confusion.pairs[example.label, decision.prediction.label] += 1
        if decision.query is not None:
            queries += 1
            annotators.ask(decision.query, example.label, index)
        for label in annotators.due(index):
            labels += learner.label(label, now_ms=now_ms).outcome == "applied"
        if (index + 1) % every == 0 or index + 1 == len(shuffled):
            score = confusion.macro_f1()
            by_events.append((index + 1, score))
            by_labels.append((labels, score))
    return Run(tuple(by_events), tuple(by_labels), queries)


def arm_figures(name: ArmName, runs: Sequence[Run]) -> Arm:
    """Join one arm's runs over the seeds into curves with their spread."""
    return Arm(
        name=name,
        by_events=band([run.by_events for run in runs]),
        by_labels=band([run.by_labels for run in runs]),
        final=tuple(run.by_events[-1][1] for run in runs),
        labels_mean=sum(run.by_labels[-1][0] for run in runs) / len(runs),
    )
