"""Uncertainty measures: from probabilities to a number in [0, 1], 1 = most uncertain.

Pure functions and the table of their names. No class known, one class only, or a NaN among the
probabilities is full uncertainty: what is asked then is limited by the budget alone. Measures need
no calibration, for the gate uses their ranks only. `disagreement` is a known name without a
function here: a committee gives that number itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan, log

from stream_al.errors import ConfigurationError
from stream_al.problems import DISAGREEMENT, uncertainty_problem

Measure = Callable[[Mapping[str, float]], float]
"""Class → probability, summing to 1, to an uncertainty in [0, 1]."""


def least_confidence(probabilities: Mapping[str, float]) -> float:
    """Return how far the likeliest class is from certain, in [0, 1]; 1 is a uniform guess.

    Parameters
    ----------
    probabilities
        Class → probability, summing to 1. Empty before the first label, which is full uncertainty.

    Examples
    --------
    >>> least_confidence({"spam": 0.5, "ham": 0.5}), least_confidence({"spam": 1.0, "ham": 0.0})
    (1.0, 0.0)
    >>> least_confidence({}), least_confidence({"spam": float("nan"), "ham": 0.5})
    (1.0, 1.0)
    """
    class_count = len(probabilities)
    if class_count < 2:
        return 1.0
    values = probabilities.values()
    if isnan(sum(values)):
        return 1.0
    return _in_unit((1.0 - max(values)) * class_count / (class_count - 1))


def margin(probabilities: Mapping[str, float]) -> float:
    """Return one minus the gap between the two likeliest classes, in [0, 1]; 1 is a tie.

    Parameters
    ----------
    probabilities
        Class → probability, summing to 1. Empty before the first label, which is full uncertainty.

    Examples
    --------
    >>> margin({"spam": 0.5, "ham": 0.5}), margin({"spam": 0.75, "ham": 0.0, "scam": 0.25})
    (1.0, 0.5)
    >>> margin({"spam": 1.0}), margin({"spam": float("nan"), "ham": 0.5})
    (1.0, 1.0)
    """
    if len(probabilities) < 2:
        return 1.0
    if len(probabilities) == 2:  # the most common: a third of the cost
        one, other = probabilities.values()
        gap = one - other if one > other else other - one
        if 0.0 <= gap <= 1.0:
            return 1.0 - gap
    values = sorted(probabilities.values())
    gap = values[-1] - values[-2]
    if 0.0 <= gap <= 1.0 and not isnan(sum(values)):
        return 1.0 - gap
    return 1.0 if isnan(sum(values)) else _in_unit(1.0 - gap)


def entropy(probabilities: Mapping[str, float]) -> float:
    """Return Shannon's entropy over its largest value, in [0, 1]; 1 is a uniform guess.

    Parameters
    ----------
    probabilities
        Class → probability, summing to 1. Empty before the first label, which is full uncertainty.

    Examples
    --------
    >>> entropy({"spam": 0.5, "ham": 0.5}), entropy({"spam": 1.0, "ham": 0.0})
    (1.0, 0.0)
    >>> entropy({}), entropy({"spam": float("nan"), "ham": 0.5})
    (1.0, 1.0)
    """
    class_count = len(probabilities)
    if class_count < 2:
        return 1.0
    values = probabilities.values()
    if isnan(sum(values)):
        return 1.0
    nats = 0.0
    for probability in values:
        if probability > 0.0:
            nats -= probability * log(probability)
    return _in_unit(nats / log(class_count))


def register_uncertainty(name: str, measure: Measure) -> None:
    """Make `measure` available under `name` in `gate.uncertainty`.

    The same function may be registered again, so that a module can be imported twice.

    Raises
    ------
    ConfigurationError
        When `name` is empty or means another function already.

    Examples
    --------
    >>> register_uncertainty("margin", margin)
    >>> register_uncertainty("margin", entropy)
    Traceback (most recent call last):
    stream_al.errors.ConfigurationError: uncertainty 'margin' is registered already; \
take another name
    """
    if not name:
        raise ConfigurationError("the name of an uncertainty is empty; give it one")
    if name == DISAGREEMENT or _MEASURES.get(name, measure) is not measure:
        raise ConfigurationError(f"uncertainty {name!r} is registered already; take another name")
    _MEASURES[name] = measure


def uncertainty_measure(name: str) -> Measure:
    """Return the function registered under `name`.

    Raises
    ------
    ConfigurationError
        When there is none; the message lists the names that are known.

    Examples
    --------
    >>> uncertainty_measure("entropy") is entropy
    True
    """
    measure = _MEASURES.get(name)
    if measure is None:
        problem = uncertainty_problem(name, known_uncertainties())
        raise ConfigurationError(
            f"gate.uncertainty is {problem}, or name the module that registers "
            "yours under `plugins`"
        )
    return measure


def known_uncertainties(*, members: bool = True) -> frozenset[str]:
    """Return every name that `gate.uncertainty` may have.

    Parameters
    ----------
    members
        Whether the model has members, which alone can disagree.

    Examples
    --------
    >>> {"disagreement", "entropy", "least_confidence", "margin"} <= set(known_uncertainties())
    True
    """
    return frozenset(_MEASURES) | ({DISAGREEMENT} if members else set())


def _in_unit(value: float) -> float:
    return 0.0 if value < 0.0 else min(value, 1.0)


_MEASURES: dict[str, Measure] = {
    "entropy": entropy,
    "least_confidence": least_confidence,
    "margin": margin,
}
