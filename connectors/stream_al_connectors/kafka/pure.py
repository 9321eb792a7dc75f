"""The clients of `clients.py` by kafka-python, pure Python: what runs everywhere.

What it can't be trusted with is mended here, behind the seam: a member that has joined and does not
know it gets a new client; a new partition is paused before it is fetched; a poll gives what there
is now, not what there was at the last one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata

from stream_al.port import Headers, Outgoing, Position, Record
from stream_al_connectors.kafka.clients import Place, closed_unless_done
from stream_al_connectors.kafka.doubts import ClientError, OutOfRange
from stream_al_connectors.kafka.settings import Clients

CLOSE_MS = 1_500
STUCK_AFTER_S = 10.0
METADATA_WAIT_S = 0.05
FRESH_S = 0.005
"""How long records that came may wait for those behind them: about an answer of a near broker."""


class PureTransport:
    """See `clients.Transport`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def reader(self) -> PureReader:
        """Return a reader of any place."""
        with _raised():
            return PureReader(self._clients.consumer())

    def member(self, group: str, instance: str, topic: str) -> PureGroupReader:
        """Join a group."""
        with _raised():
            return PureGroupReader(self._clients, group, instance, topic)

    def writer(self, identity: str | None = None) -> PureWriter:
        """Return a writer."""
        with _raised():
            return PureWriter(self._clients, identity)


class PureReader:
    """See `clients.Reader`.

    A place that is stopped is unassigned, not paused: a client that holds what it fetched of a
    paused partition can stand still for all.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._reading: set[Place] = set()

    def read_from(self, place: Place, offset: int) -> None:
        """Read `place` from `offset` on; the others go on as they were."""
        with _raised():
            if place not in self._reading:
                self._reading.add(place)
                self._assign()
            self._consumer.seek(TopicPartition(*place), offset)

    def stop(self, place: Place) -> None:
        """Read `place` no further."""
        if place in self._reading:
            self._reading.remove(place)
            with _raised():
                self._assign()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(*place) for place in self._reading])

    def poll(self, timeout_s: float, limit: int) -> Mapping[Place, Sequence[Record]]:
        """Return what came."""
        with _raised():
            fetched = self._consumer.poll(round(timeout_s * 1_000), max_records=limit)
        return {place: _records(found) for place, found in fetched.items()}

    def position(self, place: Place) -> int | None:
        """Return the next offset to poll."""
        with suppress(KafkaError, KeyError):  # it just went
            found: int | None = self._consumer.position(TopicPartition(*place))
            return found
        return None

    def high_watermark(self, place: Place) -> int | None:
        """Return the end of `place` as of its last fetch."""
        found: int | None = self._consumer.highwater(TopicPartition(*place))
        return found

    def close(self) -> None:
        """Stop."""
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)


class PureGroupReader(PureReader):
    """See `clients.GroupReader`."""

    def __init__(self, clients: Clients, group: str, instance: str, topic: str) -> None:
        self._clients = clients
        self._identity = {"group_id": group, "group_instance_id": instance}
        self._topic = topic
        self._stuck_s: float | None = None  # since when it joins without coming through
        self._met: ClientError | None = None  # behind the records of the last poll
        super().__init__(self._subscribed())

    def _subscribed(self) -> KafkaConsumer:
        consumer = self._clients.consumer(**self._identity)
        self._moves = _Moves(consumer)
        consumer.subscribe([self._topic], listener=self._moves)
        # Who leads the group deals out what it knows of the topic: nothing, when it joins
        # before its first metadata came, and all would wait for the next that comes.
        with closed_unless_done(partial(consumer.close, autocommit=False, timeout_ms=0)):
            while not consumer.partitions_for_topic(self._topic):
                time.sleep(METADATA_WAIT_S)
        return consumer

    def read_from(self, place: Place, offset: int) -> None:
        """Read `place` from `offset` on."""
        with (
            _raised(),
            suppress(ValueError, KeyError),
        ):  # it went while the loop was busy: see the next poll
            self._consumer.seek(TopicPartition(*place), offset)
            self._consumer.resume(TopicPartition(*place))

    def stop(self, place: Place) -> None:
        """Read `place` no further."""
        with suppress(KeyError):  # it just went
            self._consumer.pause(TopicPartition(*place))

    def poll(self, timeout_s: float, limit: int) -> Mapping[Place, Sequence[Record]]:
        """Return what came.

        Once the client holds records it asks for the next as it gives them out, and the brokers
        answer with the first that come: what it holds is as old as the last poll. So it is asked
        once more. An error then is raised by the next poll: the records are taken already.
        """
        met, self._met = self._met, None
        if met is not None:
            raise met
        self._free_if_stuck()
        held = super().poll(0.0, limit)
        left = limit - sum(map(len, held.values()))
        if left <= 0 or not (held or timeout_s):
            return held
        try:
            fresh = super().poll(FRESH_S if held else timeout_s, left)
        except ClientError as error:
            if not held:
                raise
            # A place out of range is met again, unless it is read from elsewhere by then.
            self._met = None if isinstance(error, OutOfRange) else error
            return held
        places = dict.fromkeys((*held, *fresh))
        return {place: [*held.get(place, ()), *fresh.get(place, ())] for place in places}

    def owned(self) -> set[int]:
        """Return the partitions that are this member's."""
        return {place.partition for place in self._consumer.assignment()}

    def came(self) -> set[int]:
        """Return the partitions that were dealt out since the last call."""
        return self._moves.take()

    def membership(self) -> ConsumerGroupMetadata | None:
        """Return the membership, when its partitions were dealt out and it holds them."""
        found = self._consumer.group_metadata()
        holds = found.state is MemberState.STABLE and found.generation_id > 0 and found.member_id
        return found if holds and found.generation_id == self._moves.generation else None

    def member_id(self) -> str | None:
        """Return the coordinator's name for this member."""
        found = self.membership()
        return None if found is None else str(found.member_id)

    def _free_if_stuck(self) -> None:
        """Begin again with a new client where this one has joined, and does not know it."""
        found = self._consumer.group_metadata()
        joined = found.state is MemberState.REBALANCING
        if not joined or found.generation_id == self._moves.generation:
            self._stuck_s = None
            return
        now = time.monotonic()
        self._stuck_s = self._stuck_s or now
        if now - self._stuck_s > STUCK_AFTER_S:
            self._stuck_s = None
            with _raised():
                with suppress(KafkaError):
                    self._consumer.close(autocommit=False, timeout_ms=0)
                self._consumer = self._subscribed()


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


class PureWriter:
    """See `clients.Writer`."""

    def __init__(self, clients: Clients, identity: str | None) -> None:
        self._counts: dict[str, int] = {}  # topic → partitions that the client has heard of
        self._sent: list[Any] = []  # of the open transaction: what will say whether each is there
        self._producer = clients.producer(transactional_id=identity)
        if identity is not None:
            with closed_unless_done(self.close):
                self._producer.init_transactions()

    def _await(self, topic: str, partition: int) -> None:
        while partition >= self._counts.get(topic, 0):
            self._counts[topic] = len(self._producer.partitions_for(topic))
            if partition >= self._counts[topic]:  # it asks the brokers by itself
                time.sleep(METADATA_WAIT_S)

    def append(
        self, topic: str, records: Sequence[Outgoing], timestamp_ms: int, *, partitions: int
    ) -> list[tuple[int, int]]:
        """Write records outside of transactions."""
        with _raised():
            self._await(topic, partitions - 1)
            sent = [
                self._producer.send(
                    topic, it.value, it.key, list(it.headers), it.partition, timestamp_ms
                )
                for it in records
            ]
            self._producer.flush()
            places = [future.get() for future in sent]
        return [(place.partition, place.offset) for place in places]

    def begin(self, places: Iterable[Place]) -> None:
        """Begin a transaction."""
        with _raised():
            for topic, partition in places:
                self._await(topic, partition)
            self._producer.begin_transaction()
        self._sent.clear()

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None,
        timestamp_ms: int,
        headers: Headers = (),
    ) -> None:
        """Add a record."""
        more = list(headers) if headers else None
        try:
            sent = self._producer.send(topic, value, key, more, partition, timestamp_ms)
        except (KafkaError, ValueError) as error:  # of a partition that it has forgotten again
            raise ClientError.of(error) from error
        self._sent.append(sent)

    def send_positions(self, positions: Mapping[Place, Position], membership: Any) -> None:
        """Add positions."""
        offsets = {
            TopicPartition(*place): OffsetAndMetadata(position.offset, position.metadata, -1)
            for place, position in positions.items()
        }
        with _raised():
            self._producer.send_offsets_to_transaction(offsets, membership)

    def flush(self) -> None:
        """Wait until the brokers have every record."""
        with _raised():
            for sent in self._sent:  # the client's own does not wait for batches cut in two
                if not sent.succeeded():
                    sent.get()

    def commit(self) -> None:
        """Make everything visible, once each record is known to be there.

        The client commits without a record that it gave up on; and when the brokers gave up the
        transaction, its call to commit comes back as if all were well.
        """
        self.flush()
        with _raised():
            self._producer.commit_transaction()

    def abort(self) -> None:
        """Make nothing visible."""
        with _raised():
            self._producer.abort_transaction()

    def close(self) -> None:
        """Release everything."""
        with suppress(KafkaError):
            self._producer.close(timeout=CLOSE_MS / 1_000, null_logger=True)


def _records(fetched: Sequence[Any]) -> list[Record]:
    """Return the port's records for the client's; a tombstone has an empty value."""
    return [
        Record(one.partition, one.offset, one.timestamp, one.key, one.value or b"")
        for one in fetched
    ]


@contextmanager
def _raised() -> Iterator[None]:
    """Raise a `ClientError` for whatever the client raises."""
    try:
        yield
    except OffsetOutOfRangeError as error:
        lost: Any = error.args[0] if error.args else None
        if not isinstance(lost, dict):
            raise ClientError.of(error) from error
        (place, offset), *_ = lost.items()
        raise OutOfRange((place.topic, place.partition), int(offset)) from error
    except (KafkaError, ValueError) as error:
        raise ClientError.of(error) from error
