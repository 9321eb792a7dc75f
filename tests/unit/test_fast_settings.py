"""How a configuration reaches librdkafka: every setting of `log.security`, and what it accepts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from stream_al.config import Config
from stream_al_connectors.kafka.fast_settings import joining, security, tailing, writing

NOWHERE = "127.0.0.1:1"


def config_of(**section: Any) -> Config:
    log = {"connector": "kafka", "bootstrap_servers": [NOWHERE], "security": section}
    return Config.model_validate({"app": "t", "log": log})


def test_every_setting_of_tls_is_passed_on(tmp_path: Path) -> None:
    """Files by their path, the key's password from its file, no check of the host when told so."""
    names = ("ca_file", "certificate_file", "key_file", "crl_file", "key_password_file")
    files = {name: str(tmp_path / name) for name in names}
    for path in files.values():
        Path(path).write_text("secret\n")

    found = security(config_of(protocol="SSL", ciphers="HIGH", check_hostname=False, **files))

    assert found == {
        "security.protocol": "SSL",
        "ssl.ca.location": files["ca_file"],
        "ssl.certificate.location": files["certificate_file"],
        "ssl.key.location": files["key_file"],
        "ssl.crl.location": files["crl_file"],
        "ssl.key.password": "secret",
        "ssl.cipher.suites": "HIGH",
        "ssl.endpoint.identification.algorithm": "none",
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_the_client_accepts_every_mechanism(tmp_path: Path, protocol: str, mechanism: str) -> None:
    """Readers, members and writers are made; whether a broker lets them in is another test."""
    (tmp_path / "secret").write_text("secret\n")
    field = "token_file" if mechanism == "OAUTHBEARER" else "password_file"
    name = {} if mechanism == "OAUTHBEARER" else {"username": "u"}
    section = {field: str(tmp_path / "secret"), "protocol": protocol, "mechanism": mechanism}
    config = config_of(**section, **name)

    for settings in (tailing(config), joining(config, "t.g", "t.g-0")):
        Consumer(settings).close()
    for identity in (None, "t.g-0"):
        Producer(writing(config, 1 << 20, identity))


def test_a_token_is_read_again(tmp_path: Path) -> None:
    """Whoever renews it just writes the file."""
    path = tmp_path / "token"
    path.write_text("one")
    config = config_of(protocol="SASL_SSL", mechanism="OAUTHBEARER", token_file=str(path))
    give = security(config)["oauth_cb"]

    first, _ = give("")
    path.write_text("two")
    second, until_s = give("")

    assert (first, second) == ("one", "two")
    assert time.time() < until_s < time.time() + 120
