"""The answers to an input's records: what each is about, and the last of a partition."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json

from stream_al.errors import Gone
from stream_al.messages import unpacked
from stream_al.port import Log, Record

LOOK_BACK = 8
"""So many offsets from the end are read at first: markers of transactions may be the last ones."""

READ_RECORDS_MAX = 500

_Found = TypeVar("_Found")


class Answer(NamedTuple):
    """One answer.

    Attributes
    ----------
    source
        The offset of the record that it answers.
    topic
        Where it lies.
    name
        The id of what was answered, as it is shown.
    is_of
        Whether a record with these bytes is what was answered.
    at_ms
        Its record time.
    """

    source: int
    topic: str
    name: str
    is_of: Callable[[bytes], bool]
    at_ms: int


def output_of(record: Record, topic: str, below: int | None = None) -> Answer | None:
    """Return the last answer in a record of `topic`, of a source below `below`.

    None when there is none: also where it is somebody else's record.
    """
    try:
        for value in reversed(unpacked(record.value)):
            body = from_json(value)
            source, event_id = body["source"]["offset"], body.get("event_id")
            if isinstance(source, int) and (below is None or source < below):
                name = f"event {event_id!r}"
                return Answer(source, topic, name, _named(event_id), record.timestamp_ms)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def letter_about(record: Record, own: str, topic: str, partition: int) -> Answer | None:
    """Return the dead letter in a record of `own` when it is about one of `topic`."""
    if topic.encode() not in record.value:
        return None
    try:
        body = from_json(record.value)
        if body["topic"] != topic or body["partition"] != partition or body.get("redrives"):
            return None
        raw, whole = b64decode(body["raw_base64"]), body.get("raw_sha256")
        digest = whole or sha256(raw).hexdigest()
        name = f"a dead letter ({body['error']})"
        return Answer(
            int(body["offset"]),
            own,
            name,
            lambda value: sha256(value).hexdigest() == digest,
            record.timestamp_ms,
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _named(event_id: Any) -> Callable[[bytes], bool]:
    """Return whether a record's bytes have an id somewhere: mappings change, ids stay.

    Examples
    --------
    >>> same = _named("e-1")
    >>> same(b'{"post": {"id": "e-1"}}'), same(b'{"event_id": "e-2"}'), _named("7")(b'{"id": 7}')
    (True, False, True)
    >>> _named("7@2")(b'{"id": 7, "version": 2}')
    True
    """
    names = {str(event_id), str(event_id).rpartition("@")[0]} - {""}

    def same(value: bytes) -> bool:
        try:
            body = from_json(value)
        except ValueError:
            return True  # nobody can say
        return _has(body, names)

    return same


def _has(body: Any, names: set[str]) -> bool:
    if isinstance(body, dict):
        return any(_has(below, names) for below in body.values())
    if isinstance(body, list):
        return any(_has(below, names) for below in body)
    text = str(body)
    return (text.lower() if isinstance(body, bool) else text.strip()) in names


def newest(
    log: Log,
    topic: str,
    partition: int,
    since: int,
    wanted: Callable[[Record], _Found | None],
    *,
    stop: int | None = None,
    looked_max: int | None = None,
) -> _Found | None:
    """Return what `wanted` finds in the last record that it finds anything in.

    Parameters
    ----------
    since, stop
        The first offset that counts, and the one behind the last.
    looked_max
        Look at so many offsets only.
    """
    end = log.end(topic, partition)
    end = end if stop is None else min(end, stop)
    back, high = LOOK_BACK, end
    while True:
        low = max(log.begin(topic, partition), since)
        if high <= low or (looked_max is not None and end - high >= looked_max):
            return None
        start = max(low, high - back)
        try:
            found = _last_between(log, topic, partition, start, high, wanted)
        except Gone:  # retention was quicker
            continue
        if found is not None:
            return found
        high, back = start, back * LOOK_BACK


def _last_between(
    log: Log,
    topic: str,
    partition: int,
    position: int,
    end: int,
    wanted: Callable[[Record], _Found | None],
) -> _Found | None:
    last: _Found | None = None
    while position < end:
        records = log.read(topic, partition, position, limit=min(READ_RECORDS_MAX, end - position))
        if not records:
            break
        for record in records:
            if record.offset < end and (found := wanted(record)) is not None:
                last = found
        position = records[-1].offset + 1
    return last


def last_record(log: Log, topic: str, partition: int) -> Record | None:
    """Return the last record of a partition, whosever it is."""
    return newest(log, topic, partition, 0, lambda record: record)
