"""What `check` says of topics and brokers that are other than they have to be; no broker needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_al.config import Config
from stream_al_connectors.kafka.checking import _broker_limits
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.kafka.topics import Found, differences, wanted_topics

CONFIG = Config.model_validate(
    {"app": "t", "log": {"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"]}}
)


def _said(topic: str, *, replicas: int, brokers: int, **configs: str) -> list[str]:
    """Return what differs in a topic that else is as it would be made."""
    wanted = wanted_topics(CONFIG, Clients.of(CONFIG), brokers)[topic]
    as_made = Found(wanted.partitions, min(3, brokers), None, wanted.configs)
    assert not list(differences(topic, wanted, as_made, brokers))
    changed = {name.replace("_", "."): value for name, value in configs.items()}
    found = replace(as_made, replicas=replicas, configs={**wanted.configs, **changed})
    return [one.sentence for one in differences(topic, wanted, found, brokers)]


@pytest.mark.parametrize(
    ("replicas", "brokers", "loses"),
    [
        (1, 2, "one lost disk"),
        (1, 3, "one lost disk"),
        (2, 3, "a disk lost while"),
        (2, 5, "a disk"),
    ],
)
def test_fewer_replicas_than_brokers_allow_are_named(
    replicas: int, brokers: int, loses: str
) -> None:
    """With what can be lost, and the tool that mends it."""
    said = _said("t.journal", replicas=replicas, brokers=brokers, min_insync_replicas="1")

    assert len(said) == 1
    needs = min(3, brokers)
    assert f"replication is {replicas} on {brokers} brokers, needs {needs}: {loses}" in said[0]
    assert "kafka-reassign-partitions" in said[0]


@pytest.mark.parametrize("topic", ["t.events", "t.labels", "t.controls"])
def test_an_input_must_take_what_a_worker_takes(topic: str) -> None:
    """`send`, `label` and `seed` write there; outputs need more."""
    needed = CONFIG.events.bytes_max + (128 << 10)

    assert not _said(topic, replicas=1, brokers=1, max_message_bytes=str(needed))
    (said,) = _said(topic, replicas=1, brokers=1, max_message_bytes=str(needed - 1))
    assert f"max.message.bytes is {needed - 1:,}, needs {needed:,} at least" in said
    assert "topics create --alter" in said


@pytest.mark.parametrize("topic", ["t.journal", "t.controls"])
def test_what_is_kept_for_ever_has_no_bound_of_bytes(topic: str) -> None:
    """A full controls topic would lose proposals, as a full journal would lose lessons."""
    (said,) = _said(topic, replicas=1, brokers=1, retention_bytes="1000000")

    assert f"{topic}: retention.bytes is 1,000,000, needs without end (-1)" in said


@pytest.mark.parametrize(
    ("limit", "low", "least"),
    [
        ("offset.metadata.max.bytes", "4095", "4096"),
        ("transaction.max.timeout.ms", "9999", "10000"),
    ],
)
def test_limits_of_brokers_that_are_too_low_are_named(limit: str, low: str, least: str) -> None:
    """Both numbers, and where it is raised; the brokers' own defaults do."""
    (said,) = _broker_limits(CONFIG, {limit: low})

    assert f"{limit} is {int(low):,}, needs {int(least):,}" in said
    assert "server.properties" in said
    assert not list(_broker_limits(CONFIG, {limit: least}))
    assert not list(_broker_limits(CONFIG, {}))
