"""What a group's coordinator is asked from outside: who owns what, and to let a member go."""

from __future__ import annotations

from contextlib import suppress

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from stream_al_connectors.kafka.deadline import Deadline
from stream_al_connectors.kafka.doubts import guarded
from stream_al_connectors.kafka.settings import Clients


class Groups:
    """Consumer groups as an administrator sees them; connects when it is first asked."""

    def __init__(self, clients: Clients, deadline: Deadline) -> None:
        self._clients = clients
        self._deadline = deadline
        self._client: KafkaAdminClient | None = None

    def holders(self, group: str, topic: str) -> dict[int, str]:
        """Return partition → identity of the member that owns it; empty while dealing out."""
        with guarded(self._deadline, f"asking about group {group!r}"):
            found = self._admin().describe_groups([group])[group]
        holders: dict[int, str] = {}
        for member in found["members"]:
            assignment = member["member_assignment"] or {}
            for assigned in assignment.get("assigned_partitions") or ():
                if assigned["topic"] == topic:
                    identity = member["group_instance_id"] or member["member_id"]
                    holders |= dict.fromkeys(assigned["partitions"], identity)
        return holders

    def remove(self, group: str, instance: str) -> None:
        """Let a member with a fixed identity leave now, not when its session ends."""
        with guarded(self._deadline, f"leaving group {group!r}"):
            self._admin().remove_group_members(group, [MemberToRemove(group_instance_id=instance)])

    def close(self) -> None:
        """Release the connection."""
        if self._client is not None:
            with suppress(KafkaError):
                self._client.close()

    def _admin(self) -> KafkaAdminClient:
        if self._client is None:
            self._client = self._clients.admin()
        return self._client
