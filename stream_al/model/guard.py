"""The guard: what a model never sees. It stands before predict *and* learn, and is idempotent.

One NaN poisons River's scalers and linear models for ever, and a number whose square overflows
does the same one step later; so numbers beyond ±1e100 count as not finite.

A list is a vector or one text where `events.types` says so; else a list of strings is a set of
categories. What can be no feature (an object, a list of numbers that nobody declared) is left out
and counted: the event is scored without it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any, NoReturn

import numpy as np

from stream_al.config import EventsSection
from stream_al.errors import InvalidInput

NUMBER_MAX = 1e100
NAME_CHARACTERS_MAX = 256
CATEGORY_CHARACTERS_MAX = 256
VECTOR_ENTRIES_MAX = 4_096
CATEGORIES_MAX = 1_000
"""Different entries of one set of categories."""
OTHER = "other"
_NAMES_MAX = 4_096
_NUMPY_SCALARS = (np.integer, np.floating, np.bool_)


class Guard:
    """Checks the features of one event, as `events.types` and `events.on_bad_number` say.

    Parameters
    ----------
    events
        The section of the configuration.
    strict
        Refuse what else is left out: for features that passed a guard before.

    Attributes
    ----------
    _texts
        Names of text features.
    _names
        Names found good that are not declared: a memo, cleared when full.
    left_out
        Feature → values that can be none and were left out: objects, and lists of undeclared type.
        A feature that the configuration does not name counts as `other`.
    """

    def __init__(self, events: EventsSection, *, strict: bool = False) -> None:
        self._strict = strict
        self._types: dict[str, str] = dict(events.types)
        self._drops = events.on_bad_number == "drop_feature"
        self._features_max = events.features_max
        self._names: set[str] = set()
        self._texts = {name for name, kind in self._types.items() if kind == "text"}
        if self._types.get("text", "text") == "text":
            self._texts.add("text")
        named = ("text", "vector", *self._types, *events.features)
        self.left_out: Counter[str] = Counter(dict.fromkeys((*named, OTHER), 0))

    def clean(self, features: dict[str, Any]) -> dict[str, Any]:
        """Return features fit for a model: the same object when nothing had to change.

        Raises
        ------
        InvalidInput
            NonFiniteFeature, WrongFeatureType, TooManyFeatures, FeatureTooLarge, LoneSurrogate.
        """
        if len(features) > self._features_max:
            raise InvalidInput(
                "TooManyFeatures",
                f"{len(features)} features are more than events.features_max "
                f"({self._features_max}); send fewer or raise it",
            )
        names = self._names
        for name, value in features.items():
            kind = type(value)
            if (
                (kind is float or kind is int or kind is bool)
                and -NUMBER_MAX < value < NUMBER_MAX
                and name in names
            ):
                continue
            # A text of plain ASCII holds no surrogate: nothing is to be changed.
            if kind is str and name in self._texts and value.isascii():
                continue
            return self._cleaned(features)
        return features

    def _cleaned(self, features: dict[str, Any]) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for name, value in features.items():
            if name not in self._names:
                self._check_name(name)
            kept = None if value is None else self._value(name, value)
            if kept is not None:
                cleaned[name] = kept
        return cleaned

    def _check_name(self, name: Any) -> None:
        if not isinstance(name, str):
            _refuse("WrongFeatureType", name, "has a name that is no string; use strings")
        if len(name) > NAME_CHARACTERS_MAX:
            _refuse("FeatureTooLarge", name, f"has a name over {NAME_CHARACTERS_MAX} characters")
        _check_surrogates(name, name)
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        if name not in self._types and name not in {"text", "vector"}:
            self._names.add(name)

    def _value(self, name: str, value: Any) -> Any:
        """Return one value as a model may see it, or None when the feature is to be dropped."""
        declared = self._types.get(name)
        if isinstance(value, _NUMPY_SCALARS):
            value = value.item()
        if isinstance(value, str):
            return self._string(name, value, declared or name)
        if isinstance(value, (bool, int, float)):
            return self._number(name, value, declared)
        if isinstance(value, (list, tuple, np.ndarray)):
            return self._list(name, value, declared or name)
        if isinstance(value, dict):
            return self._leave_out(name)
        return _refuse(
            "WrongFeatureType",
            name,
            f"is a {type(value).__name__}; it must be a string, a number, a boolean or a list",
        )

    def _list(self, name: str, value: Any, kind: str) -> Any:
        """Return a list as its type says: a vector, one text, or a set of categories."""
        entries = _entries(value.tolist() if isinstance(value, np.ndarray) else value)
        if kind == "vector":
            return self._vector(name, entries)
        texts = [entry for entry in entries if isinstance(entry, str) and entry]
        if kind == "text":
            if not texts and any(not isinstance(entry, str) for entry in entries):
                return self._leave_out(name)
            return self._string(name, "\n".join(texts), kind) if texts else None
        if kind == "category":
            entries = [entry if isinstance(entry, str) else str(entry) for entry in entries]
        elif any(not isinstance(entry, str) for entry in entries):
            return self._leave_out(name)  # numbers: an embedding, or ids? nobody said
        return self._categories(name, entries)

    def _categories(self, name: str, entries: list[str]) -> list[str] | None:
        distinct = list(dict.fromkeys(entry for entry in entries if entry))
        if len(distinct) > CATEGORIES_MAX:
            _refuse(
                "FeatureTooLarge",
                name,
                f"has {len(distinct):,} different entries, over {CATEGORIES_MAX:,}; send fewer, or "
                "declare it as text in events.types",
            )
        return [self._string(name, entry, "category") for entry in distinct] or None

    def _leave_out(self, name: str) -> None:
        if self._strict:
            _refuse("WrongFeatureType", name, "is an object, or a list of no declared type")
        self.left_out[name if name in self.left_out else OTHER] += 1

    def _string(self, name: str, value: str, kind: str) -> str:
        if kind == "vector":
            _refuse("WrongFeatureType", name, "is a string; a vector is a list of numbers")
        if kind != "text" and len(value) > CATEGORY_CHARACTERS_MAX:
            _refuse(
                "FeatureTooLarge",
                name,
                f"is a category of {len(value)} characters, over {CATEGORY_CHARACTERS_MAX}; "
                "declare it as text in events.types, or shorten it",
            )
        _check_surrogates(name, value)
        return str(value)

    def _number(self, name: str, value: float, declared: str | None) -> Any:
        if declared == "category":
            return str(value)
        if (declared or name) in {"text", "vector"}:
            kind = "a string" if (declared or name) == "text" else "a list of numbers"
            _refuse("WrongFeatureType", name, f"is a number; it must be {kind}")
        if -NUMBER_MAX < value < NUMBER_MAX:
            return float(value) if isinstance(value, float) else value
        self._check_bad_number(name)
        return None

    def _vector(self, name: str, values: list[Any]) -> list[float] | None:
        if len(values) > VECTOR_ENTRIES_MAX:
            _refuse(
                "FeatureTooLarge", name, f"has {len(values)} entries, over {VECTOR_ENTRIES_MAX}"
            )
        try:
            entries = array("d", values)
        except OverflowError:
            self._check_bad_number(name)
            return None
        except (TypeError, ValueError):
            _refuse("WrongFeatureType", name, "has an entry that is no number")
        largest = np.abs(np.frombuffer(entries)).max() if entries else 0.0
        if not largest < NUMBER_MAX:
            self._check_bad_number(name)
            return None
        return entries.tolist() or None

    def _check_bad_number(self, name: str) -> None:
        if not self._drops:
            _refuse(
                "NonFiniteFeature",
                name,
                "is NaN, infinite or beyond ±1e100; mend it, or set events.on_bad_number to "
                "drop_feature",
            )


def _entries(value: Any) -> list[Any]:
    """Return the entries of a list, of lists within it too, without nulls and objects.

    Examples
    --------
    >>> _entries(["a", ["b", None, ["c"]], {"d": 1}])
    ['a', 'b', 'c']
    """
    if not any(isinstance(entry, list | tuple | dict) or entry is None for entry in value):
        return list(value)
    found: list[Any] = []
    # Read from its end: no depth of nesting is too deep for this.
    waiting = list(value)
    waiting.reverse()
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list | tuple):
            waiting += reversed(entry)
        elif entry is not None and not isinstance(entry, dict):
            found.append(entry)
    return found


def _check_surrogates(name: str, value: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse("LoneSurrogate", name, "holds half of a character; send valid Unicode")


def _refuse(error: str, name: Any, problem: str) -> NoReturn:
    raise InvalidInput(error, f"feature {str(name)[:80]!a} {problem}")
