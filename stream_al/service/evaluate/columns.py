"""From rows to examples: which field is the label, which are features, and of which kind. Pure.

The rule, over all values that are there (missing ones decide nothing):

* in CSV, a field is a *number* when every value reads as a finite one, and a *boolean* when every
  value is `true` or `false`; elsewhere numbers, booleans and lists of numbers (*vector*) are typed;
* any other string field is *text* when a value is longer than 64 characters, or when more than half
  of its values differ and they hold two words or more on average;
* a string field of single words that (nearly) all differ is an *identifier* or a time and is left
  out; the rest are *categories*;
* `--text` makes a field text whatever it looks like, and `--features` takes an identifier as a
  category: who names a field wants it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal

from stream_al.errors import ConfigurationError
from stream_al.labels import class_name
from stream_al.messages import Event
from stream_al.service.evaluate.source import History
from stream_al.testing import Example

Kind = Literal["number", "boolean", "text", "category", "vector", "identifier", "mixed"]
CATEGORY_CHARACTERS_MAX = 64
DISTINCT_SHARE = 0.5
IDENTIFIER_SHARE = 0.95
VALUES_MIN = 20
CLASSES_MAX = 100
EVENTS_MIN = 20
NAMES_SHOWN = 12
_UNUSABLE: tuple[Kind, ...] = ("identifier", "mixed")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Column:
    """One field and what it is taken for."""

    name: str
    kind: Kind
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A history that can be evaluated.

    Attributes
    ----------
    columns
        All features, and the fields left out by the rule.
    classes
        Class → events, the most frequent first.
    unlabelled
        Rows without a label: skipped.
    set_aside
        Rows that would be dead letters in production: each kind of them as a sentence.
    """

    examples: tuple[Example, ...]
    columns: tuple[Column, ...]
    classes: dict[str, int]
    unlabelled: int
    set_aside: tuple[str, ...] = ()

    @property
    def types(self) -> dict[str, str]:
        """What the model's configuration has to say about the fields."""
        kinds = {column.name: column.kind for column in self.columns if column.used}
        return {
            name: kind for name, kind in kinds.items() if kind in {"text", "vector", "category"}
        }


def labelled(
    history: History,
    label: str,
    *,
    text: Sequence[str] = (),
    features: Sequence[str] = (),
    types: Mapping[str, Kind] = MappingProxyType({}),
) -> Labelled:
    """Return the examples of a history, in the order of the file.

    Parameters
    ----------
    text, features
        The fields to use, `text` as texts; without either all fields but the label.
    types
        What the configuration says of fields of these names.

    Raises
    ------
    ConfigurationError
        When a field is not there, nothing is left to learn from, or the label is no class.
    """
    names = history.names
    check_names(history, {"--label": [label], "--text": text, "--features": features}, label)
    parse = history.file_format == "csv"
    named = [*dict.fromkeys([*text, *features])]
    columns = [
        Column(name, types[name], used=True)
        if name in types and name not in text
        else _column(history, name, parse=parse, text=name in text, named=bool(named))
        for name in named or names
        if name != label
    ]
    used = [column for column in columns if column.used]
    if not used:
        raise ConfigurationError(
            f"no field beside --label {label!r} can be a feature; name them with --features"
        )
    readers = [(column.name, reader_of(column.kind, parse=parse)) for column in used]
    examples: list[Example] = []
    for row in history.rows:
        if label in row:
            values = {name: read(row[name]) for name, read in readers if name in row}
            event = Event(event_id=f"row-{len(examples) + 1}", features=values)
            examples.append(Example(event, label_text(row[label])))
    classes = Counter(example.label for example in examples)
    check_classes(label, classes, len(history.rows))
    return Labelled(
        examples=tuple(examples),
        columns=tuple(columns),
        classes=dict(classes.most_common()),
        unlabelled=len(history.rows) - len(examples),
    )


def label_text(value: Any) -> str:
    r"""Return a label as a class: whole numbers without a point, booleans as JSON writes them.

    Texts are spelt as the engine spells classes, or no prediction would ever be right.

    Examples
    --------
    >>> label_text(1.0), label_text(True), label_text(" spam\u200b ")
    ('1', 'true', 'spam')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return class_name(str(value))


def kind_of(values: Sequence[Any], *, parse: bool) -> Kind:
    """Return what a field is, by the rule of this module.

    Parameters
    ----------
    values
        The values that are there, at least one.
    parse
        Whether texts may be numbers and booleans: in CSV, where everything is a text.

    Examples
    --------
    >>> kind_of(["1", "2.5"], parse=True), kind_of(["1", "2.5"], parse=False)
    ('number', 'category')
    >>> kind_of(["se", "dk", "se"], parse=True), kind_of(["hi there", "go on then"], parse=True)
    ('category', 'text')
    >>> kind_of([[0.5, 1], [0, 2]], parse=False), kind_of([[1], "x"], parse=False)
    ('vector', 'mixed')
    >>> kind_of([["a"], ["b", "c"]], parse=False)
    'category'
    """
    if all(isinstance(value, str) for value in values):
        return _kind_of_texts(values, parse=parse)
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(isinstance(value, bool | int | float) for value in values):
        return "number"
    if _are_vectors(values):
        return "vector"
    if all(is_set(value) for value in values):
        return "category"
    simple = all(isinstance(value, bool | int | float | str) for value in values)
    return _kind_of_texts([str(value) for value in values], parse=False) if simple else "mixed"


def _kind_of_texts(texts: Sequence[str], *, parse: bool) -> Kind:
    if parse and all(text.casefold() in _BOOLEANS for text in texts):
        return "boolean"
    if parse and all(_is_number(text) for text in texts):
        return "number"
    if max(map(len, texts)) > CATEGORY_CHARACTERS_MAX:
        return "text"
    distinct = len(set(texts)) / len(texts)
    words = sum(len(text.split()) for text in texts) / len(texts)
    if distinct > DISTINCT_SHARE and words >= 2:
        return "text"
    if distinct > IDENTIFIER_SHARE and len(texts) >= VALUES_MIN:
        return "identifier"
    return "category"


def _are_vectors(values: Sequence[Any]) -> bool:
    size = len(values[0]) if isinstance(values[0], list) else 0
    return all(
        isinstance(value, list)
        and len(value) == size
        and all(isinstance(entry, int | float) and isfinite(entry) for entry in value)
        for value in values
    )


def is_set(value: Any) -> bool:
    """Whether a value is a set of categories: a list of strings."""
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _column(history: History, name: str, *, parse: bool, text: bool, named: bool) -> Column:
    if text:
        return Column(name, "text", used=True)
    kind = kind_of([row[name] for row in history.rows if name in row], parse=parse)
    if named and kind == "identifier":
        return Column(name, "category", used=True)
    if named and kind == "mixed":
        raise ConfigurationError(
            f"--features: {name!r} holds lists or values of several types; a feature is a number, "
            "a boolean, a string, or a list of numbers of one length"
        )
    return Column(name, kind, used=kind not in _UNUSABLE)


def reader_of(kind: Kind, *, parse: bool) -> Callable[[Any], Any]:
    """Return what makes a feature of a value; lists and what is of several types stay as they are.

    Examples
    --------
    >>> reader_of("number", parse=True)("1.5"), reader_of("category", parse=False)(["a"])
    (1.5, ['a'])
    """
    if kind in {"text", "category"}:
        return lambda value: value if isinstance(value, list) else str(value)
    if parse and kind == "number":
        return float
    if parse and kind == "boolean":
        return lambda value: _BOOLEANS[value.casefold()]
    return lambda value: value


def check_names(history: History, asked: dict[str, Sequence[str]], label: str) -> None:
    """Refuse fields that no row has, each with its nearest one."""
    names = history.names
    problems = []
    for option, wanted in asked.items():
        for name in wanted:
            if name not in names:
                close = get_close_matches(name, names, n=1, cutoff=0.5)
                shown = ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
                hint = f"did you mean {close[0]!r}?" if close else f"the fields are {shown}"
                problems.append(f"{option}: no row has a value in {name!r}; {hint}")
            elif option != "--label" and name == label:
                problems.append(f"{option}: {name!r} is the label; it can't be a feature too")
    if problems:
        raise ConfigurationError(*problems)


def check_classes(label: str, classes: Counter[str], row_count: int) -> None:
    """Refuse a label that is no class, or too few events."""
    events = classes.total()
    if len(classes) < 2:
        only = next(iter(classes))
        raise ConfigurationError(
            f"--label {label!r} has one class only, {only!r}, in {events:,} of {row_count:,} rows; "
            "there is nothing to learn. Is it the right field, or --limit too low?"
        )
    if len(classes) > CLASSES_MAX:
        raise ConfigurationError(
            f"--label {label!r} has {len(classes):,} different values in {events:,} rows, over "
            f"{CLASSES_MAX}; a label is a class, not a number or an id"
        )
    if events < EVENTS_MIN:
        raise ConfigurationError(
            f"--label {label!r} is there in {events} rows; below {EVENTS_MIN} nothing can be said"
        )
