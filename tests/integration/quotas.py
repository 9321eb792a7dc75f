"""Quotas of clients on a real broker, which kafka-python has no call for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.protocol.admin.client_quotas import AlterClientQuotasRequest

Entry = AlterClientQuotasRequest.EntryData
WRITES, READS = "producer_byte_rate", "consumer_byte_rate"


@contextmanager
def quota(admin: KafkaAdminClient, bytes_a_second: float, *keys: str) -> Iterator[None]:
    """Let every client write or read so many bytes a second, and no more."""
    _alter(admin, bytes_a_second, keys, remove=False)
    try:
        yield
    finally:
        _alter(admin, 0.0, keys, remove=True)


def _alter(admin: KafkaAdminClient, value: float, keys: tuple[str, ...], *, remove: bool) -> None:
    entity = Entry.EntityData(entity_type="client-id", entity_name=None)
    ops = [Entry.OpData(key=key, value=value, remove=remove) for key in keys]
    request = AlterClientQuotasRequest(
        entries=[Entry(entity=[entity], ops=ops)], validate_only=False
    )
    response = admin._manager.run(admin._manager.send, request)
    assert all(entry.error_code == 0 for entry in response.entries), response
