"""Uncertainty measures and the table of their names."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_al.errors import ConfigurationError
from stream_al.gate import (
    Measure,
    entropy,
    known_uncertainties,
    least_confidence,
    margin,
    register_uncertainty,
    uncertainty_measure,
)

MEASURES = (entropy, least_confidence, margin)
_numbers = itertools.count()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    "probabilities",
    [{}, {"a": 1.0}, {"a": 0.9999}, {"a": float("nan"), "b": 0.5}, {"a": 0.5, "b": float("nan")}],
)
def test_what_says_nothing_is_full_uncertainty(
    measure: Measure, probabilities: dict[str, float]
) -> None:
    """No class, one class, or a NaN anywhere: 1, so that a cold start asks."""
    assert measure(probabilities) == 1.0


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("class_count", [2, 3, 7, 100])
def test_ends_of_the_scale_do_not_depend_on_the_class_count(
    measure: Measure, class_count: int
) -> None:
    """A uniform guess is 1 and a certain one 0, whatever the number of classes."""
    uniform = {str(n): 1.0 / class_count for n in range(class_count)}
    certain = {str(n): float(n == 0) for n in range(class_count)}

    assert measure(uniform) == pytest.approx(1.0)
    assert measure(certain) == 0.0


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9).filter(lambda w: sum(w) > 1e-6))
def test_every_distribution_is_in_the_unit_interval(weights: list[float]) -> None:
    """Rounding never takes a measure out of [0, 1]."""
    probabilities = {str(n): weight / sum(weights) for n, weight in enumerate(weights)}

    assert all(0.0 <= measure(probabilities) <= 1.0 for measure in MEASURES)


@pytest.mark.parametrize("measure", MEASURES)
def test_surer_is_less_uncertain(measure: Measure) -> None:
    """Along the way from a tie to certainty every measure falls."""
    found = [measure({"a": 0.5 + step / 20, "b": 0.5 - step / 20}) for step in range(11)]

    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 11


def test_own_measure_is_found_by_its_name() -> None:
    """What is registered can be configured, and may be registered twice."""
    name = f"own-{next(_numbers)}"
    register_uncertainty(name, least_confidence)
    register_uncertainty(name, least_confidence)

    assert uncertainty_measure(name) is least_confidence
    assert name in known_uncertainties()


@pytest.mark.parametrize("name", ["margin", "disagreement", ""])
def test_taken_and_empty_names_are_refused(name: str) -> None:
    """A second meaning of a name would change what a configuration does."""
    with pytest.raises(ConfigurationError):
        register_uncertainty(name, lambda _: 0.5)


def test_unknown_name_says_what_is_known() -> None:
    """The message names the field, the value and what to do."""
    with pytest.raises(ConfigurationError, match=r"gate\.uncertainty is 'marginal'.*least_conf"):
        uncertainty_measure("marginal")


def test_disagreement_is_known_without_a_function() -> None:
    """A committee gives that number itself."""
    assert "disagreement" in known_uncertainties()
    with pytest.raises(ConfigurationError):
        uncertainty_measure("disagreement")
