"""What lies in topics of our own and is not ours: told apart here, once for all who read them.

A topic may have other writers by mistake. In the queries topic what is no query of ours is passed
over. The journal is a chain: a record that does not continue it is held, and is a stray once the
next of our records continues the chain from before it. One that continues what is held is another
history, and stops whoever folds. All folds skip alike, so positions stay equal everywhere.
"""

from __future__ import annotations

from collections import Counter
from math import isfinite
from typing import NamedTuple

from stream_al.config import Config
from stream_al.engine import parse
from stream_al.errors import ConfigurationError, Diverged, InvalidInput
from stream_al.messages import (
    CHAIN_START,
    JournalRecord,
    Link,
    Query,
    chain_after,
    link_of,
    query_id_of,
    read_journal_record,
)
from stream_al.port import Log, Record
from stream_al.service.logs import log as log_line

HELD_MAX = 1_000
"""So many records in a row may be strays: more is no mistake any more."""
_INT32_MAX, _INT64_MAX = (1 << 31) - 1, (1 << 63) - 1
_REPAIR = "`stream-al audit` names every record that is wrong; restore the journal from a copy"


class _Held(NamedTuple):
    """A record that may be a stray, and the hashes that a record behind it might continue."""

    offset: int
    heads: tuple[str, ...]


class Links:
    """Tells the journal's records from strays, for one fold that reads them in their order.

    Parameters
    ----------
    head
        Chain hash of the last record that was folded; None where it is not known: then the first
        one that can be read is taken.
    counted
        Where strays are counted, under `journal`.

    Attributes
    ----------
    next
        The offset after the last record that was looked at; 0 before the first.
    """

    def __init__(
        self,
        topic: str,
        head: str | None = CHAIN_START,
        *,
        counted: Counter[str] | None = None,
    ) -> None:
        self.next = 0
        self._topic = topic
        self._head = head
        self._counted = Counter() if counted is None else counted
        self._held: list[_Held] = []
        # Before the last record but one: no strays after all if the journal goes on from one.
        self._passed: list[_Held] = []

    def take(self, record: Record) -> JournalRecord | None:
        """Return the record at its place in the chain; None when it is held.

        Raises
        ------
        ConfigurationError
            When it continues the chain and can't be read: a newer version wrote it.
        Diverged
            When the journal goes on from a record that does not continue it.
        """
        chain = None if self._head is None else chain_after(self._head, record.value)
        if chain is None:
            link = link_of(record.value)
            if link is None or not self._follows(record, link):
                self._hold(record, link)
                self.next = record.offset + 1
                return None
            chain = link.chain
        entry = self._read(record)
        self.next = record.offset + 1
        self._head = chain
        if self._held or self._passed:
            self._settle()
        return entry

    def _settle(self) -> None:
        for held in self._held:
            log_line("journal_stray", topic=self._topic, partition=0, offset=held.offset)
            self._counted["journal"] += 1
        self._passed, self._held = self._held, []

    def _follows(self, record: Record, link: Link) -> bool:
        if self._head is not None:
            return link.follows(self._head)
        try:
            read_journal_record(record.value)
        except ConfigurationError:
            return False
        return True

    def _hold(self, record: Record, link: Link | None) -> None:
        place = f"{self._topic!r} partition 0, offset {record.offset}"
        for held in (*self._passed, *self._held):
            if link is not None and any(link.follows(head) for head in held.heads):
                raise Diverged(
                    f"{place}: the journal goes on from offset {held.offset}, which does not "
                    f"continue the chain of the records before it: one was changed, or another "
                    f"journal's records were put in; {_REPAIR}"
                )
        if len(self._held) == HELD_MAX:
            raise Diverged(
                f"{place}: {HELD_MAX:,} records in a row do not continue the chain; {_REPAIR}"
            )
        heads: tuple[str, ...] = ()
        if link is not None:
            heads = (link.chain,) if self._head is None else (link.chain, link.after(self._head))
        self._held.append(_Held(record.offset, heads))
        why = "it does not continue the chain; a stray once the next record does"
        at = {"topic": self._topic, "partition": 0, "offset": record.offset}
        log_line("journal_record_held", **at, why=why)

    def _read(self, record: Record) -> JournalRecord:
        try:
            return read_journal_record(record.value)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self._topic!r} partition 0, offset {record.offset}: {error}"
            ) from None


def links_at(log: Log, config: Config, position: int) -> Links:
    """Return the links of a fold that goes on at `position`, just behind a record of the journal's.

    From a position that is not (an end that was taken) the head is not known.
    """
    topic = config.topic("journal")
    head = CHAIN_START if position == 0 and log.begin(topic, 0) == 0 else None
    if position > 0:
        head = chain_before(log, config, position)
    links = Links(topic, head)
    links.next = position
    return links


def chain_before(log: Log, config: Config, position: int) -> str | None:
    """Return the chain hash of the journal's record just before `position`, if it is there."""
    topic = config.topic("journal")
    if not log.begin(topic, 0) < position <= log.end(topic, 0):
        return None
    for record in log.read(topic, 0, position - 1, limit=1):
        if record.offset == position - 1:
            link = link_of(record.value)
            return None if link is None else link.chain
    return None


def read_query(topic: str, record: Record) -> Query | None:
    """Return the query in a record of the queries topic; None, and a log line, for a stray."""
    try:
        query = parse(Query, record.value)
    except InvalidInput as error:
        why = str(error)
    else:
        if _is_ours(query):
            return query
        why = "no scorer writes such a query"
    log_line("query_stray", topic=topic, partition=record.partition, offset=record.offset, why=why)
    return None


def _is_ours(query: Query) -> bool:
    """Whether a scorer may have written it: it names itself rightly, and its numbers are sound."""
    small = (query.source.partition, query.votes_wanted)
    large = (query.source.offset, query.model_version, query.asked_at_ms, query.expires_at_ms)
    real = (query.uncertainty, query.propensity, query.rate, query.priority)
    return (
        query.query_id == query_id_of(query.event_id)
        and all(0 <= number <= _INT32_MAX for number in small)
        and all(-_INT64_MAX <= number <= _INT64_MAX for number in large)
        and all(isfinite(number) for number in (*real, *query.probabilities.values()))
        and (query.label is None or query.label in query.probabilities)
    )
