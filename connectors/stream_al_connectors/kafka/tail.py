"""Reads of any place: one consumer without a group, whose fetches run ahead of the readers.

Loops look at a dozen partitions twenty times a second, and mostly find nothing. So a read takes
what has come here, and only who must know that nothing is left asks the broker for the end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import islice

from stream_al.port import Record
from stream_al_connectors.kafka.asking import Asking
from stream_al_connectors.kafka.clients import Place, Reader, held_back
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import ClientError, OutOfRange, guarded

FETCH_RECORDS_MAX = 2_000
LOOK_EVERY_S = 0.005
"""Polls of the client cost a millisecond: readers in a row share one."""

WAIT_S = 0.1
AHEAD_RECORDS_MAX = 10_000
AHEAD_BYTES_MAX = 8 << 20
"""A partition with so many records or bytes here unread is parked: not fetched on until half of
them are read."""

READ_BYTES_MAX = 16 << 20
FORGET_AFTER_S = 30.0


class Tail:
    """Records of many partitions, each read on from where its reader is.

    Parameters
    ----------
    reader
        Without a group; closed with the tail.
    """

    def __init__(self, reader: Reader, asking: Asking, deadline: Deadline) -> None:
        self._reader = reader
        self._asking = asking
        self._deadline = deadline
        self._streams: dict[Place, _Stream] = {}
        self._looked_s = float("-inf")

    def read(self, place: Place, offset: int, *, limit: int, wait: bool) -> list[Record]:
        """Return up to `limit` committed records from `offset` on, and never beyond 16 MiB.

        Raises
        ------
        Gone
            When the records at `offset` were dropped.
        NotAllowed
            When this user may not read `place`; the others are read on.
        """
        stream = self._stream_at(place, offset)
        if stream is None:
            return []
        if not stream.records:
            self._look(0)
        if not stream.records and wait:
            self._wait(place, stream)
        if stream.refused is not None:
            del self._streams[place]
            raise stream.refused.ours(f"reading {place[0]!r}") from stream.refused
        return stream.first(limit)

    def held_back(self, topic: str) -> dict[int, int]:
        """Return partition → offsets between its last stable one and its high watermark."""
        streams = self._streams.items()
        places = [place for place, it in streams if place[0] == topic and not it.parked]
        return held_back(self._reader, self._asking.ends(places))

    def close(self) -> None:
        """Release the client."""
        with guarded(self._deadline, "closing"):
            self._reader.close()

    def _stream_at(self, place: Place, offset: int) -> _Stream | None:
        """Return the stream of `place`, moved to `offset`; None where that is behind the end."""
        stream = self._streams.get(place)
        if stream is None or not stream.skip_to(offset):
            if offset > self._asking.end(place):  # a client would take it for records lost
                return None
            if stream is None:
                self._forget()
                stream = self._streams[place] = _Stream(offset)
            stream.move_to(offset)
            self._fetch(place, stream)
        elif stream.parked and stream.filled <= 0.5:
            self._fetch(place, stream)
        stream.used_s = time.monotonic()
        return stream

    def _fetch(self, place: Place, stream: _Stream) -> None:
        stream.parked = False
        with guarded(self._deadline, "seeking"):
            self._reader.read_from(place, stream.next)

    def _stop(self, place: Place) -> None:
        with guarded(self._deadline, "stopping"):
            self._reader.stop(place)

    def _forget(self) -> None:
        """Let go of the partitions that nobody has read for a while."""
        now = time.monotonic()
        for place, stream in list(self._streams.items()):
            if now - stream.used_s > FORGET_AFTER_S:
                self._stop(place)
                del self._streams[place]

    def _look(self, timeout_s: float) -> None:
        """Move what the client has fetched to its streams."""
        now = time.monotonic()
        if not timeout_s and now - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now
        with guarded(self._deadline, "reading"):
            try:
                fetched = self._reader.poll(timeout_s, FETCH_RECORDS_MAX)
            except OutOfRange as error:
                self._streams.pop(error.place, None)
                self._stop(error.place)
                raise self._asking.gone(error) from error
            except ClientError as error:
                if not error.topics:
                    raise
                self._refuse(error)
                return
        for place, records in fetched.items():
            stream = self._streams[place]
            stream.extend(records)
            if stream.filled > 1.0 and not stream.parked:
                stream.parked = True
                self._stop(place)

    def _refuse(self, error: ClientError) -> None:
        """Read refused topics no further: the client would fail for all that it reads."""
        for place, stream in self._streams.items():
            if place[0] in error.topics:
                self._stop(place)
                stream.refused = error

    def _wait(self, place: Place, stream: _Stream) -> None:
        """Wait for a record, or for the certainty that there is none."""
        with self._deadline.guard(f"reading {place[0]!r} to its end"):
            end = self._asking.end(place)
            while (
                not stream.records
                and stream.refused is None
                and (self._reader.position(place) or 0) < end
            ):
                self._look(WAIT_S)


class _Stream:
    """What has come of one partition from `start` on; it stays until its reader is past it."""

    def __init__(self, start: int) -> None:
        self.records: deque[Record] = deque()
        self.size = 0  # bytes of their values
        self.start = start
        self.parked = False
        self.refused: ClientError | None = None
        self.used_s = 0.0

    @property
    def next(self) -> int:
        """The offset after what has come."""
        return self.records[-1].offset + 1 if self.records else self.start

    @property
    def filled(self) -> float:
        """How much of what may lie here does."""
        return max(len(self.records) / AHEAD_RECORDS_MAX, self.size / AHEAD_BYTES_MAX)

    def extend(self, records: Sequence[Record]) -> None:
        """Take what came."""
        self.records.extend(records)
        self.size += sum(len(record.value) for record in records)

    def skip_to(self, offset: int) -> bool:
        """Drop what lies below `offset`; False when the client has to seek there."""
        records = self.records
        if offset < self.start or (offset > self.start and not records):
            return False
        if records and offset > records[-1].offset + 1:
            return False
        while records and records[0].offset < offset:
            self.size -= len(records.popleft().value)
        self.start = offset
        return True

    def move_to(self, offset: int) -> None:
        """Forget what came, and go on at `offset`."""
        self.records.clear()
        self.size = 0
        self.start = offset

    def first(self, limit: int) -> list[Record]:
        """Return up to `limit` records, and one at least when there is one."""
        found: list[Record] = []
        size = 0
        for fetched in islice(self.records, limit):
            size += len(fetched.value)
            if found and size > READ_BYTES_MAX:
                break
            found.append(fetched)
        return found
