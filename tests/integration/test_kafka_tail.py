"""Reads of many partitions through one client, far behind their ends."""

from __future__ import annotations

import os

import pytest

from stream_al.config import Config
from stream_al.port import Outgoing
from stream_al_connectors.kafka import KafkaLog
from stream_al_connectors.kafka.fast_settings import FETCHED_KB_MAX
from stream_al_connectors.kafka.tail import AHEAD_BYTES_MAX, AHEAD_RECORDS_MAX
from tests.kafka_fixture import Broker

PARTITIONS = 4
RECORDS = 2 * AHEAD_RECORDS_MAX
CHUNK = 5_000
LARGE_BYTES = 256 << 10


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_partitions_far_behind_are_read_one_after_the_other(kafka: Broker, transport: str) -> None:
    """What is fetched ahead of its reader is bounded, and holds up nobody.

    With `pause` the client stood still for all partitions: kafka-python 3.0.12.
    """
    app = kafka.new_app()
    topics = [f"{app}.{name}" for name in ("predictions", "queries")]
    kafka.create(dict.fromkeys(topics, PARTITIONS))
    log = KafkaLog(Config.model_validate({"app": app, "log": kafka.log_section(transport)}))
    places = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
    value = os.urandom(300)
    for topic, partition in places:
        for _ in range(0, RECORDS, CHUNK):
            log.append(topic, [Outgoing(value, partition=partition)] * CHUNK)
    next_ = {place: len(log.read(*place, 0, limit=100)) for place in places}

    for place in places:
        while found := log.read(*place, next_[place], limit=1_000):
            assert found[0].offset == next_[place]
            next_[place] = found[-1].offset + 1

    log.close()
    assert set(next_.values()) == {RECORDS}


@pytest.mark.parametrize("transport", ["kafka-python", "fast"])
def test_large_records_fetched_ahead_are_bounded_by_their_bytes(
    kafka: Broker, transport: str
) -> None:
    """A hundred records that wait for their reader may be more than a worker's memory."""
    app = kafka.new_app()
    topic = f"{app}.queries"
    kafka.create({topic: 2})
    log = KafkaLog(Config.model_validate({"app": app, "log": kafka.log_section(transport)}))
    value, count = os.urandom(LARGE_BYTES), 5 * AHEAD_BYTES_MAX // LARGE_BYTES
    for partition in (0, 1):
        for _ in range(0, count, 10):
            log.append(topic, [Outgoing(value, partition=partition)] * 10)
    next_ = [len(log.read(topic, partition, 0, limit=1)) for partition in (0, 1)]

    for partition in (1, 0):
        while found := log.read(topic, partition, next_[partition], limit=10):
            next_[partition] = found[-1].offset + 1
            ahead = max(stream.size for stream in log._tail._streams.values())
            assert ahead < AHEAD_BYTES_MAX + FETCHED_KB_MAX * 1_024

    log.close()
    assert next_ == [count, count]
