"""Which broker leads a partition or coordinates a group, and which worker owns what."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from stream_al.config import Config
from stream_al.service.groups import scorer_group
from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.groups import Groups
from stream_al_connectors.kafka.settings import Clients

OFFSETS = "__consumer_offsets"
TRANSACTIONS = "__transaction_state"
PATIENCE_S = 600.0
"""The tests' own process must not end on a slow broker."""


ASKED_S = 60.0
LOOK_S = 0.2


class Leaders:
    """Asks an administrator of its own, until it is answered: brokers come and go meanwhile.

    One that remembers brokers which are away asks for them for minutes: then a new one asks.
    """

    def __init__(self, bootstrap_servers: list[str]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._admin = self._new_admin()

    def _new_admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(
            bootstrap_servers=self._bootstrap_servers, reconnect_backoff_max_ms=1_000
        )

    def of(self, topic: str, partition: int) -> int:
        """Return the node that leads a partition; -1 when nobody does."""
        return self._leaders(topic)[partition]

    def of_group(self, group: str) -> int:
        """Return the node that coordinates a consumer group."""
        return self._keeper(OFFSETS, group)

    def of_transactions(self, transactional_id: str) -> int:
        """Return the node that coordinates the transactions of an id."""
        return self._keeper(TRANSACTIONS, transactional_id)

    def prefer(self) -> None:
        """Let every partition be led by the node that it was first led by."""
        self._answered(lambda admin: admin.elect_leaders(0, raise_errors=False))

    def close(self) -> None:
        """Release the connection."""
        self._admin.close()

    def _keeper(self, topic: str, key: str) -> int:
        leaders = self._leaders(topic)
        return leaders[java_hash(key) % len(leaders)]

    def _leaders(self, topic: str) -> dict[int, int]:
        (found,) = self._answered(lambda admin: admin.describe_topics([topic]))
        described: list[dict[str, Any]] = found["partitions"]
        return {one["partition_index"]: one["leader_id"] for one in described}

    def _answered(self, ask: Callable[[KafkaAdminClient], Any]) -> Any:
        until_s = time.monotonic() + ASKED_S
        while True:
            try:
                return ask(self._admin)
            except KafkaError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(LOOK_S)
                self._admin.close()
                self._admin = self._new_admin()


class Ownership:
    """Says which worker owns which partition of events."""

    def __init__(self, config: Config) -> None:
        self._deadline = Deadline(PATIENCE_S)
        self._groups = Groups(Clients.of(config), self._deadline)
        self._group, self._topic = scorer_group(config), config.topic("events")

    def by_slot(self) -> dict[int, list[int]]:
        """Return slot → its partitions; empty while the group deals out."""
        found: dict[int, list[int]] = {}
        for partition, name in sorted(self._groups.holders(self._group, self._topic).items()):
            found.setdefault(int(name.rpartition("-")[2]), []).append(partition)
        return found

    def close(self) -> None:
        """Release the connection."""
        self._groups.close()
        self._deadline.close()


def java_hash(text: str) -> int:
    """Return what brokers divide by the number of partitions: Java's hash, without its sign.

    Examples
    --------
    >>> java_hash("stream-al.scorer"), java_hash("a")
    (1194395958, 97)
    """
    found = 0
    for character in text:
        found = (31 * found + ord(character)) & 0xFFFFFFFF
    return found & 0x7FFFFFFF
