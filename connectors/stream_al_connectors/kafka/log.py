"""The log on Kafka, by kafka-python: see `stream_al.port` for what it promises.

Everything here is called from one thread, and whatever may wait for ever is under a deadline.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.port import Outgoing, Owner, Position, Record
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import guarded
from stream_al_connectors.kafka.groups import Groups
from stream_al_connectors.kafka.member import KafkaMember
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.kafka.tail import Tail
from stream_al_connectors.kafka.watch import Watch
from stream_al_connectors.locks import FileLock
from stream_al_connectors.sharing import no_such_partition, wall_clock_ms

COUNTS_KEPT_S = 5.0
"""Partitions that are added are seen after so long."""


class KafkaLog:
    """A log whose topics are a broker's.

    Parameters
    ----------
    config
        Whose topics they are, and where the brokers.
    clock
        Gives the record time of what is written here, in milliseconds since 1970.

    Raises
    ------
    ConfigurationError
        When the brokers can't be reached, or refuse.
    """

    def __init__(self, config: Config, *, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._config = config
        self._clock = clock
        self._clients = Clients.of(config)
        self._deadline = Deadline(config.log.deadline / 1_000)
        self._electing = config.topic("journal")
        self._members: list[KafkaMember] = []
        self._committed_of: dict[str, KafkaConsumer] = {}
        self._appending: KafkaProducer | None = None
        self._groups = Groups(self._clients, self._deadline)
        self._counts: dict[str, int] = {}
        self._counted_s = float("-inf")
        with self._guarded("connecting"):
            self._tail = Tail(self._clients.consumer(), self._deadline)

    # ------------------------------------------------------------------ reading

    def partition_count(self, topic: str) -> int:
        """Return how many partitions `topic` has; 0 when there is no such topic."""
        if time.monotonic() - self._counted_s > COUNTS_KEPT_S:
            consumer = self._tail.consumer
            with self._guarded("asking for the topics"):
                self._counts = {
                    name: len(consumer.partitions_for_topic(name)) for name in consumer.topics()
                }
            self._counted_s = time.monotonic()
        return self._counts.get(topic, 0)

    def begin(self, topic: str, partition: int) -> int:
        """Return the first offset that is still there."""
        place = self._place(topic, partition)
        with self._guarded("asking for a beginning"):
            return int(self._tail.consumer.beginning_offsets([place])[place])

    def end(self, topic: str, partition: int) -> int:
        """Return the offset after the last committed record: the last stable offset."""
        place = self._place(topic, partition)
        with self._guarded("asking for an end"):
            return int(self._tail.consumer.end_offsets([place])[place])

    def ends(self, topic: str) -> list[int]:
        """Return `end` of every partition in their order, in one request a broker."""
        places = [TopicPartition(topic, number) for number in range(self.partition_count(topic))]
        with self._guarded("asking for ends"):
            found = self._tail.consumer.end_offsets(places)
        return [int(found[place]) for place in places]

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        """Return up to `limit` committed records from `offset` on; see `stream_al.port`."""
        return self._tail.read(self._place(topic, partition), offset, limit=limit, wait=wait)

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first record not older than `timestamp_ms`, or the end."""
        place = self._place(topic, partition)
        with self._guarded("asking for a time"):
            found = self._tail.consumer.offsets_for_times({place: timestamp_ms})[place]
        return self.end(topic, partition) if found is None else int(found.offset)

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        """Return what `group` committed for a partition."""
        place = self._place(topic, partition)
        with self._guarded("asking for a committed position"):
            if group not in self._committed_of:
                self._committed_of[group] = self._clients.consumer(group_id=group)
            found = self._committed_of[group].committed(place, metadata=True)
        return None if found is None else Position(found.offset, found.metadata or "")

    # ------------------------------------------------------------------ writing

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append all records; return (partition, offset) of each.

        Without a transaction: it would hold back its neighbours, and put a marker after each batch.
        The producer is idempotent, so that what it sends again is there once.
        """
        count = self.partition_count(topic)
        for it in records:
            self._place(topic, it.partition or 0)
        keyless = any(it.partition is None and it.key is None for it in records)
        turn = sum(self.ends(topic)) if keyless else 0
        now_ms = self._clock()
        with self._guarded(f"appending to {topic!r}"):
            if self._appending is None:
                self._appending = self._clients.producer()
            sent = []
            for it in records:
                partition = it.partition
                if partition is None and it.key is None:
                    partition, turn = turn % count, turn + 1
                sent.append(
                    self._appending.send(
                        topic, it.value, key=it.key, partition=partition, timestamp_ms=now_ms
                    )
                )
            self._appending.flush()
            places = [future.get() for future in sent]
        return [(place.partition, place.offset) for place in places]

    def enforce_retention(self, keep_ms: dict[str, int], groups: dict[str, str]) -> int:
        """Drop nothing: the brokers keep each topic as long as its `retention.ms` says."""
        del keep_ms, groups
        return 0

    def rewrite(self, topic: str, partition: int, values: dict[int, bytes]) -> None:
        """Refuse: a broker never changes a record."""
        del partition, values
        raise ConfigurationError(
            f"{topic!r}: Kafka can't change records in place; copy the journal without them into "
            "a new topic and start from it, as docs/OPERATIONS.md tells"
        )

    # ------------------------------------------------------------------ members

    def join(self, group: str, topic: str, *, name: str) -> KafkaMember:
        """Become a member of `group` for the partitions of `topic`; `name` is the slot."""
        self._place(topic, 0)
        member = KafkaMember(
            self._clients,
            group,
            topic,
            name=name,
            elects=topic == self._electing,
            deadline=self._deadline,
            clock=self._clock,
            check=self._place,
            watch=Watch(self, self._groups),
            groups=self._groups,
        )
        self._members = [*(known for known in self._members if not known.left), member]
        return member

    def owners(self, group: str, topic: str) -> list[Owner]:
        """Return who owns each partition, as the group's coordinator knows it."""
        holders = self._groups.holders(group, topic)
        return [
            Owner(partition, holders.get(partition), None, 0, None)
            for partition in range(self.partition_count(topic))
        ]

    def claim(self, name: str) -> AbstractContextManager[None] | None:
        """Take a short claim among the processes of this machine; None when it is held.

        Enough for what lies on this machine, such as snapshots; what must be alone in the group
        is a member of one.
        """
        folder = Path(tempfile.gettempdir()) / f"stream-al-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        digest = blake2b(f"{self._config.app}/{name}".encode(), digest_size=8).hexdigest()
        lock = FileLock.take(folder / digest)
        return None if lock is None else _held(lock)

    def close(self) -> None:
        """Release every resource; members leave."""
        for member in self._members:
            member.leave()
        clients = [self._tail.consumer, *self._committed_of.values()]
        with self._guarded("closing"), suppress(KafkaError):
            for consumer in clients:
                consumer.close(autocommit=False)
            if self._appending is not None:
                self._appending.close(timeout=1.5)
        self._groups.close()
        self._deadline.close()

    # ------------------------------------------------------------------ small things

    def _place(self, topic: str, partition: int) -> TopicPartition:
        """Return the client's name of a place.

        Raises
        ------
        ConfigurationError
            When there is no such topic or partition.
        """
        count = self.partition_count(topic)
        if not 0 <= partition < count:
            self._counted_s = float("-inf")
            if not 0 <= partition < self.partition_count(topic):
                raise no_such_partition(topic, partition, self._counts)
        return TopicPartition(topic, partition)

    def _guarded(self, what: str) -> AbstractContextManager[None]:
        return guarded(self._deadline, what)


@contextmanager
def _held(lock: FileLock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release(delete=True)
