"""An example: an event together with its true label, which only a simulation knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from stream_al.errors import ConfigurationError
from stream_al.messages import Event

EVENT_INTERVAL_MS = 1_000
"""Time between two events of a stream: `at_ms` is the event's index times this."""


@dataclass(frozen=True, slots=True)
class Example:
    """An event and the class that it truly has."""

    event: Event
    label: str


def example_of(index: int, features: dict[str, Any], label: str, *, prefix: str = "e") -> Example:
    """Return the example at `index` of a stream.

    Examples
    --------
    >>> example_of(3, {"n": 1.0}, "ham").event.event_id
    'e-000003'
    """
    event_id = f"{prefix}-{index:06d}"
    event = Event(event_id=event_id, features=features, at_ms=index * EVENT_INTERVAL_MS)
    return Example(event=event, label=label)


def concept_at(index: int, *, drift_at: int | None, gradual: int, rng: Random) -> int:
    """Return which concept makes the event at `index`: 0 before the drift, 1 after it.

    Parameters
    ----------
    drift_at
        Index of the first event of the new concept; None never drifts.
    gradual
        Events over which the chance of the new concept rises from 0 to 1; 0 is a sudden drift.

    Examples
    --------
    >>> [concept_at(i, drift_at=2, gradual=0, rng=Random(1)) for i in range(4)]
    [0, 0, 1, 1]
    """
    if drift_at is None or index < drift_at:
        return 0
    if index >= drift_at + gradual:
        return 1
    return int(rng.random() < (index - drift_at + 1) / (gradual + 1))


def checked_classes(classes: Sequence[str], weights: Sequence[float] | None) -> list[float]:
    """Return the weights of `classes`, equal ones when none are given.

    Raises
    ------
    ConfigurationError
        When there are fewer than two different classes, or the weights do not fit them.
    """
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        raise ConfigurationError(f"classes={tuple(classes)!r}: name two or more different classes")
    if weights is None:
        return [1.0] * len(classes)
    if len(weights) != len(classes) or min(weights) < 0 or sum(weights) <= 0:
        raise ConfigurationError(
            f"weights={tuple(weights)!r}: give one number ≥ 0 for each of {len(classes)} classes"
        )
    return list(weights)
