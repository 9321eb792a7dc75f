"""Pending queries: asked and not yet resolved.

A pending query is kept packed (numbers in a struct, features as JSON), about 350 bytes beyond its
features. In each partition of queries they stand in the order of their offsets, which is the order
of their base times, so the oldest one and the next to expire are both in front. Whatever leaves
from the middle stays as an empty shell until it reaches the front or shells outnumber the living:
every operation but `most_urgent` costs the same with 10² and with 10⁵ pending.
"""

from __future__ import annotations

import heapq
import json
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from msgspec.json import Encoder

from stream_al.labels.believed import DISAGREEMENT_MS
from stream_al.messages import Query, Reason, Source, query_id_of

WORDS_MAX = 10_000
"""Distinct combinations of reason, label, segment and classes that are kept once and shared."""
SHELLS_MIN = 64
"""Below so many shells a line is not worth compacting."""

# place (partition, offset), base; source (partition, offset), version, asked, expires, votes;
# uncertainty, propensity, rate, priority. The probabilities follow, then the JSON.
_FACTS = struct.Struct("<iqqiqqqqidddd")
_PRIORITY_AT = _FACTS.size - 8

Words = tuple[str | None, ...]

_encoded = Encoder().encode


class PendingQuery:
    """One pending query, packed.

    Attributes
    ----------
    event_id
        Also the key of the table.
    words
        Reason, label, segment and the classes; shared between queries.
    facts
        Everything else. Empty: a shell, the query is not pending any more.
    """

    __slots__ = ("event_id", "facts", "words")

    def __init__(self, event_id: str, words: Words, facts: bytes) -> None:
        self.event_id = event_id
        self.words = words
        self.facts = facts

    @property
    def place(self) -> Source:
        """Place of the query record in the queries topic."""
        partition, offset, *_ = _FACTS.unpack_from(self.facts)
        return Source(partition=partition, offset=offset)

    @property
    def source(self) -> Source:
        """Place of the event, which is what a closing record closes."""
        _, _, _, partition, offset, *_ = _FACTS.unpack_from(self.facts)
        return Source(partition=partition, offset=offset)

    @property
    def base_ms(self) -> int:
        """When it counts as asked: expiry and verification latency count from here."""
        return int(_FACTS.unpack_from(self.facts)[2])

    @property
    def votes_wanted(self) -> int:
        """Votes wanted when it was asked."""
        return int(_FACTS.unpack_from(self.facts)[8])

    @property
    def priority(self) -> float:
        """How urgent it is; the higher the sooner."""
        return cast("float", struct.unpack_from("<d", self.facts, _PRIORITY_AT)[0])

    def query(self) -> Query:
        """Return the query as it was asked."""
        reason, label, segment, *classes = self.words
        (_, _, _, partition, offset, version, asked_ms, expires_ms, wanted, *numbers) = (
            _FACTS.unpack_from(self.facts)
        )
        uncertainty, propensity, rate, priority = numbers
        values = struct.unpack_from(f"<{len(classes)}d", self.facts, _FACTS.size)
        body = self.facts[_FACTS.size + 8 * len(classes) :]
        features, meta = json.loads(body.decode("utf-8", "surrogatepass"))
        return Query(
            query_id=query_id_of(self.event_id),
            event_id=self.event_id,
            source=Source(partition=partition, offset=offset),
            features=features,
            label=label,
            probabilities=dict(zip(cast("list[str]", classes), values, strict=True)),
            uncertainty=uncertainty,
            propensity=propensity,
            rate=rate,
            model_version=version,
            reason=cast("Reason", reason),
            priority=priority,
            votes_wanted=wanted,
            asked_at_ms=asked_ms,
            expires_at_ms=expires_ms,
            segment=segment,
            meta=meta,
        )


def pack(query: Query, place: Source, base_ms: int) -> bytes:
    """Return all of a query but its id and words, packed."""
    facts = _FACTS.pack(
        place.partition,
        place.offset,
        base_ms,
        query.source.partition,
        query.source.offset,
        query.model_version,
        query.asked_at_ms,
        query.expires_at_ms,
        query.votes_wanted,
        query.uncertainty,
        query.propensity,
        query.rate,
        query.priority,
    )
    values = struct.pack(f"<{len(query.probabilities)}d", *query.probabilities.values())
    return facts + values + _body(query.features, query.meta)


def _body(features: dict[str, Any], meta: Any) -> bytes:
    """Return both as JSON, whatever they are; what the quick encoder refuses is rare.

    Examples
    --------
    >>> _body({"n": 1.5}, None), len(_body({}, chr(0xD800)))
    (b'[{"n":1.5},null]', 11)
    """
    try:
        return _encoded([features, meta])
    except ValueError:  # half of a character
        return json.dumps([features, meta], ensure_ascii=False).encode("utf-8", "surrogatepass")


class _Line:
    """The pending queries of one partition in order, with shells among them."""

    __slots__ = ("base_ms_max", "open_count", "queue")

    def __init__(self) -> None:
        self.queue: deque[PendingQuery] = deque()
        # How many in the queue are no shells.
        self.open_count = 0
        # The highest base time so far: the next one is not below it.
        self.base_ms_max: int | None = None

    def oldest(self) -> PendingQuery | None:
        queue = self.queue
        while queue and not queue[0].facts:
            queue.popleft()
        return queue[0] if queue else None

    def close_one(self) -> None:
        self.open_count -= 1
        shells = len(self.queue) - self.open_count
        if shells > max(SHELLS_MIN, self.open_count):
            self.queue = deque(pending for pending in self.queue if pending.facts)


class PendingTable:
    """All pending queries; at most one for an event."""

    def __init__(self) -> None:
        self._table: dict[str, PendingQuery] = {}
        self._lines: dict[int, _Line] = {}
        # A memo only: at most WORDS_MAX, then it starts again.
        self._words: dict[Words, Words] = {}

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[PendingQuery]:
        return iter(self._table.values())

    def get(self, event_id: str) -> PendingQuery | None:
        """Return the pending query of an event."""
        return self._table.get(event_id)

    def add(
        self, query: Query, *, place: Source, timestamp_ms: int, now_ms: int, floor_ms: int
    ) -> None:
        """Add a query that follows all others of its partition.

        Its base time is the log's `timestamp_ms`, clipped to [the highest of `floor_ms` and the
        base times before it, `now_ms`]: the nearest to "first seen" that a rebuild can know.
        A floor far beyond `now_ms` was written by a wrong clock.
        """
        assert query.event_id not in self._table, "an event has at most one pending query"
        line = self._lines.setdefault(place.partition, _Line())
        base_ms = min(timestamp_ms, now_ms)
        if floor_ms <= now_ms + DISAGREEMENT_MS:
            base_ms = max(base_ms, floor_ms)
        if line.base_ms_max is not None:
            base_ms = max(base_ms, line.base_ms_max)
        line.base_ms_max = base_ms
        if len(self._words) >= WORDS_MAX:
            self._words.clear()
        words: Words = (query.reason, query.label, query.segment, *query.probabilities)
        words = self._words.setdefault(words, words)
        pending = PendingQuery(query.event_id, words, pack(query, place, base_ms))
        self._table[query.event_id] = pending
        line.queue.append(pending)
        line.open_count += 1

    def close(self, event_id: str, place: Source) -> None:
        """Take out the query that has this place; nothing happens when it is not pending."""
        pending = self._table.get(event_id)
        if pending is None or pending.place != place:
            return
        del self._table[event_id]
        pending.facts = b""
        self._lines[place.partition].close_one()

    def mend(self) -> None:
        """Make the table whole after an exception in the midst of a change: by the lines."""
        for line in self._lines.values():
            line.queue = deque(it for it in line.queue if it.facts)
            line.open_count = len(line.queue)
        self._table = {it.event_id: it for line in self._lines.values() for it in line.queue}

    def oldest(self, partition: int) -> PendingQuery | None:
        """Return the first pending query of a partition, which is the next to expire."""
        line = self._lines.get(partition)
        return None if line is None else line.oldest()

    def asked_to(self, time_ms: int, limit: int) -> list[PendingQuery]:
        """Return up to `limit` queries that count as asked at `time_ms` or before."""
        found: list[PendingQuery] = []
        for partition in self.partitions():
            self._lines[partition].oldest()  # no shells in front from here on
            for pending in self._lines[partition].queue:
                if len(found) == limit or (pending.facts and pending.base_ms > time_ms):
                    break
                if pending.facts:
                    found.append(pending)
        return found

    def partitions(self) -> list[int]:
        """Return the partitions that have had pending queries."""
        return sorted(self._lines)

    def count(self, partition: int) -> int:
        """Return how many queries of a partition are pending."""
        line = self._lines.get(partition)
        return 0 if line is None else line.open_count

    def most_urgent(self, limit: int) -> list[PendingQuery]:
        """Return up to `limit` queries: highest priority first, then the oldest. Reads them all."""
        return heapq.nsmallest(
            limit, self, key=lambda pending: (-pending.priority, pending.base_ms)
        )
