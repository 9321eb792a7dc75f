"""The `river` preset: the baseline everybody knows, for any mix of numbers, texts, categories.

Numbers pass one StandardScaler, each text its TF-IDF, categories are one-hot; all meet in one
LogisticRegression for two classes, one-vs-rest beyond. Scaler and TF-IDF learn from labelled events
only, as River's pipelines do, so every replica learns the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from river import feature_extraction, linear_model, optim, preprocessing
from river.utils.math import sigmoid

from stream_al.model.adapters import is_categories
from stream_al.model.one_vs_rest import OneVsRest

TERMS_MAX = 2**18
TEXTS_MAX = 16
LEARNING_RATE = 0.5

_Regression = tuple[dict[str, tuple[float, float, float]], float]
"""Name → mean, sd and weight; and the intercept. A number that never varied has an infinite sd."""


class BoundedTFIDF(feature_extraction.TFIDF):
    """River's TF-IDF, whose table of document counts takes no new term when it is full."""

    def learn_one(self, x: Any) -> None:
        """Count the terms of one text."""
        extractor: Any = self
        terms = set(extractor.process_text(x))
        if len(self.dfs) + len(terms) > TERMS_MAX:
            terms = {term for term in terms if term in self.dfs}
        self.dfs.update(terms)
        self.n += 1


class Baseline:
    """Scaler or TF-IDF, and logistic regression.

    Attributes
    ----------
    terms
        Columns learnt, at most 262,144; a prediction sees no other.
    _regression
        What the next predictions of numbers need, remembered until a label is learnt.
    _texts
        Name → its TF-IDF, made when the first text comes; at most 16.
    """

    def __init__(
        self, types: Mapping[str, str], *, learning_rate: float = LEARNING_RATE, l2: float = 0.0
    ) -> None:
        self._types = dict(types)
        self.terms: dict[Any, None] = {}
        self._scaler: Any = preprocessing.StandardScaler()
        self._texts: dict[str, Any] = {}
        optimizer = optim.SGD(learning_rate)
        self._classifier = OneVsRest(linear_model.LogisticRegression(optimizer, l2=l2))
        self._regression: _Regression | None = None

    def predict_proba_one(self, x: dict[str, Any]) -> dict[str, float]:
        """Return class → probability."""
        regression = self._regression or self._of_numbers()
        if regression is not None:
            codes, intercept = regression
            logit = 0.0
            try:
                for name, value in x.items():
                    mean, sd, weight = codes[name]
                    logit += (value - mean) / sd * weight
            except (KeyError, TypeError):
                pass  # of a column that is not known, or no number
            else:
                share = sigmoid(logit + intercept)
                first, second = self._classifier.classes
                return {first: 1.0 - share, second: share}
        return self._predict(x)

    def _of_numbers(self) -> _Regression | None:
        """Return what River's own steps come to, where only numbers of two classes were learnt.

        The same operations in the same order, at a third of their cost.
        """
        model, scaler = self._classifier.shared, self._scaler
        if model is None or len(self.terms) != len(scaler.means):
            return None
        weights = model.weights
        codes = {
            name: (mean, scaler.vars[name] ** 0.5 or inf, weights.get(name, 0.0))
            for name, mean in scaler.means.items()
        }
        self._regression = codes, model.intercept
        return self._regression

    def _predict(self, x: dict[str, Any]) -> dict[str, float]:
        numbers, texts, others = self._parts(x)
        columns = self._columns(self._known(numbers), texts, others)
        known = self._known(columns) if texts or others else columns
        return self._classifier.predict_proba_one(known)

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        """Learn one label."""
        self._regression = None
        numbers, texts, others = self._parts(x)
        self._admit(numbers)
        numbers = self._known(numbers)
        self._scaler.learn_one(numbers)
        for name, text in texts.items():
            if name not in self._texts and len(self._texts) < TEXTS_MAX:
                self._texts[name] = BoundedTFIDF()
            if name in self._texts:
                self._texts[name].learn_one(text)
        columns = self._columns(numbers, texts, others)
        self._admit(columns)
        self._classifier.learn_one(self._known(columns), y)

    def _parts(
        self, x: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, str], dict[Any, float]]:
        numbers: dict[str, float] = {}
        texts: dict[str, str] = {}
        others: dict[Any, float] = {}
        for name, value in x.items():
            if isinstance(value, str):
                if self._types.get(name, name) == "text":
                    texts[name] = value
                else:
                    others[name, "=", value] = 1.0
            elif is_categories(value):
                others |= {(name, "=", entry): 1.0 for entry in value}
            elif isinstance(value, list):
                others |= {(name, index): entry for index, entry in enumerate(value)}
            else:
                numbers[name] = value
        return numbers, texts, others

    def _columns(
        self, numbers: dict[str, float], texts: dict[str, str], others: dict[Any, float]
    ) -> dict[Any, float]:
        """Return what the regression sees; a text's terms are keyed by name and term."""
        columns: dict[Any, float] = self._scaler.transform_one(numbers) if numbers else {}
        for name, text in texts.items():
            tfidf = self._texts.get(name)
            if tfidf is not None and tfidf.process_text(text):
                weighed = tfidf.transform_one(text)
                columns |= {(name, term): value for term, value in weighed.items()}
        return columns | others if others else columns

    def _known(self, columns: Mapping[Any, float]) -> dict[Any, float]:
        terms = self.terms
        return {name: value for name, value in columns.items() if name in terms}

    def _admit(self, columns: Mapping[Any, float]) -> None:
        terms = self.terms
        for name in columns:
            if name not in terms and len(terms) < TERMS_MAX:
                terms[name] = None
