"""The learner for few labels: naive Bayes and AdaGrad softmax, trained apart, logits added.

Naive Bayes learns from the first label of a class, the softmax takes over. Vectors get a diagonal
Bayesian softmax (a variance per weight), where second order pays. Sums run in insertion order and
never through `sum()`, which Python 3.12 made compensated: replicas would differ.

AdaGrad: Duchi, Hazan, Singer (2011). The diagonal Bayesian update: an extended Kalman step on the
softmax, one weight at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from stream_al.model.encoder import Encoded, Vector

ROWS_MAX = 2**20
VECTORS_MAX = 16
VARIANCE_MIN = 1e-6
_VOCABULARY_MIN = 100


def softmax(logits: Sequence[float]) -> list[float]:
    """Return probabilities for `logits`, shifted by the largest so that nothing overflows.

    Examples
    --------
    >>> softmax([1000.0, 1000.0]), softmax([])
    ([0.5, 0.5], [])
    """
    if not logits:
        return []
    largest = max(logits)
    powers = [exp(logit - largest) for logit in logits]
    total = 0.0
    for power in powers:
        total += power
    return [power / total for power in powers]


class Row(NamedTuple):
    """What is known of one key, a number per class: softmax weight, counts, squared gradients."""

    weights: list[float]
    counts: list[float]
    squares: list[float]


class VectorSoftmax:
    """Weights and variances of one vector feature, (classes, dimension) each."""

    def __init__(self, class_count: int, dimension: int, variance: float) -> None:
        self._variance = variance
        self.weights = np.zeros((class_count, dimension))
        self.variances = np.full((class_count, dimension), variance)

    @property
    def dimension(self) -> int:
        """The dimension of the first vector learnt; others are missing features."""
        return int(self.weights.shape[1])

    def add_class(self) -> None:
        """Append a class that knows nothing."""
        self.weights = np.vstack([self.weights, np.zeros((1, self.dimension))])
        fresh = np.full((1, self.dimension), self._variance)
        self.variances = np.vstack([self.variances, fresh])

    def logits(self, vector: Vector) -> list[float]:
        """Return W·x for each class; elementwise, since BLAS kernels differ between CPUs."""
        products: list[float] = (self.weights * vector).sum(axis=1).tolist()
        return products

    def learn(self, vector: Vector, probabilities: list[float], gradients: list[float]) -> None:
        """Take one step: h = q(1-q), d = 1 + h·Σ S x², W -= g/d·S x, S -= h/d·S² x²."""
        q = np.array(probabilities)
        h = q * (1.0 - q)
        scaled = self.variances * vector
        d = 1.0 + h * (scaled * vector).sum(axis=1)
        self.weights -= (np.array(gradients) / d)[:, None] * scaled
        shrunk = self.variances - (h / d)[:, None] * scaled * scaled
        self.variances = np.maximum(VARIANCE_MIN, shrunk)


class FewLabels:
    """Multinomial naive Bayes plus AdaGrad softmax over hashed features.

    Parameters
    ----------
    lr
        AdaGrad's step. Raising it follows the latest labels more closely.
    alpha
        Smoothing of the counts. Raising it trusts rare features less.
    prior
        Weight of the log class counts. Raising it prefers frequent classes.
    eps
        Added to squared gradients: keeps the first step finite.
    max_rows
        Keys remembered; a new key beyond is ignored and counted in `dropped_count`.
    var
        First variance of a vector's weights. Raising it learns faster from the first labels.

    Attributes
    ----------
    classes
        In the order first learnt; every list below has one number per class.
    _rows
        Key → `Row`.
    _cached
        Key → U = W + ln((N + a) / a), a function of that row; from three classes on.
    _margins
        Key → the second U minus the first; while there are two classes.
    _totals, _label_counts
        T_c, the mass counted for each class, and n_c, the labels learnt.
    _presence_count
        V: rows whose key is ≥ 0.
    _offsets
        A_c, a function of T and V.
    """

    def __init__(
        self,
        *,
        lr: float = 0.4,
        alpha: float = 0.1,
        prior: float = 0.5,
        eps: float = 1e-8,
        max_rows: int = ROWS_MAX,
        var: float = 10.0,
    ) -> None:
        self.lr, self.alpha, self.prior, self.eps = lr, alpha, prior, eps
        self.max_rows, self.var = max_rows, var
        self.classes: dict[str, int] = {}
        self.dropped_count = 0
        self._rows: dict[int, Row] = {}
        self._cached: dict[int, list[float]] = {}
        self._margins: dict[int, float] = {}
        self._zeros: list[float] = []
        self._totals: list[float] = []
        self._label_counts: list[int] = []
        self._priors: list[float] = []
        self._offsets: list[float] = []
        self._presence_count = 0
        self._vectors: dict[str, VectorSoftmax] = {}

    @property
    def row_count(self) -> int:
        """Keys remembered, at most `max_rows`."""
        return len(self._rows)

    def predict(self, event: Encoded) -> dict[str, float]:
        """Return class → probability; empty before the first label."""
        if len(self.classes) < 2:
            return dict.fromkeys(self.classes, 1.0)
        sparse, mass, vectors = event
        if len(self.classes) == 2:
            totals = [0.0, self._margin(sparse)]
        else:
            rows = map(self._cached.get, sparse, repeat(self._zeros))
            totals = _column_totals(sparse.values(), rows)
        logits = [
            total + mass * offset + prior
            for total, offset, prior in zip(totals, self._offsets, self._priors, strict=True)
        ]
        if vectors:
            self._add_vectors(logits, vectors)
        return dict(zip(self.classes, softmax(logits), strict=True))

    def learn(self, event: Encoded, label: str) -> None:
        """Learn one label; the softmax learns from its own error, not from the summed one."""
        target = self.classes.get(label)
        if target is None:
            target = self._add_class(label)
        sparse, _, vectors = event
        rows = {key: row for key in sparse if (row := self._row(key)) is not None}
        values = [sparse[key] for key in rows]
        weights = [row.weights for row in rows.values()]
        logits = _column_totals(values, weights) or list(self._zeros)
        self._open_vectors(vectors)
        self._add_vectors(logits, vectors)
        probabilities = softmax(logits)
        gradients = list(probabilities)
        gradients[target] -= 1.0
        for (key, row), value in zip(rows.items(), values, strict=True):
            self._step(key, row, value, target, gradients)
        for name, vector in vectors.items():
            part = self._vectors.get(name)
            if part is not None and part.dimension == len(vector):
                part.learn(vector, probabilities, gradients)
        self._label_counts[target] += 1
        self._refresh()

    def _step(self, key: int, row: Row, value: float, target: int, gradients: list[float]) -> None:
        weights, counts, squares = row
        lr, eps = self.lr, self.eps
        for index, gradient in enumerate(gradients):
            slope = gradient * value
            squares[index] += slope * slope
            weights[index] -= lr * slope / sqrt(squares[index] + eps)
        if key >= 0:
            counts[target] += value
            self._totals[target] += value
        self._cache(key, row)

    def _cache(self, key: int, row: Row) -> None:
        alpha = self.alpha
        numbers = [
            weight + log((count + alpha) / alpha) if count else weight
            for weight, count in zip(row.weights, row.counts, strict=True)
        ]
        if len(numbers) == 2:
            self._margins[key] = numbers[1] - numbers[0]
        elif len(numbers) > 2:
            self._cached[key] = numbers

    def _margin(self, sparse: dict[int, float]) -> float:
        total = 0.0
        # `map` looks the keys up without a call in Python each: a sixth of the time.
        margins = map(self._margins.get, sparse, repeat(0.0))
        for value, margin in zip(sparse.values(), margins, strict=False):
            total += value * margin
        return total

    def _row(self, key: int) -> Row | None:
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= self.max_rows:
                self.dropped_count += 1
                return None
            zeros = self._zeros
            row = self._rows[key] = Row(list(zeros), list(zeros), list(zeros))
            self._presence_count += key >= 0
        return row

    def _add_class(self, label: str) -> int:
        self.classes[label] = len(self.classes)
        self._margins.clear()
        for key, row in self._rows.items():
            for numbers in row:
                numbers.append(0.0)
            self._cache(key, row)
        for part in self._vectors.values():
            part.add_class()
        self._zeros.append(0.0)
        self._totals.append(0.0)
        self._label_counts.append(0)
        self._refresh()
        return self.classes[label]

    def _refresh(self) -> None:
        """Recompute what depends on all counts: A_c and the prior of each class."""
        alpha = self.alpha
        floor = alpha * max(_VOCABULARY_MIN, self._presence_count)
        self._offsets = [log(alpha) - log(total + floor) for total in self._totals]
        self._priors = [self.prior * log(count + 1) for count in self._label_counts]

    def _open_vectors(self, vectors: dict[str, Vector]) -> None:
        for name, vector in vectors.items():
            if name not in self._vectors:
                if len(self._vectors) >= VECTORS_MAX:
                    self.dropped_count += 1
                    continue
                part = VectorSoftmax(len(self.classes), len(vector), self.var)
                self._vectors[name] = part
            elif self._vectors[name].dimension != len(vector):
                self.dropped_count += 1

    def _add_vectors(self, logits: list[float], vectors: dict[str, Vector]) -> None:
        for name, vector in vectors.items():
            part = self._vectors.get(name)
            if part is not None and part.dimension == len(vector):
                for index, logit in enumerate(part.logits(vector)):
                    logits[index] += logit


def _column_totals(values: Collection[float], rows: Iterable[list[float]]) -> list[float]:
    """Return Σ value · row, class by class, in the order of the keys."""
    totals = []
    for column in zip(*rows, strict=True):
        total = 0.0
        for value, number in zip(values, column, strict=True):
            total += value * number
        totals.append(total)
    return totals
