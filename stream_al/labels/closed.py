"""What is remembered of events that are not pending any more: little, and boundedly many.

No features: to overturn a label its first record is read back by its journal position. The table
is a function of the journal alone, so it is the same after a rebuild: forgetting, too, happens only
when a record is folded, by that record's time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

ClosedState = Literal["labelled", "closed", "volunteered"]
Voices = tuple[tuple[str, int], ...]
"""Who said something about the event, and in which revision last."""

UNLOCATED = -1
VOICES_MAX = 32
"""Annotators remembered for one event; later ones are heard, but not recognised when they repeat
themselves."""
SHARED_MAX = 10_000
"""Distinct combinations of annotators that are kept once instead of once per event."""


@dataclass(slots=True)
class ClosedQuery:
    """What is remembered of one event.

    Attributes
    ----------
    state
        `labelled`: its query ended in a label; `closed`: it ended otherwise; `volunteered`: nobody
        asked, somebody said it.
    label, revision
        The label in force and its revision; the label is None without one and once retracted.
    voices
        At most `VOICES_MAX` annotators.
    position
        Journal position of the label record in force; `UNLOCATED` until its commit is confirmed.
    at_ms
        When it was closed: `revise_within` counts from here, also after it was overturned.
    """

    state: ClosedState
    label: str | None
    revision: int
    voices: Voices
    position: int
    at_ms: int

    def known(self, annotator: str) -> int | None:
        """Return the revision of what `annotator` said last, None if nothing is remembered."""
        return next((revision for name, revision in self.voices if name == annotator), None)


def voices_with(voices: Voices, annotator: str, revision: int) -> Voices:
    """Return `voices` with what `annotator` said now, at most `VOICES_MAX` of them.

    Examples
    --------
    >>> voices_with((("ann", 0), ("bob", 0)), "ann", 1)
    (('bob', 0), ('ann', 1))
    """
    others = tuple(voice for voice in voices if voice[0] != annotator)
    return (*others, (annotator, revision)) if len(others) < VOICES_MAX else voices


class ClosedTable:
    """Events that were closed or volunteered; the oldest go first.

    Parameters
    ----------
    closed_max
        How many are kept. Raising it recognises older duplicates, at about 300 bytes each.
    revise_within_ms
        Age at which they are forgotten.
    """

    def __init__(self, closed_max: int, revise_within_ms: int) -> None:
        self._closed_max = closed_max
        self._revise_within_ms = revise_within_ms
        self._table: dict[str, ClosedQuery] = {}
        # Exactly the keys of the table, in the order in which they came.
        self._order: deque[str] = deque()
        # A memo only: at most SHARED_MAX, then it starts again.
        self._shared: dict[Voices, Voices] = {}

    def __len__(self) -> int:
        return len(self._table)

    def get(self, event_id: str) -> ClosedQuery | None:
        """Return what is remembered of an event."""
        return self._table.get(event_id)

    def put(self, event_id: str, closed: ClosedQuery) -> None:
        """Remember an event, in place of what was remembered of it."""
        if len(self._shared) >= SHARED_MAX:
            self._shared.clear()
        closed.voices = self._shared.setdefault(closed.voices, closed.voices)
        if event_id not in self._table:
            self._order.append(event_id)
        self._table[event_id] = closed

    def forget(self, at_ms: int) -> None:
        """Drop what is too old at `at_ms`, and the oldest beyond the bound."""
        horizon_ms = at_ms - self._revise_within_ms
        while self._order:
            oldest = self._order[0]
            fits = len(self._table) <= self._closed_max
            if fits and self._table[oldest].at_ms >= horizon_ms:
                return
            self._order.popleft()
            del self._table[oldest]

    def mend(self) -> None:
        """Make the table whole after an exception in the midst of a change."""
        self._order = deque(dict.fromkeys(it for it in self._order if it in self._table))
        self._order.extend(self._table.keys() - set(self._order))

    def items(self) -> list[tuple[str, ClosedQuery]]:
        """Return all that is remembered, in the order in which it came."""
        return [(event_id, self._table[event_id]) for event_id in self._order]
