"""A query as its annotator sees it: which fields in which order, folded to fit a screen. Pure.

Nothing of it depends on who asks or why, so that a gold question looks like any other: the text,
the other features by name, segment and meta. A prediction is shown on demand only, and never where
a label must not be anchored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.cells import get_character_cell_size

from stream_al.escaping import visible, visible_json, visible_lines
from stream_al.labels import OpenQuery
from stream_al.messages import NO_QUERY, Query

TEXT = "text"
INDENT = "  "
PREDICTED_REASONS = frozenset({"uncertain", "disagreement", "rule"})
"""Where a prediction may be shown: labels of a random sample measure, first ones teach the most."""


class Field(NamedTuple):
    """One value by name; a name that is empty needs none."""

    name: str
    value: str

    @property
    def said(self) -> str:
        """Name and value, as they are read."""
        return f"{self.name}: {self.value}" if self.name else self.value


@dataclass(frozen=True, slots=True)
class Fitted:
    """Lines for a screen; `cut` says whether anything was left out."""

    lines: tuple[str, ...]
    cut: bool


def fields_of(
    features: Mapping[str, Any], segment: str | None, meta: Any, texts: Collection[str] = ()
) -> list[Field]:
    """Return what an event says, in an order that does not depend on how it was sent.

    `texts` are features that are read before the others.

    Examples
    --------
    >>> [one.said for one in fields_of({"n": 1, "text": "hi"}, "en", {"url": "x", "a": [1]})]
    ['hi', 'n: 1', 'segment: en', 'meta.a: [1]', 'meta.url: x']
    """
    values = values_of(features, segment, meta, texts)
    return [Field(name, _shown(value)) for name, value in values]


def values_of(
    features: Mapping[str, Any], segment: str | None, meta: Any, texts: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield the names and values that are shown of an event, in their order."""
    if TEXT in features:
        yield "", features[TEXT]
    for name in sorted(features.keys() - {TEXT}, key=lambda name: (name not in texts, name)):
        yield visible(name), features[name]
    if segment is not None:
        yield "segment", segment
    if isinstance(meta, dict):
        for name in sorted(meta):
            yield f"meta.{visible(name)}", meta[name]
    elif meta is not None:
        yield "meta", meta


def fields_of_query(
    opened: OpenQuery, *, show_prediction: bool, texts: Collection[str] = ()
) -> list[Field]:
    """Return what an annotator sees of a query."""
    query = opened.query
    found = fields_of(query.features, query.segment, query.meta, texts)
    if show_prediction and opened.place != NO_QUERY and is_predicted(query):
        found.append(Field("predicted", predicted(query)))
    return found


def is_predicted(query: Query) -> bool:
    """Whether its prediction may be shown to who is to label it."""
    return query.label is not None and query.reason in PREDICTED_REASONS


def predicted(query: Query) -> str:
    """Return the prediction as people read it: `spam 69 %`."""
    if query.label is None:
        return "nothing yet"
    return f"{visible(query.label)} {query.probabilities[query.label]:.0%}"


def in_one_line(query: Query) -> str:
    """Return what the event says, in one line: its text, else its features."""
    fields = fields_of(query.features, None, None)
    if fields and not fields[0].name:
        fields = fields[:1]
    return visible("  ".join(" ".join(one.said.split()) for one in fields))


def _shown(value: Any) -> str:
    return visible_lines(value) if isinstance(value, str) else visible_json(value)


# ---------------------------------------------------------------------- folding


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """Return `text` in lines of at most `width` cells, broken at spaces where there are any.

    Parameters
    ----------
    indent
        In front of each line but the first of a paragraph.

    Examples
    --------
    >>> folded("free money now", 10), folded("aaaaaa", 4), folded("中文字", 4)
    (['free money', 'now'], ['aaaa', 'aa'], ['中文', '字'])
    >>> folded("n: 12 34 56", 6, "  ")
    ['n: 12', '  34', '  56']
    """
    return [line for line, _ in _folded(text, width, indent)]


def _folded(text: str, width: int, indent: str) -> list[tuple[str, int]]:
    """Return the lines, each with the index in `text` of what follows it."""
    found: list[tuple[str, int]] = []
    at = 0
    for paragraph in text.split("\n"):
        start, before = 0, ""
        while True:
            end = start + _taken(paragraph[start:], max(1, width - len(before)))
            line = paragraph[start:end].rstrip(" ")
            start = end + len(paragraph[end:]) - len(paragraph[end:].lstrip(" "))
            found.append((before + line, at + start))
            if start >= len(paragraph):
                break
            before = indent
        at += len(paragraph) + 1
    return found


def _taken(text: str, width: int) -> int:
    """Return how many characters of `text` go on a line of `width` cells, at least one."""
    cells, space = 0, 0
    for at, character in enumerate(text):
        cells += get_character_cell_size(character)
        if character == " ":
            space = at
        elif cells > width:
            return space or max(1, at)
    return len(text)


def fitted(fields: list[Field], width: int, height: int) -> Fitted:
    """Return fields in at most `height` lines; each that is cut says by how many characters.

    Lines are shared out evenly: what is short is shown whole, and the rest goes to what is long.

    Examples
    --------
    >>> shown = fitted([Field("", "word " * 40), Field("n", "1")], width=30, height=4)
    >>> for line in shown.lines:
    ...     print(line)
    word word word word word word
    word word word word word word
    word word… 131 more characters
    n: 1
    """
    shown, left = fields, 0
    if len(fields) > height:
        shown, left = fields[: height - 1], len(fields) - height + 1
    whole = [_folded(one.said, width, _indent(one)) for one in shown]
    allowed = _shared([len(lines) for lines in whole], height - bool(left))
    lines: list[str] = []
    for field, all_lines, count in zip(shown, whole, allowed, strict=True):
        lines += [line for line, _ in all_lines[:count]]
        if count < len(all_lines):
            begin = all_lines[count - 2][1] if count > 1 else 0
            lines[-1] = _cut(lines[-1], field, begin, width)
    if left:
        lines.append(f"… {left:,} more fields")
    cut = bool(left) or any(n < len(one) for n, one in zip(allowed, whole, strict=True))
    return Fitted(tuple(lines), cut)


def _shared(wanted: list[int], height: int) -> list[int]:
    """Share `height` lines out, one each at least: the same to all who want as many or more.

    Examples
    --------
    >>> _shared([1, 9, 100], 20), _shared([50, 50], 7), _shared([2, 2], 9)
    ([1, 9, 10], [4, 3], [2, 2])
    """
    level = height
    while level > 1 and sum(min(each, level) for each in wanted) > height:
        level -= 1
    given = [min(each, level) for each in wanted]
    spare = height - sum(given)
    for at, each in enumerate(wanted):
        if spare > 0 and given[at] < each:
            given[at] += 1
            spare -= 1
    return given


def _cut(line: str, field: Field, begin: int, width: int) -> str:
    """Return the last line that is shown of a field, which says how much follows it."""
    indent = len(_indent(field)) if begin else 0
    start = line[: _fitting(line, width - len(_more(len(field.said))))]
    return start + _more(len(field.said) - begin - max(0, len(start) - indent))


def _more(characters: int) -> str:
    return f"… {characters:,} more character{'' if characters == 1 else 's'}"


def _fitting(text: str, width: int) -> int:
    cells = 0
    for at, character in enumerate(text):
        cells += get_character_cell_size(character)
        if cells > width:
            return at
    return len(text)


def _indent(field: Field) -> str:
    return INDENT if field.name else ""


def pages(fields: list[Field], width: int, height: int) -> Iterator[Fitted]:
    """Yield everything, in pages of at most `height` lines, of which the last is not `cut`."""
    lines = [line for one in fields for line in folded(one.said, width, _indent(one))]
    for start in range(0, len(lines), height):
        end = start + height
        yield Fitted(tuple(lines[start:end]), end < len(lines))
