"""The formulas against a direct computation, and intervals that keep their promise."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al.quality import (
    hajek,
    hajek_interval,
    ratio,
    ratio_interval,
    sequence_half_width,
    wilson_at_effective_size,
)


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and outcomes."""
    generator = np.random.default_rng(seed)
    return 1.0 / generator.uniform(0.01, 1.0, count), generator.random(count) < 0.7


def test_hajek_is_the_weighted_mean_with_its_linearised_variance() -> None:
    """From five sums the same as from all the labels."""
    w, o = drawn(60)
    value, variance = hajek(60, w.sum(), w @ o, w @ w, (w * w) @ o)
    mean = np.average(o, weights=w)

    assert value == pytest.approx(mean)
    assert variance == pytest.approx(np.sum((w * (o - mean)) ** 2) / w.sum() ** 2 * 60 / 59)


def test_ratio_is_what_it_says_for_f1() -> None:
    """R = Σwa/Σwb with a = 2·TP and b = 2·TP + FP + FN, and V from the residuals a - R·b."""
    w, hit = drawn(80, seed=3)
    a, b = 2.0 * hit, 1.0 + hit
    value, variance = ratio(
        80, w @ a, w @ b, ((w * w) @ (a * a), (w * w) @ (a * b), (w * w) @ (b * b))
    )
    expected = np.sum(w * a) / np.sum(w * b)

    assert value == pytest.approx(expected)
    direct = np.sum((w * (a - expected * b)) ** 2) / np.sum(w * b) ** 2 * 80 / 79
    assert variance == pytest.approx(direct)


def test_equal_weights_give_wilsons_own_interval() -> None:
    """40 right of 50: the textbook's bounds, with the k/(k - 1) of the variance."""
    interval = hajek_interval(50, 50.0, 40.0, 50.0, 40.0)
    n, z, p = 49.0, 1.959963984540054, 0.8
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)

    assert interval.effective_size == pytest.approx(49.0)
    assert (interval.low, interval.high) == pytest.approx((centre - half, centre + half))


@given(
    st.lists(
        st.tuples(st.floats(1.0, 1e6), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_value_is_inside_and_bounds_are_shares(labels: list[tuple[float, bool]]) -> None:
    """Whatever the weights: 0 <= low <= value <= high <= 1 and an effective size of at most k."""
    w = [weight for weight, _ in labels]
    o = [float(right) for _, right in labels]
    s1 = sum(a * b for a, b in zip(w, o, strict=True))
    q1 = sum(a * a * b for a, b in zip(w, o, strict=True))
    interval = hajek_interval(len(w), sum(w), s1, sum(a * a for a in w), q1)

    assert 0.0 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= 1.0
    assert 0.0 < interval.effective_size <= len(w) + 1e-6


def test_all_right_is_not_certainty() -> None:
    """20 right of 20: the interval still reaches down, further for uneven weights."""
    even = hajek_interval(20, 20.0, 20.0, 20.0, 20.0)
    uneven = hajek_interval(20, 39.0, 39.0, 19.0 + 400.0, 19.0 + 400.0)

    assert (even.value, even.high) == (1.0, 1.0)
    assert 0.8 < even.low < 0.9
    assert uneven.low < 0.6


def test_light_wrong_labels_do_not_pretend_certainty() -> None:
    """One light wrong label beside twenty heavy right ones: not more than twenty labels' worth."""
    low, high, size = wilson_at_effective_size(0.9995, 2.6e-7, kish_size=20.0)

    assert size == 20.0
    assert low < 0.9
    assert high > 0.99


def test_ratio_interval_is_inside_the_unit_interval() -> None:
    """F1 of 1 and F1 of 0 have intervals too."""
    perfect = ratio_interval(25, 50.0, 50.0, (100.0, 100.0, 100.0))
    hopeless = ratio_interval(25, 0.0, 25.0, (0.0, 0.0, 25.0))

    assert (perfect.value, hopeless.value) == (1.0, 0.0)
    assert (perfect.high, hopeless.low) == pytest.approx((1.0, 0.0))
    assert max(perfect.high, hopeless.high) <= 1.0
    assert hopeless.low >= 0.0
    assert perfect.low < 0.9
    assert hopeless.high > 0.1


def test_sequence_bound_holds_at_every_look() -> None:
    """300 runs, looked at after every one of 400 steps: left at some time in at most 5 %."""
    draw, left = Random(11), 0
    for _ in range(300):
        x1 = x2 = means = 0.0
        for step in range(400):
            level = 0.02 + 0.1 * (step % 100 > 50)  # the mean may wander
            x = draw.random() if draw.random() < level else 0.0
            x1, x2, means = x1 + x, x2 + x * x, means + level / 2
            if abs(x1 - means) > sequence_half_width(x2):
                left += 1
                break

    assert left <= 15


def test_sequence_bound_narrows_with_alpha_and_widens_slowly() -> None:
    """A hundred times as many labels: ten to fourteen times the sum's width."""
    assert sequence_half_width(50.0, alpha=0.2) < sequence_half_width(50.0)
    assert 9.0 < sequence_half_width(1e6) / sequence_half_width(1e4) < 14.0
