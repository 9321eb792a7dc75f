"""`topics create` and `check` on a real broker: what differs is named with what mends it."""

from __future__ import annotations

from typing import Any

import pytest

from stream_al_connectors.kafka.topics import alter
from tests.integration.conftest import Deployment, native
from tests.kafka_fixture import Broker


@pytest.fixture
def app(deployment: Deployment, kafka: Broker) -> str:
    """Configure a deployment without topics, and return its prefix."""
    name = kafka.new_app()
    (deployment.folder / "gate.secret").write_text("0123456789abcdef" * 2)
    configure(deployment, kafka, name)
    return name


def configure(deployment: Deployment, kafka: Broker, app: str, **more: Any) -> None:
    """Write the configuration again."""
    own = {"app": app, "log": kafka.log_section(), "gate": {"secret_file": "gate.secret"}}
    deployment.configure(**(own | more))


def test_create_makes_what_misses_and_nothing_twice(
    deployment: Deployment, kafka: Broker, app: str
) -> None:
    """`check` names every missing topic; after `create` it is content, and a worker works."""
    checked = deployment.cli("check")
    assert checked.code == 2
    assert checked.err.count("there is no such topic") == 9
    assert "stream-al topics create" in checked.err

    first = deployment.done("topics", "create").out
    second = deployment.done("topics", "create").out

    assert first.count("created") == 9
    assert "unchanged" in second
    assert app in deployment.done("check").out
    topics = {one["name"]: one for one in kafka.admin.describe_topics()}
    assert len(topics[f"{app}.events"]["partitions"]) == 4
    assert len(topics[f"{app}.journal"]["partitions"]) == 1
    deployment.send(native(1))
    deployment.done("run", "--until-idle")
    assert len(deployment.messages("predictions")) == 1


def test_partitions_are_added_where_there_are_too_few(
    deployment: Deployment, kafka: Broker, app: str
) -> None:
    """The command that `check` names mends it."""
    deployment.done("topics", "create")
    gate = {"secret_file": "gate.secret"}
    configure(deployment, kafka, app, gate=gate, topics={"partitions": 6})

    checked = deployment.cli("check")
    created = deployment.done("topics", "create").out

    assert checked.code == 2
    assert f"{app}.events: 4 partitions, needs 6; `stream-al topics create`" in checked.err
    assert f"extended  {app}.queries: 4 → 6" in created
    deployment.done("check")


def test_inputs_grow_last_whatever_their_names_are(
    deployment: Deployment, kafka: Broker, app: str
) -> None:
    """Who gets a new partition of an input finds it in every topic that it writes to."""
    own = {"events": f"{app}-posts", "labels": f"{app}-answers", "queries": f"{app}.labels"}
    configure(deployment, kafka, app, topics=own)
    deployment.done("topics", "create")
    configure(deployment, kafka, app, topics=own | {"partitions": 6})

    extended = [
        line.split()[1].rstrip(":")
        for line in deployment.done("topics", "create").out.splitlines()
        if line.startswith("extended")
    ]

    assert set(extended[-2:]) == {own["events"], own["labels"]}
    assert {own["queries"], f"{app}.predictions", f"{app}.outcomes"} < set(extended[:-2])


@pytest.mark.parametrize(
    ("topic", "key", "value", "said"),
    [
        ("journal", "retention.ms", "1000", "retention.ms is 1,000, needs without end"),
        ("journal", "retention.bytes", "9999999", "retention.bytes is 9,999,999"),
        ("controls", "retention.ms", "86400000", "retention.ms is 86,400,000"),
        ("queries", "retention.ms", "3600000", "retention.ms is 3,600,000, needs 691,200,000"),
        ("labels", "retention.ms", "3600000", "retention.ms is 3,600,000, needs 691,200,000"),
        ("journal", "cleanup.policy", "compact", "cleanup.policy is compact"),
        (
            "dead-letters",
            "max.message.bytes",
            "300000",
            "max.message.bytes is 300,000, needs 1,048,576",
        ),
        ("queries", "max.message.bytes", "300000", "max.message.bytes is 300,000, needs 1,048,576"),
        ("events", "max.message.bytes", "300000", "max.message.bytes is 300,000, needs 393,216"),
        ("controls", "retention.bytes", "9999999", "retention.bytes is 9,999,999"),
        ("predictions", "min.insync.replicas", "2", "min.insync.replicas is 2 with 1 replicas"),
        ("outcomes", "unclean.leader.election.enable", "true", "unclean.leader.election"),
    ],
)
def test_each_wrong_setting_is_named_and_mended(
    deployment: Deployment, kafka: Broker, app: str, topic: str, key: str, value: str, said: str
) -> None:
    """`check` and `create` name it, `create --alter` mends it."""
    deployment.done("topics", "create")
    alter(kafka.admin, f"{app}.{topic}", {key: value})

    checked = deployment.cli("check")
    created = deployment.cli("topics", "create")
    altered = deployment.done("topics", "create", "--alter")

    for ended in (checked, created):
        assert ended.code == 2
        assert f"{app}.{topic}: {said}" in ended.err
        assert "topics create --alter" in ended.err
    assert f"changed   {app}.{topic}: {key}" in altered.out
    deployment.done("check")


def test_a_journal_with_more_partitions_is_refused(
    deployment: Deployment, kafka: Broker, app: str
) -> None:
    """It has one order, or none."""
    deployment.done("topics", "create")
    kafka.grow(f"{app}.journal", 2)

    ended = deployment.cli("check")

    assert ended.code == 2
    assert f"{app}.journal: 2 partitions, needs exactly 1" in ended.err


def test_a_session_outside_the_brokers_limits_is_named(
    deployment: Deployment, kafka: Broker, app: str
) -> None:
    """The limits and the settings that hold them."""
    hour = {"session_timeout": "1h", "poll_interval": "1h"}
    configure(deployment, kafka, app, log=kafka.log_section() | hour)

    ended = deployment.cli("check")

    assert ended.code == 2
    assert "log.session_timeout is 3,600,000 ms, the brokers allow 6,000 to 1,800,000" in ended.err


def test_without_kafka_there_are_no_topics_to_make(deployment: Deployment) -> None:
    """On SQLite the first use makes them."""
    ended = deployment.cli("topics", "create")

    assert (ended.code, "this command is for kafka" in ended.err) == (2, True)
