"""What a report shows, as frozen data; and how runs over several seeds become one curve."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

ArmName = Literal["gate", "random", "all"]


@dataclass(frozen=True, slots=True)
class Point:
    """A mean over seeds at `x`, with the lowest and highest seed."""

    x: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of choosing what to ask: its curves over the seeds, and each seed's final score.

    `by_events` and `by_labels` are scores in [0, 1] against events seen and labels used.
    `labels_mean` is the mean number of labels that a seed used.
    """

    name: ArmName
    by_events: tuple[Point, ...]
    by_labels: tuple[Point, ...]
    final: tuple[float, ...]
    labels_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendPoint:
    """Queries sent after so many events, and how many the budget allowed until then."""

    event_count: int
    query_count: int
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePoint:
    """Accuracy as estimated from the labels, its 95 % interval, and the true one, in [0, 1]."""

    event_count: int
    estimate: float
    low: float
    high: float
    truth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRow:
    """One query and what came back; `label` is None while nobody has answered."""

    event_id: str
    text: str
    predicted: str | None
    probability: float | None
    reason: str
    propensity: float
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFigures:
    """Everything that the report shows.

    Attributes
    ----------
    data
        A phrase that says what the events are: "4,862 real SMS messages".
    score_name
        What the scores of the arms are: "accuracy", "macro-F1".
    propensities
        One value per event scored, in [0, 1].
    facts, outcomes
        Name and value, as they are to be shown, in this order.
    command
        What makes this report again.
    asked_count
        Queries in all; `asked` are the newest of them.
    """

    title: str
    data: str
    score_name: str
    arms: tuple[Arm, ...]
    spend: tuple[SpendPoint, ...]
    propensities: tuple[float, ...]
    estimates: tuple[EstimatePoint, ...]
    asked: tuple[AskedRow, ...]
    asked_count: int
    facts: tuple[tuple[str, str], ...]
    outcomes: tuple[tuple[str, int], ...]
    command: str


def band(
    runs: Sequence[Sequence[tuple[float, float]]], *, points_max: int = 80
) -> tuple[Point, ...]:
    """Return mean, lowest and highest of several runs as one curve.

    Between its own points a run keeps its last value. The curve covers only the x that every run
    reaches, so that no point compares fewer seeds than another.

    Parameters
    ----------
    runs
        One run per seed: (x, score) with x rising. Runs may have different x.
    points_max
        Points of the curve, at least 2; raising it makes the file larger and nothing clearer.

    Examples
    --------
    >>> band([[(0, 0.5), (10, 0.9)], [(0, 0.7), (10, 0.7)]])[-1]
    Point(x=10, mean=0.8, low=0.7, high=0.9)
    >>> band([])
    ()
    """
    filled = [run for run in runs if run]
    if not filled:
        return ()
    first, last = max(run[0][0] for run in filled), min(run[-1][0] for run in filled)
    places = sorted({x for run in filled for x, _ in run if first <= x <= last})
    curve = []
    for x in _thinned(places, points_max):
        scores = [_value_at(run, x) for run in filled]
        curve.append(Point(x=x, mean=fmean(scores), low=min(scores), high=max(scores)))
    return tuple(curve)


def _thinned(places: Sequence[float], count: int) -> list[float]:
    """Return at most `count` of `places`, evenly by rank, with both ends."""
    if len(places) <= count:
        return list(places)
    return [places[round(step * (len(places) - 1) / (count - 1))] for step in range(count)]


def _value_at(run: Sequence[tuple[float, float]], x: float) -> float:
    return run[bisect_right(run, x, key=lambda point: point[0]) - 1][1]
