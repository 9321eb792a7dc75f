"""What the journal says about a recorded stream: settings in force, labels, closings. A fold.

Memory grows with labels (some 150 bytes each, in arrays), never with events. Positions and places
are those of the log; nothing here reads it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

from stream_al.messages import (
    ClosedEntry,
    ControlEntry,
    JournalRecord,
    LabelEntry,
    RetractionEntry,
    Settings,
    Source,
    VoteEntry,
)

_RETRACTED = "retracted"
_UNLABELLED = ("expired", "skipped", "unsure", "repeated", _RETRACTED)


class Closing(NamedTuple):
    """How a recorded query ended.

    Attributes
    ----------
    label
        The label in force; None when none came or it was taken back.
    lost
        Why there is none: `expired`, `skipped`, `unsure`, `repeated` or `retracted`.
    position
        Journal position of the record that closed the query.
    at_ms
        The resolver's clock then.
    """

    label: str | None
    lost: str | None
    position: int
    at_ms: int


class Recorded:
    """A fold over the journal, by position.

    Attributes
    ----------
    settings
        (first `model_version` under them, settings), in order; the first is the configuration.
    raised
        Events partition → journal positions at which a query of it came to want one vote more.

    Examples
    --------
    >>> recorded = Recorded(Settings())
    >>> patch = {"gate": {"budget": {"share": 0.02}}}
    >>> recorded.apply(ControlEntry(at_ms=0, actor="ops", reason="", patch=patch), 7)
    >>> [(version, found.gate.budget.share) for version, found in recorded.settings]
    [(0, 0.05), (8, 0.02)]
    """

    def __init__(self, configured: Settings) -> None:
        self.settings: list[tuple[int, Settings]] = [(0, configured)]
        self.raised: dict[int, array[int]] = {}
        self._places: dict[int, dict[int, int]] = {}  # partition → event's offset → index below
        self._positions = array("q")  # ascending: the journal's order
        self._times_ms = array("q")
        self._codes = array("i")  # index into _names
        self._names: list[str] = list(_UNLABELLED)  # then every label that occurred
        self._code_of: dict[str, int] = {}  # label → its index in _names
        self._overturned: dict[int, int] = {}  # position of an overturning record → index

    @property
    def in_force(self) -> Settings:
        """The settings at the end of what was folded."""
        return self.settings[-1][1]

    def apply(self, entry: JournalRecord, position: int) -> None:
        """Fold the journal record at `position`; kinds that say nothing here are passed over."""
        match entry:
            case ControlEntry():
                self.settings.append((position + 1, self.in_force.folded(entry.patch)))
            case VoteEntry():
                if entry.votes_wanted is not None:
                    self.raised.setdefault(entry.query.partition, array("q")).append(position)
            case ClosedEntry():
                code = _UNLABELLED.index(entry.reason)
                self._close(entry.closes, position, entry.at_ms, code)
            case LabelEntry():
                self._apply_label(entry, position)
            case RetractionEntry():
                index = self._index_at(entry.retracts)
                if index is not None:
                    self._codes[index] = _UNLABELLED.index(_RETRACTED)
            case _:
                pass

    def closing(self, partition: int, offset: int) -> Closing | None:
        """Return how the query about the event at this place ended; None while it is open."""
        index = self._places.get(partition, {}).get(offset)
        if index is None:
            return None
        code = self._codes[index]
        name = self._names[code]
        labelled = code >= len(_UNLABELLED)
        return Closing(
            label=name if labelled else None,
            lost=None if labelled else name,
            position=self._positions[index],
            at_ms=self._times_ms[index],
        )

    def _apply_label(self, entry: LabelEntry, position: int) -> None:
        code = self._code_of.get(entry.label)
        if code is None:
            code = self._code_of[entry.label] = len(self._names)
            self._names.append(entry.label)
        if entry.closes is not None:
            self._close(entry.closes, position, entry.at_ms, code)
        elif entry.overturns is not None:
            index = self._index_at(entry.overturns)
            if index is not None:
                self._codes[index] = code
                self._overturned[position] = index

    def _close(self, source: Source, position: int, at_ms: int, code: int) -> None:
        self._places.setdefault(source.partition, {})[source.offset] = len(self._positions)
        self._positions.append(position)
        self._times_ms.append(at_ms)
        self._codes.append(code)

    def _index_at(self, position: int) -> int | None:
        """Return the closing whose label the record at `position` set."""
        found = self._overturned.get(position)
        if found is not None:
            return found
        index = bisect_left(self._positions, position)
        there = index < len(self._positions) and self._positions[index] == position
        return index if there else None
