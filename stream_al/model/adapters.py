"""River classifiers behind a bounded, flat view of an event.

Presets see numbers only: categories one-hot, words and category values hashed into buckets, vectors
entry by entry. Models of a factory keep their strings, for they may extract features themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from stream_al.model.encoder import tokens_of

COLUMNS_MAX = 8_192
BUCKETS = 1_024


class InOrder(set[Any]):
    """A set that is walked in sorted order, however it came to hold what it holds.

    A plain set is walked in the order of its collisions, which a round trip through a snapshot
    changes. River's adaptive tree and Mondrian forest sum probabilities over such a set.

    Examples
    --------
    >>> list(InOrder("cab"))
    ['a', 'b', 'c']
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__()))


class Bounded:
    """A River model that sees learnt columns only: a prediction never makes it grow.

    Attributes
    ----------
    columns
        Learnt, at most 8,192; later ones are missing features.
    model
        Anything with `predict_proba_one` and `learn_one`.
    """

    def __init__(self, model: Any, types: Mapping[str, str], *, strings: bool) -> None:
        self.model = model
        self.columns: dict[str, None] = {}
        self._types = dict(types)
        self._strings = strings

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        """Return what the model says, not yet normalised."""
        columns = self.columns
        flat = self._flat(x)
        found: dict[Any, float] = self.model.predict_proba_one(
            {name: value for name, value in flat.items() if name in columns}
        )
        return found

    def learn_one(self, x: dict[str, Any], y: str) -> None:
        """Learn one label."""
        columns, flat = self.columns, self._flat(x)
        for name in flat:
            if name not in columns and len(columns) < COLUMNS_MAX:
                columns[name] = None
        self.model.learn_one({name: flat[name] for name in flat if name in columns}, y)

    def _flat(self, x: dict[str, Any]) -> dict[str, Any]:
        if self._strings:
            return with_entries(x)
        return flattened(x, self._types)


def is_categories(value: Any) -> bool:
    """Whether a feature is a set of categories: a list of strings."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


class BoundedCommittee(Bounded):
    """A `Bounded` whose model has members: `vote` gives the probabilities and how they disagree."""

    def vote(self, x: dict[str, Any]) -> tuple[dict[Any, float], float]:
        """Return what the model's own `vote` says; a disagreement is brought into [0, 1]."""
        columns, flat = self.columns, self._flat(x)
        seen = {name: value for name, value in flat.items() if name in columns}
        probabilities, disagreement = self.model.vote(seen)
        # Also NaN, which is full uncertainty.
        return probabilities, max(0.0, disagreement) if disagreement <= 1.0 else 1.0


def with_entries(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return features with each vector and set entry by entry, everything else as it is.

    Examples
    --------
    >>> with_entries({"text": "a b", "vector": [0.5, 1.0], "tags": ["x", "y"]})
    {'text': 'a b', 'vector_0': 0.5, 'vector_1': 1.0, 'tags=x': 1.0, 'tags=y': 1.0}
    """
    flat: dict[str, Any] = {}
    for name, value in x.items():
        if is_categories(value):
            flat |= {f"{name}={entry}": 1.0 for entry in value}
        elif isinstance(value, list):
            flat |= {f"{name}_{index}": entry for index, entry in enumerate(value)}
        else:
            flat[name] = value
    return flat


def flattened(x: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, float]:
    """Return features as numbers: words counted in 1,024 buckets, category values one-hot in them.

    Examples
    --------
    >>> flattened({"n": 2, "ok": True, "vector": [0.5]}, {})
    {'n': 2, 'ok': True, 'vector_0': 0.5}
    >>> flattened({"text": "free free"}, {})
    {'text#456': 2}
    """
    flat: dict[str, float] = {}
    sets = {name: value for name, value in x.items() if is_categories(value)}
    for name, entries in sets.items():
        flat |= {f"{name}={crc32(entry.encode()) % BUCKETS}": 1.0 for entry in entries}
    others = {name: value for name, value in x.items() if name not in sets} if sets else x
    for name, value in with_entries(others).items():
        if not isinstance(value, str):
            flat[name] = value
        elif types.get(name, name) == "text":
            words = Counter(crc32(token.encode()) % BUCKETS for token in tokens_of(value))
            flat |= {f"{name}#{bucket}": count for bucket, count in words.items()}
        else:
            flat[f"{name}={crc32(value.encode()) % BUCKETS}"] = 1.0
    return flat
