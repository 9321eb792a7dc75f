"""What brokers are asked besides records: topics, ends, times, committed positions.

By kafka-python, whatever client carries the records: its ends are the last stable offsets, and it
reads committed metadata as they were written. confluent-kafka 2.16 does not: it writes a zero
behind each, and reads on to the next zero, past the end of those that others wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from stream_al.errors import Ambiguous, ConfigurationError, Gone
from stream_al.port import Position
from stream_al_connectors.kafka.client_log import note_let_in
from stream_al_connectors.kafka.clients import Place
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import OutOfRange, guarded
from stream_al_connectors.kafka.settings import TRANSACTION_TIMEOUT_MS, Clients
from stream_al_connectors.sharing import below_begin

ASK_MS = 5_000
"""A client that has no answer after so long is replaced."""

COUNTS_KEPT_S = 5.0
"""Partitions that are added are seen after so long."""

OPEN_S_MAX = 90.0
"""Half as long again as a client may leave a transaction open when it is not told otherwise."""

SETTLED_LOOK_S = 0.05

HANGS_AFTER_S = TRANSACTION_TIMEOUT_MS / 1_000 + 2.0
"""No transaction of a worker is open for longer; the brokers look every second, or every ten."""

_Answer = TypeVar("_Answer")
_Sees = tuple[str, str]
"""The setting by which a client differs from the others: what it sees, or the group it asks for."""

_COMMITTED: _Sees = ("isolation_level", "read_committed")
_ALL: _Sees = ("isolation_level", "read_uncommitted")


class Asking:
    """Asks brokers.

    Raises
    ------
    ConfigurationError
        When the brokers refuse, or are too old.
    Ambiguous
        When no broker is reached.
    """

    def __init__(self, clients: Clients, deadline: Deadline) -> None:
        self._clients = clients
        self._deadline = deadline
        self._counts: dict[str, int] = {}
        self._counted_s = float("-inf")
        self._consumers: dict[_Sees, KafkaConsumer] = {}
        with self._guarded("connecting"):
            consumer = self._consumer(_COMMITTED)
        try:
            clients.check_brokers(consumer)
        except ConfigurationError:
            self.close()
            raise
        note_let_in()

    def counts(self, *, anew: bool = False) -> dict[str, int]:
        """Return topic → number of partitions; `anew` does not go by what is remembered."""
        if anew or time.monotonic() - self._counted_s > COUNTS_KEPT_S:
            self._counts = self._asked(
                "asking for the topics",
                lambda it: {name: len(it.partitions_for_topic(name)) for name in it.topics()},
            )
            self._counted_s = time.monotonic()
        return self._counts

    def begin(self, place: Place) -> int:
        """Return the first offset that is still there."""
        one = TopicPartition(*place)
        found = self._asked(
            "asking for a beginning", lambda it: it.beginning_offsets([one], timeout_ms=ASK_MS)
        )
        return int(found[one])

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return place → last stable offset, in one request a broker."""
        return self._ends(places, _COMMITTED)

    def settled_ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return place → last stable offset, once it is past what is written by now.

        Raises
        ------
        Ambiguous
            When a transaction stays open.
        """
        written = self._ends(places, _ALL)
        until_s = time.monotonic() + OPEN_S_MAX
        while True:
            ends = self.ends(places)
            held = [place for place in places if ends[place] < written[place]]
            if not held:
                return ends
            if time.monotonic() > until_s:
                topic, partition = held[0]
                raise Ambiguous(
                    f"{topic!r} partition {partition}: a transaction has been open for "
                    f"{OPEN_S_MAX:.0f} s, and holds back what others committed behind offset "
                    f"{ends[held[0]]}; find its program (kafka-transactions.sh), and try again"
                )
            time.sleep(SETTLED_LOOK_S)

    def end(self, place: Place) -> int:
        """Return the last stable offset."""
        return self.ends([place])[place]

    def position_at(self, place: Place, timestamp_ms: int) -> int | None:
        """Return the offset of the first record not older than `timestamp_ms`, if there is one."""
        one = TopicPartition(*place)
        found = self._asked(
            "asking for a time",
            lambda it: it.offsets_for_times({one: timestamp_ms}, timeout_ms=ASK_MS),
        )[one]
        return None if found is None else int(found.offset)

    def committed(
        self, group: str, place: Place, *, unstable: Callable[[], object] | None = None
    ) -> Position | None:
        """Return what `group` committed, once that is stable.

        Parameters
        ----------
        unstable
            Called once when it is not, though every transaction must have ended by then.
        """
        one = TopicPartition(*place)
        found = self._asked(
            "asking for a committed position",
            lambda it: it.committed(one, metadata=True, timeout_ms=ASK_MS),
            ("group_id", group),
            silent=unstable,
        )
        if found is None:
            return None
        return Position(found.offset, (found.metadata or "").removesuffix("\0"))

    def gone(self, error: OutOfRange) -> Gone:
        """Return the error that says where a partition begins, or ends."""
        end = self.end(error.place)
        if error.offset > end:
            topic, partition = error.place
            return Gone(
                f"{topic!r} partition {partition} ends at {end}, but is read from offset "
                f"{error.offset} on: it was deleted and made again, or lost records; start again, "
                "and see what `stream-al positions` says"
            )
        return Gone(below_begin(*error.place, error.offset, self.begin(error.place)))

    def close(self) -> None:
        """Release the connections."""
        for consumer in self._consumers.values():
            with self._guarded("closing"), suppress(KafkaError):
                consumer.close(autocommit=False)

    def _ends(self, places: Iterable[Place], sees: _Sees) -> dict[Place, int]:
        partitions = [TopicPartition(*place) for place in places]
        if not partitions:
            return {}

        def ask(consumer: KafkaConsumer) -> dict[TopicPartition, int]:
            try:
                return dict(consumer.end_offsets(partitions, timeout_ms=ASK_MS))
            except KeyError:  # of several, the client drops those whose leader it does not know yet
                singly = (consumer.end_offsets([one], timeout_ms=ASK_MS) for one in partitions)
                return dict(found for some in singly for found in some.items())

        found = self._asked("asking for ends", ask, sees)
        return {(one.topic, one.partition): int(found[one]) for one in partitions}

    def _asked(
        self,
        what: str,
        ask: Callable[[KafkaConsumer], _Answer],
        sees: _Sees = _COMMITTED,
        *,
        silent: Callable[[], object] | None = None,
    ) -> _Answer:
        """Return the answer; a client that stays silent is replaced, and asked again.

        When a broker dies at the wrong moment it forgets the question, and would wait for ever.
        Nothing is changed by asking twice; what bounds it is the deadline.
        """
        began_s = time.monotonic()
        with self._guarded(what):
            while True:
                consumer = self._consumer(sees)
                try:
                    return ask(consumer)
                except KafkaTimeoutError:
                    del self._consumers[sees]
                    with suppress(KafkaError):
                        consumer.close(autocommit=False, timeout_ms=0)
                    if silent is not None and time.monotonic() - began_s > HANGS_AFTER_S:
                        silent()
                        silent = None

    def _consumer(self, sees: _Sees) -> KafkaConsumer:
        if sees not in self._consumers:
            self._consumers[sees] = self._clients.consumer(**dict([sees]))
        return self._consumers[sees]

    def _guarded(self, what: str) -> AbstractContextManager[None]:
        return guarded(self._deadline, what)
