"""Dead letters: input that can't be used, kept as it came, with a sentence for people.

The topic holds letters, and marks of letters that were sent again (`redrives`). Whoever reads it
tells them apart; here it is done once, in bounded memory: a raw is held no longer than its record.
"""

from __future__ import annotations

import heapq
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from pydantic import ValidationError

from stream_al.config import TOPIC_NAMES, Config
from stream_al.errors import InvalidInput
from stream_al.messages import DeadLetter
from stream_al.port import Headers, Log, Record, Transaction
from stream_al.service.attempts import QUARANTINED, Mark

MESSAGE_CHARACTERS_MAX = 500
"""A message may quote what came, which may be long; the raw bytes have it whole."""

READ_RECORDS_MAX = 100
"""Letters read at a time: each may hold a whole raw record."""

_HINTS = {
    "BrokenJson": "let the producer send one JSON object in UTF-8 as each record",
    "MissingField": "let the producer send the field, or correct the path in `events:`",
    "WrongType": "correct the producer, or the path in `events:` that leads to this value",
    "WrongFeatureType": "correct the producer, or say what the feature is in `events.types`",
    "TooLarge": "send less, or raise `events.bytes_max`",
    "TooManyFeatures": "send fewer features, or raise `events.features_max`",
    "FeatureTooLarge": "shorten the value at its producer",
    "TooDeep": "send a flatter `meta`",
    "InvalidProposal": "give the command again, with the value that the message asks for",
    QUARANTINED: "find out why the model dies of this event (memory, native code of a `factory:`) "
    "and correct it",
}
_HINT = "correct the cause that the message names"


class Place(NamedTuple):
    """Where a letter lies in the dead-letters topic; people write it `partition:offset`.

    Examples
    --------
    >>> str(Place(0, 17))
    '0:17'
    """

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Summary:
    """A letter without its raw.

    Attributes
    ----------
    place
        In the dead-letters topic.
    set_aside_ms
        When, by record time.
    topic, partition, offset
        Where it came from; `topic` is its full name.
    error, message
        The class and the sentence.
    raw_bytes
        The size that it came with, bytes.
    cut
        Whether only a part of it was kept.
    redriven
        Whether it was sent again.
    """

    place: Place
    set_aside_ms: int
    topic: str
    partition: int
    offset: int
    error: str
    message: str
    raw_bytes: int
    cut: bool
    redriven: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in the topic: counts of all letters, the newest of them, records that are none."""

    counts: Counter[tuple[str, str, bool]]
    """(error, topic, redriven or not) → letters."""
    newest: list[Summary]
    foreign: int


def dead_letter(topic: str, record: Record, error: InvalidInput, *, raw_max: int) -> DeadLetter:
    """Return the dead letter of `record`; a raw over `raw_max` bytes is cut, with its SHA-256."""
    raw = record.value
    cut = len(raw) > raw_max
    return DeadLetter(
        raw_base64=b64encode(raw[:raw_max]).decode(),
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        error=error.error,
        message=str(error)[:MESSAGE_CHARACTERS_MAX],
        raw_bytes=len(raw) if cut else None,
        raw_sha256=sha256(raw).hexdigest() if cut else None,
    )


def append_letter(transaction: Transaction, topic: str, letter: DeadLetter) -> None:
    """Add a letter at the partition number that it came from, with headers for other tools."""
    transaction.append(topic, letter.partition, letter.to_wire(), headers=headers_of(letter))


def headers_of(letter: DeadLetter) -> Headers:
    """Return what Kafka Streams writes beside its dead letters (KIP-1034), in its names and order.

    All values are UTF-8, numbers in decimal. There is no stack: of the trace only its first line.

    Examples
    --------
    >>> found = DeadLetter(raw_base64="", topic="t.events", partition=1, offset=7,
    ...                    error="TooLarge", message="send less")
    >>> dict(headers_of(found))["__streams.errors.offset"]
    b'7'
    """
    said = {
        "exception": letter.error,
        "message": letter.message,
        "stacktrace": f"{letter.error}: {letter.message}",
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
    }
    return [
        (f"__streams.errors.{name}", text.encode("utf-8", "replace")) for name, text in said.items()
    ]


def quarantined(mark: Mark) -> InvalidInput:
    """Return why the event at `mark` is set aside: how often it killed, since when, what to do.

    Examples
    --------
    >>> print(quarantined(Mark(offset=17, attempts=6, singles=3, until=60, since_ms=0)))
    the worker died 3 times while it scored this event alone (5 deaths around it since \
1970-01-01 00:00:00 UTC); correct the model, then `stream-al dead-letters redrive`
    """
    since = datetime.fromtimestamp(mark.since_ms / 1_000, UTC)
    return InvalidInput(
        QUARANTINED,
        f"the worker died {mark.singles} times while it scored this event alone "
        f"({mark.attempts - 1} deaths around it since {since:%Y-%m-%d %H:%M:%S} UTC); "
        "correct the model, then `stream-al dead-letters redrive`",
    )


def hint(error: str, *, label: bool = False) -> str:
    """Return what to do about letters of an error class; of labels their section is named.

    Examples
    --------
    >>> hint("TooLarge")
    'send less, or raise `events.bytes_max`'
    >>> hint("MissingField", label=True)
    'let the producer send the field, or correct the path in `labels:`'
    """
    said = _HINTS.get(error, _HINT)
    return said.replace("`events:`", "`labels:`") if label else said


def raw_of(letter: DeadLetter) -> bytes:
    """Return the raw bytes that were kept."""
    return b64decode(letter.raw_base64)


def letters(log: Log, topic: str) -> Iterator[tuple[Record, DeadLetter | None]]:
    """Yield the topic's records, partition by partition, read; None where one is no letter."""
    for partition in range(log.partition_count(topic)):
        position, end = log.begin(topic, partition), log.end(topic, partition)
        while position < end:
            records = log.read(topic, partition, position, limit=READ_RECORDS_MAX)
            if not records:
                break
            for record in records:
                yield record, _letter(record)
            position = records[-1].offset + 1


def letter_at(log: Log, topic: str, place: Place) -> DeadLetter | None:
    """Return the letter at `place`; None when there is none, or a mark."""
    if not (0 <= place.partition < log.partition_count(topic)):
        return None
    if not (log.begin(topic, place.partition) <= place.offset < log.end(topic, place.partition)):
        return None
    for record in log.read(topic, place.partition, place.offset, limit=1):
        letter = _letter(record)
        if record.offset == place.offset and letter is not None and letter.redrives is None:
            return letter
    return None


def redriven_places(log: Log, topic: str) -> set[Place]:
    """Return the places of the letters that were sent again."""
    return {
        Place(letter.redrives.partition, letter.redrives.offset)
        for _, letter in letters(log, topic)
        if letter is not None and letter.redrives is not None
    }


def list_letters(log: Log, config: Config, *, limit: int) -> Listing:
    """Return counts by error and topic, and the newest `limit` letters, newest first."""
    topic = config.topic("dead_letters")
    redriven = redriven_places(log, topic)
    counts: Counter[tuple[str, str, bool]] = Counter()
    newest: list[tuple[int, Place, Summary]] = []
    foreign = 0
    for record, letter in letters(log, topic):
        if letter is None:
            foreign += 1
            continue
        if letter.redrives is not None:
            continue
        found = summary(record, letter)
        found = replace(found, redriven=found.place in redriven)
        counts[found.error, short_topic(config, found.topic), found.redriven] += 1
        heapq.heappush(newest, (found.set_aside_ms, found.place, found))
        if len(newest) > limit:
            heapq.heappop(newest)
    return Listing(counts, [found for *_, found in sorted(newest, reverse=True)], foreign)


def summary(record: Record, letter: DeadLetter) -> Summary:
    """Return what is shown of a letter in a line."""
    padding = letter.raw_base64.count("=")
    return Summary(
        place=Place(record.partition, record.offset),
        set_aside_ms=record.timestamp_ms,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        error=letter.error,
        message=letter.message,
        raw_bytes=letter.raw_bytes or len(letter.raw_base64) // 4 * 3 - padding,
        cut=letter.raw_sha256 is not None,
    )


def short_topic(config: Config, full: str) -> str:
    """Return how people call a topic; a name that is not the configuration's stays as it is.

    Examples
    --------
    >>> short_topic(Config(app="t"), "t.events")
    'events'
    """
    return next((name for name in TOPIC_NAMES if config.topic(name) == full), full)


def _letter(record: Record) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(record.value)
    except ValidationError:
        return None


def check_size(record: Record, bytes_max: int) -> None:
    """Refuse a record that is larger than `bytes_max`.

    Raises
    ------
    InvalidInput
        `TooLarge`.
    """
    if len(record.value) > bytes_max:
        raise InvalidInput(
            "TooLarge", f"the record has {len(record.value):,} bytes, {bytes_max:,} are allowed"
        )
