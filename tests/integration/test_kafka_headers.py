"""Dead letters on a broker carry what tools for dead letters look for, and nothing else changes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from stream_al.errors import ConfigurationError
from stream_al_connectors.kafka import KafkaLog
from stream_al_connectors.kafka.settings import Clients
from tests.chaos.deploying import deploy
from tests.integration.conftest import Deployment, native
from tests.kafka_fixture import Broker

NAMES = ["exception", "message", "stacktrace", "topic", "partition", "offset"]


def raw_records(kafka: Broker, topic: str, partitions: Sequence[int]) -> list[Any]:
    """Return a topic's committed records as any program sees them, by the client alone."""
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed"
    )
    places = [TopicPartition(topic, partition) for partition in partitions]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    found: list[Any] = []
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(200).values():
            found += records
    consumer.close()
    return found


def test_dead_letters_carry_the_headers_of_kafka_streams(
    deployment: Deployment, kafka: Broker
) -> None:
    """Letters of scorer and resolver say class, message and place; a redrive sends each once."""
    app = kafka.new_app()
    deploy(deployment, app=app, bootstrap_servers=kafka.bootstrap_servers)
    deployment.send(native(1), b'{"event_id": "x"}', b"{broken")
    deployment.send(b'{"event_id": "e-1"', topic="labels")
    deployment.done("run", "--until-idle")

    letters = raw_records(kafka, f"{app}.dead-letters", range(4))

    assert len(letters) == 3
    for record in letters:
        body = json.loads(record.value)
        headers = dict(record.headers)
        assert list(headers) == [f"__streams.errors.{name}" for name in NAMES]
        said = {name: headers[f"__streams.errors.{name}"].decode() for name in NAMES}
        assert (said["exception"], said["message"]) == (body["error"], body["message"])
        assert said["stacktrace"] == f"{body['error']}: {body['message']}"
        place = (body["topic"], str(body["partition"]), str(body["offset"]))
        assert (said["topic"], said["partition"], said["offset"]) == place
    assert {json.loads(record.value)["topic"] for record in letters} == {
        f"{app}.events",
        f"{app}.labels",
    }

    deployment.done("dead-letters", "redrive", "--where", "topic=events")
    deployment.done("dead-letters", "redrive", "--where", "topic=events")

    bodies = [json.loads(record.value) for record in letters]
    raws = [b64decode(one["raw_base64"]) for one in bodies if one["topic"] == f"{app}.events"]
    events = [record.value for record in raw_records(kafka, f"{app}.events", range(4))]
    assert sorted(events) == sorted([json.dumps(native(1)).encode(), *raws, *raws])
    later = raw_records(kafka, f"{app}.dead-letters", range(4))
    marks = [record for record in later if json.loads(record.value).get("redrives")]
    assert [mark.headers for mark in marks] == [[], []]


def test_headers_count_where_a_record_is_too_large(deployment: Deployment, kafka: Broker) -> None:
    """Headers that a broker would refuse are refused before anything is sent."""
    app = kafka.new_app()
    deploy(deployment, app=app, bootstrap_servers=kafka.bootstrap_servers)
    config = deployment.config
    log = KafkaLog(config)
    member = log.join("g", config.topic("events"), name="w")
    while not member.owned:
        member.poll(limit=1, timeout_s=0.5)
    too_much = [("h", bytes(Clients.of(config).record_bytes_max))]

    with (
        pytest.raises(ConfigurationError, match="is larger than"),
        member.transaction() as transaction,
    ):
        transaction.append(config.topic("dead_letters"), 0, b"x", headers=too_much)
    with member.transaction() as transaction:
        transaction.append(config.topic("dead_letters"), 0, b"y", headers=[("h", b"\xff")])

    log.close()
    [record] = raw_records(kafka, config.topic("dead_letters"), [0])
    assert (record.value, record.headers) == (b"y", [("h", b"\xff")])
