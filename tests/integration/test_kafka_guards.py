"""Traps of kafka-python 3.0.12 around transactions: a test for each, red without its guard.

What goes wrong is made from outside where that can be: by a second client, by the coordinator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import GroupAuthorizationFailedError, KafkaError
from kafka.producer import sender
from kafka.structs import OffsetAndMetadata

from stream_al.errors import Ambiguous, ConfigurationError, Fenced, Rewound
from stream_al.port import METADATA_BYTES_MAX, Position
from stream_al_connectors.kafka import pure, settings
from tests.integration.group_on_kafka import (
    Group,
    Hung,
    commit,
    ended_by_deadline,
    polling,
    send,
    until,
)
from tests.kafka_fixture import Broker, Staged


@pytest.fixture
def group(staged: Staged) -> Iterator[Group]:
    """Give topics with two partitions, and a group that reads the one."""
    with ended_by_deadline():
        made = Group(staged.broker)
        yield made
        made.close()


def test_offsets_of_an_aborted_transaction_are_not_committed_by_the_next(group: Group) -> None:
    """The client remembers them over the abort, so its producer goes with it."""
    member = group.owner()
    group.expel(member)
    with pytest.raises(Rewound):
        commit(group, member, (0, Position(40, "aborted")))
    group.own(member)

    commit(group, member, (1, Position(10, "right")))

    assert group.committed(1) == Position(10, "right")
    assert group.committed(0) is None


def test_a_member_that_was_forgotten_takes_nothing_back(group: Group) -> None:
    """The client then offers generation -1, which brokers take from anybody without a name."""
    member = group.owner("0")
    group.expel(member)
    heir = group.owner("1")
    commit(group, heir, (0, Position(100, "heir")))

    with pytest.raises(Rewound):
        commit(group, member, (0, Position(5, "late")))

    assert group.committed(0) == Position(100, "heir")


def test_the_identities_of_a_slot_are_fixed(group: Group) -> None:
    """A restart gets its partitions back without a new deal, and ends what it left open."""
    member = group.owner("7")
    left_open = group.producer(member.instance)
    left_open.begin_transaction()
    left_open.send(group.other, b"never committed", partition=0).get()
    assert group.log.end(group.other, 0) == 0
    dealt = member.reader._consumer.group_metadata()
    member.left = True  # it died
    member.reader._consumer.close(autocommit=False, timeout_ms=0)

    again = group.owner("7")

    assert again.reader._consumer.group_metadata().generation_id == dealt.generation_id
    assert group.log.end(group.other, 0) > 0


def test_a_join_that_goes_on_behind_a_poll_gives_no_right_to_commit(group: Group) -> None:
    """The client has the new generation before it says that its partitions went to others."""
    slow, member = group.consumer("1"), group.join("9")
    mine = TopicPartition(group.events, 1)
    with polling(slow):
        group.own(member, count=1)
    third = group.consumer("2")
    with polling(third):
        # Its heartbeat is told, and its join waits for the slow one.
        until(lambda: member.poll(limit=1, timeout_s=0.05) and member._membership is None)
        assert list(member.owned) == [1]
        with polling(slow):
            until(lambda: mine in third.assignment())
    third.commit({mine: OffsetAndMetadata(100, "third", -1)})

    with pytest.raises(Fenced):
        commit(group, member, (1, Position(5, "zombie")))

    assert group.committed(1) == Position(100, "third")


def test_a_topic_that_is_not_there_is_refused_before_the_client_waits_for_ever(
    group: Group,
) -> None:
    """Offsets for an unknown topic are sent again and again; a missing partition is the same."""
    member = group.owner()

    for topic, partition in ((f"{group.events}s", 0), (group.other, 2)):
        with (
            pytest.raises(ConfigurationError, match=r"is not in this log|does not exist"),
            member.transaction() as transaction,
        ):
            transaction.commit_position(topic, partition, Position(1))

    commit(group, member, (0, Position(1)))
    assert group.committed(0) == Position(1)


@pytest.mark.parametrize("step", ["begin", "second record"])
def test_a_fenced_producer_is_told_by_each_of_its_names(
    group: Group, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """In the middle of a transaction the client tries to renew itself, and says so instead."""
    member = group.owner()
    producer: Any = member._writer._producer
    inner, sent = producer.send, []

    def fenced_between(*arguments: object, **more: object) -> object:
        if sent:
            producer.flush()
            group.producer(member.instance)
        sent.append(inner(*arguments, **more))
        if len(sent) > 1:
            with suppress(KafkaError):
                producer.flush()
        return sent[-1]

    if step == "begin":
        group.producer(member.instance)
    else:
        monkeypatch.setattr(producer, "send", fenced_between)

    with pytest.raises(Fenced, match="another process with the same slot") as raised:
        send(group, member, b"one", b"two")

    assert not isinstance(raised.value, Rewound)
    assert ("Epoch" in str(raised.value.__cause__)) == (step != "begin")
    assert group.log.read(group.other, 1, 0, limit=9) == []


def test_a_record_that_is_too_large_is_refused_before_it_spoils_the_producer(group: Group) -> None:
    """After a broker's refusal the next transaction fails as well."""
    member = group.owner()
    bytes_max = group.clients.record_bytes_max

    with pytest.raises(ConfigurationError, match=f"a record of {bytes_max + 1:,} bytes is larger"):
        send(group, member, b"x" * (bytes_max + 1))

    send(group, member, b"x" * bytes_max)
    until(lambda: len(group.log.read(group.other, 1, 0, limit=9)) == 1)  # its marker takes a moment


def test_a_topic_that_takes_smaller_records_is_told(group: Group) -> None:
    """A restart would meet the same record: exit 2, and nothing of the transaction is there."""
    smaller = {"max.message.bytes": "1000"}
    group.admin.alter_configs([ConfigResource("TOPIC", group.other, smaller)])
    member = group.owner()

    with pytest.raises(ConfigurationError, match="a topic takes smaller records"):
        send(group, member, b"small", os.urandom(2_000))

    assert group.log.read(group.other, 1, 0, limit=9) == []


def test_metadata_that_is_too_long_is_refused_before_it_is_fatal(group: Group) -> None:
    """One byte too many, and the client can't even abort; bytes count, not characters."""
    member = group.owner()
    text = "ä" * (METADATA_BYTES_MAX // 2)

    with pytest.raises(ConfigurationError, match="4096 bytes"):
        commit(group, member, (0, Position(1, f"{text}ä")))

    commit(group, member, (0, Position(2, text)))
    assert group.committed(0) == Position(2, text)


@pytest.mark.parametrize("known", [False, True])
def test_a_record_that_could_not_be_sent_is_not_passed_over(
    group: Group, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The client gives up on it, and would then commit the rest of the transaction."""
    quick = {"max_block_ms": 500}
    monkeypatch.setattr(settings, "KafkaProducer", lambda **all_: KafkaProducer(**(all_ | quick)))
    member = group.owner()
    writer: Any = member._writer
    if known:
        send(group, member, b"while the topic is there")
    group.log.partition_count(group.other)
    group.admin.delete_topics([group.other])
    until(lambda: group.other not in group.admin.list_topics())
    until(lambda: _forgotten(writer._producer._metadata, group.other))

    with pytest.raises(Ambiguous, match="restart this worker"):
        commit(group, member, (0, Position(1)))

    assert group.committed(0) is None


def _forgotten(metadata: Any, topic: str) -> bool:
    """Whether a client has heard that there is no such topic."""
    metadata.request_update()
    return metadata.partitions_for_topic(topic) is None


def test_a_poll_gives_what_is_there_now(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client holds an answer that came right behind the last poll, and would give only that."""
    member = group.owner()
    fetcher = member.reader._consumer._fetcher
    until(lambda: not fetcher._nodes_with_pending_fetch_requests)
    fetcher.config["fetch_max_wait_ms"] = 30_000
    assert not member.poll(limit=9, timeout_s=0.0).records  # but it has asked
    group.fill(1)
    until(lambda: fetcher._completed_fetches)
    group.fill(2)
    monkeypatch.setattr(pure, "FRESH_S", 10.0)  # no machine is so slow

    assert [it.offset for it in member.poll(limit=9, timeout_s=0.0).records] == [0, 1, 2]


class _Naps:
    """The module `time` as the client has it, that notes what is slept."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        time.sleep(seconds)


def test_an_error_behind_records_is_told_once_they_are_handed_out(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gives records out once: whoever raises over them has lost them."""
    member = group.owner()
    consumer: Any = member.reader._consumer
    group.fill(1)
    inner, given = consumer.poll, []

    def refused_behind(*_: object, max_records: int) -> object:
        if given:
            raise GroupAuthorizationFailedError
        while not (found := inner(50, max_records=max_records)):
            pass
        given.append(found)
        return found

    monkeypatch.setattr(consumer, "poll", refused_behind)

    assert [it.offset for it in member.poll(limit=9, timeout_s=0.0).records] == [0]
    with pytest.raises(ConfigurationError, match="the broker refuses"):
        member.poll(limit=9, timeout_s=0.0)


def test_a_transaction_right_behind_another_sleeps_little(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sleeps its whole back-off, 100 ms by itself, while the last one is being ended."""
    naps = _Naps()
    monkeypatch.setattr(sender, "time", naps)
    member = group.owner()
    offsets = iter(range(1, 10_000))

    def met_the_last_one() -> bool:
        commit(group, member, (0, Position(next(offsets))))
        return bool(naps.slept_s)

    until(met_the_last_one)

    assert max(naps.slept_s) <= 0.02


def test_a_call_that_does_not_come_back_ends_the_process(staged: Staged) -> None:
    """The client waits for ever for an answer that was lost; the line says what for."""
    with ended_by_deadline():
        group = Group(Broker([f"127.0.0.1:{staged.proxy.port}"]), deadline="3s")
        member = group.owner()
        staged.proxy.mode = "hold"
        started = time.monotonic()
        try:
            with pytest.raises(Hung, match=r"^deadline: a transaction of .* has not ended"):
                commit(group, member, (0, Position(1)))
        finally:
            staged.proxy.mode = "pass"
        group.hung = None  # the network is back, and so is the call
        assert time.monotonic() - started < 10.0  # before the client's own time-out
        group.close()
        group.admin.close()
