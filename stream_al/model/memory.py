"""A memory of the last labels: nearest neighbours over standardised numbers and categories.

Raw numbers are kept and standardised again with every statistics record, so the first labels,
learnt before any record, find their right place later. NumPy is used elementwise, never through
BLAS, whose kernels differ between CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt
from typing import Any

import numpy as np

from stream_al.messages import NumberStatistics
from stream_al.model.adapters import is_categories
from stream_al.model.encoder import SD_MIN, Z_MAX, Vector

LABELS_MAX = 1_000
COLUMNS_MAX = 256
NEIGHBOURS_MIN, NEIGHBOURS_MAX = 3, 15
_PRIOR = 0.1
_NEARNESS = 0.1


class Memory:
    """k nearest neighbours among the last 1,000 labels.

    Attributes
    ----------
    classes
        In the order first learnt.
    columns
        Number's name, or `name=value` of a category → column; at most 256.
    _raw, _places
        (labels_max, columns): what was learnt, NaN where missing, and the same standardised.
    _labels
        Index into `classes` for each row in use.
    _next
        The row written next: the oldest once the ring is full.
    """

    def __init__(self, labels_max: int = LABELS_MAX) -> None:
        self.classes: dict[str, int] = {}
        self.columns: dict[str, int] = {}
        self._labels_max = labels_max
        self._raw = np.full((labels_max, 0), np.nan)
        self._places = np.zeros((labels_max, 0))
        self._mean: Vector = np.zeros(0)
        self._scale: Vector = np.zeros(0)
        self._labels: list[int] = []
        self._next = 0
        self._statistics: dict[str, NumberStatistics] = {}

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Standardise everything again."""
        self._statistics |= numbers
        self._place_all()

    def predict(self, features: Mapping[str, Any]) -> dict[str, float]:
        """Return class → probability from the neighbours' labels; nearer ones count more."""
        count = len(self._labels)
        if len(self.classes) < 2:
            return dict.fromkeys(self.classes, 1.0)
        difference = self._places[:count] - self._placed(self._raw_row(features))
        squares = (difference * difference).sum(axis=1)
        nearest = self._nearest(squares, min(count, neighbour_count(count)))
        distances = np.sqrt(squares[nearest]).tolist()
        mean = _total(distances) / len(distances) or 1.0
        shares = dict.fromkeys(range(len(self.classes)), 0.0)
        total = 0.0
        for row, distance in zip(nearest, distances, strict=True):
            weight = 1.0 / (distance / mean + _NEARNESS)
            shares[self._labels[row]] += weight
            total += weight
        counts = np.bincount(self._labels, minlength=len(shares)).tolist()
        return {
            name: (shares[index] / total + _PRIOR * counts[index] / count) / (1.0 + _PRIOR)
            for name, index in self.classes.items()
        }

    def learn(self, features: Mapping[str, Any], label: str) -> None:
        """Remember one label, in place of the oldest when full."""
        index = self.classes.setdefault(label, len(self.classes))
        self._open_columns(features)
        raw = self._raw_row(features)
        row = self._next
        self._raw[row] = raw
        self._places[row] = self._placed(raw)
        if row == len(self._labels):
            self._labels.append(index)
        else:
            self._labels[row] = index
        self._next = (row + 1) % self._labels_max

    def _nearest(self, squares: Vector, count: int) -> list[int]:
        """Return the rows of the `count` smallest distances; among equals the newest first."""
        limit = np.partition(squares, count - 1)[count - 1]
        rows: list[int] = np.flatnonzero(squares <= limit).tolist()
        kept = len(self._labels)
        rows.sort(key=lambda row: (squares[row], (self._next - 1 - row) % kept))
        return rows[:count]

    def _open_columns(self, features: Mapping[str, Any]) -> None:
        columns = dict.fromkeys(name for name, _ in _columns_of(features))
        fresh = [name for name in columns if name not in self.columns]
        fresh = fresh[: COLUMNS_MAX - len(self.columns)]
        if not fresh:
            return
        for name in fresh:
            self.columns[name] = len(self.columns)
        missing = np.full((self._labels_max, len(fresh)), np.nan)
        self._raw = np.hstack([self._raw, missing])
        self._place_all()

    def _place_all(self) -> None:
        statistics = [self._statistics.get(name) for name in self.columns]
        self._mean = np.array([0.0 if s is None else s.mean for s in statistics])
        self._scale = np.array(
            [_scale_of(name, s) for name, s in zip(self.columns, statistics, strict=True)]
        )
        self._places = self._placed(self._raw)

    def _placed(self, raw: Vector) -> Vector:
        places = np.clip((raw - self._mean) * self._scale, -Z_MAX, Z_MAX)
        return np.nan_to_num(places, copy=False, nan=0.0)

    def _raw_row(self, features: Mapping[str, Any]) -> Vector:
        row = np.full(len(self.columns), np.nan)
        for name, value in _columns_of(features):
            index = self.columns.get(name)
            if index is not None:
                row[index] = value
        return row


def neighbour_count(label_count: int) -> int:
    """Return k: the square root of the labels kept, from 3 to 15.

    Examples
    --------
    >>> neighbour_count(1), neighbour_count(100), neighbour_count(1000)
    (3, 10, 15)
    """
    return max(NEIGHBOURS_MIN, min(NEIGHBOURS_MAX, isqrt(label_count)))


def _columns_of(features: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the columns of features, and the value in each; texts and vectors have none."""
    for name, value in features.items():
        if isinstance(value, str):
            yield f"{name}={value}", 1.0
        elif not isinstance(value, list):
            yield name, float(value)
        elif is_categories(value):
            yield from ((f"{name}={entry}", 1.0) for entry in value)


def _total(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _scale_of(name: str, statistics: NumberStatistics | None) -> float:
    """Return what a column is multiplied by: 1/sd, 1 for a category, 0 where nothing varies."""
    if statistics is None:
        return float("=" in name)
    return 1.0 / statistics.sd if statistics.sd > abs(statistics.mean) * SD_MIN else 0.0
