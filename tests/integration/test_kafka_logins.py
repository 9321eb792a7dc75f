"""Every way to log in meets a real broker, by each transport; and what is said when it fails."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import UserScramCredentialUpsertion

from stream_al.config import Config
from stream_al.errors import ConfigurationError
from stream_al.port import Outgoing
from stream_al_connectors.kafka import KafkaLog, settings
from stream_al_connectors.kafka.broker import Cluster
from tests.certificates import Authority
from tests.kafka_fixture import PASSWORD, mutual_port

KEY_PASSWORD = "open sesame"
BY_TOKEN = {"protocol": "SASL_PLAINTEXT", "mechanism": "OAUTHBEARER"}
TRIES_S = 4.0
TRANSPORTS = ("kafka-python", "fast")


def _config(servers: list[str], security: dict[str, Any], transport: str) -> Config:
    log = {
        "connector": "kafka",
        "bootstrap_servers": servers,
        "security": security,
        "transport": transport,
    }
    return Config.model_validate({"app": "logins", "log": log})


def _writes_and_reads(config: Config, topic: str) -> bool:
    """Return whether a record goes there and back: reader, writer and asker are let in."""
    log = KafkaLog(config)
    try:
        ((partition, offset),) = log.append(topic, [Outgoing(value=b"1", key=b"k")])
        return [one.value for one in log.read(topic, partition, offset, limit=1)] == [b"1"]
    finally:
        log.close()


def _not_let_in(config: Config, topic: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a process is told that never got in."""
    monkeypatch.setattr(settings, "BOOTSTRAP_S", TRIES_S)
    with pytest.raises(ConfigurationError) as raised:
        _writes_and_reads(config, topic)
    return str(raised.value)


@pytest.fixture(scope="module")
def sasl_topic(guarded_cluster: Cluster) -> str:
    """Give a topic, on a broker that knows `admin` by every mechanism."""
    admin = KafkaAdminClient(**guarded_cluster.client_settings())
    told = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion("admin", "SCRAM-SHA-512", PASSWORD)]
    )
    assert told == {"admin": None}
    admin.create_topics({"logins.sasl": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    return "logins.sasl"


def _token(seconds: float) -> str:
    """Return a token of `admin` that ends in so many seconds, signed by nobody."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": "admin", "iat": now - 10.0, "exp": now + seconds})
    packed = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join(text.decode().rstrip("=") for text in packed) + "."


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_name_and_a_password_let_in(
    tmp_path: Path, guarded_cluster: Cluster, sasl_topic: str, mechanism: str, transport: str
) -> None:
    """SCRAM-SHA-256 is what all other tests log in by."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": mechanism,
        "username": "admin",
        "password_file": str(tmp_path / "password"),
    }
    config = _config(guarded_cluster.bootstrap_servers, security, transport)

    assert _writes_and_reads(config, sasl_topic)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_lets_in(
    tmp_path: Path, guarded_cluster: Cluster, sasl_topic: str, transport: str
) -> None:
    """It is read from its file."""
    (tmp_path / "token").write_text(_token(3_600.0) + "\n")
    security = BY_TOKEN | {"token_file": str(tmp_path / "token")}
    config = _config(guarded_cluster.bootstrap_servers, security, transport)

    assert _writes_and_reads(config, sasl_topic)


def test_a_refused_token_is_told_as_one(
    tmp_path: Path, guarded_cluster: Cluster, sasl_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has a token has neither name nor password to correct. The token is not shown."""
    token = _token(-5.0)
    (tmp_path / "token").write_text(token)
    security = BY_TOKEN | {"token_file": str(tmp_path / "token")}
    config = _config(guarded_cluster.bootstrap_servers, security, "kafka-python")

    told = _not_let_in(config, sasl_topic, monkeypatch)

    assert "log.security.token_file" in told
    assert "password" not in told
    assert token not in told


@pytest.fixture(scope="module")
def authority(tls_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give who signs what the broker trusts: the broker itself."""
    folder = tls_cluster.folder
    return Authority(tmp_path_factory.mktemp("authority"), folder / "ca.pem", folder / "broker.pem")


@pytest.fixture(scope="module")
def tls_topic(tls_cluster: Cluster) -> str:
    """Give a topic."""
    admin = KafkaAdminClient(**tls_cluster.client_settings())
    admin.create_topics({"logins.tls": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    return "logins.tls"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_lets_in(
    tmp_path: Path, tls_cluster: Cluster, tls_topic: str, authority: Authority, transport: str
) -> None:
    """With a password on its key, a list that revokes nobody, and a cipher of our choice."""
    certificate, key = authority.sign(f"worker-{transport}", KEY_PASSWORD)
    (tmp_path / "key-password").write_text(KEY_PASSWORD + "\n")
    security = {
        "protocol": "SSL",
        "ca_file": str(authority.certificate),
        "certificate_file": str(certificate),
        "key_file": str(key),
        "key_password_file": str(tmp_path / "key-password"),
        "crl_file": str(authority.revocations(f"nobody-{transport}")),
        "ciphers": "ECDHE-RSA-AES256-GCM-SHA384",
    }

    assert _writes_and_reads(_config([mutual_port(tls_cluster)], security, transport), tls_topic)


def test_a_missing_certificate_is_told(
    tls_cluster: Cluster, tls_topic: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The field to set is named."""
    security = {"protocol": "SSL", "ca_file": str(authority.certificate)}
    config = _config([mutual_port(tls_cluster)], security, "kafka-python")

    assert "log.security.certificate_file" in _not_let_in(config, tls_topic, monkeypatch)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_revoked_broker_is_not_spoken_to(
    tls_cluster: Cluster,
    tls_topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
) -> None:
    """The list that revokes it is named."""
    folder = tls_cluster.folder
    authority = Authority(tmp_path, folder / "ca.pem", folder / "broker.pem")
    security = {
        "protocol": "SSL",
        "ca_file": str(authority.certificate),
        "crl_file": str(authority.revocations("own", authority.certificate)),
    }
    config = _config(tls_cluster.bootstrap_servers, security, transport)

    assert "log.security.crl_file" in _not_let_in(config, tls_topic, monkeypatch)
