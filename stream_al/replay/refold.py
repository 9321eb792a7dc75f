"""The model that a lineage begins with when it starts from a replay. A fold, and nothing else.

A model can't unlearn. So a lineage without a poisoned label is a new model that learns again, in
the journal's order, every lesson of the lineage before it but for those that are left out. Where
corrections decide, it takes two passes: one that finds each event's final label, one that learns.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from stream_al.config import Config
from stream_al.engine.lessons import Lesson, Selection
from stream_al.messages import (
    ControlEntry,
    JournalRecord,
    LabelEntry,
    ModelEntry,
    RetractionEntry,
    SeedEntry,
    Settings,
    StatisticsEntry,
    VolunteeredEntry,
)
from stream_al.model import Model
from stream_al.replay.finals import CORRECTED, FINAL, RETRACTED, Finals

Why = Literal["event", "superseded", "retracted", "annotator", "class", "since"]


class Refold:
    """Learns again what a `model` record that replays says.

    Parameters
    ----------
    config
        Whose model is built.
    entry
        The record.
    end
        Its journal position: the first one that is not folded any more.
    counts_only
        Teach the model nothing: for who wants to know how many lessons there are.

    Attributes
    ----------
    position
        The next journal position to fold; it goes back once where there are two passes.
    model
        What was learnt so far; to be used once `done`.
    left_out
        Why lessons were left out → how many.
    taught
        Class → lessons of it that were given to the model.
    blanked_count
        Lessons that would be taught, were their features not blanked.
    renamed_count, corrections_kept_count
        Lessons under a new name; those of events in `without` that are a correction.
    """

    def __init__(
        self, config: Config, entry: ModelEntry, end: int, *, counts_only: bool = False
    ) -> None:
        self.entry = entry
        self.end = end
        self.position = 0
        self.model = Model(config)
        self.left_out: Counter[Why] = Counter()
        self.taught: Counter[str] = Counter()
        self.blanked_count = 0
        self.renamed_count = 0
        self.corrections_kept_count = 0
        self._counts_only = counts_only
        self._selection = Selection(entry)
        self._settings: Settings = config.settings()
        bounded = any(bound <= end for bound in self._selection.bounds.values())
        self._finals = Finals() if entry.corrected or bounded else None
        self._looks_ahead = self._finals is not None

    @property
    def left_out_count(self) -> int:
        """How many lessons were left out."""
        return self.left_out.total()

    @property
    def done(self) -> bool:
        """Whether everything before `end` is folded."""
        return self.position >= self.end and not self._looks_ahead

    def apply(self, record: JournalRecord, position: int) -> bool:
        """Fold the record at `position`; return whether the pass goes on behind it.

        Positions only grow within a pass. A record at or past `end` ends it; the next pass, if it
        is not `done`, begins at `position` again.
        """
        assert position >= self.position, f"journal position {position} was folded already"
        if position < self.end:
            self.position = position + 1
            if self._looks_ahead:
                self._look(record, position)
            else:
                self._fold(record, position)
        if position + 1 < self.end:
            return True
        self.end_pass()
        return False

    def end_pass(self) -> None:
        """Take note that nothing is left before `end`."""
        self.position = self.end
        if self._looks_ahead:
            assert self._finals is not None, "the first pass is for them"
            self._finals.close()
            self._looks_ahead, self.position = False, 0

    def _look(self, record: JournalRecord, position: int) -> None:
        """Note what a record says about its event, as far as it counts."""
        match record:
            case LabelEntry() | SeedEntry() | VolunteeredEntry():
                counts = self._selection.said_by_others(record) is not None
            case RetractionEntry():
                counts = not self._selection.ignores(record.annotator)
            case _:
                return
        bound = self.end
        if not self.entry.corrected:
            bound = self._selection.bounds.get(record.event_id, 0)
        if counts and position < bound:
            assert self._finals is not None, "the first pass is for them"
            takes_back = isinstance(record, RetractionEntry)
            self._finals.add(record.event_id, position, takes_back=takes_back)

    def _fold(self, record: JournalRecord, position: int) -> None:
        match record:
            case ControlEntry():
                self._settings = self._settings.folded(record.patch)
            case StatisticsEntry():
                self.model.set_statistics(record.numbers)
            case LabelEntry() | SeedEntry() | VolunteeredEntry():
                self._learn(record, position)
            case _:
                pass

    def _learn(self, record: Lesson, position: int) -> None:
        frozen = self._settings.modes.frozen and position >= self.entry.thawed_to
        if position < self.entry.lessons_from or frozen:
            return
        said = self._selection.said_by_others(record)
        why = "annotator" if said is None else self._why_not(record, said, position)
        if said is None or why is not None:
            self.left_out[why] += record.features is not None  # type: ignore[index]
            return
        label = self._selection.named(said)
        if record.features is not None:
            self.renamed_count += label != said
            self.taught[label] += 1
        elif record.payload_hash is not None:
            self.blanked_count += 1
        if not self._counts_only:
            self.model.take(record, label)

    def _why_not(self, record: Lesson, said: str, position: int) -> str | None:
        """Return why a lesson is left out; None when it counts."""
        flags = FINAL if self._finals is None else self._finals.at(position)
        if self.entry.corrected and not flags & FINAL:
            return "retracted" if flags & RETRACTED else "superseded"
        bound = self._selection.bounds.get(record.event_id)
        if bound is not None and position < bound:
            kept = bound <= self.end and flags == FINAL | CORRECTED
            if not kept:
                return "event"
            self.corrections_kept_count += 1
        return self._selection.left_out_why(record, said)
