"""The writer of `clients.py` by librdkafka, with and without transactions. The extra `fast`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream_al.port import Headers, Outgoing, Position
from stream_al_connectors.kafka.clients import Place
from stream_al_connectors.kafka.fast_doubts import error_of, raised

BEGIN_S = 15.0
SERVE_S = 0.1
_NOT_YET = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)
"""Said by a broker that was just started: the log has seen the topic."""


class FastWriter:
    """See `clients.Writer`."""

    def __init__(self, settings: dict[str, Any], *, transactional: bool) -> None:
        self._counts: dict[str, int] = {}  # topic → partitions that the client has heard of
        with raised():
            self._producer = Producer(settings)
            if transactional:
                self._producer.init_transactions(BEGIN_S)

    def _await(self, topic: str, partition: int) -> None:
        while partition >= self._counts.get(topic, 0):
            found = self._producer.list_topics(topic, BEGIN_S).topics[topic]
            if found.error is not None and found.error.code() not in _NOT_YET:
                raise error_of(found.error)
            self._counts[topic] = len(found.partitions)
            if partition >= self._counts[topic]:
                time.sleep(SERVE_S)

    def append(
        self, topic: str, records: Sequence[Outgoing], timestamp_ms: int, *, partitions: int
    ) -> list[tuple[int, int]]:
        """Write records outside of transactions."""
        with raised():
            self._await(topic, partitions - 1)
        places: dict[int, tuple[int, int]] = {}
        failures: list[KafkaError] = []

        def delivered(index: int, error: KafkaError | None, message: Any) -> None:
            if error is not None:
                failures.append(error)
            places[index] = (message.partition(), message.offset())

        for index, it in enumerate(records):
            at = -1 if it.partition is None else it.partition
            heard = partial(delivered, index)
            self.send(topic, at, it.value, it.key, timestamp_ms, it.headers, heard)
        while len(places) < len(records):
            self._producer.poll(SERVE_S)
        if failures:
            raise error_of(failures[0])
        return [places[index] for index in range(len(records))]

    def begin(self, places: Iterable[Place]) -> None:
        """Begin a transaction."""
        with raised():
            for topic, partition in places:
                self._await(topic, partition)
            self._producer.begin_transaction()

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None,
        timestamp_ms: int,
        headers: Headers = (),
        delivered: Any | None = None,
    ) -> None:
        """Add a record."""
        more: Any = list(headers) if headers else None
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, delivered, None, timestamp_ms, more
                )
            except BufferError:  # as much waits here as may: until some is sent
                self._producer.poll(SERVE_S)
            except KafkaException as error:
                raise error_of(error.args[0]) from error
            else:
                return

    def send_positions(self, positions: Mapping[Place, Position], membership: Any) -> None:
        """Add positions."""
        offsets = [
            TopicPartition(*place, position.offset, position.metadata)
            for place, position in positions.items()
        ]
        with self._heard():
            self._producer.send_offsets_to_transaction(offsets, membership)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Hear what the client has to say of throttling, also where its call fails."""
        try:
            with raised():
                yield
        finally:
            with suppress(KafkaException):  # of one that is lost: the call has said so
                self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the brokers have every record."""
        with raised():
            self._producer.flush()

    def commit(self) -> None:
        """Make everything visible."""
        with self._heard():
            self._producer.commit_transaction()

    def abort(self) -> None:
        """Make nothing visible."""
        with raised():
            self._producer.abort_transaction()

    def close(self) -> None:
        """Release everything: what was not committed is not there."""
        self._producer.purge()
        del self._producer
