"""The network client of producers: one that says "not ready" where the client's own one raises.

A producer's sender takes a transactional request off its queue, asks whether the coordinator is
ready, and puts the request back when the answer is no. The client's own answer is an exception when
the connection is refused, and then the request is lost: `commit_transaction` never returns, though
another broker took over long ago. Every killed coordinator would cost a worker, and its deadline.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import KafkaConnectionError, NodeNotReadyError, UnknownBrokerIdError
from kafka.net.compat import KafkaNetClient

LOOK_AGAIN_MS = 50
"""Between two looks for a coordinator: the old one is named until the brokers elect another."""


class PatientClient(KafkaNetClient):  # type: ignore[misc] # the client has no types
    """Give it to a producer as `kafka_client`."""

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Return whether a node can be sent to; waits at most `timeout_ms` for it."""
        try:
            return bool(super().await_ready(node_id, timeout_ms=timeout_ms))
        except (KafkaConnectionError, NodeNotReadyError, UnknownBrokerIdError):
            self.poll(timeout_ms=LOOK_AGAIN_MS)
            return False
