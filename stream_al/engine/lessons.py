"""Which records teach the model of a lineage, and as what: said by its `model` record, and pure.

The engine asks here about every lesson as it comes, a replay about every lesson from before.
"""

from __future__ import annotations

from typing import Any

from stream_al.messages import LabelEntry, ModelEntry, SeedEntry, VolunteeredEntry

Lesson = LabelEntry | SeedEntry | VolunteeredEntry


class Selection:
    """What a lineage learns.

    Parameters
    ----------
    entry
        Its record; None before the journal's first one, when nothing is left out.

    Examples
    --------
    >>> fields = {"at_ms": 0, "model_id": "m", "config_hash": "", "preset": "", "actor": "ops"}
    >>> entry = ModelEntry(**fields, reason="", without=("a",), renamed={"Spam": "spam"})
    >>> seeds = [SeedEntry(at_ms=0, event_id=name, label="Spam", features={}) for name in "ab"]
    >>> [Selection(entry).label_of(seed, 7) for seed in seeds]
    [None, 'spam']
    """

    def __init__(self, entry: ModelEntry | None) -> None:
        self.bounds = {} if entry is None else entry.bounds()
        self._annotators = _names(entry, "without_annotators")
        self._classes = _names(entry, "without_classes")
        self._renamed = {} if entry is None else entry.renamed or {}
        self._since_ms = None if entry is None else entry.since_ms

    def label_of(self, lesson: Lesson, position: int) -> str | None:
        """Return the class that the record at `position` teaches; None when it is left out."""
        bound = self.bounds.get(lesson.event_id)
        if bound is not None and position < bound:
            return None
        said = self.said_by_others(lesson)
        if said is None or self.left_out_why(lesson, said) is not None:
            return None
        return self.named(said)

    def said_by_others(self, lesson: Lesson) -> str | None:
        """Return its label without the annotators that are left out; None when none remains.

        Where several voted, the label stays if nothing has more votes among the others; else what
        has the most, alone, takes its place.
        """
        if not self._annotators:
            return lesson.label
        if isinstance(lesson, VolunteeredEntry):
            return None if lesson.annotator in self._annotators else lesson.label
        if isinstance(lesson, SeedEntry):
            return lesson.label
        votes = [vote.label for vote in lesson.votes if vote.annotator not in self._annotators]
        if len(votes) == len(lesson.votes):
            return lesson.label
        most = max((votes.count(label) for label in votes), default=0)
        leading = {label for label in votes if votes.count(label) == most}
        if lesson.label in leading:
            return lesson.label
        return leading.pop() if len(leading) == 1 else None

    def left_out_why(self, lesson: Lesson, said: str) -> str | None:
        """Return why a lesson is left out by its class or time: `class`, `since`, or None."""
        if said in self._classes:
            return "class"
        if self._since_ms is not None and lesson.at_ms < self._since_ms:
            return "since"
        return None

    def ignores(self, annotator: str) -> bool:
        """Whether nothing that somebody says counts."""
        return annotator in self._annotators

    def named(self, label: str) -> str:
        """Return the class by its new name."""
        return self._renamed.get(label, label)


def _names(entry: ModelEntry | None, field: str) -> frozenset[Any]:
    return frozenset(getattr(entry, field, None) or ())
