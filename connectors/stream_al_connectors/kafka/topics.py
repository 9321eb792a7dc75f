"""The topics that a deployment needs on Kafka: the missing ones made, the others compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from stream_al.config import DAY_MS, TOPIC_NAMES, Config
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.opening import topics_of

REPLICAS = 3
CREATE_TIMEOUT_MS = 15_000
SEEN_EVERY_S = 0.1
_KEPT_FOR_EVER = ("journal", "controls")
_KEPT_WHILE_OPEN = ("queries", "labels")
_INPUTS = ("events", "labels", "controls")
"""What others write, as `send`, `label` and `seed` do."""
_NOT_ALLOWED = 29
MEND = "`stream-al topics create --alter`"


@dataclass(frozen=True)
class Wanted:
    """How one topic should be.

    Attributes
    ----------
    partitions
        How many.
    configs
        Settings of a topic that is made.
    least
        Setting → what it must be at least; -1 is without end.
    """

    partitions: int
    configs: Mapping[str, str]
    least: Mapping[str, int]


@dataclass(frozen=True)
class Found:
    """How one topic is; `configs` is None where this user may not ask."""

    partitions: int
    replicas: int
    operations: frozenset[str] | None
    configs: Mapping[str, str] | None


@dataclass(frozen=True)
class Difference:
    """One thing that is other than wanted, with what mends it; `config` is what to set."""

    sentence: str
    config: tuple[str, str] | None = None


def wanted_topics(config: Config, clients: Clients, brokers: int) -> dict[str, Wanted]:
    """Return full name → how it should be, inputs last: whoever takes one writes to all others.

    Parameters
    ----------
    brokers
        How many there are: as many replicas are made, up to three.
    """
    replicas = min(REPLICAS, brokers)
    found = {}
    names = {config.topic(name): name for name in TOPIC_NAMES}
    inputs_last = sorted(topics_of(config).items(), key=lambda it: names[it[0]] in _INPUTS)
    for full, count in inputs_last:
        name = names[full]
        least = {}
        if name in _KEPT_FOR_EVER:
            least["retention.ms"] = least["retention.bytes"] = -1
        elif name in _KEPT_WHILE_OPEN:
            least["retention.ms"] = config.labels.expire_after + DAY_MS
        sent = clients.input_bytes_max if name in _INPUTS else clients.request_bytes_max
        least["max.message.bytes"] = sent
        kept = -1 if name in _KEPT_FOR_EVER else _retention_ms(config)
        configs = {
            "cleanup.policy": "delete",
            "retention.ms": str(kept),
            "retention.bytes": "-1",
            "max.message.bytes": str(max(1 << 20, clients.request_bytes_max)),
            "min.insync.replicas": str(max(1, replicas - 1)),
            "unclean.leader.election.enable": "false",
        }
        found[full] = Wanted(count, configs, least)
    return found


def _retention_ms(config: Config) -> int:
    labels = config.labels
    return max(config.log.retention, 2 * labels.expire_after, labels.revise_within + DAY_MS)


def found_topics(admin: KafkaAdminClient, names: list[str]) -> dict[str, Found]:
    """Return name → how it is, of those that there are and that this user may see."""
    described = {
        topic["name"]: topic for topic in admin.describe_topics(names) if not topic["error_code"]
    }
    configs = _configs(admin, "TOPIC", list(described))
    found = {}
    for name, topic in described.items():
        partitions = topic["partitions"]
        operations = topic["authorized_operations"]
        found[name] = Found(
            partitions=len(partitions),
            replicas=min((len(one["replica_nodes"]) for one in partitions), default=0),
            operations=None if operations is None else frozenset(operations),
            configs=configs.get(name),
        )
    return found


def hidden_topics(admin: KafkaAdminClient, names: list[str]) -> set[str]:
    """Return the topics of which this user may not even know whether they are there."""
    return {
        topic["name"]
        for topic in admin.describe_topics(names)
        if topic["error_code"] == _NOT_ALLOWED
    }


def broker_configs(admin: KafkaAdminClient) -> Mapping[str, str]:
    """Return one broker's settings; empty where this user may not ask."""
    brokers = admin.describe_cluster()["brokers"]
    node = str(min(broker["broker_id"] for broker in brokers))
    return _configs(admin, "BROKER", [node]).get(node) or {}


def _configs(admin: KafkaAdminClient, kind: str, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    try:
        described = admin.describe_configs(
            [ConfigResource(kind, name) for name in names], config_filter="all"
        )
    except Exception as error:
        if "AuthorizationFailed" in type(error).__name__:
            return {}
        raise
    found = {}
    for name, settings in next(iter(described.values()), {}).items():
        if isinstance(settings, dict) and settings:
            found[name] = {key: _value(value) for key, value in settings.items()}
    return found


def _value(described: Any) -> str:
    return str(described["value"]) if isinstance(described, dict) else str(described)


def differences(name: str, wanted: Wanted, found: Found, brokers: int) -> Iterator[Difference]:
    """Say each thing in which a topic is other than it has to be."""
    yield from _of_partitions(name, wanted, found)
    replicas = min(REPLICAS, brokers)
    if found.replicas < replicas:
        loses = (
            "one lost disk loses the topic"
            if found.replicas < 2
            else "a disk lost while another broker is away loses records"
        )
        yield Difference(
            f"{name}: replication is {found.replicas} on {brokers} brokers, needs {replicas}: "
            f"{loses}; name {replicas} brokers for each partition with kafka-reassign-partitions, "
            "then `stream-al topics create --alter`"
        )
    configs = found.configs or {}
    for key, least in wanted.least.items():
        value = int(configs.get(key, least))
        if value != -1 and (least == -1 or value < least):
            target = wanted.configs[key]
            said = "without end (-1)" if least == -1 else f"{least:,} at least"
            yield Difference(f"{name}: {key} is {value:,}, needs {said}; {MEND}", (key, target))
    if "compact" in configs.get("cleanup.policy", ""):
        yield Difference(
            f"{name}: cleanup.policy is {configs['cleanup.policy']}: compaction drops records "
            f"that are needed; {MEND}",
            ("cleanup.policy", "delete"),
        )
    insync = int(configs.get("min.insync.replicas", 1))
    if insync > found.replicas or (found.replicas >= REPLICAS and insync < 2):
        right = str(max(1, found.replicas - 1))
        yield Difference(
            f"{name}: min.insync.replicas is {insync} with {found.replicas} replicas, "
            f"needs {right}; {MEND}",
            ("min.insync.replicas", right),
        )
    if configs.get("unclean.leader.election.enable") == "true":
        yield Difference(
            f"{name}: unclean.leader.election.enable is true: what was acknowledged can be lost; "
            f"{MEND}",
            ("unclean.leader.election.enable", "false"),
        )


def _of_partitions(name: str, wanted: Wanted, found: Found) -> Iterator[Difference]:
    if found.partitions < wanted.partitions:
        yield Difference(
            f"{name}: {found.partitions} partitions, needs {wanted.partitions}; "
            "`stream-al topics create` adds them"
        )
    elif found.partitions > wanted.partitions == 1:
        yield Difference(
            f"{name}: {found.partitions} partitions, needs exactly 1, and they can't be taken "
            "away; name a topic that is not there yet under `topics`"
        )
    elif found.partitions > wanted.partitions:
        yield Difference(
            f"{name}: {found.partitions} partitions, topics.partitions is {wanted.partitions}; "
            f"set it to {found.partitions}, and run `stream-al topics create` for the others"
        )


def create(
    admin: KafkaAdminClient, wanted: Mapping[str, Wanted], found: Mapping[str, Found], brokers: int
) -> Iterator[str]:
    """Make what is missing, and add partitions, in the order of `wanted`.

    Yields what was done, a line each.
    """
    missing = {name: topic for name, topic in wanted.items() if name not in found}
    if missing:
        admin.create_topics(
            {
                name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": min(REPLICAS, brokers),
                    "configs": dict(topic.configs),
                }
                for name, topic in missing.items()
            },
            timeout_ms=CREATE_TIMEOUT_MS,
            wait_for_metadata=True,
        )
    for name, topic in missing.items():
        yield f"created   {name}: {topic.partitions} partition(s)"
    for name, topic in wanted.items():
        if name in found and 0 < found[name].partitions < topic.partitions:
            admin.create_partitions({name: topic.partitions})
            _wait_until_seen(admin, name, topic.partitions)
            yield f"extended  {name}: {found[name].partitions} → {topic.partitions}"


def _wait_until_seen(admin: KafkaAdminClient, name: str, partitions: int) -> None:
    """Return when a broker tells of them: for a moment it answers from an older view.

    What bounds it is the caller's deadline.
    """
    while True:
        (topic,) = admin.describe_topics([name])
        if len(topic["partitions"]) >= partitions:
            return
        time.sleep(SEEN_EVERY_S)


def alter(admin: KafkaAdminClient, name: str, configs: Mapping[str, str]) -> None:
    """Set settings of a topic; return when a broker tells of them, as with partitions."""
    admin.alter_configs([ConfigResource("TOPIC", name, dict(configs))])
    while not configs.items() <= _configs(admin, "TOPIC", [name]).get(name, {}).items():
        time.sleep(SEEN_EVERY_S)
