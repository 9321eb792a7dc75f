"""Transactions that the brokers' coordinator holds for ended, and no partition has heard of.

Met once after `kill -9` of a broker that had one open; made here by what looks alike from outside:
brokers that don't verify take records and positions that their coordinator never hears of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.admin import ConfigResource
from kafka.protocol.producer.produce import ProduceRequest
from kafka.protocol.producer.transaction import TxnOffsetCommitRequest
from kafka.record.default_records import DefaultRecordBatchBuilder

from stream_al.port import Position
from tests.chaos.run import TRANSPORTS
from tests.integration.group_on_kafka import Group, commit, ended_by_deadline, until
from tests.kafka_fixture import Staged

VERIFIED = "transaction.partition.verification.enable"
BATCH_BYTES = 10_000
"""Of the stale record's batch, at most."""


@pytest.fixture(params=TRANSPORTS)
def group(staged: Staged, request: pytest.FixtureRequest) -> Iterator[Group]:
    """Give a group on a broker that verifies nothing, by each transport."""
    admin = staged.broker.admin
    nothing = ConfigResource("BROKER", "1", {VERIFIED: "false"})
    admin.alter_configs([nothing])
    with ended_by_deadline():
        made = Group(staged.broker, transport=request.param)
        yield made
        made.close()
    admin.alter_configs([ConfigResource("BROKER", "1", {VERIFIED: "true"})])


def _leave_hanging(group: Group, identity: str) -> None:
    """Write a record and a position as `identity`, of a transaction that nobody will end."""
    producer = group.producer(identity)
    holder: Any = producer._transaction_manager.producer_id_and_epoch
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=True,
        producer_id=holder.producer_id,
        producer_epoch=holder.epoch,
        base_sequence=0,
        batch_size=BATCH_BYTES,
    )
    batch.append(0, timestamp=time.time_ns() // 1_000_000, key=None, value=b"stale", headers=[])
    topic = ProduceRequest.TopicProduceData
    data = topic.PartitionProduceData(index=0, records=bytes(batch.build()))
    said = _ask(
        group,
        ProduceRequest(
            transactional_id=identity,
            acks=-1,
            timeout_ms=10_000,
            topic_data=[topic(name=group.other, partition_data=[data])],
            max_version=9,
        ),
    )
    assert said.responses[0].partition_responses[0].error_code == 0, said
    positions = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic
    position = positions.TxnOffsetCommitRequestPartition(
        partition_index=0,
        committed_offset=50,
        committed_leader_epoch=-1,
        committed_metadata="stale",
    )
    said = _ask(
        group,
        TxnOffsetCommitRequest(
            transactional_id=identity,
            group_id=group.name,
            producer_id=holder.producer_id,
            producer_epoch=holder.epoch,
            generation_id=-1,
            member_id="",
            group_instance_id=None,
            topics=[positions(name=group.events, partitions=[position])],
            max_version=3,
        ),
    )
    assert said.topics[0].partitions[0].error_code == 0, said


def _ask(group: Group, request: Any) -> Any:
    manager: Any = group.admin._manager
    return manager.run(lambda: manager.send(request, node_id=1))


def test_what_hangs_is_ended_by_its_identity_and_never_comes_to_count(group: Group) -> None:
    """Else its positions are waited for without end, and its record counts with the next ones."""
    member = group.owner("0")
    commit(group, member, (0, Position(3, "right")))
    member.left = True  # it died
    member.reader.close()
    _leave_hanging(group, member.instance)
    heir = group.owner("0")

    found = group._logs[-1].committed(group.name, group.events, 0)
    commit(group, heir, (0, Position(4, "next")))

    assert found == Position(3, "right")
    until(lambda: group.committed(0) == Position(4, "next"))
    values = [record.value for record in group.log.read(group.other, 0, 0, limit=9)]
    assert values == [b"q", b"q"]
