"""A simulation's log on a real broker, and logs elsewhere that use up offsets as a broker does.

A broker answers in its own time, a simulation has none: here every read and every poll waits until
it has what there is, so that the same steps find the same records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from kafka import TopicPartition

from stream_al.config import Config
from stream_al.port import Batch, Headers, Log, Outgoing, Position, Record, Transaction
from stream_al_connectors.opening import topics_of
from stream_al_connectors.sharing import placed
from tests.contracts.prefixed import Prefixed
from tests.kafka_fixture import Broker
from tests.simulation.places import Place

WAIT_S = 30.0
Records = set[tuple[str, int]]


class KafkaPlace:
    """Topics of its own on a broker."""

    def __init__(
        self,
        broker: Broker,
        config: Config,
        clock: Callable[[], int],
        *,
        transport: str = "kafka-python",
    ) -> None:
        self._broker = broker
        self._prefix = f"{broker.new_app()}."
        broker.create({self._prefix + name: count for name, count in topics_of(config).items()})
        own = Config.model_validate(
            {"app": self._prefix + config.app, "log": broker.log_section(transport)}
        )
        self._inner = Prefixed(own, prefix=self._prefix, clock=clock)
        self.log: Any = PatientLog(self._inner)

    def expel(self, member: Any) -> None:
        """Let a member be dead: its client is gone, and says nothing to the group."""
        dead = member.inner.inner
        dead.left = True
        dead.reader.close()

    def burn(self, topic: str, partition: int, count: int) -> None:
        raise NotImplementedError("a broker uses up offsets by itself")

    def compact(self, topic: str, begin: int) -> None:
        self._broker.admin.delete_records({TopicPartition(self._prefix + topic, 0): begin})

    def grow(self, topics: dict[str, int]) -> None:
        raise NotImplementedError("see test_kafka.py for partitions that are added")

    def close(self) -> None:
        self._inner.close()


class PatientLog:
    """A log whose reads wait."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(
        self, topic: str, partition: int, offset: int, *, limit: int, wait: bool = True
    ) -> list[Record]:
        del wait
        found: list[Record] = self._inner.read(topic, partition, offset, limit=limit, wait=True)
        return found

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        """Append where the other logs do: clients of brokers hash keys in another way."""
        count = self._inner.partition_count(topic)
        turn = sum(self._inner.ends(topic))
        places = placed(records, count, turn)
        return list(
            self._inner.append(
                topic,
                [replace(one, partition=at) for one, at in zip(records, places, strict=True)],
            )
        )

    def join(self, group: str, topic: str, *, name: str) -> PatientMember:
        return PatientMember(self._inner.join(group, topic, name=name))


class PatientMember:
    """A member whose polls wait for everything that there is."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        del timeout_s
        records: list[Record] = []
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            batch = self.inner.poll(limit=limit - len(records), timeout_s=0.02)
            records += batch.records
            moved = bool(batch.assigned or batch.revoked)
            if moved or (self.inner.owned and not any(self.inner.lag().values())):
                in_order = sorted(records, key=lambda one: (one.partition, one.offset))
                return Batch(in_order, batch.assigned, batch.revoked)
            if len(records) >= limit:
                break
        return Batch(sorted(records, key=lambda one: (one.partition, one.offset)))


class MarkedLog:
    """A log whose commits use up an offset in each partition they write to, as on a broker."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._inner: Any = place.log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def join(self, group: str, topic: str, *, name: str) -> MarkedMember:
        return MarkedMember(self._inner.join(group, topic, name=name), self._place)


class MarkedMember:
    """A member of a `MarkedLog`."""

    def __init__(self, inner: Any, place: Place) -> None:
        self.inner = inner
        self._place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        with self.inner.transaction() as transaction:
            noted = _Noted(transaction)
            yield noted
        for topic, partition in sorted(noted.places):
            self._place.burn(topic, partition, 1)


class _Noted:
    """A transaction that knows where it wrote to."""

    def __init__(self, inner: Transaction) -> None:
        self.places: Records = set()
        self._inner = inner
        self.commit_position: Callable[[str, int, Position], None] = inner.commit_position

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        self.places.add((topic, partition))
        self._inner.append(topic, partition, value, key, headers)


def marked(place: Place) -> Place:
    """Let a place use up offsets as a broker does."""
    log: Log | Any = MarkedLog(place)
    expel = place.expel
    place.log = log
    place.expel = lambda member: expel(member.inner)  # type: ignore[method-assign]
    return place
