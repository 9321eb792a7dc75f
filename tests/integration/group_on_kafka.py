"""A consumer group on a real broker, its members in this process, each with its own clients."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove

from stream_al.config import Config
from stream_al.port import Outgoing, Position
from stream_al_connectors.kafka import KafkaLog
from stream_al_connectors.kafka.member import KafkaMember
from stream_al_connectors.kafka.settings import Clients
from tests.kafka_fixture import Broker

POLL_S = 0.05


class Hung(Exception):
    """A call outlived its deadline; elsewhere that ends the process."""


class Group:
    """Topics of its own, and who reads `events`.

    Attributes
    ----------
    events, other
        Full names of two topics; the first is the group's. Made, unless `app` has them.
    hung
        The line of a call that outlived its deadline.
    """

    def __init__(
        self, broker: Broker, *, partitions: int = 2, app: str | None = None, **log: Any
    ) -> None:
        self.admin = broker.admin
        made, app = app is None, app or broker.new_app()
        self.name, self.events, self.other = f"{app}.scorer", f"{app}.events", f"{app}.queries"
        if made:
            broker.create({self.events: partitions, self.other: partitions, f"{app}.journal": 1})
        # A session that no slow machine outlives; whoever has to go is expelled.
        section = broker.log_section() | {"session_timeout": "30s", "deadline": "20s"}
        self.config = Config.model_validate(
            {"app": app, "topics": {"partitions": partitions}, "log": section | log}
        )
        self.clients = Clients.of(self.config)
        self.hung: str | None = None
        self._logs: list[KafkaLog] = []
        self._consumers: list[KafkaConsumer] = []
        self._producers: list[KafkaProducer] = []
        self.log = self._open()

    def _open(self) -> KafkaLog:
        log = KafkaLog(self.config)
        log._deadline._expire = self._end_test
        self._logs.append(log)
        return log

    def join(self, slot: str = "0") -> KafkaMember:
        """Become a member, as a process of its own would."""
        return self._open().join(self.name, self.events, name=slot)

    def owner(self, slot: str = "0") -> KafkaMember:
        """Return a member that owns every partition and reads them from their beginning."""
        member = self.join(slot)
        self.own(member)
        return member

    def own(self, *members: KafkaMember, count: int | None = None) -> None:
        """Poll `members`, all at once, until they own `count` partitions; all when left out."""
        wanted = self.log.partition_count(self.events) if count is None else count
        with ThreadPoolExecutor(len(members)) as pool:

            def settled() -> bool:
                list(pool.map(_step, members))
                owned = sum(len(member.owned) for member in members)
                return owned == wanted and all(it._membership is not None for it in members)

            until(settled)

    def expel(self, member: KafkaMember) -> None:
        """Let the coordinator forget a member, as it does when a session ends."""
        removed = [MemberToRemove(group_instance_id=member.instance)]
        self.admin.remove_group_members(self.name, removed)
        until(
            lambda: member.reader._consumer.group_metadata().generation_id < 0
        )  # it has heard of it

    def fill(self, count: int, partition: int = 0) -> None:
        """Append events."""
        self.log.append(self.events, [Outgoing(b"e", partition=partition)] * count)

    def committed(self, partition: int = 0) -> Position | None:
        """Return what the group committed."""
        return self.log.committed(self.name, self.events, partition)

    def consumer(self, slot: str) -> KafkaConsumer:
        """Return a member of the group that is the client's own, and subscribed."""
        found = self.clients.consumer(
            group_id=self.name,
            group_instance_id=f"{self.name}-{slot}",
            auto_offset_reset="earliest",
        )
        self._consumers.append(found)
        found.subscribe([self.events])
        return found

    def producer(self, transactional_id: str) -> KafkaProducer:
        """Return a producer that has begun its life: who had its id is fenced."""
        producer = self.clients.producer(transactional_id=transactional_id)
        self._producers.append(producer)
        producer.init_transactions()
        return producer

    def _end_test(self, line: str) -> None:
        self.hung = line
        _lines.append(line)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR1)

    def close(self) -> None:
        """Close every client; but one that hung would hang again."""
        if self.hung is not None:
            return
        for log in self._logs:
            log.close()
        for consumer in self._consumers:
            consumer.close(autocommit=False, timeout_ms=0)
        for producer in self._producers:
            producer.close(timeout=1.0, null_logger=True)


def commit(group: Group, member: KafkaMember, *positions: tuple[int, Position]) -> None:
    """Commit positions of events, and a record for each beside them."""
    with member.transaction() as transaction:
        for partition, position in positions:
            transaction.append(group.other, partition, b"q")
            transaction.commit_position(group.events, partition, position)


def _step(member: KafkaMember) -> None:
    for partition in member.poll(limit=100, timeout_s=POLL_S).assigned:
        member.seek(partition, 0)


def send(group: Group, member: KafkaMember, *values: bytes) -> None:
    """Commit records in partition 1 of `other`, and no position."""
    with member.transaction() as transaction:
        for value in values:
            transaction.append(group.other, 1, value)


@contextmanager
def polling(*consumers: KafkaConsumer) -> Iterator[None]:
    """Let the client's own consumers live, each on a thread of its own."""
    ended = threading.Event()

    def poll(consumer: KafkaConsumer) -> None:
        while not ended.is_set():
            consumer.poll(50)

    with ThreadPoolExecutor(len(consumers)) as pool:
        lives = [pool.submit(poll, consumer) for consumer in consumers]
        try:
            yield
        finally:
            ended.set()
    for life in lives:
        life.result()


def until(true: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@contextmanager
def ended_by_deadline() -> Iterator[None]:
    """Let a call that hangs end the test, with the line that would end a process."""

    def hung(*_: object) -> None:
        raise Hung(_lines.pop())

    before = signal.signal(signal.SIGUSR1, hung)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


_lines: list[str] = []
