"""The settings of a broker for trying things out: one process is broker and controller (KRaft)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Security = Literal["plaintext", "scram", "ssl"]

ADMIN = "admin"
MECHANISM = "SCRAM-SHA-256"

_PROTOCOLS: dict[Security, str] = {
    "plaintext": "PLAINTEXT",
    "scram": "SASL_PLAINTEXT",
    "ssl": "SSL",
}
_COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "auto.create.topics.enable": "false",
    # Few partitions of the broker's own topics: each costs files and start-up time.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker is let back in after this long; by default after nine seconds.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # How often transactions past their time-out are looked for; by default every ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.segment.bytes": "67108864",
}


def properties(
    node: int,
    *,
    ports: Mapping[int, tuple[int, int]],
    folder: Path,
    security: Security,
    users: Mapping[str, str],
    more: Mapping[str, str],
) -> str:
    """Return the properties file of one node.

    Parameters
    ----------
    ports
        Node → its ports for clients and for controllers, of all nodes.
    folder
        Where the cluster's files are.
    users
        Name → password, of `scram`; the first is the brokers' own and may do everything.
    more
        What is other than here.

    Examples
    --------
    >>> text = properties(1, ports={1: (9092, 9093)}, folder=Path("f"), security="plaintext",
    ...                   users={}, more={"auto.create.topics.enable": "true"})
    >>> [line for line in text.splitlines() if line.startswith(("listeners", "auto"))]
    ['auto.create.topics.enable=true', 'listeners=CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093']
    """
    replicas = min(3, len(ports))
    client, controller = ports[node]
    voters = ",".join(f"{one}@127.0.0.1:{ports[one][1]}" for one in sorted(ports))
    found = _COMMON | {
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client}",
        "listener.security.protocol.map": f"CLIENT:{_PROTOCOLS[security]},CONTROLLER:PLAINTEXT",
        "log.dirs": str(folder / f"node-{node}"),
        "default.replication.factor": str(replicas),
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(max(1, replicas - 1)),
        "min.insync.replicas": str(max(1, replicas - 1)),
    }
    if security == "scram":
        found |= _scram(users)
    if security == "ssl":
        found |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "ca.pem"),
            "ssl.endpoint.identification.algorithm": "",
        }
    return "".join(f"{name}={value}\n" for name, value in (found | dict(more)).items())


def _scram(users: Mapping[str, str]) -> dict[str, str]:
    name, password = next(iter(users.items()))
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    return {
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        f"listener.name.client.{MECHANISM.lower()}.sasl.jaas.config": (
            f'{login} username="{name}" password="{password}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Controllers talk among themselves on a listener without names.
        "super.users": f"User:{name};User:ANONYMOUS",
    }
