"""How `log.security` reaches kafka-python: every field does something, or is refused."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from pydantic import ValidationError

from stream_al.config import Config, LogSection, SecuritySection
from stream_al.errors import ConfigurationError
from stream_al_connectors.kafka.client_log import refused
from stream_al_connectors.kafka.security import security_settings
from stream_al_connectors.kafka.settings import Clients
from tests.certificates import Authority

KEY_PASSWORD = "open sesame"
SECRET = "x1y2z3"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give every file that TLS takes."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority.new(folder)
    certificate, key = authority.sign("worker", KEY_PASSWORD)
    (folder / "password").write_text(KEY_PASSWORD + "\n")
    return {
        "ca_file": str(authority.certificate),
        "certificate_file": str(certificate),
        "key_file": str(key),
        "key_password_file": str(folder / "password"),
        "crl_file": str(authority.revocations("none")),
    }


def _context(**section: Any) -> ssl.SSLContext:
    settings = security_settings(SecuritySection.model_validate(section))
    assert settings.keys() == {"security_protocol", "ssl_context"}
    context = settings["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    return context


def test_tls_by_default_is_strict() -> None:
    """The system's authorities, the host's name, no protocol that is broken."""
    context = _context(protocol="SSL")

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


def test_every_setting_of_tls_is_used(files: dict[str, str]) -> None:
    """One authority, one list of revoked ones, these ciphers, any host."""
    cipher = "ECDHE-RSA-AES256-GCM-SHA384"

    context = _context(protocol="SSL", check_hostname=False, ciphers=cipher, **files)

    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats() == {"x509": 1, "crl": 1, "x509_ca": 1}
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
    before_1_3 = [one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"]
    assert before_1_3 == [cipher]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("ca_file", "name certificates in PEM"),
        ("certificate_file", "name a certificate in PEM"),
        ("key_file", "log.security.certificate_file is .* its key by key_file"),
        ("key_password_file", "log.security.certificate_file is .* the key's password"),
        ("crl_file", "name a revocation list in PEM"),
    ],
)
def test_a_file_that_openssl_cannot_use_is_told(
    files: dict[str, str], tmp_path: Path, field: str, told: str
) -> None:
    """At once, with the field; nobody is asked for a password on the terminal."""
    (tmp_path / "wrong").write_text("wrong\n")

    with pytest.raises(ConfigurationError, match=told) as raised:
        _context(protocol="SSL", **(files | {field: str(tmp_path / "wrong")}))

    assert KEY_PASSWORD not in str(raised.value)


def test_a_key_without_its_password_and_unknown_ciphers_are_told(files: dict[str, str]) -> None:
    """Both would else be found when the first broker is called."""
    with pytest.raises(ConfigurationError, match=r"log\.security\.certificate_file"):
        _context(protocol="SSL", **(files | {"key_password_file": None}))
    with pytest.raises(ConfigurationError, match=r"ciphers is 'no-such-cipher'"):
        _context(protocol="SSL", ciphers="no-such-cipher")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_name_and_a_password_are_sent(tmp_path: Path, protocol: str, mechanism: str) -> None:
    """The password is the file's first line."""
    (tmp_path / "password").write_text(SECRET + "\r\n")
    section = SecuritySection.model_validate(
        {
            "protocol": protocol,
            "mechanism": mechanism,
            "username": "worker",
            "password_file": str(tmp_path / "password"),
        }
    )

    found = security_settings(section)

    assert found.pop("ssl_context", None) is None or protocol == "SASL_SSL"
    assert found == {
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "worker",
        "sasl_plain_password": SECRET,
    }


def test_a_token_is_read_at_each_connection(tmp_path: Path) -> None:
    """Whoever renews it just writes the file."""
    path = tmp_path / "token"
    path.write_text("one\n")
    section = SecuritySection.model_validate(
        {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token_file": str(path)}
    )

    found = security_settings(section)
    path.write_text("two\n")

    assert found["sasl_mechanism"] == "OAUTHBEARER"
    assert found["sasl_oauth_token_provider"].token() == "two"


@pytest.mark.parametrize("client", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_each_client_knows_all_settings(client: Any, files: dict[str, str]) -> None:
    """One that it does not know ends it with another error, or is passed over in silence."""
    settings = security_settings(
        SecuritySection.model_validate({"protocol": "SSL", "ciphers": "HIGH"} | files)
    )

    assert settings.keys() <= client.DEFAULT_CONFIG.keys()


TLS = {"protocol": "SSL"}
BY_NAME = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u"}
BY_TOKEN = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER"}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"ca_file": "f"}, "`ca_file` is of SSL, but `protocol` is PLAINTEXT"),
        ({"check_hostname": False}, "`check_hostname` is of SSL"),
        ({"certificate_file": "f"}, "`certificate_file` is of SSL"),
        ({"crl_file": "f"}, "`crl_file` is of SSL"),
        ({"ciphers": "HIGH"}, "`ciphers` is of SSL"),
        ({"key_password_file": "f"}, "`key_password_file` is of SSL"),
        (BY_NAME | {"protocol": "SASL_PLAINTEXT", "ciphers": "HIGH"}, "`ciphers` is of SSL"),
        (TLS | {"key_file": "f"}, "`key_file` needs `certificate_file`"),
        (TLS | {"key_password_file": "f"}, "`key_password_file` needs `certificate_file`"),
        (TLS | {"mechanism": "OAUTHBEARER"}, "`mechanism` is of SASL, but `protocol` is SSL"),
        (TLS | {"username": "u"}, "`username` is of SASL"),
        (TLS | {"password_file": "f"}, "`password_file` is of SASL"),
        (TLS | {"token_file": "f"}, "`token_file` is of SASL"),
        (BY_NAME | {"token_file": "f"}, "`token_file` is of OAUTHBEARER, but `mechanism` is PLAIN"),
        (BY_TOKEN | {"username": "u"}, "`username` is not sent by OAUTHBEARER"),
        (BY_TOKEN | {"password_file": "f"}, "`password_file` is not sent by OAUTHBEARER"),
    ],
)
def test_what_would_do_nothing_is_refused(section: dict[str, Any], told: str) -> None:
    """Who sets it believes that it protects something."""
    with pytest.raises(ValidationError, match=told):
        SecuritySection.model_validate(section)


def test_a_refusal_is_worded_by_mechanism() -> None:
    """Who has a token has neither name nor password to correct."""
    lines = ["Connection failed: SaslAuthenticationFailedError: invalid credentials"]
    hung_up = ["<broker_version=(3) (disconnected)>: Connection lost: socket disconnected"] * 3
    by_name, by_token = (
        LogSection.model_validate({"security": section}) for section in (BY_NAME, BY_TOKEN)
    )

    for said in (lines, hung_up):
        assert "username and its password" in str(refused(said, by_name))
        told = str(refused(said, by_token))
        assert "token" in told
        assert "password" not in told


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither by the clients' maker, nor by a configuration, nor by an error."""
    (tmp_path / "password").write_text(SECRET)
    section = BY_NAME | {"password_file": str(tmp_path / "password")}
    log = {"connector": "kafka", "bootstrap_servers": ["127.0.0.1:1"], "security": section}
    config = Config.model_validate({"log": log})
    clients = Clients.of(config)

    assert clients.security["sasl_plain_password"] == SECRET
    for shown in (repr(clients), str(clients), repr(config), str(config)):
        assert SECRET not in shown
    for name in ("password", "key_password", "token"):
        with pytest.raises(ConfigurationError, match=f"`{name}_file`") as raised:
            Config.model_validate({"log": log | {"security": section | {name: SECRET}}})
        assert SECRET not in repr(raised.value)
