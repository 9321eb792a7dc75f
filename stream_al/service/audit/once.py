"""Every input has exactly one answer: the merge of a partition with its outputs and dead letters.

Inputs, outputs and dead letters of one partition lie in the order of the inputs' offsets, so one
pass in step over all of them finds what is missing, double, or about nothing.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import from_json

from stream_al.messages import unpacked
from stream_al.port import Record
from stream_al.service.audit.reading import Reader, decoded, unreadable
from stream_al.service.audit.report import Findings, Place

_new = tuple.__new__  # twice as fast as calling the class, once for every event
END = 1 << 62
"""The source of the output after the last."""


class Output(NamedTuple):
    """One output: the offset of its input, where it lies itself, and what it says."""

    source: int
    offset: int
    body: dict[str, Any]


def _messages(reader: Reader) -> Iterator[tuple[Record, bytes]]:
    """Yield each record with each message in it."""
    for record in reader:
        try:
            values = unpacked(record.value)
        except ValueError:  # then it can't be read below either
            values = [record.value]
        for value in values:
            yield record, value


def outputs(
    reader: Reader,
    findings: Findings,
    invariant: str,
    what: str,
    *,
    noted: Callable[[dict[str, Any], int], None] | None = None,
    since: int = 0,
    fields: frozenset[str] | None = None,
) -> Iterator[Output]:
    """Yield the outputs of a partition in the order of their sources; report what is not in order.

    Parameters
    ----------
    noted
        Called with body and offset of every readable output, whatever its order.
    since
        Outputs below it answer another life of the input: they are noted, and no more.
    fields
        What lacks one of these is a stray that every reader passes over; None where there are none.
    """
    partition, last = reader.partition, -1
    found = _messages(reader) if fields is None else ((one, one.value) for one in reader)
    for record, value in found:
        try:
            body = from_json(value)
            for name in fields or ():
                body[name]
            source = body["source"]
            offset = source["offset"]
            elsewhere = source["partition"] != partition
            if noted is not None:
                noted(body, record.offset)
            if record.offset < since:
                continue
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            sentence = f"it can't be read as a {what} ({unreadable(error)})"
            if fields is not None:
                findings.stray(_place(reader, record), f"{sentence}: workers pass over it")
                continue
            findings.add(invariant, "unreadable", _place(reader, record), sentence)
            continue
        if elsewhere or offset <= last:
            sentence = f"its source is partition {source['partition']}"
            if not elsewhere:
                sentence = f"a second {what} of offset {offset}, or behind a later one"
            findings.add(invariant, "double", _place(reader, record), sentence)
            continue
        last = offset
        yield _new(Output, (offset, record.offset, body))


def letters(reader: Reader, findings: Findings, invariant: str, topic: str) -> Iterator[Output]:
    """Yield the dead letters about `topic` in the order of their sources; marks are no letters."""
    partition, last = reader.partition, -1
    for record in reader:
        body = decoded(record.value)
        if body is None:
            findings.add(invariant, "unreadable", _place(reader, record), "it is no JSON object")
            continue
        if body.get("redrives") is not None or body.get("topic") != topic:
            continue
        source = body.get("offset")
        if not isinstance(source, int) or body.get("partition") != partition or source <= last:
            sentence = f"a second dead letter of offset {source}, or behind a later one"
            findings.add(invariant, "double", _place(reader, record), sentence)
            continue
        last = source
        yield Output(source, record.offset, body)


def _place(reader: Reader, record: Record) -> Place:
    return Place(reader.topic, reader.partition, record.offset)


class ExactlyOnce:
    """The merge of one input partition.

    Parameters
    ----------
    inputs
        The input records below the committed position.
    answers, dead
        Readers of the outputs and dead letters, which `run` is given as iterators.
    committed_after
        Position committed after the ends of the outputs were taken: no answer is at or beyond it.
    """

    def __init__(
        self,
        findings: Findings,
        invariant: str,
        what: str,
        inputs: Reader,
        answers: Reader,
        dead: Reader,
        committed_after: int,
    ) -> None:
        self._findings = findings
        self._invariant = invariant
        self._what = what
        self._inputs = inputs
        self._answers = answers
        self._dead = dead
        self._after = committed_after
        self._met_answer = self._met_letter = False

    def run(
        self,
        found: Iterator[Output],
        dead: Iterator[Output],
        matched: Callable[[Record | None, Output], None],
        missing: Callable[[], None],
    ) -> None:
        """Walk over all of them.

        `matched` gets every output, with its input where it is known; `missing` is called for an
        input that has neither output nor dead letter.
        """
        nothing = Output(END, -1, {})
        answer, letter = next(found, nothing), next(dead, nothing)
        count = 0
        for record in self._inputs:
            offset = record.offset
            while answer.source < offset:
                self._stray(self._answers, answer, self._what)
                matched(None, answer)
                answer = next(found, nothing)
            while letter.source < offset:
                self._stray(self._dead, letter, "dead letter")
                letter = next(dead, nothing)
            if answer.source == offset:
                if letter.source == offset:
                    sentence = f"it has a {self._what} and a dead letter"
                    self._add("double", record, sentence)
                matched(record, answer)
                self._met_answer = True
                answer = next(found, nothing)
            elif letter.source == offset:
                self._met_letter = True
                self._check_raw(record, letter)
                letter = next(dead, nothing)
            else:
                self._missing(record)
                missing()
            count += 1
        self._findings.checked[self._inputs.topic] += count
        if self._inputs.since:
            sentence = f"{self._inputs.topic}: offsets below where its reading began, as recorded"
            self._findings.unchecked[sentence] += self._inputs.since
        while answer.source < END:
            self._beyond(self._answers, answer, self._what)
            matched(None, answer)
            answer = next(found, nothing)
        while letter.source < END:
            self._beyond(self._dead, letter, "dead letter")
            letter = next(dead, nothing)

    def _add(self, kind: str, record: Record, sentence: str) -> None:
        place = Place(self._inputs.topic, self._inputs.partition, record.offset)
        self._findings.add(self._invariant, kind, place, sentence)

    def _missing(self, record: Record) -> None:
        gone = self._answers.dropped and not self._met_answer
        gone = gone or (self._dead.dropped and not self._met_letter)
        if gone:
            sentence = f"{self._inputs.topic}: records whose answer retention may have dropped"
            self._findings.unchecked[sentence] += 1
            return
        self._add("missing", record, f"it has neither a {self._what} nor a dead letter")

    def _stray(self, reader: Reader, output: Output, what: str) -> None:
        if self._inputs.dropped and output.source < self._inputs.low:
            sentence = f"{reader.topic}: records whose input retention dropped"
            self._findings.unchecked[sentence] += 1
            return
        place = Place(reader.topic, reader.partition, output.offset)
        sentence = f"this {what} names {self._inputs.topic} offset {output.source}, not there"
        self._findings.add(self._invariant, "unfounded", place, sentence)

    def _beyond(self, reader: Reader, output: Output, what: str) -> None:
        """Judge an output behind the last input that was read."""
        if output.source < self._inputs.end:
            self._stray(reader, output, what)
        elif output.source >= self._after:
            place = Place(reader.topic, reader.partition, output.offset)
            sentence = (
                f"it is of offset {output.source}, but the position committed with it "
                f"is {self._after}"
            )
            self._findings.add("I6", "uncommitted", place, sentence)

    def _check_raw(self, record: Record, letter: Output) -> None:
        try:
            raw = b64decode(letter.body["raw_base64"], validate=True)
        except (KeyError, TypeError, ValueError):
            raw = b""
        whole = letter.body.get("raw_sha256")
        same = raw == record.value if whole is None else whole == sha256(record.value).hexdigest()
        if not same:
            place = Place(self._dead.topic, self._dead.partition, letter.offset)
            sentence = f"its raw bytes are not those of {self._inputs.topic} offset {letter.source}"
            self._findings.add(self._invariant, "raw", place, sentence)
