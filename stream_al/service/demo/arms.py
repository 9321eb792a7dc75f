"""The same stream in memory, for this gate, for random and for every label; over fixed seeds.

Prequential: every event is scored with the prediction made before anything was learnt from it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from multiprocessing.sharedctypes import Synchronized

from stream_al.config import Config
from stream_al.learner import ActiveLearner
from stream_al.service.report import ArmName, Confusion, Run
from stream_al.testing import Example, SimulatedAnnotators

SEEDS = (1, 2, 3, 4, 5)
ARMS: tuple[ArmName, ...] = ("gate", "random", "all")
DELAY_EVENTS_MAX = 50
NOISE = 0.02
DUPLICATES = 0.03
POINTS = 60
EVENT_MS = 1_000
COUNTED_EVERY = 50


STOP = -(2**62)
"""Put where arms count their events, it ends them: nobody wants to know any more."""


class Stopped(Exception):
    """An arm that was told to stop."""


class _Counted:
    """How many events all arms of all processes have scored: what a bar shows."""

    value: Synchronized[int] | None = None


def count_into(value: Synchronized[int]) -> None:
    """Let the arms of this process count their events there."""
    _Counted.value = value


def _count() -> None:
    counted = _Counted.value
    if counted is None:
        return
    with counted.get_lock():
        if counted.value < 0:
            raise Stopped
        counted.value += COUNTED_EVERY


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
    confusion = Confusion()
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
        if (index + 1) % COUNTED_EVERY == 0:
            _count()
        if (index + 1) % every == 0 or index + 1 == len(shuffled):
            score = confusion.macro_f1()
            by_events.append((index + 1, score))
            by_labels.append((labels, score))
    return Run(tuple(by_events), tuple(by_labels), queries)
