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

from stream_al.config import LogSection
from stream_al_connectors.kafka.probe import speaks_tls

PASSED_EVERY_S = 30.0
REMEMBERED = 200
_NOISE = (
    "waiting %.2f secs",
    "disabling auto-commit",
    "Exchanging credentials in the clear",
    "Bootstrap failed",
    "It is blocking the event loop",
)
_NO_FRAME = "Invalid frame length"
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
    (_NO_FRAME, "log.security.protocol",
     "the port speaks something else than Kafka"),
)  # fmt: skip
_THROTTLED = re.compile(r"throttled by broker \((\d+) ms\)")
_NOT_LET_IN = re.compile("SaslAuthenticationFailed|Authentication failed")
_HUNG_UP = "socket disconnected"
_HUNG_UP_KNOWN = re.compile(rf"broker_version=\(.*\(disconnected\)>: Connection lost: .*{_HUNG_UP}")
HUNG_UP_TIMES = 3
"""A broker that stops hangs up once; one that does not want us, every time."""
_NODE_LOST = re.compile(r"node_id=(\d+)\b.*Connection (?:lost|failed): (.*)")
_NO_NAME = re.compile(r"DNS lookup failed for (\S+?),")
_UNREACHED = (
    (r"DNS", "the host's name is not known"),
    (r"ECONNREFUSED", "nothing listens on that port"),
    (r"timed out", "the port is silent, or not a broker's"),
    (_HUNG_UP, "the port hangs up"),
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
        self.section = LogSection()  # by which the client connects

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
            fields = {"logger": record.name, "message": text}
            more = {"event": "kafka_client", "fields": fields}
            self._service.warning("kafka_client %s: %s", record.name, text, extra=more)

    def since(self, began_s: float) -> list[str]:
        """Return what was said after `began_s`."""
        with self._guard:
            return [text for said_s, text in self._kept if said_s >= began_s]


_CLIENT_LOG = _ClientLog()


def listen(section: LogSection) -> None:
    """Hear what the client says from now on, which connects by `section`."""
    _CLIENT_LOG.section = section
    logger = logging.getLogger("kafka")
    if _CLIENT_LOG not in logger.handlers:
        logger.addHandler(_CLIENT_LOG)
        logger.propagate = False
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def note_let_in() -> None:
    """Remember that brokers took this process's settings: who hangs up now has another reason."""
    _CLIENT_LOG.let_in = True


def refused(lines: list[str], section: LogSection) -> str | None:
    """Return why brokers let nobody in, when a line or their port says so: a setting is wrong.

    That they hang up again and again says so only before they let this process in: a broker that
    dies hangs up on each of its clients.

    Examples
    --------
    >>> lines = ["Connection lost: SaslAuthenticationFailedError: invalid credentials"]
    >>> refused(lines, LogSection())
    'log.security.username and its password: the brokers refuse them'
    >>> refused(["111 ECONNREFUSED"], LogSection())
    """
    by_token = section.security.mechanism == "OAUTHBEARER"
    who = "log.security.token_file" if by_token else "log.security.username and its password"
    if any(_NOT_LET_IN.search(line) for line in lines):
        return f"{who}: the brokers refuse {'this token' if by_token else 'them'}"
    tls = None if _CLIENT_LOG.let_in else _port_in_tls(lines, section)
    if tls is not None:
        return f"log.security.protocol is {section.security.protocol}: {tls} speaks TLS"
    for pattern, field, sentence in _REASONS:
        if any(re.search(pattern, line) for line in lines):
            return f"{field}: {sentence}"
    hung_up = sum(_HUNG_UP_KNOWN.search(line) is not None for line in lines)
    if _CLIENT_LOG.let_in or hung_up < HUNG_UP_TIMES:
        return None
    if section.security.mechanism is None:
        return (
            "log.security.protocol: the brokers answer, and hang up when more is asked: most "
            "likely they want a login (SASL_…)"
        )
    return (
        f"{who}: the brokers answer, and hang up when it comes to names: most likely they refuse "
        "what is given, else log.security.protocol or mechanism is another there"
    )


def _port_in_tls(lines: list[str], section: LogSection) -> str | None:
    """Return the port that takes plain text for a broken handshake, if one does."""
    strange = any(_HUNG_UP in line or _NO_FRAME in line for line in lines)
    if section.security.protocol.endswith("SSL") or not strange:
        return None
    return next((it for it in section.bootstrap_servers if speaks_tls(it)), None)


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


def unreached_node(lines: list[str]) -> str | None:
    """Return which broker can't be reached where the others say that it is, and why.

    Examples
    --------
    >>> unreached_node([
    ...     "DNS lookup failed for kafka-7.internal:9092, gaierror(-2, 'Name not known')",
    ...     "<KafkaConnection node_id=7 (disconnected)>: Connection lost: DNS Resolution failure",
    ... ])
    "node 7 (kafka-7.internal:9092) can't be reached from here: the host's name is not known"
    >>> unreached_node(["<KafkaConnection node_id=bootstrap-0>: Connection lost: ECONNREFUSED"])
    """
    lost = [found for line in lines if (found := _NODE_LOST.search(line)) is not None]
    if not lost:
        return None
    node, why = lost[-1].groups()
    names = [found[1] for line in lines if (found := _NO_NAME.search(line)) is not None]
    host = f" ({names[-1]})" if names and "DNS" in why else ""
    return f"node {node}{host} can't be reached from here: {unreached([why])}"


def why_refused(seconds: float) -> str | None:
    """Return why brokers let nobody in, when the client said it in the last so many seconds."""
    return refused(last_lines(seconds), _CLIENT_LOG.section)


def throttled(seconds: float) -> str:
    """Return what to add to a line, when brokers throttled this client in the last so many seconds.

    Examples
    --------
    >>> throttled(0.0)
    ''
    """
    found = [int(said[1]) for line in last_lines(seconds) if (said := _THROTTLED.search(line))]
    if not found:
        return ""
    return (
        f"; the brokers throttle this client, by up to {max(found):,} ms a request: raise the "
        "quota of its user or client id (`kafka-configs --describe --entity-type users`, `clients`)"
    )


def last_lines(seconds: float) -> list[str]:
    """Return what the client said in the last so many seconds."""
    return _CLIENT_LOG.since(time.monotonic() - seconds)


def bootstrap_servers() -> str:
    """Return the brokers that this process was told."""
    return ", ".join(_CLIENT_LOG.section.bootstrap_servers)
