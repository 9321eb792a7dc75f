"""From a configuration to kafka-python's own settings: what held on real brokers under faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.port import Headers
from stream_al_connectors.kafka.client_log import listen
from stream_al_connectors.kafka.doubts import BOOTSTRAP_S
from stream_al_connectors.kafka.patience import PatientClient
from stream_al_connectors.kafka.security import security_settings

TRANSACTION_TIMEOUT_MS = 10_000
OLDEST_BROKER = (2, 5)
"""Brokers before it take a transaction's offsets from anybody: no owner is fenced there."""

RECORD_BYTES_MORE = 65_536
"""Around the features: ids, probabilities, and what the client adds to a record."""

BATCH_BYTES = 256 << 10
"""Small records are sent together, as one batch of about so much, which a topic must take."""

RECORD_BYTES_LEAST = (1 << 20) - RECORD_BYTES_MORE
"""Whatever `events.bytes_max` is: as much as topics take that nobody configured."""


@dataclass(frozen=True)
class Clients:
    """Makes the clients of one configuration.

    Attributes
    ----------
    record_bytes_max
        Larger records are not sent: a broker's refusal spoils the transactions after it.
    security
        With secrets in it.
    """

    config: Config
    record_bytes_max: int
    security: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, config: Config) -> Clients:
        """Return the clients of a configuration.

        Raises
        ------
        ConfigurationError
            When it names no broker, or a secret or certificate can't be read.
        """
        if not config.log.bootstrap_servers:
            raise ConfigurationError(
                "log.bootstrap_servers is empty: name some of the brokers, [host:9092]"
            )
        listen(config.log)
        # A journal record holds an event's features twice over: as sent, and escaped at its worst;
        # one of statistics, some hundred bytes of every number that there is.
        bytes_max = max(2 * config.events.bytes_max + RECORD_BYTES_MORE, RECORD_BYTES_LEAST)
        return cls(config, bytes_max, security_settings(config.log.security))

    @property
    def request_bytes_max(self) -> int:
        """The largest request that is sent, which a topic must take."""
        return self.record_bytes_max + RECORD_BYTES_MORE

    @property
    def input_bytes_max(self) -> int:
        """The largest request with an event, label or proposal that a worker takes."""
        record = self.config.events.bytes_max + RECORD_BYTES_MORE
        return max(record, BATCH_BYTES) + RECORD_BYTES_MORE

    def check_size(self, topic: str, value: bytes, key: bytes | None, headers: Headers) -> None:
        """Refuse what the broker would: there, a failed send spoils the transactions after it.

        Raises
        ------
        ConfigurationError
            When the record is larger than what is sent.
        """
        size = len(value) + len(key or b"")
        if headers:
            size += sum(len(name.encode()) + len(said) for name, said in headers)
        if size > self.record_bytes_max:
            raise ConfigurationError(
                f"topic {topic!r}: a record of {size:,} bytes is larger than the "
                f"{self.record_bytes_max:,} that are sent; send less, or raise events.bytes_max "
                "and the topics' own limits, which `stream-al check` names"
            )

    def check_brokers(self, consumer: KafkaConsumer) -> None:
        """Refuse brokers that are too old, as far as `consumer` has seen them.

        Raises
        ------
        ConfigurationError
            Naming their version.
        """
        found = consumer.config["api_version"]
        if found < OLDEST_BROKER:
            said, least = (".".join(map(str, version)) for version in (found, OLDEST_BROKER))
            raise ConfigurationError(
                f"log.bootstrap_servers is {', '.join(self.config.log.bootstrap_servers)}: these "
                f"brokers are of Kafka {said}, needs {least} or later for its transactions"
            )

    def _both(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.config.log.bootstrap_servers),
            "reconnect_backoff_max_ms": 1000,
            "metadata_max_age_ms": 10_000,
            "metrics_enabled": False,
            "bootstrap_timeout_ms": round(BOOTSTRAP_S * 1_000),
            "request_timeout_ms": 10_000,
            **self.security,
        }

    def consumer(self, **more: Any) -> KafkaConsumer:
        """Return a consumer of committed records; with a `group_id`, a member's settings."""
        settings = self._both() | {
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "fetch_max_wait_ms": 100,
            "fetch_max_bytes": 4 << 20,
            "max_partition_fetch_bytes": 1 << 20,
        }
        if "group_id" in more:
            settings |= {
                "session_timeout_ms": self.config.log.session_timeout,
                "heartbeat_interval_ms": 1000,
                "max_poll_interval_ms": self.config.log.poll_interval,
            }
        return KafkaConsumer(**(settings | more))

    def producer(self, *, transactional_id: str | None = None) -> KafkaProducer:
        """Return a producer that writes each record once; with an id, in transactions."""
        transactions = {
            "transactional_id": transactional_id,
            "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
        }
        return KafkaProducer(
            **self._both(),
            **(transactions if transactional_id else {}),
            kafka_client=PatientClient,
            enable_idempotence=True,
            retry_backoff_ms=20,
            linger_ms=5,
            batch_size=BATCH_BYTES,
            acks="all",
            delivery_timeout_ms=20_000,
            max_block_ms=15_000,
            max_request_size=self.request_bytes_max,
        )

    def admin(self) -> KafkaAdminClient:
        """Return an administrator."""
        settings = self._both()
        del settings["metrics_enabled"]
        return KafkaAdminClient(**settings)
