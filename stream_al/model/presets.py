"""Our own presets: `linear`, and `committee`, which adds a memory of the last labels."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from stream_al.messages import NumberStatistics
from stream_al.model.encoder import Encoder
from stream_al.model.few_labels import FewLabels, softmax
from stream_al.model.memory import Memory

_POOLED_MIN = 0.001
_SCORED_MIN = 0.01
_LEARNING = 0.3
_SHARING = 0.01


class Linear:
    """Encoder and `FewLabels`: any mix of text, numbers, categories and vectors."""

    def __init__(self, types: Mapping[str, str], **parameters: Any) -> None:
        self.encoder = Encoder(types)
        self.learner = FewLabels(**parameters)

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Take the journal's statistics of the numbers."""
        self.encoder.set_statistics(numbers)

    def predict_proba_one(self, x: dict[str, Any]) -> dict[str, float]:
        """Return class → probability."""
        return self.learner.predict(self.encoder.encode(x))

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        """Learn one label."""
        self.learner.learn(self.encoder.encode(x), y)


class Committee:
    """`Linear` and `Memory`, logits pooled with weights from their prequential log loss.

    Attributes
    ----------
    weights
        One per member, positive, summing to 1.
    """

    def __init__(self, types: Mapping[str, str], **parameters: Any) -> None:
        self.linear = Linear(types, **parameters)
        self.memory = Memory()
        self.weights = [0.5, 0.5]

    def set_statistics(self, numbers: Mapping[str, NumberStatistics]) -> None:
        """Take the journal's statistics of the numbers."""
        self.linear.set_statistics(numbers)
        self.memory.set_statistics(numbers)

    def predict_proba_one(self, x: dict[str, Any]) -> dict[str, float]:
        """Return class → probability, pooled."""
        return self.vote(x)[0]

    def vote(self, x: dict[str, Any]) -> tuple[dict[str, float], float]:
        """Return the pooled probabilities, and the members' disagreement in [0, 1]."""
        members = self._members(x)
        return pooled(members, self.weights), disagreement(*members)

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        """Weigh the members by what they predicted, then let both learn the label."""
        scored = [
            weight * max(member.get(y, 0.0), _SCORED_MIN) ** _LEARNING
            for weight, member in zip(self.weights, self._members(x), strict=True)
        ]
        total = scored[0] + scored[1]
        share = _SHARING / len(scored)
        self.weights = [(1.0 - _SHARING) * weight / total + share for weight in scored]
        self.linear.learn_one(x, y)
        self.memory.learn(self._columns(x), y)

    def _members(self, x: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
        return self.linear.predict_proba_one(x), self.memory.predict(self._columns(x))

    def _columns(self, x: dict[str, Any]) -> dict[str, Any]:
        """Return the features that the memory compares: no text."""
        is_text = self.linear.encoder.is_text
        return {
            name: value
            for name, value in x.items()
            if not (isinstance(value, str) and is_text(name))
        }


def pooled(
    members: tuple[dict[str, float], dict[str, float]], weights: list[float]
) -> dict[str, float]:
    """Return softmax of Σ weight · ln max(p, 0.001) over the members' common classes.

    Examples
    --------
    >>> pooled(({"a": 0.9, "b": 0.1}, {"a": 0.1, "b": 0.9}), [0.5, 0.5])
    {'a': 0.5, 'b': 0.5}
    """
    logits = []
    for name in members[0]:
        logit = 0.0
        for weight, member in zip(weights, members, strict=True):
            logit += weight * log(max(member.get(name, 0.0), _POOLED_MIN))
        logits.append(logit)
    return dict(zip(members[0], softmax(logits), strict=True))


def disagreement(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return the total variation distance of two members' votes, in [0, 1]; 1 without any.

    Examples
    --------
    >>> disagreement({"a": 1.0, "b": 0.0}, {"a": 0.25, "b": 0.75}), disagreement({}, {})
    (0.75, 1.0)
    """
    if len(a) < 2:
        return 1.0
    total = 0.0
    for name, probability in a.items():
        total += abs(probability - b.get(name, 0.0))
    return min(1.0, total / 2.0)
