"""Binary River classifiers for an open set of classes: one model for two, then one for each."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


class OneVsRest:
    """Booleans as labels inside, names outside; grows when a class appears.

    Two classes share one model. With the third, the first class goes on with a copy of it that is
    read upside down (for a linear model: the negated weights), so predictions stay continuous.

    Attributes
    ----------
    classes
        In the order first learnt.
    _prototype
        Never trained: where new models come from.
    _models
        One up to two classes, then one per class; the first answers "not the first class".
    """

    def __init__(self, prototype: Any) -> None:
        self.classes: list[str] = []
        self._prototype = prototype
        self._models = [deepcopy(prototype)]

    def predict_proba_one(self, x: dict[Any, Any]) -> dict[str, float]:
        """Return class → its own model's probability; they need not sum to 1."""
        classes = self.classes
        if len(classes) < 2:
            return dict.fromkeys(classes, 1.0)
        share = _positive(self._models[0].predict_proba_one(x))
        if len(classes) == 2:
            return {classes[0]: 1.0 - share, classes[1]: share}
        others = [_positive(model.predict_proba_one(x)) for model in self._models[1:]]
        return dict(zip(classes, [1.0 - share, *others], strict=True))

    @property
    def shared(self) -> Any | None:
        """The one model of two classes, which answers for the second; None with more or fewer."""
        return self._models[0] if len(self.classes) == 2 else None

    def learn_one(self, x: dict[Any, Any], y: str) -> None:
        """Learn one label in every model."""
        if y not in self.classes:
            self.classes.append(y)
            if len(self.classes) == 3:
                self._models = [deepcopy(self._models[0]), self._models[0]]
            if len(self.classes) >= 3:
                self._models.append(deepcopy(self._prototype))
        self._models[0].learn_one(x, y != self.classes[0])
        for name, model in zip(self.classes[1:], self._models[1:], strict=False):
            model.learn_one(x, y == name)


def _positive(probabilities: dict[Any, float]) -> float:
    """Return the probability of True; a half when the model says nothing yet."""
    return float(probabilities.get(True, 0.0)) if probabilities else 0.5
