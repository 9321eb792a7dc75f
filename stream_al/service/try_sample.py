"""`check --sample`: lines of people's own events and labels, tried with their configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from stream_al.config import Config
from stream_al.engine import LabelReader
from stream_al.errors import InvalidInput
from stream_al.labels.classes import class_named
from stream_al.model import Model
from stream_al.service.grouping import Problems
from stream_al.service.looking import paths_of, refused
from stream_al.service.sampling import EventSample, Paths

LINES_MAX = 200
LINE_BYTES_MAX = 16_777_216
CATEGORY_CHARACTERS_WARN = 64
HEAD_BYTES = 4_096

EDITED = (
    "a label teaches what was asked first; with `events.version`, the path to what an edit "
    "changes, each edit is an event of its own"
)
Found = tuple[list[str], list[str]]
"""Problems and notes."""


def try_events(sample: Path, config: Config) -> Found:
    """Return what is wrong with a sample of events under this configuration, and what it has."""
    lines = _lines(sample, "--sample", "events", config)
    if isinstance(lines, str):
        return [lines], []
    found, model = EventSample(config), Model(config)
    categories: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for number, line in lines:
        event = found.take(line, number)
        if event is None:
            continue
        try:
            features = model.clean(event.features)
        except InvalidInput as error:
            found.problems.note(number, error)
            continue
        categories.update(name for name, value in features.items() if _is_long(value))
        left_out.update(
            name
            for name, value in event.features.items()
            if isinstance(value, list | dict) and value and name not in features
        )
    problems = found.problems.sentences(str(sample), found.count)
    advice = found.advice_on_form()
    problems += found.paths.unfound() if advice is None else [advice]
    notes = [
        f"feature `{name}` looks like a text but is read as a category; "
        f"set events.types: {{{name}: text}}"
        for name in categories
        if name != "text" and name not in config.events.types
    ]
    notes += _types_unseen(found, config) + found.unread() + _left_out(left_out, found.count)
    if found.repeats.changed:
        notes.append(
            f"{found.repeats.changed} of {found.count} lines have an id that came before with "
            f"other features: {EDITED}"
        )
    shown = ", ".join(f"{name} ({count})" for name, count in found.present.items())
    return problems, [*notes, f"{found.count} lines of {sample} read; features: {shown or 'none'}"]


def try_labels(sample: Path, config: Config) -> Found:
    """Return what is wrong with a sample of labels under this configuration, and their classes."""
    lines = _lines(sample, "--sample-labels", "labels", config)
    if isinstance(lines, str):
        return [lines], []
    reader, problems, paths = LabelReader(config.labels), Problems(), Paths(config, "labels")
    classes: Counter[str] = Counter()
    nameless = 0
    for number, line in lines:
        paths.look(line)
        try:
            label = reader.read(line)
        except InvalidInput as error:
            problems.note(number, error)
            continue
        nameless += not label.annotator
        if label.label is not None:
            classes[label.label] += 1
    said = problems.sentences(str(sample), paths.count) + paths.unfound()
    closed = config.labels.classes
    for name, count in classes.items() if closed is not None else ():
        if closed is not None and class_named(name, closed) not in closed:
            said.append(f"{sample}: {count} labels {name!r}: not one of labels.classes")
    if nameless:
        said.append(f"{sample}: {nameless} of {paths.count} labels name no annotator: invalid")
    notes = [
        f"labels.{name}: not readable in {count} of {paths.count} lines; it is null there"
        for name, count in reader.unreadable.items()
        if count
    ]
    shown = ", ".join(f"{name} ({count})" for name, count in classes.most_common(LINES_MAX))
    return said, [*notes, f"{paths.count} lines of {sample} read; classes: {shown or 'none'}"]


def _lines(
    sample: Path, option: str, topic: str, config: Config
) -> Iterator[tuple[int, bytes]] | str:
    """Return numbered lines that are not blank, or why there are none."""
    try:
        with sample.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            taken = list(islice(iter(lambda: file.readline(LINE_BYTES_MAX), b""), LINES_MAX))
    except OSError as error:
        return f"{option} is {str(sample)!r}: {error.strerror}"
    then = f"stream-al check {option} /dev/stdin"
    why = refused(head, str(sample), then, paths_of(config, topic))
    if why is not None:
        return f"{option} {why}"
    lines = [(number, line.strip()) for number, line in enumerate(taken, 1) if line.strip()]
    return iter(lines) if lines else f"{option} is {str(sample)!r}, which has no lines"


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > CATEGORY_CHARACTERS_WARN


def _types_unseen(found: EventSample, config: Config) -> list[str]:
    notes = []
    for name in config.events.types:
        if name not in found.present and name not in config.events.features:
            close = get_close_matches(name, list(found.present), n=1)
            hint = f"; did you mean `{close[0]}`?" if close else ""
            notes.append(f"events.types.{name}: no line has such a feature{hint}")
    return notes


def _left_out(names: Counter[str], lines: int) -> list[str]:
    return [
        f"feature `{name}`: left out in {count} of {lines} lines, where it is an object or a list "
        f"with numbers; set events.types: {{{name}: vector}} or category, or a path to a part of it"
        for name, count in names.items()
    ]
