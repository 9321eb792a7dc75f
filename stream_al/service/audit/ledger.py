"""What has to fit together across topics: queries and what closes them, labels and their outcomes.

Both are gathered as rows while the topics are read, and compared at the end in sorted order, so
that neither the number of queries nor that of labels is held in memory.
"""

from __future__ import annotations

from typing import Any

from stream_al.config import Config
from stream_al.port import Log
from stream_al.service.audit.reading import Bounds, decoded
from stream_al.service.audit.report import Findings, Place
from stream_al.service.audit.runs import Runs, hashed, packed, spread, unpacked

QUERY, UNKNOWN = -1, -1
RECORD, OUTCOME = 0, 1
SUSPECTS_MAX = 1_000
"""Label records that look alike and are read again to be compared; more are only counted."""


def asked_hash(query: dict[str, Any]) -> int:
    """Return the hash of what a label record keeps of its query, from either of the two.

    Examples
    --------
    >>> query = {"label": "a", "probabilities": {"a": 1.0}, "rate": 0.5, "more": 1}
    >>> asked_hash(query) == asked_hash({"label": "a", "probabilities": {"a": 1}, "rate": 0.5})
    True
    """
    return hashed(
        query.get("label"),
        tuple(sorted((query.get("probabilities") or {}).items())),
        query.get("model_version"),
        query.get("propensity"),
        query.get("rate"),
        query.get("asked_at_ms"),
        query.get("segment"),
    )


class Ledger:
    """Rows of queries, closers, label records and outcomes.

    Attributes
    ----------
    queries_low
        Partition of queries → the first offset that could be read.
    outcomes_dropped
        Whether outcomes at the beginning of any partition are gone.
    """

    def __init__(self, log: Log, config: Config, bounds: Bounds, findings: Findings) -> None:
        self._log = log
        self._config = config
        self._bounds = bounds
        self._findings = findings
        self._journal = config.topic("journal")
        # key: place of the query record; where: its closer's journal offset, or QUERY
        self._queries = Runs(["where", "place", "event", "source", "asked", "closes"])
        # key: event and revision; where: journal offset, or packed place of the outcome
        self._labels = Runs(["side", "where"], key_bits=63)
        self.queries_low: dict[int, int] = {}
        self.outcomes_dropped = False

    def query(self, body: dict[str, Any], partition: int, offset: int) -> None:
        """Note the query record at a place."""
        place = packed(partition, offset)
        source = body["source"]
        self._queries.add(
            spread(place),
            QUERY,
            place,
            hashed(body["event_id"]),
            packed(source["partition"], source["offset"]),
            asked_hash(body),
            0,
        )

    def closer(self, body: dict[str, Any], offset: int) -> None:
        """Note the journal record at `offset`, which answers or closes a query."""
        asked, closes = body.get("asked"), body.get("closes")
        query = asked["query"] if asked else body["query"]
        place = packed(query["partition"], query["offset"])
        self._queries.add(
            spread(place),
            offset,
            place,
            hashed(body["event_id"]),
            packed(closes["partition"], closes["offset"]) if closes else UNKNOWN,
            asked_hash(asked) if asked else UNKNOWN,
            1 if closes else 0,
        )

    def label(self, body: dict[str, Any], offset: int) -> None:
        """Note the label record at `offset` of the journal."""
        self._labels.add(hashed(body["event_id"], body["revision"]), RECORD, offset)

    def applied(self, body: dict[str, Any], partition: int, offset: int) -> None:
        """Note an outcome `applied` at a place."""
        key = hashed(body["event_id"], body["revision"])
        self._labels.add(key, OUTCOME, packed(partition, offset))

    def close(self) -> None:
        """Give temporary files back."""
        self._queries.close()
        self._labels.close()

    # ------------------------------------------------------------------ queries

    def check_queries(self) -> None:
        """Every closer names a query record and agrees with it; each is closed at most once."""
        for rows in self._queries.groups():
            query = rows[0] if rows[0][1] == QUERY else None
            closers = rows[1:] if query else rows
            for _, where, place, event, source, asked, _ in closers:
                at = Place(self._journal, 0, where)
                named = "the query record " + str(self._query_place(place))
                if query is None:
                    self._unfound(at, named, place)
                elif event != query[3] or source not in {UNKNOWN, query[4]}:
                    sentence = f"it names {named}, which is of another event"
                    self._findings.add("closing", "other", at, sentence)
                elif asked not in {UNKNOWN, query[5]}:
                    sentence = f"what it says was asked differs from {named}"
                    self._findings.add("closing", "asked", at, sentence)
            closing = [row[1] for row in closers if row[6]]
            for where in closing[1:]:
                sentence = f"journal position {closing[0]} closed the same query record before"
                at = Place(self._journal, 0, where)
                self._findings.add("closing", "twice", at, sentence)
            self._findings.checked["closed queries"] += bool(query and closing)

    def _query_place(self, place: int) -> Place:
        return Place(self._config.topic("queries"), *unpacked(place))

    def _unfound(self, at: Place, named: str, place: int) -> None:
        partition, offset = unpacked(place)
        if offset < self.queries_low.get(partition, 0):
            self._findings.unchecked["closed queries whose record retention dropped"] += 1
        elif at.offset < self._bounds.settled:
            sentence = f"it names {named}, which is not there"
            self._findings.add("closing", "unknown", at, sentence)

    # ------------------------------------------------------------------ labels

    def check_labels(self) -> None:
        """At most one label record for an event and revision, and one outcome `applied` for it."""
        suspects: list[list[int]] = []
        for rows in self._labels.groups():
            records = [row[2] for row in rows if row[1] == RECORD]
            outcomes = [row[2] for row in rows if row[1] == OUTCOME]
            self._findings.checked["label records"] += len(records)
            if len(records) > 1:
                if len(suspects) < SUSPECTS_MAX:
                    suspects.append(records)
                else:
                    self._findings.unchecked["label records that look doubled"] += 1
            elif len(outcomes) > len(records):
                place = Place(self._config.topic("outcomes"), *unpacked(outcomes[len(records)]))
                sentence = "it says `applied`, but the journal has no label record for it"
                self._findings.add("I3", "unfounded", place, sentence)
            elif len(records) > len(outcomes) and records[0] < self._bounds.settled:
                self._unspoken(records[0])
        for records in suspects:
            self._doubled(records)

    def _unspoken(self, offset: int) -> None:
        if self.outcomes_dropped:
            self._findings.unchecked["label records whose outcome retention may have dropped"] += 1
            return
        sentence = "no outcome says that this label was applied"
        self._findings.add("I3", "unspoken", Place(self._journal, 0, offset), sentence)

    def _doubled(self, offsets: list[int]) -> None:
        """Compare label records of one hash in full.

        Two of one event and revision are sound only when the event came, and was asked about, a
        second time after the resolver had forgotten the first: the limits are configured.
        """
        labels = self._config.labels
        last: dict[tuple[str, int], tuple[int, dict[str, Any]]] = {}
        for offset in offsets:
            found = self._log.read(self._journal, 0, offset, limit=1)
            body = decoded(found[0].value) if found else None
            if body is None:
                continue
            key = (body["event_id"], body["revision"])
            if key in last:
                before, first = last[key]
                again = body["asked"]["query"] != first["asked"]["query"]
                forgotten = (
                    body["at_ms"] - first["at_ms"] > labels.revise_within
                    or offset - before >= labels.closed_max
                )
                if again and forgotten:
                    self._findings.checked["events asked about again after a long time"] += 1
                else:
                    sentence = (
                        f"event {key[0]!r} in revision {key[1]} has a label record at "
                        f"journal position {before} already"
                    )
                    self._findings.add("I3", "double", Place(self._journal, 0, offset), sentence)
            last[key] = (offset, body)
