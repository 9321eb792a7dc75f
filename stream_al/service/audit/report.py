"""What an audit found: totals of everything, the first places of each kind; bounded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FIRST_MAX = 10
"""Offending records that are named for each kind of violation; the rest are counted."""


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Violation:
    """One offending record.

    Attributes
    ----------
    invariant
        `I1` to `I7` as in docs/GUARANTEES.md, `chain` (the journal's own proof), `closing` (queries
        and the records that close them) or `propensity`.
    kind
        One word for the way in which it is broken.
    place
        The offending record; for something that is missing, the record that it is missing for.
    sentence
        What is wrong, for people.
    """

    invariant: str
    kind: str
    place: Place
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an audit.

    Attributes
    ----------
    checked
        What was looked at → how many.
    unchecked
        What could not be checked any more, as a sentence → how many.
    totals
        (invariant, kind) → violations.
    violations
        The first `FIRST_MAX` of each kind, in the order in which they were found.
    stray_count, strays
        Records that are not ours, which every fold passes over: how many, and the first.
    """

    checked: dict[str, int]
    unchecked: dict[str, int]
    totals: dict[tuple[str, str], int]
    violations: tuple[Violation, ...]
    stray_count: int = 0
    strays: tuple[tuple[Place, str], ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.totals

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON document."""
        return {
            "clean": self.clean,
            "checked": self.checked,
            "unchecked": self.unchecked,
            "strays": {
                "total": self.stray_count,
                "first": [place._asdict() | {"sentence": said} for place, said in self.strays],
            },
            "violations": [
                {
                    "invariant": invariant,
                    "kind": kind,
                    "total": total,
                    "first": [
                        one.place._asdict() | {"sentence": one.sentence}
                        for one in self.violations
                        if (one.invariant, one.kind) == (invariant, kind)
                    ],
                }
                for (invariant, kind), total in self.totals.items()
            ],
        }


@dataclass(slots=True)
class Findings:
    """What the checks collect while they read.

    Attributes
    ----------
    checked, unchecked, totals
        As in `Report`.
    first
        At most `FIRST_MAX` violations of each kind; the kinds are those in the code.
    """

    checked: Counter[str] = field(default_factory=Counter)
    unchecked: Counter[str] = field(default_factory=Counter)
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: list[Violation] = field(default_factory=list)
    stray_count: int = 0
    strays: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, invariant: str, kind: str, place: Place, sentence: str) -> None:
        """Count a violation, and keep it when it is among the first of its kind."""
        self.totals[invariant, kind] += 1
        if self.totals[invariant, kind] <= FIRST_MAX:
            self.first.append(Violation(invariant, kind, place, sentence))

    def stray(self, place: Place, sentence: str) -> None:
        """Count a record that is not ours and does no harm, and keep the first ones."""
        self.stray_count += 1
        if self.stray_count <= FIRST_MAX:
            self.strays.append((place, sentence))

    def report(self) -> Report:
        """Return what was found."""
        return Report(
            checked={name: count for name, count in self.checked.items() if count},
            unchecked={name: count for name, count in self.unchecked.items() if count},
            totals=dict(self.totals),
            violations=tuple(self.first),
            stray_count=self.stray_count,
            strays=tuple(self.strays),
        )
