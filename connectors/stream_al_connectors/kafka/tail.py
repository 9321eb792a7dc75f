"""Reads of any place: one consumer without a group, whose fetches run ahead of the readers.

Loops look at a dozen partitions twenty times a second, and mostly find nothing. So a read takes
what has come here, and only who must know that nothing is left asks the broker for the end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from stream_al.errors import Gone
from stream_al.port import Record
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import guarded, translated
from stream_al_connectors.sharing import below_begin

FETCH_RECORDS_MAX = 2_000
LOOK_EVERY_S = 0.005
"""Polls of the client cost a millisecond: readers in a row share one."""

WAIT_MS = 100
AHEAD_RECORDS_MAX = 10_000
"""A partition with so many records here unread is not fetched on."""

READ_BYTES_MAX = 16 << 20
FORGET_AFTER_S = 30.0


class Tail:
    """Records of many partitions, each read on from where its reader is.

    Parameters
    ----------
    consumer
        Read committed, without a group and without a reset of offsets; closed with the tail.
    """

    def __init__(self, consumer: KafkaConsumer, deadline: Deadline) -> None:
        self.consumer = consumer
        self._deadline = deadline
        self._streams: dict[TopicPartition, _Stream] = {}
        self._looked_s = float("-inf")

    def read(self, place: TopicPartition, offset: int, *, limit: int, wait: bool) -> list[Record]:
        """Return up to `limit` committed records from `offset` on, and never beyond 16 MiB.

        Raises
        ------
        Gone
            When the records at `offset` were dropped.
        """
        stream = self._stream_at(place, offset)
        if stream is None:
            return []
        if not stream.records:
            self._look(0)
        if not stream.records and wait:
            self._wait(place, stream)
        return stream.first(limit)

    def _stream_at(self, place: TopicPartition, offset: int) -> _Stream | None:
        """Return the stream of `place`, moved to `offset`; None where that is behind the end."""
        stream = self._streams.get(place)
        if stream is None or not stream.skip_to(offset):
            if offset > self._end(place):  # the client would take it for records that were lost
                return None
            if stream is None:
                self._forget()
                stream = self._streams[place] = _Stream(offset)
                self.consumer.assign(list(self._streams))
            stream.move_to(offset)
            self.consumer.seek(place, offset)
        if stream.paused and len(stream.records) <= AHEAD_RECORDS_MAX:
            self.consumer.resume(place)
            stream.paused = False
        stream.used_s = time.monotonic()
        return stream

    def _end(self, place: TopicPartition) -> int:
        with guarded(self._deadline, "asking for an end"):
            return int(self.consumer.end_offsets([place])[place])

    def _forget(self) -> None:
        """Let go of the partitions that nobody has read for a while."""
        now = time.monotonic()
        for place, stream in list(self._streams.items()):
            if now - stream.used_s > FORGET_AFTER_S:
                del self._streams[place]

    def _look(self, timeout_ms: int) -> None:
        """Move what the client has fetched to its streams."""
        now = time.monotonic()
        if not timeout_ms and now - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now
        try:
            with guarded(self._deadline, "reading"):
                fetched = self.consumer.poll(timeout_ms, max_records=FETCH_RECORDS_MAX)
        except Gone as error:
            raise self._gone(error) from error
        for place, records in fetched.items():
            stream = self._streams[place]
            stream.records.extend(records)
            if len(stream.records) > AHEAD_RECORDS_MAX and not stream.paused:
                self.consumer.pause(place)
                stream.paused = True

    def _wait(self, place: TopicPartition, stream: _Stream) -> None:
        """Wait for a record, or for the certainty that there is none."""
        with self._deadline.guard(f"reading {place.topic!r} to its end"):
            end = self._end(place)
            while not stream.records and self._position(place) < end:
                self._look(WAIT_MS)

    def _position(self, place: TopicPartition) -> int:
        with translated("asking for a position"):
            return int(self.consumer.position(place) or 0)

    def _gone(self, error: Gone) -> Gone:
        """Return the error that says where the partition begins, when the client told which."""
        cause = error.__cause__
        if not isinstance(cause, OffsetOutOfRangeError) or not cause.args:
            return error
        lost: Any = cause.args[0]
        if not isinstance(lost, dict):
            return error
        place, offset = next(iter(lost.items()))
        with guarded(self._deadline, "asking for a beginning"):
            begin = self.consumer.beginning_offsets([place])[place]
        self._streams.pop(place, None)
        self.consumer.assign(list(self._streams))
        return Gone(below_begin(place.topic, place.partition, int(offset), begin))


class _Stream:
    """What has come of one partition from `start` on; it stays until its reader is past it."""

    def __init__(self, start: int) -> None:
        self.records: deque[Any] = deque()
        self.start = start
        self.paused = False
        self.used_s = 0.0

    def skip_to(self, offset: int) -> bool:
        """Drop what lies below `offset`; False when the client has to seek there."""
        records = self.records
        if offset < self.start or (offset > self.start and not records):
            return False
        if records and offset > records[-1].offset + 1:
            return False
        while records and records[0].offset < offset:
            records.popleft()
        self.start = offset
        return True

    def move_to(self, offset: int) -> None:
        """Forget what came, and go on at `offset`."""
        self.records.clear()
        self.start = offset

    def first(self, limit: int) -> list[Record]:
        """Return up to `limit` records, and one at least when there is one."""
        found: list[Record] = []
        size = 0
        for fetched in islice(self.records, limit):
            size += len(fetched.value or b"")
            if found and size > READ_BYTES_MAX:
                break
            found.append(record_of(fetched))
        return found


def record_of(fetched: Any) -> Record:
    """Return the record of the port for one of the client's; a tombstone has an empty value."""
    return Record(
        fetched.partition, fetched.offset, fetched.timestamp, fetched.key, fetched.value or b""
    )


def records_of(fetched: Sequence[Any]) -> list[Record]:
    """Return the port's records for some of the client's, in their order."""
    return [record_of(record) for record in fetched]
