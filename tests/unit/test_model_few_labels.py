"""FewLabels and the vector part against a naive reimplementation of their formulas."""

from __future__ import annotations

import random
from math import exp, log, sqrt

import numpy as np
import pytest

from stream_al.model.encoder import BIAS, Encoded, unit_vector
from stream_al.model.few_labels import VARIANCE_MIN, FewLabels

ALPHA, LR, PRIOR, EPS = 0.1, 0.4, 0.5, 1e-8


class Naive:
    """Naive Bayes and AdaGrad, recomputed from all rows each time."""

    def __init__(self) -> None:
        self.n: dict[str, int] = {}
        self.rows: dict[int, dict[str, list[float]]] = {}
        self.m: dict[str, np.ndarray] = {}
        self.s: dict[str, np.ndarray] = {}

    def cell(self, key: int, c: str) -> list[float]:
        return self.rows.get(key, {}).get(c, [0.0, 0.0, 0.0])

    def vector_logit(self, c: str, x: np.ndarray | None) -> float:
        return 0.0 if x is None or c not in self.m else float(self.m[c] @ x)

    def predict(self, sparse: dict[int, float], x: np.ndarray | None) -> dict[str, float]:
        v_count = sum(key >= 0 for key in self.rows)
        mass = sum(v for k, v in sparse.items() if k >= 0)
        z = {}
        for c, labels in self.n.items():
            total = sum(self.cell(k, c)[1] for k in self.rows)
            offset = log(ALPHA) - log(total + ALPHA * max(100, v_count))
            z[c] = mass * offset + PRIOR * log(labels + 1) + self.vector_logit(c, x)
            for k, v in sparse.items():
                w, n, _ = self.cell(k, c)
                z[c] += v * (w + log((n + ALPHA) / ALPHA))
        powers = {c: exp(value - max(z.values())) for c, value in z.items()}
        return {c: power / sum(powers.values()) for c, power in powers.items()}

    def learn(self, sparse: dict[int, float], x: np.ndarray | None, y: str) -> None:
        self.n.setdefault(y, 0)
        z = {
            c: sum(v * self.cell(k, c)[0] for k, v in sparse.items()) + self.vector_logit(c, x)
            for c in self.n
        }
        powers = {c: exp(value - max(z.values())) for c, value in z.items()}
        q = {c: power / sum(powers.values()) for c, power in powers.items()}
        for k, v in sparse.items():
            row = self.rows.setdefault(k, {})
            for c in self.n:
                cell = row.setdefault(c, [0.0, 0.0, 0.0])
                g = q[c] - (c == y)
                cell[2] += (g * v) ** 2
                cell[0] -= LR * g * v / sqrt(cell[2] + EPS)
                cell[1] += v * (c == y) * (k >= 0)
        if x is not None:
            for c in self.n:
                m = self.m.setdefault(c, np.zeros(len(x)))
                s = self.s.setdefault(c, np.full(len(x), 10.0))
                h = q[c] * (1 - q[c])
                d = 1 + h * float((s * x * x).sum())
                self.m[c] = m - (q[c] - (c == y)) / d * s * x
                self.s[c] = np.maximum(1e-6, s - h / d * s * s * x * x)
        self.n[y] += 1


def encoded(rng: random.Random, *, vectors: bool) -> Encoded:
    keys = rng.sample(range(-20, 60), rng.randint(1, 12))
    sparse = {key: rng.gauss(0, 1) if key < 0 else rng.uniform(0.1, 1) for key in keys}
    sparse[BIAS] = 1.0
    x = unit_vector([rng.gauss(0, 1) for _ in range(6)])
    assert x is not None
    mass = sum(value for key, value in sparse.items() if key >= 0)
    return Encoded(sparse, mass, {"vector": x} if vectors else {})


@pytest.mark.parametrize("classes", ["a", "ab", "abc", "abcdefg"])
@pytest.mark.parametrize("vectors", [False, True])
def test_predictions_follow_the_formulas(classes: str, *, vectors: bool) -> None:
    """After each of 150 labels every probability equals the dense recomputation."""
    rng = random.Random(3)
    learner, naive = FewLabels(), Naive()
    for step in range(150):
        event = encoded(rng, vectors=vectors)
        label = rng.choice(classes[: 1 + step // 15])
        learner.learn(event, label)
        naive.learn(event.sparse, event.vectors.get("vector"), label)
        probe = encoded(rng, vectors=vectors)
        expected = naive.predict(probe.sparse, probe.vectors.get("vector"))

        assert learner.predict(probe) == pytest.approx(expected, abs=1e-9)


def test_rows_are_bounded_and_what_is_dropped_is_counted() -> None:
    """At `max_rows` new keys are ignored, known ones go on learning."""
    learner = FewLabels(max_rows=3)
    learner.learn(Encoded({1: 1.0, 2: 1.0, BIAS: 1.0}, 3.0, {}), "a")
    learner.learn(Encoded({7: 1.0, 8: 1.0, BIAS: 1.0}, 3.0, {}), "b")

    assert learner.row_count == 3
    assert learner.dropped_count == 2
    assert learner.predict(Encoded({7: 1.0, BIAS: 1.0}, 2.0, {}))["b"] > 0.0


def test_no_row_at_all_still_answers() -> None:
    """Without room for a single key the classes' counts decide."""
    learner = FewLabels(max_rows=0)
    for label in "aab":
        learner.learn(Encoded({1: 1.0}, 1.0, {}), label)
    probabilities = learner.predict(Encoded({1: 1.0}, 1.0, {}))

    assert probabilities["a"] > probabilities["b"] > 0.0


def test_new_class_answers_from_its_first_label() -> None:
    """A third class wins its own event at once, and the others keep their order."""
    learner = FewLabels()
    events = {name: Encoded({i: 1.0, BIAS: 1.0}, 2.0, {}) for i, name in enumerate("abc")}
    for _ in range(5):
        learner.learn(events["a"], "a")
        learner.learn(events["b"], "b")
    learner.learn(events["c"], "c")
    probabilities = learner.predict(events["c"])

    assert max(probabilities, key=probabilities.__getitem__) == "c"
    assert list(probabilities) == ["a", "b", "c"]


def test_vector_of_another_dimension_is_a_missing_feature() -> None:
    """The first learnt dimension stays; others change nothing but a counter."""
    learner = FewLabels()
    right, wrong = np.array([1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    learner.learn(Encoded({BIAS: 1.0}, 1.0, {"vector": right}), "a")
    learner.learn(Encoded({BIAS: 1.0}, 1.0, {"vector": wrong}), "b")
    with_wrong = learner.predict(Encoded({BIAS: 1.0}, 1.0, {"vector": wrong}))

    assert learner.dropped_count == 1
    assert with_wrong == learner.predict(Encoded({BIAS: 1.0}, 1.0, {}))


def test_variance_never_reaches_zero() -> None:
    """A thousand equal vectors leave every variance at or above its floor."""
    learner = FewLabels()
    event = Encoded({BIAS: 1.0}, 1.0, {"vector": np.array([1.0, 0.0])})
    for step in range(1_000):
        learner.learn(event, "ab"[step % 2])

    variances = learner._vectors["vector"].variances
    assert variances.min() >= VARIANCE_MIN
    assert variances[:, 1].tolist() == [10.0, 10.0]
