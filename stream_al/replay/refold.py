"""The model that a lineage begins with when it starts from a replay. A fold, and nothing else.

A model can't unlearn. So a lineage without a poisoned label is a new model that learns again, in
the journal's order, every lesson of the lineage before it but for those that are left out.
"""

from __future__ import annotations

from stream_al.config import Config
from stream_al.messages import (
    ControlEntry,
    JournalRecord,
    LabelEntry,
    ModelEntry,
    SeedEntry,
    Settings,
    StatisticsEntry,
    VolunteeredEntry,
)
from stream_al.model import Model


class Refold:
    """Learns again what a `model` record with `start: replay` says.

    Parameters
    ----------
    config
        Whose model is built.
    entry
        The record.
    end
        Its journal position: the first one that is not folded any more.

    Attributes
    ----------
    position
        The next journal position to fold.
    model
        What was learnt so far; to be used once `done`.
    left_out_count
        Lessons that were left out because of their event.
    """

    def __init__(self, config: Config, entry: ModelEntry, end: int) -> None:
        self.entry = entry
        self.end = end
        self.position = 0
        self.model = Model(config)
        self.left_out_count = 0
        self._without = frozenset(entry.without)
        self._settings: Settings = config.settings()

    @property
    def done(self) -> bool:
        """Whether everything before `end` is folded."""
        return self.position >= self.end

    def apply(self, record: JournalRecord, position: int) -> None:
        """Fold the record at `position`; positions only grow. One at or past `end` ends it."""
        assert position >= self.position, f"journal position {position} was folded already"
        if position >= self.end:
            self.position = self.end
            return
        self.position = position + 1
        match record:
            case ControlEntry():
                self._settings = self._settings.folded(record.patch)
            case StatisticsEntry():
                self.model.set_statistics(record.numbers)
            case LabelEntry() | SeedEntry() | VolunteeredEntry():
                self._learn(record, position)
            case _:
                pass

    def _learn(self, record: LabelEntry | SeedEntry | VolunteeredEntry, position: int) -> None:
        frozen = self._settings.modes.frozen and position >= self.entry.thawed_to
        if position < self.entry.lessons_from or frozen:
            return
        if record.event_id in self._without:
            self.left_out_count += record.features is not None
        else:
            self.model.take(record, record.label)
