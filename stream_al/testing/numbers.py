"""Streams of numbers and of vectors: Gaussian inputs, a linear rule with noise, and drift."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from stream_al.errors import ConfigurationError
from stream_al.testing.examples import Example, concept_at, example_of


def number_stream(
    seed: int,
    count: int,
    *,
    features: int = 20,
    classes: int = 2,
    drift_at: int | None = None,
    gradual: int = 0,
    noise: float = 0.1,
) -> Iterator[Example]:
    """Return events with the numbers `x0`, `x1`, …, each standard normal.

    The class `c0`, `c1`, … is the one with the largest linear score; the rule is drawn from the
    seed.

    Parameters
    ----------
    features
        Numbers per event.
    classes
        How many classes there are, at least 2.
    drift_at
        From this event on another rule holds.
    gradual
        Events over which the new rule takes over; 0 is a sudden drift.
    noise
        Share of events with a class drawn at random: a bound on any model's accuracy.

    Raises
    ------
    ConfigurationError
        At once, when `features` < 1 or `classes` < 2.

    Examples
    --------
    >>> [sorted(example.event.features) for example in number_stream(1, 2, features=2)]
    [['x0', 'x1'], ['x0', 'x1']]
    """
    if features < 1 or classes < 2:
        raise ConfigurationError(
            f"features={features}, classes={classes}: at least 1 feature and 2 classes are needed"
        )
    rng = Random(seed)
    rules = [[_gaussians(rng, features) for _ in range(classes)] for _ in range(2)]

    def examples() -> Iterator[Example]:
        for index in range(count):
            values = _gaussians(rng, features)
            rule = rules[concept_at(index, drift_at=drift_at, gradual=gradual, rng=rng)]
            scores = [_dot(weights, values) for weights in rule]
            winner = scores.index(max(scores))
            if rng.random() < noise:
                winner = rng.randrange(classes)
            named = {f"x{place}": value for place, value in enumerate(values)}
            yield example_of(index, named, f"c{winner}")

    return examples()


def vector_stream(
    seed: int,
    count: int,
    *,
    dimensions: int = 32,
    classes: int = 2,
    spread: float = 0.5,
    drift_at: int | None = None,
    gradual: int = 0,
) -> Iterator[Example]:
    """Return events with one feature `vector`, like an embedding: noise around a centre per class.

    Parameters
    ----------
    dimensions
        Length of the vector.
    spread
        Standard deviation around the centre in each dimension; the centres are of length 1. Raising
        it makes the classes overlap.
    drift_at, gradual
        From where and over how many events the centres move to new places.

    Examples
    --------
    >>> [len(example.event.features["vector"]) for example in vector_stream(1, 2, dimensions=4)]
    [4, 4]
    """
    if dimensions < 1 or classes < 2:
        raise ConfigurationError(
            f"dimensions={dimensions}, classes={classes}: at least 1 and 2 are needed"
        )
    rng = Random(seed)
    centres = [[_unit(_gaussians(rng, dimensions)) for _ in range(classes)] for _ in range(2)]

    def examples() -> Iterator[Example]:
        for index in range(count):
            concept = concept_at(index, drift_at=drift_at, gradual=gradual, rng=rng)
            name = rng.randrange(classes)
            vector = [rng.gauss(middle, spread) for middle in centres[concept][name]]
            yield example_of(index, {"vector": vector}, f"c{name}")

    return examples()


def _gaussians(rng: Random, count: int) -> list[float]:
    return [rng.gauss(0.0, 1.0) for _ in range(count)]


def _unit(vector: list[float]) -> list[float]:
    length = _dot(vector, vector) ** 0.5
    return [value / length for value in vector]


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
