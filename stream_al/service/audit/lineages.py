"""Lineages and their lessons: how much a digest's model may have learnt, and who agrees with whom.

A lineage learns the label, seed and volunteered records behind its `model` record that carry
features, while learning is not frozen. One that starts from a replay begins with those of
[lessons_from, its own position), without the events left out; frozen ones count below `thawed_to`.
One that selects more is counted by the replay itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_al.config import Config
from stream_al.errors import ConfigurationError, InDoubt
from stream_al.messages import ModelEntry
from stream_al.port import Log
from stream_al.service.audit.reading import Reader, decoded
from stream_al.service.audit.report import Findings, Place

LESSON, FROZEN = 1, 2
LESSON_KINDS = frozenset({"label", "seed", "volunteered"})


class Lineage(NamedTuple):
    """One `model` record: where it lies, and how many lessons it begins with."""

    offset: int
    model_id: str
    begins_with: int


class Lineages:
    """Follows lineages, lessons and digests along the journal.

    Attributes
    ----------
    _lessons
        One byte for each journal position: `LESSON`, `FROZEN` or 0.
    _digests
        (model id, position, environment) → (digest, learnt count, offset); one for some hundred
        journal records.
    _counted
        Lineage's offset, position and the number of lessons up to there, of the last count.
    """

    def __init__(self, log: Log, config: Config, reader: Reader, findings: Findings) -> None:
        self._log = log
        self._config = config
        self._reader = reader
        self._low = reader.low
        self._findings = findings
        self._lessons = bytearray()
        self._lineages: list[Lineage] = []
        self._digests: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._counted = (-1, 0, 0)

    @property
    def known(self) -> bool:
        """Whether any lineage was met."""
        return bool(self._lineages)

    @property
    def first(self) -> int:
        """Position of the first `model` record."""
        return self._lineages[0].offset

    def lesson(self, body: dict[str, Any], offset: int, *, frozen: bool) -> None:
        """Note the record at `offset`; it teaches when it has, or had, features."""
        if body.get("features") is None and body.get("payload_hash") is None:
            return
        self._lessons.extend(bytes(offset - self._low - len(self._lessons)))
        self._lessons.append(FROZEN if frozen else LESSON)

    def model(self, body: dict[str, Any], offset: int) -> None:
        """Take in the `model` record at `offset`."""
        begins_with = 0
        if body.get("without_to") is not None or body.get("start") == "selected":
            begins_with = self._selected(body, offset)
        elif body.get("start") == "replay":
            begins_with = self._replayed(body, offset)
        self._lineages.append(Lineage(offset, str(body.get("model_id")), begins_with))

    def _replayed(self, body: dict[str, Any], offset: int) -> int:
        since = int(body.get("lessons_from") or 0)
        thawed_to = int(body.get("thawed_to") or 0)
        count = self._between(since, offset, LESSON)
        count += self._between(since, min(thawed_to, offset), FROZEN)
        without = set(body.get("without") or ())
        if not without:
            return count
        for record in Reader.of(self._reader, offset):
            lesson = self._lesson_at(record.offset)
            counts = lesson == LESSON or (lesson == FROZEN and record.offset < thawed_to)
            if record.offset < since or not counts:
                continue
            entry = decoded(record.value)
            count -= entry is not None and entry.get("event_id") in without
        return count

    def _selected(self, body: dict[str, Any], offset: int) -> int:
        """Return how many lessons a lineage begins with whose record chooses among them."""
        from stream_al.replay import Refold  # noqa: PLC0415 - imports River
        from stream_al.service.replaying import folded_again  # noqa: PLC0415

        entry = ModelEntry.model_validate(body)
        again = Refold(self._config, entry, offset, counts_only=True)
        try:
            folded_again(self._log, self._config, again)
        except (ConfigurationError, InDoubt):
            return len(self._lessons)  # a broken chain has findings of its own
        return again.taught.total() + again.blanked_count

    def _lesson_at(self, offset: int) -> int:
        index = offset - self._low
        return self._lessons[index] if 0 <= index < len(self._lessons) else 0

    def _between(self, start: int, end: int, lesson: int) -> int:
        low = self._low
        return self._lessons.count(lesson, max(0, start - low), max(0, end - low))

    # ------------------------------------------------------------------ digests

    def digest(self, body: dict[str, Any], offset: int) -> None:
        """Check the digest record at `offset`."""
        position, learnt = body.get("position"), body.get("learnt_count")
        place = Place(self._reader.topic, 0, offset)
        if not isinstance(position, int) or not isinstance(learnt, int) or position > offset:
            self._findings.add("I5", "unreadable", place, "it is no digest of an earlier position")
            return
        self._findings.checked["digests"] += 1
        lineage = next((one for one in reversed(self._lineages) if one.offset < position), None)
        model_id = body.get("model_id")
        if lineage is None and self._reader.dropped:
            self._findings.unchecked["digests of a lineage whose beginning is gone"] += 1
            return
        if lineage is None or lineage.model_id != model_id:
            force = "no model" if lineage is None else lineage.model_id
            sentence = f"it is of model {model_id}, but at position {position} {force} is in force"
            self._findings.add("I5", "lineage", place, sentence)
            return
        self._compare(body, place, (model_id, position, body.get("environment")))
        lessons = self._lessons_to(lineage, position)
        if learnt > lessons:
            sentence = (
                f"the model learnt {learnt:,} lessons by position {position}, "
                f"the journal has {lessons:,} for it"
            )
            self._findings.add("I3", "learnt", place, sentence)
        unlearnt = f"lessons of model {model_id} that it could not learn, or redacted"
        self._findings.unchecked[unlearnt] = max(0, lessons - learnt)

    def _compare(self, body: dict[str, Any], place: Place, key: tuple[Any, ...]) -> None:
        said = (body.get("digest"), body.get("learnt_count"))
        first = self._digests.setdefault(key, (*said, place.offset))
        if first[:2] != said:
            sentence = (
                f"the model at position {key[1]} has digest {said[0]} and learnt {said[1]:,} here, "
                f"but {first[0]} and {first[1]:,} at {place.topic}/0/{first[2]}, "
                "on the same environment"
            )
            self._findings.add("I5", "digest", place, sentence)

    def _lessons_to(self, lineage: Lineage, position: int) -> int:
        """Return how many lessons a lineage has by `position`; counts on from the last answer."""
        offset, since, count = self._counted
        if offset != lineage.offset or since > position:
            since, count = lineage.offset, lineage.begins_with
        count += self._between(since, position, LESSON)
        self._counted = (lineage.offset, position, count)
        return count
