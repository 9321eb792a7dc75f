"""Whether a committed position may be true: all below it is answered, and nothing above it.

A position and the answers below it are committed together. Kafka 4.3.1 can tell positions before it
has loaded them (docs/GUARANTEES.md), brokers drop those of a group that was away for a week, people
set them back or forward, other programs read in the name of our group, and topics are made again.
Whoever goes on from such a place answers twice, or never.

What was dropped by retention proves nothing, nor do dead letters that this user may not read.
Neither does what the journal's `start` records say: they are where counting begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stream_al.errors import Gone, NotAllowed
from stream_al.messages import Start
from stream_al.port import Log, Position, Record
from stream_al.service.answers import Answer, last_record, letter_about, newest, output_of
from stream_al.service.clock import Clock

LOADED_S = 4.0
"""So long a coordinator may load its positions."""

ASK_EVERY_S = 0.2
LETTERS_LOOKED_MAX = 512
"""Offsets in which the last dead letter is looked for when nothing is amiss: labels have theirs
among them."""

REMEDY = "end every worker, then run `stream-al positions repair`"


class Input(NamedTuple):
    """One partition of an input, and where its answers are.

    Attributes
    ----------
    name
        `events` or `labels`.
    group
        Who commits its position.
    answers, dead_letters
        The topics whose partition of the same number has the answers, in their order.
    answers_name
        Short name of `answers`.
    start_of
        Where counting begins, by the position found.
    is_ours
        Whether a worker wrote the metadata of a position.
    """

    name: str
    group: str
    topic: str
    partition: int
    answers: str
    answers_name: str
    dead_letters: str
    start_of: Callable[[Position | None], Start]
    is_ours: Callable[[Position], bool]

    @property
    def called(self) -> str:
        """How sentences name it."""
        return f"{self.topic!r} partition {self.partition}"


class Wrong(NamedTuple):
    """What is wrong with a position.

    Attributes
    ----------
    sentence
        For people, with both offsets.
    offset
        Where to go on, so that every record has one answer.
    anew
        Whether the answers that are there are of another life of the topic.
    keeps
        Whether what lies beside the position is true.
    answered_to
        The offset behind the last answer that is known.
    """

    sentence: str
    offset: int
    anew: bool = False
    keeps: bool = False
    answered_to: int = 0


def true_position(log: Log, it: Input, *, clock: Clock) -> Position:
    """Return where a group goes on, once all answers say so.

    Raises
    ------
    Gone
        Naming both offsets, when it stays wrong for 4 s. Not when the position moves meanwhile:
        then another owner is at work, and this process stood still.
    """
    until_s = clock.monotonic_s() + LOADED_S
    before: Position | None = None
    looked = False
    while True:
        found = log.committed(it.group, it.topic, it.partition)
        wrong = judged(log, it, found)
        if wrong is None or (looked and found != before and clock.monotonic_s() > until_s):
            return found or Position(begin_of(log, it, None))
        if looked and clock.monotonic_s() > until_s:
            # An answer may wait behind somebody's open transaction.
            log.settled_ends(it.answers)
            log.settled_ends(it.dead_letters)
            found = log.committed(it.group, it.topic, it.partition)
            wrong = judged(log, it, found)
            if wrong is not None and found == before:
                raise Gone(f"{wrong.sentence}; {REMEDY}, which {_goes_on(wrong)}")
        before, looked = found, True
        clock.sleep(ASK_EVERY_S)


def _goes_on(wrong: Wrong) -> str:
    if wrong.anew and wrong.offset == 0:
        return "reads it from its beginning and loses nothing"
    return f"goes on at {wrong.offset}"


def begin_of(log: Log, it: Input, found: Position | None) -> int:
    """Return where a group begins that has committed nothing."""
    return max(log.begin(it.topic, it.partition), it.start_of(found).first)


def judged(log: Log, it: Input, found: Position | None) -> Wrong | None:
    """Return what is wrong with a committed position, or with there being none."""
    if it.partition >= log.partition_count(it.answers):
        return None
    return _Look(log, it, found).judge()


class _Look:
    """One look at a position and its answers."""

    def __init__(self, log: Log, it: Input, found: Position | None) -> None:
        self._log, self._it, self._found = log, it, found
        self._begin = log.begin(it.topic, it.partition)
        self._start = it.start_of(found)
        self._end = log.end(it.topic, it.partition)
        self._first = max(self._begin, self._start.first)
        self._position = self._first if found is None else found.offset
        self._ours = found is not None and it.is_ours(found)
        self._hidden = False  # whether dead letters may not be read
        self._answer = self._newest_answer()

    def judge(self) -> Wrong | None:
        """Look both ways from the position."""
        skipped = self._first_unanswered()
        letter = self._newest_letter(None if skipped is not None else LETTERS_LOOKED_MAX)
        known = [answer for answer in (self._answer, letter) if answer is not None]
        last = max(known, key=lambda answer: answer.source, default=None)
        if last is None:
            return self._without_answers(skipped)
        back = last.source >= self._position
        strange = back or not self._ours or self._position > self._end
        if strange or self._is_before(last):
            other = self._another_life(last)
            if other is not None:
                return other
        if back:
            return self._below(last)
        if skipped is not None and not self._dropped(letter):
            end = self._newest_input()
            if end is not None and end > last.source:
                return self._above(last, max(skipped, last.source + 1))
        return self._out_of_range() if self._ours else self._foreign(last)

    # ------------------------------------------------------------------ what is found

    def _newest_answer(self, below: int | None = None) -> Answer | None:
        it = self._it
        since = self._start.outputs.get(it.answers_name, 0)
        return newest(
            self._log,
            it.answers,
            it.partition,
            since,
            lambda record: output_of(record, it.answers, below),
        )

    def _newest_letter(self, looked_max: int | None) -> Answer | None:
        it = self._it
        if it.partition >= self._log.partition_count(it.dead_letters):
            return None
        since = self._start.outputs.get("dead_letters", 0)
        try:
            return newest(
                self._log,
                it.dead_letters,
                it.partition,
                since,
                lambda record: letter_about(record, it.dead_letters, it.topic, it.partition),
                looked_max=looked_max,
            )
        except NotAllowed:
            self._hidden = True
            return None

    def _first_unanswered(self) -> int | None:
        """Return the first record behind the last answer and below the position, if any."""
        it = self._it
        after = self._first if self._answer is None else self._answer.source + 1
        low = max(after, self._first)
        if low >= self._position:
            return None
        try:
            found = self._log.read(it.topic, it.partition, low, limit=1)
        except Gone:  # retention was quicker: then it says nothing
            return None
        return found[0].offset if found and found[0].offset < self._position else None

    def _newest_input(self) -> int | None:
        """Return the offset of the last record below the position."""
        it = self._it
        return newest(
            self._log,
            it.topic,
            it.partition,
            self._first,
            lambda record: record.offset,
            stop=self._position,
        )

    def _dropped(self, letter: Answer | None) -> bool:
        """Whether the answers of what lies below the position may not be seen, or dropped."""
        it = self._it
        outputs = self._start.outputs
        gone = self._answer is None and self._log.begin(it.answers, it.partition) > outputs.get(
            it.answers_name, 0
        )
        letters = self._log.begin(it.dead_letters, it.partition)
        hidden = self._hidden or letters > outputs.get("dead_letters", 0)
        return gone or (letter is None and hidden)

    # ------------------------------------------------------------------ what it means

    def _without_answers(self, skipped: int | None) -> Wrong | None:
        it = self._it
        if skipped is None or self._dropped(None):
            return self._out_of_range()
        if last_record(self._log, it.answers, it.partition) is not None:
            return self._out_of_range()  # records of somebody else: they say nothing
        if self._ours:
            return Wrong(
                f"{it.called}: its records from {skipped} to {self._position - 1} were answered, "
                f"but {it.answers!r} has no answer: that topic was deleted and made again",
                self._position,
                anew=True,
                keeps=True,
                answered_to=self._position,
            )
        return Wrong(
            f"{it.called}: none of its records from {skipped} on is answered in {it.answers!r}, "
            f"but the position of group {it.group!r} is {self._position}: it was set, or another "
            "program reads in the name of this group",
            skipped,
        )

    def _below(self, last: Answer) -> Wrong:
        it = self._it
        return Wrong(
            f"{it.called} is answered up to offset {last.source} in {last.topic!r}, but the "
            f"position of group {it.group!r} is {self._position}: it was set back or dropped",
            last.source + 1,
            answered_to=last.source + 1,
        )

    def _above(self, last: Answer, skipped: int) -> Wrong:
        it = self._it
        if self._ours and self._answer is None and not self._log.end(it.answers, it.partition):
            return Wrong(
                f"{it.called} is answered up to offset {self._position - 1}, but "
                f"{it.answers!r} has nothing: that topic was deleted and made again",
                self._position,
                anew=True,
                keeps=True,
                answered_to=self._position,
            )
        return Wrong(
            f"{it.called} is answered up to offset {last.source} in {last.topic!r}, but the "
            f"position of group {it.group!r} is {self._position}: the records from {skipped} on "
            "have no answer; it was set forward, or another program reads in the name of this "
            "group",
            skipped,
            answered_to=last.source + 1,
        )

    def _foreign(self, last: Answer) -> Wrong:
        it = self._it
        after = last.source + 1
        said = "there is no position" if self._found is None else f"position {self._position}"
        return Wrong(
            f"{it.called} is answered up to offset {last.source} in {last.topic!r}, but {said} of "
            f"group {it.group!r}{'' if self._found is None else ' was not committed by a worker'}: "
            "it was set or dropped, or another program reads in the name of this group",
            max(after, self._first),
            answered_to=after,
        )

    def _out_of_range(self) -> Wrong | None:
        """Return what is wrong where nothing can be read from the position on."""
        it, position = self._it, self._position
        if position > self._end:
            return Wrong(
                f"{it.called} ends at {self._end}, but is committed up to {position}: the topic "
                "was deleted and made again, or lost records",
                self._begin,
                anew=True,
                answered_to=position,
            )
        if position < self._begin:
            return Wrong(
                f"{it.called} begins at offset {self._begin}, so the records from {position} on "
                "are gone: retention was too short",
                self._begin,
                keeps=self._ours,
                answered_to=position,
            )
        return None

    def _another_life(self, last: Answer) -> Wrong | None:
        """Return what is wrong when the topic is not the one that was answered."""
        it, end = self._it, self._end
        if last.source < self._begin:
            return None
        here: Answer | None = last
        if last.source >= end:
            here = self._newest_answer(below=end)
        same = None if here is None else self._same(here)
        if last.source < end and same is not False:
            return None
        if last.source >= end:
            what = f"it ends at {end}, but is answered up to offset {last.source}"
        else:
            what = f"its record {last.source} is not the one that was answered, {last.name}"
        return Wrong(
            f"{it.called}: {what} in {last.topic!r}: the topic was deleted and made again",
            # What is the same was answered, whoever sent it again.
            end if same else self._begin,
            anew=True,
            answered_to=last.source + 1,
        )

    def _is_before(self, answer: Answer) -> bool:
        """Whether an answer is older than the record at its source."""
        record = self._source_of(answer)
        return record is not None and answer.at_ms < record.timestamp_ms

    def _same(self, answer: Answer) -> bool | None:
        """Whether the record at the answer's source is what was answered; None: not to be seen."""
        record = self._source_of(answer)
        return None if record is None else answer.is_of(record.value)

    def _source_of(self, answer: Answer) -> Record | None:
        """Return the record at the answer's source, where it can be seen."""
        it = self._it
        if not self._begin <= answer.source < self._end:
            return None
        try:
            found = self._log.read(it.topic, it.partition, answer.source, limit=1)
        except Gone:
            return None
        return found[0] if found and found[0].offset == answer.source else None
