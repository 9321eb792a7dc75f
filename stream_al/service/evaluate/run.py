"""One run in memory: the engine of production over a labelled history, scored prequentially.

The seed is the gate's secret and the model's seed; nothing else differs between seeds, unless the
plan shuffles. A label counts as spent when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from stream_al.learner import ActiveLearner
from stream_al.service.evaluate.plan import Cell, Plan
from stream_al.service.evaluate.prequential import follow
from stream_al.service.report import Confusion, Run
from stream_al.testing import Example

POINTS = 60
TOLD_EVERY_EVENTS = 100
SAMPLED_EVENTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run came to.

    Attributes
    ----------
    accuracy, macro_f1, kappa
        Over all events, in [0, 1] (kappa in [-1, 1]); an event without a prediction counts as
        wrong.
    labels, allowed
        Queries sent, and the sum of the rates that the budget allowed.
    run
        Curves of macro-F1 so far, by events and by labels spent.
    """

    cell: Cell
    events: int
    accuracy: float
    macro_f1: float
    kappa: float
    labels: int
    allowed: float
    run: Run
    seconds: float


def run_cell(
    plan: Plan, cell: Cell, examples: Sequence[Example], tell: Callable[[int], None]
) -> Ran:
    """Run one cell.

    Parameters
    ----------
    tell
        Called with the number of events since the last call, every hundred; may raise to stop.
    """
    started = time.perf_counter()
    ordered = list(examples)
    if plan.shuffled:
        Random(cell.seed).shuffle(ordered)
    learner = ActiveLearner(plan.config(cell), secret=b"evaluate %d" % cell.seed)
    confusion, labels, allowed = Confusion(), 0, 0.0
    by_events: list[tuple[float, float]] = []
    by_labels: list[tuple[float, float]] = []
    every, count, told = max(1, len(ordered) // POINTS), 0, 0
    for example, step in zip(ordered, follow(learner, ordered, cell.delay), strict=True):
        prediction = step.prediction
        confusion.pairs[example.label, prediction.label] += 1
        labels += prediction.queried
        allowed += prediction.rate
        count += 1
        if count % every == 0 or count == len(ordered):
            score = confusion.macro_f1()
            by_events.append((count, score))
            by_labels.append((labels, score))
        if count - told == TOLD_EVERY_EVENTS or count == len(ordered):
            tell(count - told)
            told = count
    return Ran(
        cell=cell,
        events=count,
        accuracy=confusion.accuracy(),
        macro_f1=confusion.macro_f1(),
        kappa=confusion.kappa(),
        labels=labels,
        allowed=allowed,
        run=Run(tuple(by_events), tuple(by_labels), labels),
        seconds=time.perf_counter() - started,
    )


def estimated_seconds(plan: Plan, examples: Sequence[Example], jobs: int) -> float:
    """Return about how long all runs take, from two short ones: few labels, and all labels.

    It also finds out whether the model and the features go together at all.
    """
    sample = examples[:SAMPLED_EVENTS]
    few, every = (
        run_cell(plan, cell, sample, lambda _: None)
        for cell in (Cell("gate", plan.strategies[0], 0.01, 0, 1), Cell("all", None, 1.0, 0, 1))
    )
    event_s = few.seconds / len(sample)
    label_s = max(0.0, every.seconds - few.seconds) / len(sample)
    return len(examples) / jobs * sum(event_s + cell.share * label_s for cell in plan.cells())
