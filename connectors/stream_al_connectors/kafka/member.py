"""One worker's membership in a consumer group, and its transactions.

Rules that the client's documentation does not give, and exactly-once needs:

* the group's metadata is taken right after the poll that returned the records, never at commit
  time, and is good for nothing unless the member is stable then
* one poll, and whatever is committed before the next: no transaction is open over a poll
* after any abort the producer is thrown away, else its next transaction also commits the offsets
  of the aborted one
* everything that may wait for ever has a deadline
* membership and transactional id are those of the slot, so that the successor fences the dead
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata

from stream_al.errors import ConfigurationError, Fenced, Rewound
from stream_al.port import Batch, Position, Transaction
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import doubt, guarded, moved
from stream_al_connectors.kafka.groups import Groups
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.kafka.tail import records_of
from stream_al_connectors.kafka.watch import Watch
from stream_al_connectors.membership import Buffered

CLOSE_MS = 1_500
JOIN_POLL_MS = 500
"""While the group deals out: a poll that ends while the client joins may leave it there for ever.

When new metadata make the group's leader deal out again, the client takes the answer only inside
the poll that asked: after it nothing tells it any more that it was joining.
"""

STUCK_AFTER_S = 3.0


class _Moves(ConsumerRebalanceListener):  # type: ignore[misc] # the client has no types
    """Hears on the client's thread what is assigned; it is acted on after the poll.

    A new partition is paused at once, and placed, so that the client neither fetches it nor asks
    for its committed offset: that is ours to read, with the state beside it.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.assigned: deque[int] = deque()
        self.generation = -1  # of the group, that the last assignment was made in
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Nothing to do: what is owned is read from the client after the poll."""

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Note and hold what came."""
        self.generation = self._consumer.group_metadata().generation_id
        if assigned:
            for place in assigned:
                self._consumer.seek(place, 0)
            self._consumer.pause(*assigned)
        self.assigned.extend(place.partition for place in assigned)

    def take(self) -> set[int]:
        """Return the partitions that came since the last call."""
        return {self.assigned.popleft() for _ in range(len(self.assigned))}


class KafkaMember:
    """See `stream_al.port.Member`.

    Parameters
    ----------
    name
        The slot: with the group, this member's fixed identity.
    elects
        The group elects one owner: its transactional id is the group's own, taken over with the
        partition. Else it is the slot's.
    check
        Raises ConfigurationError where there is no such partition.
    """

    def __init__(
        self,
        clients: Clients,
        group: str,
        topic: str,
        *,
        name: str,
        elects: bool,
        deadline: Deadline,
        clock: Callable[[], int],
        check: Callable[[str, int], None],
        watch: Watch,
        groups: Groups,
    ) -> None:
        self.group = group
        self.topic = topic
        self.instance = f"{group}-{name}"
        self.left = False
        self.aborted_count = 0
        self._clients = clients
        self._deadline = deadline
        self._clock = clock
        self._check = check
        self._watch = watch
        self._groups = groups
        self._elects = elects
        self._given: set[int] = set()  # the partitions that the loop was told it has
        self._sought: set[int] = set()
        self._rewound = False
        self._membership: ConsumerGroupMetadata | None = None
        self._producer: KafkaProducer | None = None
        self._stuck_s: float | None = None  # since when it joins without coming through
        self.rebalance_count = 0
        self._open()
        if not elects:
            self._producer = self._new_producer()

    @property
    def owned(self) -> Sequence[int]:
        """The partitions owned now, after the last `poll`."""
        return tuple(sorted(self._given))

    def _open(self) -> None:
        with self._guarded("joining"):
            self.consumer = self._clients.consumer(
                group_id=self.group, group_instance_id=self.instance
            )
            self._moves = _Moves(self.consumer)
            self.consumer.subscribe([self.topic], listener=self._moves)

    # ------------------------------------------------------------------ reading

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        """Return up to `limit` records of owned partitions; waits at most `timeout_s` for any.

        Raises
        ------
        Fenced
            When this member left, or another one with its slot took over.
        Gone
            When the records at a sought offset were dropped.
        """
        if self.left:
            raise Fenced(f"{self.topic!r}: this member has left its group")
        self._watch.look(self)
        settled = self._settled() is not None
        timeout_ms = max(round(timeout_s * 1_000), 0 if settled else JOIN_POLL_MS)
        with self._guarded("polling"):
            fetched = self.consumer.poll(timeout_ms, max_records=limit)
        self._membership = self._settled()
        self._free_if_stuck()
        assigned, revoked = self._take_moves()
        if self._elects:
            self._follow_election()
        records = [
            record
            for place, found in fetched.items()
            if place.partition in self._sought
            for record in records_of(found)
        ]
        return Batch(records, assigned, revoked)

    def _settled(self) -> ConsumerGroupMetadata | None:
        """Return the membership, when its partitions were dealt out and it holds them."""
        found = self.consumer.group_metadata()
        holds = found.state is MemberState.STABLE and found.generation_id > 0 and found.member_id
        return found if holds and found.generation_id == self._moves.generation else None

    def _free_if_stuck(self) -> None:
        """Begin again with a new client where this one has joined, and does not know it."""
        found = self.consumer.group_metadata()
        joined = found.state is MemberState.REBALANCING
        if not joined or found.generation_id == self._moves.generation:
            self._stuck_s = None
            return
        now = time.monotonic()
        self._stuck_s = self._stuck_s or now
        if now - self._stuck_s > STUCK_AFTER_S:
            self._stuck_s = None
            with self._guarded("closing a client that is stuck"), suppress(KafkaError):
                self.consumer.close(autocommit=False, timeout_ms=0)
            self._open()

    def _take_moves(self) -> tuple[list[int], list[int]]:
        """Return what the loop gets and loses, by what the client owns now."""
        came = self._moves.take()
        owned = {place.partition for place in self.consumer.assignment()}
        anew = set(owned) if self._rewound else came & owned
        if self._rewound:
            self._hold(owned)
            self._rewound = False
        self.rebalance_count += bool(came or owned != self._given)
        revoked = (self._given - owned) | (self._given & anew)
        assigned = anew | (owned - self._given)
        self._given = owned
        self._sought -= revoked | assigned
        return sorted(assigned), sorted(revoked)

    def _hold(self, partitions: set[int]) -> None:
        if partitions:
            self.consumer.pause(*(TopicPartition(self.topic, number) for number in partitions))

    def _follow_election(self) -> None:
        """Fence the predecessor on becoming owner, before anything is read; let go after."""
        if self._given and self._producer is None:
            self._producer = self._new_producer()
        elif not self._given and self._producer is not None:
            self._drop_producer()

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on.

        Raises
        ------
        Fenced
            When the partition is not owned.
        """
        if partition not in self._given:
            raise Fenced(self._not_owned(partition))
        place = TopicPartition(self.topic, partition)
        try:
            self.consumer.seek(place, offset)
            self.consumer.resume(place)
        except ValueError:  # it went while the loop was busy: the next poll says so
            return
        self._sought.add(partition)

    def lag(self) -> dict[int, int]:
        """Return partition → how far its end is from what was polled, over markers too."""
        ends = self.ends()
        return {
            partition: max(0, ends[partition] - position)
            for partition, position in self.positions().items()
        }

    def ends(self) -> dict[int, int]:
        """Return partition → its last stable offset, of those that are read."""
        places = [TopicPartition(self.topic, partition) for partition in self._sought]
        with self._guarded("asking for ends"):
            found = self.consumer.end_offsets(places) if places else {}
        return {place.partition: end for place, end in found.items()}

    def positions(self) -> dict[int, int]:
        """Return partition → the next offset to fetch, of those that are read."""
        found = {}
        for partition in self._sought:
            with suppress(KafkaError):  # it just went
                position = self.consumer.position(TopicPartition(self.topic, partition))
                if position is not None:
                    found[partition] = position
        return found

    # ------------------------------------------------------------------ committing

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit on a clean exit, abort on an exception; see `stream_al.port.Member`."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        buffered = Buffered(self._check)
        yield buffered
        if buffered.records or buffered.positions:
            self._commit(buffered)

    def _commit(self, buffered: Buffered) -> None:
        for topic, partition in buffered.positions:
            if topic == self.topic and partition not in self._given:
                raise Fenced(self._not_owned(partition))
        if not self._given:
            raise Fenced(f"{self.topic!r}: this member owns no partition, so it commits nothing")
        if self._membership is None or self._producer is None:
            self._rewound = True
            raise Rewound(
                f"{self.topic!r}: the group was dealing out partitions; going on from "
                "what is committed"
            )
        self._check_sizes(buffered)
        producer, membership = self._producer, self._membership
        with self._deadline.guard(f"a transaction of {self.instance!r}"):
            try:
                producer.begin_transaction()
                self._send(producer, buffered)
                if buffered.positions:
                    offsets = _offsets(buffered.positions)
                    producer.send_offsets_to_transaction(offsets, membership)
                producer.commit_transaction()
            except KafkaError as error:
                if not moved(error):
                    raise doubt(error, f"a transaction of {self.instance!r}") from error
                self._abort(error)

    def _send(self, producer: KafkaProducer, buffered: Buffered) -> None:
        now_ms = self._clock()
        for (topic, partition), (keys, values) in buffered.records.items():
            for key, value in zip(keys, values, strict=True):
                producer.send(topic, value, key=key, partition=partition, timestamp_ms=now_ms)

    def _abort(self, error: KafkaError) -> None:
        """Give up this transaction and its producer: the next one would repeat its offsets."""
        self.aborted_count += 1
        self._rewound = True
        with self._guarded("aborting"):
            assert self._producer is not None
            self._producer.abort_transaction()
        self._drop_producer()
        self._producer = self._new_producer()
        raise Rewound(
            f"{self.topic!r}: the group dealt out partitions while a batch was made "
            f"({type(error).__name__}); going on from what is committed"
        ) from error

    def _check_sizes(self, buffered: Buffered) -> None:
        """Refuse what the broker would: there, a failed send spoils the transactions after it."""
        for (topic, _), (keys, values) in buffered.records.items():
            for key, value in zip(keys, values, strict=True):
                size = len(value) + len(key or b"")
                if size > self._clients.record_bytes_max:
                    raise ConfigurationError(
                        f"topic {topic!r}: a record of {size:,} bytes is larger than the "
                        f"{self._clients.record_bytes_max:,} that are sent; lower "
                        "events.bytes_max, and see `stream-al check` for the topics' own limits"
                    )

    # ------------------------------------------------------------------ leaving

    def leave(self) -> None:
        """Give everything back at once; a second call does nothing."""
        if self.left:
            return
        self.left = True
        self._given, self._sought = set(), set()
        self._drop_producer()
        with self._guarded("leaving"), suppress(KafkaError):
            self.consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            # A fixed identity does not leave by itself: its partitions would wait for the session.
            self._groups.remove(self.group, self.instance)

    def _new_producer(self) -> KafkaProducer:
        identity = self.group if self._elects else self.instance
        with self._guarded("beginning transactions"):
            producer = self._clients.producer(transactional_id=identity)
            producer.init_transactions()
        return producer

    def _drop_producer(self) -> None:
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        with self._guarded("closing a producer"), suppress(KafkaError):
            producer.close(timeout=CLOSE_MS / 1_000, null_logger=True)

    def _guarded(self, what: str) -> AbstractContextManager[None]:
        return guarded(self._deadline, f"{what} as {self.instance!r}")

    def _not_owned(self, partition: int) -> str:
        return f"{self.topic!r} partition {partition} is not owned by this member"


def _offsets(positions: dict[tuple[str, int], Position]) -> dict[TopicPartition, Any]:
    return {
        TopicPartition(*place): OffsetAndMetadata(position.offset, position.metadata, -1)
        for place, position in positions.items()
    }
