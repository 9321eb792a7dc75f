"""What one step of the resolver decided: written in one transaction, then counted and told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stream_al.config import Config
from stream_al.labels import NewClass
from stream_al.messages import DeadLetter, JournalRecord, LabelEntry, Outcome
from stream_al.port import Transaction
from stream_al.service.counters import Counters
from stream_al.service.dead import append_letter
from stream_al.service.logs import log as log_line


@dataclass(slots=True)
class Step:
    """What one step decided; becomes visible together.

    Attributes
    ----------
    new_classes
        Classes that were named for the first time, to be told about when they may be a mistake.
    """

    journal: list[JournalRecord] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    new_classes: list[NewClass] = field(default_factory=list)

    def name(self, new_class: NewClass | None) -> None:
        """Take note of a class that was named for the first time, if one was."""
        if new_class is not None:
            self.new_classes.append(new_class)

    def write(self, transaction: Transaction, config: Config) -> None:
        """Append all of it."""
        journal, outcomes = config.topic("journal"), config.topic("outcomes")
        for entry in self.journal:
            transaction.append(journal, 0, entry.to_wire())
        for outcome in self.outcomes:
            key = outcome.event_id.encode("utf-8")
            transaction.append(outcomes, outcome.source.partition, outcome.to_wire(), key)
        dead_letters = config.topic("dead_letters")
        for letter in self.letters:
            append_letter(transaction, dead_letters, letter)

    def count(self, counters: Counters) -> None:
        """Count what was committed, and tell of new classes that look like others."""
        counters.labels.update(Counter(outcome.outcome for outcome in self.outcomes))
        counters.dead_letters.update(Counter(letter.error for letter in self.letters))
        counters.journal_records.update(Counter(entry.kind for entry in self.journal))
        for entry in self.journal:
            if isinstance(entry, LabelEntry):
                counters.verification_latency.observe(entry.latency_ms / 1_000)
        for one in self.new_classes:
            if one.like is not None:
                counters.near_equal_classes += 1
                log_line("class_near_equal", new_class=one.name, known_class=one.like)
