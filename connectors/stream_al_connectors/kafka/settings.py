"""From a configuration to kafka-python's own settings: what held on real brokers under faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from stream_al.config import Config


@dataclass(frozen=True)
class Clients:
    """Makes the clients of one configuration.

    Attributes
    ----------
    record_bytes_max
        Larger records are not sent: a broker's refusal spoils the transactions after it.
    """

    config: Config
    record_bytes_max: int = 1_000_000

    @classmethod
    def of(cls, config: Config) -> Clients:
        """Return the clients of a configuration."""
        return cls(config)

    def _both(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": list(self.config.log.bootstrap_servers),
            "reconnect_backoff_max_ms": 1000,
            "metadata_max_age_ms": 10_000,
            "metrics_enabled": False,
            "bootstrap_timeout_ms": 10_000,
            "request_timeout_ms": 10_000,
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
                "max_poll_interval_ms": 3 * self.config.log.deadline,
            }
        return KafkaConsumer(**(settings | more))

    def producer(self, *, transactional_id: str | None = None) -> KafkaProducer:
        """Return a producer that writes each record once; with an id, in transactions."""
        return KafkaProducer(
            **self._both(),
            **(
                {"transactional_id": transactional_id, "transaction_timeout_ms": 10_000}
                if transactional_id
                else {}
            ),
            enable_idempotence=True,
            retry_backoff_ms=20,
            linger_ms=5,
            batch_size=256 << 10,
            acks="all",
            delivery_timeout_ms=20_000,
            max_block_ms=15_000,
        )

    def admin(self) -> KafkaAdminClient:
        """Return an administrator."""
        settings = self._both()
        del settings["metrics_enabled"]
        return KafkaAdminClient(**settings)
