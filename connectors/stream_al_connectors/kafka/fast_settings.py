"""From a configuration to librdkafka's settings: the same as `settings.py`, in its words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from stream_al.config import Config, SecuritySection
from stream_al_connectors.kafka.security import check_files, secret
from stream_al_connectors.kafka.settings import BATCH_BYTES, TRANSACTION_TIMEOUT_MS

TOKEN_KEPT_S = 60.0
"""A token is read again from its file when it is so old: whoever renews it just writes it."""

FETCHED_KB_MAX = 16 << 10
FETCHED_RECORDS = 20_000
"""What a client holds that was not polled: memory against standing still."""

SENT_KB_MAX = 64 << 10

READER_SILENT_MS = 15_000
"""Longer than brokers make a throttled client wait, 10 s: else the library hangs up on each fetch
that waits, and asks for the same again."""

SMALL_FETCH_BYTES = 32 << 10
SMALL_FETCHES = {
    "fetch.max.bytes": SMALL_FETCH_BYTES,
    "max.partition.fetch.bytes": SMALL_FETCH_BYTES,
    "message.max.bytes": SMALL_FETCH_BYTES,
}
"""Of a reader that is throttled. Brokers give an empty answer in place of one that does not fit
into what is left of 10 s of a quota, and a full fetch never fits beside those of other readers. A
batch that is larger comes whole."""

WRITER_IDLE_MS = 5_000
"""So long at most librdkafka 2.16 asks a group's coordinator that has left the cluster.

It keeps the one that it knew, though metadata has dropped it, and looks for another only when some
connection goes up or down: with none that does, it hung until the deadline. So idle ones go down,
after 3 to 5 s. The price: an idle worker connects every few seconds (a transaction after 7 s of
silence took as long as after half a second, by TLS and SCRAM too, medians of 8), and a request that
takes longer is sent again, which brokers recognize.
"""


class _ClientLog:
    """Hands the client's lines to the log of kafka-python's, each kind under a name of its own."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("kafka.librdkafka")

    def log(self, level: int, form: str, kind: str, *told: str) -> None:
        """Take one line."""
        name, text = told
        del form
        template = f"{kind} %s %s"  # as kafka-python's kinds: a line of each now and then
        self._logger.log(level, template, name, text)


def say_throttled(event: Any) -> None:
    """Say in the words of kafka-python that a request waits; 0 s: no more."""
    if event.throttle_time > 0:
        logging.getLogger("kafka.librdkafka").warning(
            "%s throttled by broker (%d ms)", event.broker_name, event.throttle_time * 1_000
        )


def both(config: Config) -> dict[str, Any]:
    """Return what readers and writers have in common, secrets in it: to be shown nowhere.

    The client's own recovery, its default, forgets all brokers once none answers, and with them
    the requests under way: of librdkafka 2.16 a transaction then hung until the deadline.
    """
    return {
        "bootstrap.servers": ",".join(config.log.bootstrap_servers),
        "client.id": "stream-al",
        "reconnect.backoff.max.ms": 1000,
        "metadata.max.age.ms": 30_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "socket.timeout.ms": 10_000,
        "metadata.recovery.strategy": "none",
        "log.connection.close": False,
        "logger": _ClientLog(),
        "throttle_cb": say_throttled,
        **security(config),
    }


def security(config: Config) -> dict[str, Any]:
    """Return how the client proves who it is.

    Examples
    --------
    >>> security(Config())
    {'security.protocol': 'PLAINTEXT'}
    """
    section = config.log.security
    check_files(section)
    tokens = section.mechanism == "OAUTHBEARER"
    given = {
        "security.protocol": section.protocol,
        "ssl.ca.location": section.ca_file,
        "ssl.endpoint.identification.algorithm": None if section.check_hostname else "none",
        "ssl.certificate.location": section.certificate_file,
        "ssl.key.location": section.key_file,
        "ssl.key.password": secret(section, "key_password") if section.certificate_file else None,
        "ssl.crl.location": section.crl_file,
        "ssl.cipher.suites": section.ciphers,
        "sasl.mechanism": section.mechanism,
        "sasl.username": section.username,
        "sasl.password": secret(section, "password") if section.username else None,
        "oauth_cb": _tokens(section) if tokens else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _tokens(section: SecuritySection) -> Callable[[str], tuple[str | None, float]]:
    """Return what gives the token as it is now, and until when it is kept."""
    return lambda _: (secret(section, "token"), time.time() + TOKEN_KEPT_S)


def reading(config: Config) -> dict[str, Any]:
    """Return what every reader has."""
    return both(config) | {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "socket.timeout.ms": READER_SILENT_MS,
        "fetch.wait.max.ms": 100,
        "fetch.max.bytes": 4 << 20,
        "max.partition.fetch.bytes": 1 << 20,
        "fetch.error.backoff.ms": 50,
        "fetch.queue.backoff.ms": 10,
        "queued.min.messages": FETCHED_RECORDS,
        "queued.max.messages.kbytes": FETCHED_KB_MAX,
    }


def tailing(config: Config) -> dict[str, Any]:
    """Return the settings of a reader of any place; the client wants a group, which never joins."""
    return reading(config) | {"group.id": f"{config.app}.tail"}


def joining(config: Config, group: str, instance: str) -> dict[str, Any]:
    """Return the settings of a member."""
    return reading(config) | {
        "group.id": group,
        "group.instance.id": instance,
        "partition.assignment.strategy": "range",
        "session.timeout.ms": config.log.session_timeout,
        "heartbeat.interval.ms": 1000,
        "max.poll.interval.ms": config.log.poll_interval,
    }


def writing(config: Config, request_bytes_max: int, identity: str | None) -> dict[str, Any]:
    """Return the settings of a writer; with an identity, of transactions."""
    transactions = {
        "transactional.id": identity,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.report.only.error": True,
        "connections.max.idle.ms": WRITER_IDLE_MS,
    }
    return both(config) | {
        "enable.idempotence": True,
        "acks": "all",
        "retry.backoff.ms": 20,
        "linger.ms": 5,
        "batch.size": BATCH_BYTES,
        "message.max.bytes": request_bytes_max,
        "queue.buffering.max.kbytes": max(SENT_KB_MAX, 2 * request_bytes_max >> 10),
        "delivery.timeout.ms": 20_000,
        "partitioner": "murmur2_random",
        **(transactions if identity is not None else {}),
    }
