"""The `log` section of the configuration: which log, and how brokers let us in. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from stream_al.errors import ConfigurationError
from stream_al.messages import DurationMs, RetentionMs, Section

DAY_MS = 86_400_000
KAFKA_PORT = 9_092
PORT_MAX = 65_535
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)(?::([0-9]{1,5}))?")


def _tuple(value: Any) -> Any:
    """Return a list as a tuple, which neither YAML nor JSON has."""
    return tuple(value) if isinstance(value, list) else value


def _brokers(value: Any) -> Any:
    """Return brokers as `host:port`, from a list or a text with commas.

    Examples
    --------
    >>> _brokers("kafka-1:9092, kafka-2")
    ('kafka-1:9092', 'kafka-2:9092')
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        return _tuple(value)
    return tuple(
        _broker(one) for text in given for part in text.split(",") if (one := part.strip())
    )


def _broker(text: str) -> str:
    found = _BROKER.fullmatch(text)
    if found is None or not 0 < int(found[2] or KAFKA_PORT) <= PORT_MAX:
        msg = f"{text!r} is no broker; write host:port, as kafka-1:9092 or [::1]:9092"
        raise ValueError(msg)
    return text if found[2] else f"{text}:{KAFKA_PORT}"


Names = Annotated[tuple[str, ...], BeforeValidator(_tuple)]

SECURITY_SECRETS = {
    "password": "STREAM_AL_LOG__SECURITY__PASSWORD",
    "key_password": "STREAM_AL_LOG__SECURITY__KEY_PASSWORD",
    "token": "STREAM_AL_LOG__SECURITY__TOKEN",
}
"""Secret → the variable that may hold it, in place of the file that `<secret>_file` names."""


class SecuritySection(Section):
    """How brokers and this worker prove to each other who they are.

    Secrets come by environment (`SECURITY_SECRETS`) or file, never in the configuration itself.

    Attributes
    ----------
    protocol
        `SSL` and `SASL_SSL` encrypt; `SASL_…` says a name, by `mechanism`.
    ca_file, check_hostname
        Of the brokers' certificate: who signed it (PEM; else the system's authorities), and
        whether it must be of the host that was called.
    certificate_file, key_file, key_password_file
        Ours (PEM), where brokers ask for one.
    crl_file, ciphers
        Revoked certificates (PEM); what OpenSSL may use.
    mechanism, username, password_file
        `PLAIN` and `SCRAM-…` send a name and a password.
    token_file
        Of `OAUTHBEARER`: read at each connection, so that whoever renews it just writes it.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: str | None = None
    check_hostname: bool = True
    certificate_file: str | None = None
    key_file: str | None = None
    key_password_file: str | None = None
    crl_file: str | None = None
    ciphers: str | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, given: Any) -> Any:
        """Refuse one as an error of ours: pydantic's own would show it."""
        for name, variable in SECURITY_SECRETS.items():
            if isinstance(given, dict) and name in given:
                raise ConfigurationError(
                    f"log.security.{name} is not a setting, since it is secret: set {variable}, or "
                    f"name a file that holds it by `{name}_file`"
                )
        return given

    @model_validator(mode="after")
    def _fits_protocol(self) -> Self:
        sasl, ssl = self.protocol.startswith("SASL_"), self.protocol.endswith("SSL")
        if sasl and self.mechanism is None:
            msg = f"{self.protocol} needs `mechanism`: PLAIN, SCRAM-SHA-256, … or OAUTHBEARER"
            raise ValueError(msg)
        if self.mechanism not in (None, "OAUTHBEARER") and not self.username:
            msg = f"{self.mechanism} needs `username`"
            raise ValueError(msg)
        certificate = ("certificate_file", "key_file", "key_password_file")
        does_nothing = (
            (not sasl, ("mechanism", "username", "password_file", "token_file"),
             f"is of SASL, but `protocol` is {self.protocol}"),
            (not ssl, ("ca_file", "check_hostname", *certificate, "crl_file", "ciphers"),
             f"is of SSL, but `protocol` is {self.protocol}"),
            (self.mechanism == "OAUTHBEARER", ("username", "password_file"),
             "is not sent by OAUTHBEARER, which has a `token_file`"),
            (self.mechanism != "OAUTHBEARER", ("token_file",),
             f"is of OAUTHBEARER, but `mechanism` is {self.mechanism}"),
            (self.certificate_file is None, certificate[1:], "needs `certificate_file`"),
        )  # fmt: skip
        for idle, names, why in does_nothing:
            for name in names:
                if idle and getattr(self, name) != type(self).model_fields[name].default:
                    msg = f"`{name}` {why}; leave it out, or change the other"
                    raise ValueError(msg)
        return self


class LogSection(Section):
    """Which log.

    Attributes
    ----------
    path, durability, retention
        Of SQLite: its file; `full` survives a power cut, `normal` a killed process only; how long
        records stay. On Kafka `topics create` makes topics that keep records for `retention`, or
        longer where labels need it; what is there keeps its own.
    bootstrap_servers, security
        Of Kafka: some of its brokers, `host:port`, and how to get in.
    transport
        Of Kafka: the client under the loops; `fast` needs the extra of that name.
    session_timeout
        Of Kafka: a worker that is silent for so long loses its partitions. Brokers allow 6 s or
        more; raising it makes a takeover slower, and survives longer pauses.
    deadline
        Of Kafka: a call that takes longer ends the process, since nobody knows what became of it.
        Below 12 s it comes before the client's own word (10 s) on why no broker is reached.
    poll_interval
        Of Kafka: a worker whose step takes longer loses its partitions. Raise it for a model that
        takes minutes for a batch; a worker that hangs in its model is replaced later then. Not
        below `session_timeout`.
    """

    connector: Literal["sqlite", "memory", "kafka"] = "sqlite"
    path: str | None = None
    durability: Literal["full", "normal"] = "full"
    retention: RetentionMs = 30 * DAY_MS
    bootstrap_servers: Annotated[tuple[str, ...], BeforeValidator(_brokers)] = ()
    security: SecuritySection = SecuritySection()
    transport: Literal["kafka-python", "fast"] = "kafka-python"
    session_timeout: DurationMs = Field(default=6_000, ge=3_000)
    deadline: DurationMs = Field(default=30_000, ge=1_000)
    poll_interval: DurationMs = Field(default=90_000, ge=6_000)

    @model_validator(mode="after")
    def _poll_outlasts_session(self) -> Self:
        if self.poll_interval < self.session_timeout:
            msg = (
                f"poll_interval ({self.poll_interval:,} ms) must not be below session_timeout "
                f"({self.session_timeout:,} ms): raise it, or lower session_timeout"
            )
            raise ValueError(msg)
        return self
