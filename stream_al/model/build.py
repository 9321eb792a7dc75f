"""Configuration → learner, with every doubt about it told before the first event.

A stochastic model without a seed, or one that can't be pickled, would differ between replicas or be
lost at a restart: both are refused here. River's own models are imported when they are configured:
they take two seconds of CPU, which every restart of a worker would wait for.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Protocol, runtime_checkable

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.importing import import_beside
from stream_al.messages import CLASS_CHARACTERS_MAX, CLASSES_MAX, NumberStatistics
from stream_al.model.adapters import Bounded, BoundedCommittee, InOrder
from stream_al.model.one_vs_rest import OneVsRest
from stream_al.model.presets import Committee, Linear

_DEPTH_MAX = 12


class Learner(Protocol):
    """River's classifier interface: all that a model needs."""

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        """Return class → probability, in whatever form; the model normalises."""

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        """Learn one label."""


@runtime_checkable
class TakesStatistics(Protocol):
    """A learner whose encoder needs the journal's statistics of numbers."""

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Take mean, sd and knots of every number."""


@runtime_checkable
class Votes(Protocol):
    """A learner with members that may disagree."""

    def vote(self, x: dict[str, Any]) -> tuple[dict[str, float], float]:
        """Return the probabilities, and the disagreement in [0, 1]."""


def build_learner(config: Config) -> Learner:
    """Return the untrained learner of a configuration.

    Raises
    ------
    ConfigurationError
        Naming the field, the value and what to do.
    """
    section, types = config.model, config.events.types
    if section.factory is not None:
        made = _from_factory(section.factory, section.seed, section.parameters)
        _refuse_problems(made, section.factory)
        if not getattr(made, "_multiclass", True):
            made = OneVsRest(made)
        bounded = BoundedCommittee if isinstance(made, Votes) else Bounded
        return bounded(_repeatable(made), types, strings=True)
    try:
        return _preset(section.preset, section.seed, section.parameters, types)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"model.parameters is {section.parameters!r}, which `{section.preset}` does not take "
            f"({error}); mend it or leave it out"
        ) from error


def check_model(config: Config) -> list[str]:
    """Return every problem and warning about the configured model, each a sentence.

    Examples
    --------
    >>> check_model(Config())
    []
    """
    try:
        learner = build_learner(config)
    except ConfigurationError as error:
        return list(error.problems)
    unlearnable = _unlearnable_classes(config.labels.classes or ())
    if not isinstance(learner, Bounded):
        return unlearnable
    from river import naive_bayes  # noqa: PLC0415 - takes long

    costly = (naive_bayes.ComplementNB, naive_bayes.BernoulliNB)
    return unlearnable + [
        f"warning: model.factory holds {type(part).__name__}, which takes 7 to 9 ms for each "
        "prediction on text; on text prefer the preset linear, or MultinomialNB"
        for part in _parts(learner.model)
        if issubclass(type(part), costly)  # River's Pipeline poses as its last step
    ]


def _unlearnable_classes(classes: Sequence[str]) -> list[str]:
    """Return what no model learns of a closed set.

    Examples
    --------
    >>> _unlearnable_classes(["x" * 300, "ok"])
    ["labels.classes: 'xxxxxxxxxxxxxxxxxxxx'… has 300 characters, 256 are allowed; shorten it"]
    """
    problems = [
        f"labels.classes: {name[:20]!r}… has {len(name)} characters, {CLASS_CHARACTERS_MAX} are "
        "allowed; shorten it"
        for name in classes
        if len(name) > CLASS_CHARACTERS_MAX
    ]
    if len(classes) > CLASSES_MAX:
        problems.append(
            f"labels.classes: {len(classes)} classes, a model tells {CLASSES_MAX} apart: labels of "
            "those that come last are invalid; join some"
        )
    return problems


def _preset(
    preset: str, seed: int, parameters: Mapping[str, Any], types: Mapping[str, str]
) -> Learner:
    match preset:
        case "linear":
            return Linear(types, **parameters)
        case "committee":
            return Committee(types, **parameters)
        case "river":
            from stream_al.model.baseline import Baseline  # noqa: PLC0415 - takes long

            return Baseline(types, **parameters)
        case "tree":
            from river import tree  # noqa: PLC0415 - takes long

            model: Any = tree.HoeffdingAdaptiveTreeClassifier(**{"seed": seed, **parameters})
        case _:
            from river import forest  # noqa: PLC0415 - takes long

            model = forest.ARFClassifier(**{"seed": seed, **parameters})
    return Bounded(_repeatable(model), types, strings=False)


def _repeatable(made: Any) -> Any:
    """Return the model, with its known classes walked in one order in every replica."""
    for part in _parts(made):
        state = getattr(part, "__dict__", {})
        for name in ("classes", "_classes"):
            if type(state.get(name)) is set:
                state[name] = InOrder(state[name])
    return made


def _from_factory(path: str, seed: int, parameters: Mapping[str, Any]) -> Any:
    module_name, _, function_name = path.partition(":")
    try:
        factory = getattr(import_beside(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"model.factory is {path!r}, which can't be imported ({error}); write "
            "package.module:function and install the package in this environment, or put it beside "
            "the configuration file"
        ) from error
    accepted = _accepted(factory)
    arguments = dict(parameters)
    if accepted is None or "seed" in accepted:
        arguments["seed"] = seed
    try:
        made = factory(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"model.factory {path!r} refused {arguments!r} ({error}); mend model.parameters"
        ) from error
    if not (hasattr(made, "predict_proba_one") and hasattr(made, "learn_one")):
        raise ConfigurationError(
            f"model.factory {path!r} returned a {type(made).__name__}; it must return something "
            "with River's predict_proba_one and learn_one"
        )
    return made


def _accepted(factory: Any) -> set[str] | None:
    """Return the names that `factory` takes; None when it takes any."""
    try:
        parameters = signature(factory).parameters.values()
    except (TypeError, ValueError):
        return set()
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def _refuse_problems(made: Any, path: str) -> None:
    problems = [
        f"model.factory {path!r} returned {type(part).__name__} without a seed: replicas would "
        "differ; let the function take `seed` and pass it on"
        for part in _parts(made)
        if getattr(part, "seed", 0) is None
    ]
    try:
        pickle.dumps(made)
    except Exception as error:  # noqa: BLE001 - pickling calls any code of any class
        problems.append(
            f"model.factory {path!r} returned a model that can't be pickled ({error}); replace "
            "lambdas and local functions by functions of a module"
        )
    if problems:
        raise ConfigurationError(*problems)


def _parts(part: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a River object and all River objects it was made of."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(part, Mapping):
        inside = list(part.values())
    elif isinstance(part, list | tuple):
        inside = list(part)
    elif isinstance(part, OneVsRest) or type(part).__module__.startswith("river."):
        yield part
        inside = list(getattr(part, "__dict__", {}).values())
    else:
        return
    for value in inside:
        yield from _parts(value, depth + 1)
