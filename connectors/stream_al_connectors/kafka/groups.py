"""What a group's coordinator is asked from outside: who owns what, and to let a member go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

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
        holders: dict[int, str] = {}
        for member in self._members(group):
            assignment = member["member_assignment"] or {}
            for assigned in assignment.get("assigned_partitions") or ():
                if assigned["topic"] == topic:
                    identity = member["group_instance_id"] or member["member_id"]
                    holders |= dict.fromkeys(assigned["partitions"], identity)
        return holders

    def member_ids(self, group: str) -> dict[str, str]:
        """Return fixed identity → the name that the coordinator gave to who has it now."""
        return {
            member["group_instance_id"]: member["member_id"]
            for member in self._members(group)
            if member["group_instance_id"]
        }

    def remove(self, group: str, instance: str, member_id: str | None) -> None:
        """Let a member with a fixed identity leave now, not when its session ends.

        Parameters
        ----------
        member_id
            The coordinator's name for it: who took its identity over has another, and stays. None
            when it never had one.
        """
        leaving = MemberToRemove(member_id=member_id, group_instance_id=instance)
        with self._admin(f"leaving group {group!r}") as admin:
            admin.remove_group_members(group, [leaving])

    def close(self) -> None:
        """Release the connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError):
                client.close()

    def _members(self, group: str) -> list[dict[str, Any]]:
        """Return the members as the group's coordinator knows them; none of an unknown group.

        The client goes on asking a broker that is the coordinator no more, and its answer has no
        members, and a field for the error: so whoever says so is asked once more by a new client.
        """
        found: dict[str, Any] = {}
        for _ in range(2):
            with self._admin(f"asking who is in group {group!r}") as admin:
                found = admin.describe_groups([group])[group]
            if not found["error"]:
                break
            self.close()
        return list(found["members"])

    @contextmanager
    def _admin(self, what: str) -> Iterator[KafkaAdminClient]:
        """Give the client; after a failure the next one is new, whatever this one believes."""
        with guarded(self._deadline, what):
            if self._client is None:
                self._client = self._clients.admin()
            try:
                yield self._client
            except KafkaError:
                self.close()
                raise
