"""What every client must do on a real broker: be fenced, be rewound, tell what is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from kafka import KafkaConsumer, TopicPartition

from stream_al.config import Config
from stream_al.errors import ConfigurationError, Fenced, Gone, Rewound
from stream_al.port import Member, Outgoing, Position
from stream_al_connectors.kafka import KafkaLog, settings
from stream_al_connectors.kafka.clients import Transport, Writer
from stream_al_connectors.kafka.doubts import ClientError, Doubt
from stream_al_connectors.kafka.fast import FastTransport
from stream_al_connectors.kafka.pure import PureTransport
from stream_al_connectors.kafka.settings import Clients
from tests.kafka_fixture import Broker

TRANSPORTS = ("kafka-python", "fast")
WAIT_S = 30.0
LEAVES_S = 60.0


class Bench:
    """Topics of its own, and logs on them; each like a process of its own."""

    def __init__(self, broker: Broker, transport: str, stack: ExitStack) -> None:
        self.broker = broker
        self.app = broker.new_app()
        self.events, self.outputs = f"{self.app}.events", f"{self.app}.predictions"
        self.config = Config.model_validate(
            {"app": self.app, "log": broker.log_section(transport), "topics": {"partitions": 2}}
        )
        self._stack = stack
        broker.create({self.events: 2, self.outputs: 2})

    def log(self) -> KafkaLog:
        log = KafkaLog(self.config)
        self._stack.callback(log.close)
        return log

    def writer(self) -> Writer:
        clients = Clients.of(self.config)
        transport: Transport = (
            FastTransport(self.config, clients.request_bytes_max)
            if self.config.log.transport == "fast"
            else PureTransport(clients)
        )
        return transport.writer(f"{self.app}.w")

    def owner(self, *, owns: int = 2, name: str = "0") -> Member:
        member = self.log().join(f"{self.app}.g", self.events, name=name)
        poll_until(member, lambda: len(member.owned) == owns)
        return member


@pytest.fixture(params=TRANSPORTS)
def bench(request: pytest.FixtureRequest, kafka: Broker) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(kafka, request.param, stack)


def poll_until(member: Member, true: Callable[[], object], *, polls: bool = True) -> None:
    until_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until_s
        if polls:
            member.poll(limit=10, timeout_s=0.05)


def commit(bench: Bench, member: Member, offset: int) -> None:
    with member.transaction() as transaction:
        transaction.append(bench.outputs, 0, b"%d" % offset)
        for partition in member.owned:
            transaction.commit_position(bench.events, partition, Position(offset))


def test_a_slot_that_was_taken_over_is_fenced(bench: Bench) -> None:
    """Whoever starts with the same slot fences what the other one commits."""
    old = bench.owner()
    commit(bench, old, 1)
    new = bench.owner()

    with pytest.raises(Fenced, match="another process with the same slot") as told:
        commit(bench, old, 2)
    assert not isinstance(told.value, Rewound)
    commit(bench, new, 3)

    assert bench.log().committed(f"{bench.app}.g", bench.events, 0) == Position(3)


def test_a_slot_that_was_taken_over_polls_nothing_more(kafka: Broker) -> None:
    """The client hears of it by a heartbeat, and says why in words only."""
    with ExitStack() as stack:
        bench = Bench(kafka, "fast", stack)
        old = bench.owner()
        bench.owner()

        with pytest.raises(Fenced, match="another process with the same slot"):
            poll_until(old, lambda: False)


def test_what_was_polled_before_a_rebalance_is_not_committed_after_it(bench: Bench) -> None:
    """The generation is that of the poll: a commit with an old one rewinds, and is done again."""
    one = bench.owner()
    other = bench.log().join(f"{bench.app}.g", bench.events, name="1")
    before = one._membership  # type: ignore[attr-defined]

    def both_polled() -> bool:
        other.poll(limit=1, timeout_s=0.02)
        return len(one.owned) == len(other.owned) == 1

    poll_until(one, both_polled)
    held = list(one.owned)
    one._membership = before  # type: ignore[attr-defined] # as where it was busy meanwhile
    with pytest.raises(Rewound):
        commit(bench, one, 9)
    assert list(one.poll(limit=1, timeout_s=0.1).revoked) == held

    def committed() -> bool:
        with suppress(Rewound):
            commit(bench, one, 4)
            return True
        both_polled()
        return False

    poll_until(one, committed)

    log = bench.log()
    found = {n: log.committed(f"{bench.app}.g", bench.events, n) for n in range(2)}
    assert found == {n: Position(4) if n in one.owned else None for n in range(2)}

    def read() -> list[bytes]:
        return [record.value for record in log.read(bench.outputs, 0, 0, limit=9)]

    poll_until(one, read)  # the marker of a transaction takes a moment
    assert read() == [b"4"]


def test_what_the_brokers_gave_up_is_not_taken_for_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do so after the time-out of transactions, as when they were away for so long.

    kafka-python renews itself then, forgets its transaction, and says that it is committed.
    """
    monkeypatch.setattr(settings, "TRANSACTION_TIMEOUT_MS", 1_000)  # librdkafka keeps its 10 s
    log, writer = bench.log(), bench.writer()
    writer.begin([(bench.outputs, 0)])
    writer.send(bench.outputs, 0, b"in time", None, 1_000)
    until_s = time.monotonic() + WAIT_S
    while not log.end(bench.outputs, 0):  # there is the marker of an abort
        assert time.monotonic() < until_s
    writer.send(bench.outputs, 0, b"too late", None, 1_000)

    with pytest.raises(ClientError) as told:
        writer.commit()

    assert told.value.doubt in {Doubt.GIVEN_UP, Doubt.FENCED}
    assert log.read(bench.outputs, 0, 0, limit=9) == []
    writer.close()


def test_records_that_were_dropped_are_gone(bench: Bench) -> None:
    """Below the beginning: `Gone` from reads and polls, never silence, never the next record."""
    log = bench.log()
    log.append(bench.events, [Outgoing(b"%d" % n, partition=0) for n in range(5)])
    bench.broker.admin.delete_records({TopicPartition(bench.events, 0): 3})
    member = bench.owner()
    member.seek(0, 1)

    with pytest.raises(Gone, match="begins at offset 3"):
        log.read(bench.events, 0, 1, limit=1)
    with pytest.raises(Gone, match="begins at offset 3"):
        poll_until(member, lambda: False)
    assert [record.offset for record in log.read(bench.events, 0, 3, limit=9)] == [3, 4]


def test_a_partition_that_is_gone_takes_nothing_of_the_others_with_it(bench: Bench) -> None:
    """What came in the same poll is handed out, before or after the error."""
    log = bench.log()
    log.append(bench.events, [Outgoing(b"%d" % n, partition=n % 2) for n in range(400)])
    bench.broker.admin.delete_records({TopicPartition(bench.events, 0): 3})
    member = bench.owner()
    came: list[int] = []
    refused = 0

    def all_came() -> bool:
        nonlocal refused
        with suppress(Gone):
            refused += 1
            came.extend(record.offset for record in member.poll(limit=500, timeout_s=0.05).records)
            refused -= 1
        return len(came) >= 200

    member.seek(1, 0)
    member.seek(0, 1)
    poll_until(member, all_came, polls=False)

    assert came == list(range(200))
    if not refused:
        with pytest.raises(Gone, match="begins at offset 3"):
            poll_until(member, lambda: False)


def test_a_member_leaves_while_the_group_deals_out(bench: Bench) -> None:
    """What librdkafka tells while it closes can't be answered: it would wait with Python's lock."""
    where = [*bench.config.log.bootstrap_servers, bench.app, bench.config.log.transport]

    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.leaving", *where], timeout=LEAVES_S, check=False
    )

    assert ended.returncode == 0


def test_a_key_takes_the_same_partition_by_every_transport(kafka: Broker) -> None:
    """Labels of one event stay in order though people send them by different clients."""
    with ExitStack() as stack:
        first = Bench(kafka, TRANSPORTS[0], stack)
        kafka.create({f"{first.app}.wide": 16})
        keyed = [Outgoing(b"", key=b"event-%d" % n) for n in range(50)]
        found = []
        for transport in TRANSPORTS:
            section = kafka.log_section(transport)
            first.config = Config.model_validate({"app": first.app, "log": section})
            places = first.log().append(f"{first.app}.wide", keyed)
            found.append([partition for partition, _ in places])

    assert found[0] == found[1]
    assert len(set(found[0])) > 8


def test_headers_are_written(bench: Bench, kafka: Broker) -> None:
    """Names and values beside a record come back as they are."""
    writer = bench.writer()
    writer.begin([(bench.outputs, 0)])
    writer.send(bench.outputs, 0, b"plain", b"key", 1_000)
    writer.send(bench.outputs, 0, b"told", None, 2_000, [("a", b"1"), ("b", b"\xff")])
    writer.commit()
    writer.close()

    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="none")
    consumer.assign([TopicPartition(bench.outputs, 0)])
    consumer.seek(TopicPartition(bench.outputs, 0), 0)
    found = []
    while len(found) < 2:
        found += [one for some in consumer.poll(100).values() for one in some]
    consumer.close(autocommit=False)

    assert [(one.key, one.value, one.timestamp) for one in found] == [
        (b"key", b"plain", 1_000),
        (None, b"told", 2_000),
    ]
    assert [list(one.headers) for one in found] == [[], [("a", b"1"), ("b", b"\xff")]]


def test_a_transport_that_is_not_installed_is_named(
    kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.delitem(sys.modules, "stream_al_connectors.kafka.fast", raising=False)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    config = Config.model_validate({"app": kafka.new_app(), "log": kafka.log_section("fast")})

    with pytest.raises(ConfigurationError, match=r"pip install 'stream-al\[fast\]'"):
        KafkaLog(config)
