"""Problems of many records as few sentences: those that differ only in values are one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stream_al.errors import InvalidInput

KINDS_MAX = 20
_VALUE_SAID = re.compile(r" is .{0,70}?(?=[;:] )")
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\d,.]*")


@dataclass(slots=True)
class Grouped:
    """Equal problems: how many there are, and the first one with its place."""

    count: int = 0
    place: int = 0
    said: str = ""


@dataclass(slots=True)
class Problems:
    """Problems of records, those that differ in their values only as one.

    Attributes
    ----------
    groups
        What they have in common → them; at most `KINDS_MAX` kinds.
    count
        How many were noted, of all kinds.
    """

    groups: dict[str, Grouped] = field(default_factory=dict)
    count: int = 0

    def note(self, place: int, error: InvalidInput) -> None:
        """Count one; `place` is its line."""
        self.count += 1
        said = f"{error.error}: {error}"
        key = _VALUES.sub("…", _VALUE_SAID.sub(" is …", said))
        if key not in self.groups and len(self.groups) >= KINDS_MAX:
            return
        group = self.groups.setdefault(key, Grouped(place=place, said=said))
        group.count += 1

    def sentences(self, name: str, lines: int) -> list[str]:
        """Return one for each kind, the most frequent first."""
        found = sorted(self.groups.values(), key=lambda group: (-group.count, group.place))
        return [
            f"{name}, line {group.place}: {group.said}"
            if group.count == 1
            else f"{name}, {group.count} of {lines} lines, first line {group.place}: {group.said}"
            for group in found
        ]
