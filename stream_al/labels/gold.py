"""Gold questions: events whose label is known, put to annotators to see how good they are.

They teach the model nothing and estimate nothing but the annotators. Each counts once for each
annotator; who retracts or revises an answer has it counted anew. State changes by folding only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream_al.messages import Features, GoldEntry, VoteEntry

GOLD_MAX = 1_000
"""Gold questions kept, the newest; each with its features."""
GOLD_ANSWERS_MAX = 100_000
"""Answers remembered; an older one, given again, counts again."""


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """An event of a known label."""

    event_id: str
    label: str
    features: Features
    segment: str | None = None
    meta: Any = None

    def __setstate__(self, state: list[Any]) -> None:
        """Take what was pickled; before 0.2.0 that was without segment and meta."""
        GoldQuestion.__init__(self, *state)


def question_of(entry: GoldEntry) -> GoldQuestion | None:
    """Return the question of a record; None when its features were blanked."""
    if entry.features is None:
        return None
    return GoldQuestion(entry.event_id, entry.label, entry.features, entry.segment, entry.meta)


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """What somebody said last to a gold question; `label` is None once retracted."""

    label: str | None
    revision: int


class GoldTable:
    """Gold questions, and who answered what."""

    def __init__(self) -> None:
        self._questions: dict[str, GoldQuestion] = {}  # oldest first
        self._answers: dict[tuple[str, str], GoldAnswer] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._questions)

    def __iter__(self) -> Iterator[GoldQuestion]:
        return iter(self._questions.values())

    def get(self, event_id: str) -> GoldQuestion | None:
        """Return the gold question about an event."""
        return self._questions.get(event_id)

    def answer(self, event_id: str, annotator: str) -> GoldAnswer | None:
        """Return what somebody said to a gold question."""
        return self._answers.get((event_id, annotator))

    def fold(self, entry: GoldEntry) -> None:
        """Take in a question; one whose features were blanked can't be put any more."""
        self._questions.pop(entry.event_id, None)
        question = question_of(entry)
        if question is None:
            return
        self._questions[entry.event_id] = question
        if len(self._questions) > GOLD_MAX:
            del self._questions[next(iter(self._questions))]

    def forget(self, event_id: str) -> None:
        """Put a question no more: its event is left out for good."""
        self._questions.pop(event_id, None)

    def note(self, entry: VoteEntry) -> None:
        """Remember an answer."""
        key = (entry.event_id, entry.annotator)
        self._answers.pop(key, None)
        self._answers[key] = GoldAnswer(entry.label, entry.revision)
        if len(self._answers) > GOLD_ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]

    def described(self) -> list[object]:
        """Return the whole state, to be compared."""
        answers = [(key, one.label, one.revision) for key, one in self._answers.items()]
        asked = [(one.event_id, one.label, one.features, one.segment, one.meta) for one in self]
        return [asked, answers]
