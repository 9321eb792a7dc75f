"""What the resolver returns for a label."""

from __future__ import annotations

from dataclasses import dataclass

from stream_al.labels.classes import NewClass
from stream_al.messages import JournalRecord, Outcome


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a label: its one outcome, and the records that it led to, in order."""

    outcome: Outcome
    records: tuple[JournalRecord, ...]
    new_class: NewClass | None = None
