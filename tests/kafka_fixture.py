"""A real broker for tests: the one that `STREAM_AL_TEST_BOOTSTRAP` names, else our own. Never none.

Every test takes topics of its own from it, by a prefix that nobody else has.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from stream_al.errors import ConfigurationError
from stream_al_connectors.kafka.broker import Cluster, _free
from tests.chaos.old_broker import OldBroker
from tests.chaos.proxy import Proxy

USER = "worker"
PASSWORD = "correct horse"
BOOTSTRAP_VARIABLE = "STREAM_AL_TEST_BOOTSTRAP"
ANSWERS_MS = 15_000
_LOGIN = "listener.name.client.{}.sasl.jaas.config"
_MODULES = "org.apache.kafka.common.security"
_MECHANISMS = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER",
    _LOGIN.format("scram-sha-512"): f"{_MODULES}.scram.ScramLoginModule required;",
    _LOGIN.format("plain"): f'{_MODULES}.plain.PlainLoginModule required user_admin="{PASSWORD}";',
    # Takes tokens that nobody signed, of whoever they say.
    _LOGIN.format("oauthbearer"): f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required "
    'unsecuredLoginStringClaim_sub="admin";',
}


class Broker:
    """Where the broker is, and an administrator."""

    def __init__(self, bootstrap_servers: list[str]) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.admin = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=ANSWERS_MS
        )

    def log_section(self, transport: str = "kafka-python") -> dict[str, object]:
        """Return the section `log` of a configuration."""
        return {
            "connector": "kafka",
            "bootstrap_servers": self.bootstrap_servers,
            "transport": transport,
        }

    def new_app(self) -> str:
        """Return a prefix that nobody has."""
        return f"t{uuid.uuid4().hex[:10]}"

    def create(self, topics: Mapping[str, int]) -> None:
        """Make topics: full name → number of partitions."""
        replicas = min(3, len(self.bootstrap_servers))
        self.admin.create_topics(
            {
                name: {
                    "num_partitions": count,
                    "replication_factor": replicas,
                    "configs": {
                        "retention.ms": "-1",
                        "max.message.bytes": str(8 << 20),
                        # Simulations have a clock of their own.
                        "message.timestamp.after.max.ms": str(2**63 - 1),
                    },
                }
                for name, count in topics.items()
            }
        )

    def grow(self, topic: str, partitions: int) -> None:
        """Add partitions, and wait until clients hear of them: a while after they are there."""
        self.admin.create_partitions({topic: partitions})
        until_s = time.monotonic() + ANSWERS_MS / 1_000
        while len(self.admin.describe_topics([topic])[0]["partitions"]) < partitions:
            assert time.monotonic() < until_s, f"{topic} has no {partitions} partitions"
            time.sleep(0.05)


def own_cluster(folder: Path, **how: Any) -> Cluster:
    """Return brokers of our own; a test that can't have them fails with what to do."""
    try:
        return Cluster(folder, **how)
    except ConfigurationError as error:
        raise pytest.fail.Exception(
            f"this test needs brokers of its own: {error}. `make test` installs what it takes, "
            "elsewhere pip install 'stream-al[broker]'; the jars are fetched once. "
            f"{BOOTSTRAP_VARIABLE}=host:9092 runs most tests on a broker that is there",
            pytrace=False,
        ) from None


def named_broker(named: str) -> Broker:
    """Return the broker that the variable names; a test that can't reach it fails with that."""
    try:
        return Broker(named.split(","))
    except (KafkaError, ValueError) as error:
        raise pytest.fail.Exception(
            f"{BOOTSTRAP_VARIABLE} is {named!r}, and no broker answers there ({error}): start it, "
            "or unset the variable; the tests start their own with pip install 'stream-al[broker]'",
            pytrace=False,
        ) from None


@pytest.fixture(scope="session")
def guarded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a broker with access control lists, which lets in by every mechanism that we know."""
    folder = tmp_path_factory.mktemp("scram")
    cluster = own_cluster(folder, security="scram", users={USER: PASSWORD}, more=_MECHANISMS)
    cluster.start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def tls_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a broker that speaks TLS; see `mutual_port`."""
    cluster = own_cluster(tmp_path_factory.mktemp("ssl"), security="ssl")
    ((client, controller),) = cluster._ports.values()
    (mutual,) = _free(1)
    cluster._more = {
        "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller},"
        f"MUTUAL://127.0.0.1:{mutual}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client},MUTUAL://127.0.0.1:{mutual}",
        "listener.security.protocol.map": "CLIENT:SSL,CONTROLLER:PLAINTEXT,MUTUAL:SSL",
        "listener.name.mutual.ssl.client.auth": "required",
    }
    cluster.start()
    yield cluster
    cluster.close()


def mutual_port(tls: Cluster) -> str:
    """Return where that broker wants a certificate of who comes, signed by its own."""
    return tls._more["advertised.listeners"].rpartition("//")[2]


@dataclass(frozen=True)
class Staged:
    """A broker that is reached in three ways.

    Attributes
    ----------
    broker
        Straight.
    proxy
        Held, cut and reset, as a network is; who begins there stays there.
    old
        As an older broker.
    lost
        A port that answers, and sends who comes on to one where nothing listens.
    """

    broker: Broker
    proxy: Proxy
    old: OldBroker
    lost: int


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Give our own broker, whatever `STREAM_AL_TEST_BOOTSTRAP` names: it is set up for trouble."""
    cluster = own_cluster(tmp_path_factory.mktemp("staged"))
    ((client, controller),) = cluster._ports.values()
    behind_proxy, behind_old, lost, nobody = _free(4)
    proxy, old = Proxy(behind_proxy), OldBroker(behind_old)
    cluster._more = {
        "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller},"
        f"PROXY://127.0.0.1:{behind_proxy},OLD://127.0.0.1:{behind_old},LOST://127.0.0.1:{lost}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{client},"
        f"PROXY://127.0.0.1:{proxy.port},OLD://127.0.0.1:{old.port},LOST://127.0.0.1:{nobody}",
        "listener.security.protocol.map": ",".join(
            f"{door}:PLAINTEXT" for door in ("CLIENT", "CONTROLLER", "PROXY", "OLD", "LOST")
        ),
    }
    try:
        cluster.start()
        broker = Broker(cluster.bootstrap_servers)
        yield Staged(broker, proxy, old, lost)
        broker.admin.close()
    finally:
        cluster.close()
        proxy.close()
        old.close()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Give a broker that lives as long as the tests."""
    named = os.environ.get(BOOTSTRAP_VARIABLE)
    if named:
        broker = named_broker(named)
        yield broker
        broker.admin.close()
        return
    cluster = own_cluster(tmp_path_factory.mktemp("kafka"))
    try:
        cluster.start()
        broker = Broker(cluster.bootstrap_servers)
        yield broker
        broker.admin.close()
    finally:
        cluster.close()
