"""Statistics of numbers: summed by scorers, merged by the resolver, exact either way."""

from __future__ import annotations

import random
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al.labels.statistics import StatisticsMerger
from stream_al.messages import NumberSums, StatisticsProposal
from stream_al.messages.statistics import (
    knots_of,
    merge_sums,
    proposals_of,
    statistics_of,
    sums_of,
)
from stream_al.model import StatisticsCollector
from stream_al.model.collector import NAMES_MAX

VALUES = st.lists(st.floats(-1e6, 1e6), max_size=40)


@given(VALUES, VALUES)
def test_merging_is_summing_together(a: list[float], b: list[float]) -> None:
    """Count, mean and M2 of two parts are those of the whole."""
    merged, whole = merge_sums(sums_of(a), sums_of(b)), sums_of(a + b)

    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean, abs=1e-6)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-3)


def test_first_sample_stays() -> None:
    """Knots come from the first record in order that brings a sample."""
    first, second = (
        NumberSums(count=1, mean=0.0, m2=0.0, sample=sample) for sample in [(1.0,), (2.0,)]
    )
    bare = sums_of([3.0])

    assert merge_sums(merge_sums(bare, first), second).sample == (1.0,)


def test_statistics_of_many_numbers_are_small_messages_that_merge_to_the_same() -> None:
    """300 numbers with their samples: no message over 64 KiB, and the record of one great one."""
    rng = random.Random(3)
    collector = StatisticsCollector()
    for _ in range(200):
        collector.add({f"a number with a name {each}": rng.random() for each in range(300)})
    numbers = collector.take()
    great = StatisticsProposal(partition=0, event_count=200, numbers=numbers)

    parts = proposals_of(0, 200, numbers)

    assert len(great.to_wire()) > 1 << 20
    assert max(len(part.to_wire()) for part in parts) < 64 << 10
    in_parts, at_once = StatisticsMerger(), StatisticsMerger()
    at_once.merge(great)
    for part in parts:
        assert in_parts.due(partitions=1, now_ms=0) is None, "not before all have come"
        in_parts.merge(part)
    assert in_parts.due(partitions=1, now_ms=0) == at_once.due(partitions=1, now_ms=0)


def test_knots_are_quantiles_in_order() -> None:
    """Eight of them, from 2 to 98 %, whatever the order of the sample."""
    sample = [float(i) for i in range(200)]
    knots = knots_of(random.Random(1).sample(sample, 200))

    assert knots == knots_of(sample)
    assert (knots[0], knots[-1]) == pytest.approx((3.98, 195.02))
    assert list(knots) == sorted(knots)


def test_collector_gives_what_came_since_the_last_take() -> None:
    """Numbers and booleans only; sums and sample begin anew; once settled, no sample."""
    rng = random.Random(2)
    values = [rng.gauss(5, 2) for _ in range(330)]
    collector = StatisticsCollector()
    taken = []
    for i, value in enumerate(values):
        collector.add({"n": value, "ok": value > 5, "text": "t", "vector": [1.0]})
        if i + 1 in {150, 300}:
            taken.append(collector.take())
            collector.settled = {"n"} if i + 1 == 300 else set()
    taken.append(collector.take())
    samples = [numbers["n"].sample for numbers in taken]
    merged = statistics_of(merge_sums(merge_sums(taken[0]["n"], taken[1]["n"]), taken[2]["n"]))

    assert [set(numbers) for numbers in taken] == [{"n", "ok"}] * 3
    assert [numbers["n"].count for numbers in taken] == [150, 150, 30]
    assert samples == [tuple(values[:150]), tuple(values[150:300]), ()]
    assert merged.mean == pytest.approx(fmean(values))
    assert merged.sd**2 == pytest.approx(pvariance(values))
    assert collector.take() == {}
    assert collector.event_count == 0


def test_collector_is_bounded() -> None:
    """New names beyond the bound are not counted."""
    collector = StatisticsCollector()
    for i in range(NAMES_MAX + 500):
        collector.add({f"n{i}": 1.0})

    assert len(collector.take()) == NAMES_MAX
