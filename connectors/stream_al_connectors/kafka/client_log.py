"""What the client says of itself: passed on, a line of each kind in half a minute, and remembered.

kafka-python logs nothing by default, and raises nothing but a time-out when it can't connect: why
it could not (address, password, certificate) stands in its warnings alone.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque

PASSED_EVERY_S = 30.0
REMEMBERED = 200
_NOISE = (
    "waiting %.2f secs",
    "disabling auto-commit",
    "Exchanging credentials in the clear",
    "Bootstrap failed",
)
_REASONS = (
    # what a connection ended with, the most telling first; field to look at; what to do
    (r"UnsupportedSaslMechanism", "log.security.mechanism", "the brokers do not offer it"),
    (r"Hostname mismatch", "log.bootstrap_servers",
     "the brokers' certificate is of another host name"),
    (r"certificate revoked", "log.security.crl_file", "the brokers' certificate is revoked in it"),
    (r"unable to get certificate CRL", "log.security.crl_file",
     "it has no list of the authority that signed the brokers' certificate"),
    (r"CERTIFICATE_VERIFY_FAILED", "log.security.ca_file",
     "the brokers' certificate is not signed by an authority in it"),
    (r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE", "log.security.certificate_file",
     "the brokers want a certificate of ours that they know"),
    (r"Handshake failed", "log.security.protocol",
     "the port answers, but not in TLS as configured"),
    (r"Invalid frame length", "log.security.protocol",
     "the port speaks TLS or something else than Kafka"),
)  # fmt: skip
_NOT_LET_IN = re.compile("SaslAuthenticationFailed|Authentication failed")
_HUNG_UP = re.compile(
    r"broker_version=\(.*\(disconnected\)>: Connection lost: .*socket disconnected"
)
HUNG_UP_TIMES = 3
"""A broker that stops hangs up once; one that does not want us, every time."""
_UNREACHED = (
    (r"DNS", "the host's name is not known"),
    (r"ECONNREFUSED", "nothing listens on that port"),
    (r"timed out", "the port is silent, or not a broker's"),
    (r"socket disconnected", "the port hangs up: log.security.protocol may be another there"),
)


class _ClientLog(logging.Handler):
    """Passes on warnings to the service's log, not too many, and keeps the last ones."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, float] = {}
        self._kept: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)
        self._guard = threading.Lock()  # the client logs on its own threads
        self.let_in = False
        self._service = logging.getLogger("stream_al")
        self.mechanism: str | None = None  # by which the client logs in

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of the client."""
        template = str(record.msg)
        if any(noise in template for noise in _NOISE):
            return
        text = record.getMessage()
        now = time.monotonic()
        with self._guard:
            self._kept.append((now, text))
            silent = now - self._said.get(template, float("-inf")) < PASSED_EVERY_S
            if not silent:
                self._said[template] = now
        if not silent and self._service.handlers:
            self._service.warning("kafka_client %s: %s", record.name, text)

    def since(self, began_s: float) -> list[str]:
        """Return what was said after `began_s`."""
        with self._guard:
            return [text for said_s, text in self._kept if said_s >= began_s]


_CLIENT_LOG = _ClientLog()


def listen(mechanism: str | None) -> None:
    """Hear what the client says from now on, which logs in by `mechanism`."""
    _CLIENT_LOG.mechanism = mechanism
    logger = logging.getLogger("kafka")
    if _CLIENT_LOG not in logger.handlers:
        logger.addHandler(_CLIENT_LOG)
        logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def note_let_in() -> None:
    """Remember that brokers took this process's settings: who hangs up now has another reason."""
    _CLIENT_LOG.let_in = True


def refused(lines: list[str], mechanism: str | None) -> str | None:
    """Return why brokers let nobody in, when a line says so: a setting is wrong.

    That they hang up again and again says so only before they let this process in: a broker that
    dies hangs up on each of its clients.

    Examples
    --------
    >>> lines = ["Connection lost: SaslAuthenticationFailedError: invalid credentials"]
    >>> refused(lines, "PLAIN")
    'log.security.username and its password: the brokers refuse this name and password'
    >>> refused(lines, "OAUTHBEARER")
    'log.security.token_file: the brokers refuse this token'
    >>> refused(["111 ECONNREFUSED"], None)
    """
    token = mechanism == "OAUTHBEARER"
    if any(_NOT_LET_IN.search(line) for line in lines):
        if token:
            return "log.security.token_file: the brokers refuse this token"
        return "log.security.username and its password: the brokers refuse this name and password"
    for pattern, field, sentence in _REASONS:
        if any(re.search(pattern, line) for line in lines):
            return f"{field}: {sentence}"
    hung_up = sum(_HUNG_UP.search(line) is not None for line in lines)
    if hung_up >= HUNG_UP_TIMES and not _CLIENT_LOG.let_in:
        return (
            "log.security: the brokers answer, and hang up when it comes to names: most likely "
            f"{'the token is' if token else 'username and password are'} other there, else "
            "protocol or mechanism"
        )
    return None


def unreached(lines: list[str]) -> str:
    """Return why no broker was reached, as far as a line says so.

    Examples
    --------
    >>> unreached(["Connection failed: KafkaConnectionError: 111 ECONNREFUSED"])
    'nothing listens on that port'
    """
    for pattern, sentence in _UNREACHED:
        if any(re.search(pattern, line) for line in lines):
            return sentence
    return "no broker answered"


def why_refused(seconds: float) -> str | None:
    """Return why brokers let nobody in, when the client said it in the last so many seconds."""
    return refused(last_lines(seconds), _CLIENT_LOG.mechanism)


def last_lines(seconds: float) -> list[str]:
    """Return what the client said in the last so many seconds."""
    return _CLIENT_LOG.since(time.monotonic() - seconds)
