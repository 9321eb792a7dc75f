"""Examples as the configuration's `events:` reads them: its features, its types, as in production.

A field is what `events.types` says, and what it would be in an event else: a string is a category,
a number a number; in CSV a field all of whose values read as numbers or booleans is one. A row that
production would set aside is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from stream_al.config import EventsSection
from stream_al.engine.paths import is_given
from stream_al.errors import ConfigurationError, InvalidInput
from stream_al.messages import Event
from stream_al.service.evaluate.columns import (
    Column,
    Kind,
    Labelled,
    check_classes,
    check_names,
    is_set,
    kind_of,
    label_text,
    reader_of,
)
from stream_al.service.evaluate.source import History
from stream_al.service.grouping import Problems
from stream_al.testing import Example

Clean = Callable[[dict[str, Any]], dict[str, Any]]
_NATIVE = "features."
_DECLARED: dict[str, Kind] = {"text": "text", "vector": "vector", "category": "category"}


def paths_for(events: EventsSection, history: History) -> dict[str, str]:
    """Return feature → field of this history, {} when the configuration does not fit it.

    Without a mapping a file of native events is read as those.

    Raises
    ------
    ConfigurationError
        When some of the configured paths are in the file, and some in no row.
    """
    names = history.names
    if events.native:
        if "event_id" not in names or history.file_format == "csv":
            return {}
        return {name.removeprefix(_NATIVE): name for name in names if name.startswith(_NATIVE)}
    found = {name: path for name, path in events.features.items() if path in names}
    if found and len(found) < len(events.features):
        check_names(history, _named(events), "")
    return found


def _named(events: EventsSection) -> dict[str, Sequence[str]]:
    return {f"events.features.{name}": [path] for name, path in events.features.items()}


def as_configured(
    history: History, label: str, paths: dict[str, str], events: EventsSection, clean: Clean
) -> Labelled:
    """Return the examples of a history, in the order of the file.

    Parameters
    ----------
    paths
        Feature → field; the label's field is no feature.
    clean
        The guard of production.

    Raises
    ------
    ConfigurationError
        When the label is in no row, or is no class.
    """
    check_names(history, {"--label": [label]}, label)
    paths = {name: path for name, path in paths.items() if path != label}
    columns = [Column(name, _kind(history, name, paths[name], events), used=True) for name in paths]
    parse = history.file_format == "csv"
    readers = [(paths[one.name], one.name, _reader(one.kind, parse=parse)) for one in columns]
    examples: list[Example] = []
    problems = Problems()
    for number, row in enumerate(history.rows, 1):
        if label not in row:
            continue
        features = {name: read(row[path]) for path, name, read in readers if path in row}
        try:
            features = clean(features)
        except InvalidInput as error:
            problems.note(number, error)
            continue
        examples.append(
            Example(Event(event_id=f"row-{number}", features=features), label_text(row[label]))
        )
    if not examples:
        raise ConfigurationError(*problems.sentences("FILE", len(history.rows)))
    classes = Counter(example.label for example in examples)
    check_classes(label, classes, len(history.rows))
    return Labelled(
        examples=tuple(examples),
        columns=tuple(columns),
        classes=dict(classes.most_common()),
        unlabelled=sum(label not in row for row in history.rows),
        set_aside=tuple(problems.sentences("FILE", len(history.rows))),
    )


def _reader(kind: Kind, *, parse: bool) -> Callable[[Any], Any]:
    return reader_of(kind, parse=True) if parse else lambda value: value


def _kind(history: History, name: str, path: str, events: EventsSection) -> Kind:
    declared = _DECLARED.get(events.types.get(name, name))
    if declared is not None:
        return declared
    values = [row[path] for row in history.rows if is_given(row.get(path))]
    if history.file_format == "csv":
        kind = kind_of(values, parse=True)
        return kind if kind in {"number", "boolean"} else "category"
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(isinstance(value, int | float) for value in values):
        return "number"
    categories = all(isinstance(value, str) or is_set(value) for value in values)
    return "category" if categories else "mixed"
