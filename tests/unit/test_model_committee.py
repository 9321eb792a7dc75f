"""The committee: its memory, its pool and its weights."""

from __future__ import annotations

import random

import pytest

from stream_al.messages import NumberStatistics
from stream_al.model.memory import COLUMNS_MAX, Memory
from stream_al.model.presets import Committee

UNIT = NumberStatistics(mean=0.0, sd=1.0)


def memory_of(*labelled: tuple[float, str], labels_max: int = 1_000) -> Memory:
    memory = Memory(labels_max)
    memory.set_statistics({"n": UNIT})
    for value, label in labelled:
        memory.learn({"n": value}, label)
    return memory


def test_neighbours_decide_nearer_ones_more() -> None:
    """Three neighbours at distances 0, 1, 2: weights 1/(d/mean + 0.1), plus 0.1 of the prior."""
    memory = memory_of((0.0, "a"), (1.0, "b"), (2.0, "b"), (5.0, "b"))
    a, b = 1 / 0.1, 1 / 1.1 + 1 / 2.1
    expected = (a / (a + b) + 0.1 * 1 / 4) / 1.1

    assert memory.predict({"n": 0.0}) == pytest.approx({"a": expected, "b": 1 - expected})


def test_ties_go_to_the_newest() -> None:
    """Among six equal places the three newest labels vote, in the ring or around its end."""
    memory = memory_of(*[(1.0, label) for label in "aaabbb"], labels_max=4)

    assert memory.predict({"n": 1.0})["b"] > 0.9


def test_ring_forgets_the_oldest_and_columns_are_bounded() -> None:
    """Neither a thousand labels nor a thousand names grow it beyond its bounds."""
    memory = Memory(50)
    for i in range(300):
        memory.learn({f"n{i}": 1.0, f"m{i}": 2.0}, "ab"[i % 2])

    assert len(memory._labels) == 50
    assert len(memory.columns) == COLUMNS_MAX
    assert memory._raw.shape == (50, COLUMNS_MAX)


def test_first_labels_find_their_place_when_statistics_come() -> None:
    """Labels learnt before any record are standardised by the first one."""
    memory = Memory()
    for value, label in [(0.0, "a"), (0.1, "a"), (0.2, "a"), (9.0, "b"), (9.1, "b"), (9.2, "b")]:
        memory.learn({"n": value}, label)
    memory.set_statistics({"n": NumberStatistics(mean=4.6, sd=4.5)})

    assert memory.predict({"n": 0.1})["a"] > 0.9
    assert memory.predict({"n": 9.1})["b"] > 0.9


def test_weights_move_to_the_better_member_and_stay_positive() -> None:
    """A class inside a ring is the memory's to find; the weights sum to 1."""
    rng = random.Random(5)
    committee = Committee({})
    committee.set_statistics({"x": UNIT, "y": UNIT})
    for _ in range(300):
        x, y = rng.gauss(0, 1), rng.gauss(0, 1)
        committee.learn_one({"x": x, "y": y}, "in" if x * y > 0 else "out")

    assert committee.weights[1] > 0.6
    assert sum(committee.weights) == pytest.approx(1.0)
    assert min(committee.weights) >= 0.005


def test_members_disagree_where_they_differ() -> None:
    """Disagreement is in [0, 1] and larger at a lonely exception than in a clear place."""
    committee = Committee({})
    committee.set_statistics({"n": UNIT})
    for i in range(60):
        committee.learn_one({"n": -2.0 + i / 30}, "a" if i < 30 else "b")
    for _ in range(3):
        committee.learn_one({"n": -1.9}, "b")
    clear, exception = committee.vote({"n": -0.1})[1], committee.vote({"n": -1.9})[1]

    assert 0.0 <= clear < exception <= 1.0
