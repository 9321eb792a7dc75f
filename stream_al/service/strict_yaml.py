"""YAML read in one way only: YAML 1.2's plain values, each key once, no tag that makes objects.

PyYAML reads YAML 1.1, where `010` is 8, `1:30:00` is 5,400, `no` is false and the second of two
equal keys wins. Here such a value is the text that stands there, which no number takes, and a
second key is a problem with both lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from stream_al.errors import ConfigurationError
from stream_al.escaping import is_text
from stream_al.problems import Location

NODES_MAX = 100_000
"""Values of one document, those that stand behind aliases counted each time."""
_TAG = "tag:yaml.org,2002:"
_ODD = "!odd"
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    "merge": r"<<",
}
_READ_OTHERWISE = (
    r"[yY]es|YES|[nN]o|NO|[oO]n|ON|[oO]ff|OFF|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?"
    r"|[-+]?0[xXoObB][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
)
"""What YAML 1.1, or another program, takes for a boolean, a number or a time."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}


for _kind, _form in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_form})$"), [None])
_Loader.add_implicit_resolver(_ODD, re.compile(f"(?:{_READ_OTHERWISE})$"), [None])


@dataclass(slots=True)
class Document:
    """What a text says, and where.

    Attributes
    ----------
    value
        Dicts with texts as keys, lists, texts, numbers, booleans, None.
    lines
        Place of a value → its line.
    odd
        Place of a text without quotes that other readers of YAML take for something else.
    problems
        Each a sentence without the file's name.
    """

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    odd: dict[Location, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_yaml(text: str) -> Document:
    """Return what `text` says.

    Raises
    ------
    ConfigurationError
        When it is not YAML, with the place; without the file's name.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigurationError("is nested too deep; write it flatter") from None
    reader = _Reader()
    if node is not None:
        reader.found.value = reader.read(node, ())
    return reader.found


class _Reader:
    """Walks the nodes of a document, each alias as often as it stands there."""

    def __init__(self) -> None:
        self.found = Document()
        self._count = 0
        self._open: set[int] = set()  # nodes that are being read, by identity

    def read(self, node: yaml.Node, place: Location) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > NODES_MAX:
            raise ConfigurationError(
                f"line {line}: holds more than {NODES_MAX:,} values by aliases"
            )
        if id(node) in self._open:
            raise ConfigurationError(f"line {line}: {_named(place)} holds itself by an alias")
        self.found.lines.setdefault(place, line)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.read(below, (*place, n)) for n, below in enumerate(node.value)]
            return self._scalar(node, place)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, place: Location) -> dict[str, Any]:
        lines: dict[str, list[int]] = {}
        body: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(f"line {line}: a key of {_named(place)} is no text")
            lines.setdefault(key.value, []).append(line)
            if len(lines[key.value]) > 1:
                continue
            if key.tag == _TAG + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            self.found.lines.setdefault((*place, key.value), line)
            body[key.value] = self.read(value, (*place, key.value))
        self._note_twice(lines, place)
        for below in merged:
            body = self._merged(below, place, body)
        return body

    def _merged(self, below: yaml.Node, place: Location, body: dict[str, Any]) -> dict[str, Any]:
        """Return `body` with the keys of `below` that it has not."""
        odd, self.found.odd = self.found.odd, {}
        more = self.read(below, place)
        if not isinstance(more, dict):
            line = below.start_mark.line + 1
            raise ConfigurationError(f"line {line}: `<<` takes a mapping, or a list of them")
        new = {at: text for at, text in self.found.odd.items() if at[len(place)] not in body}
        self.found.odd = odd | new
        return more | body

    def _note_twice(self, lines: dict[str, list[int]], place: Location) -> None:
        for key, at in lines.items():
            if len(at) > 1:
                where = f"twice in line {at[0]}" if len(set(at)) == 1 else f"in {_lines(at)}"
                full = _named((*place, key))
                self.found.problems.append(f"{full} stands {where}, and one would win; keep one")

    def _scalar(self, node: yaml.Node, place: Location) -> Any:
        line, text = node.start_mark.line + 1, node.value
        kind = node.tag.removeprefix(_TAG)
        if not isinstance(node, yaml.ScalarNode) or (
            node.tag != _ODD and kind not in {"str", "null", "bool", "int", "float", "merge"}
        ):
            tag = node.tag.replace(_TAG, "!!")
            raise ConfigurationError(
                f"line {line}: {_named(place)} has the tag {tag}; leave it out"
            )
        if not is_text(text):
            raise ConfigurationError(
                f"line {line}: {_named(place)} holds half a surrogate pair, which is no text"
            )
        if kind in _PLAIN and not re.fullmatch(_PLAIN[kind], text):
            raise ConfigurationError(f"line {line}: {_named(place)} is {text!r}, no {kind}")
        if node.tag == _ODD:
            self.found.odd[place] = text
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) < 1_000:
                return int(text)
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text


def _named(place: Location) -> str:
    return ".".join(map(str, place)) or "the document"


def _lines(lines: list[int]) -> str:
    """Return line numbers as people read them.

    Examples
    --------
    >>> _lines([1, 3]), _lines([1, 2, 3])
    ('lines 1 and 3', 'lines 1, 2 and 3')
    """
    return f"lines {', '.join(map(str, lines[:-1]))} and {lines[-1]}"
