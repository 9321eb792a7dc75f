"""`/metrics`, `/healthz` and `/readyz` of a worker, on threads of their own.

Whoever connects, and whatever they send or leave out, the work goes on: a connection has a deadline
for its request and one for its answer, there are few at a time, the oldest makes room for a new
one, and nothing of theirs reaches the loop.
"""

from __future__ import annotations

import errno
import io
import socket
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, ClassVar, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from stream_al.config import HttpSection, LogSection
from stream_al.errors import ConfigurationError
from stream_al.service.listening import Address, address_of
from stream_al.service.logs import log as log_line
from stream_al.service.metrics import WorkerCollector

CONNECTIONS_MAX = 16
"""At a time. Prometheus, a probe or two and a person need four."""
REQUEST_S_MAX = 5.0
ANSWER_S_MAX = 10.0
REQUEST_BYTES_MAX = 16_384
ROOM_S_MAX = 1.0
"""How long a new connection waits for the one that makes room to be closed."""
ACCEPT_AGAIN_S = 0.2
"""After the system refused a connection: it has no file for it now."""
PAGE_AGE_S_MAX = 0.2
"""A page of metrics serves everybody who asks within this time."""
FAILED_EVERY_S = 60.0
STEP_S_MAX = 30.0
"""Unless a step may take longer: on Kafka `log.poll_interval` says so."""


@dataclass(slots=True)
class Health:
    """What the loop tells about itself.

    Attributes
    ----------
    ready
        Whether the journal is folded.
    stepped_s
        When the last step ended, monotonic seconds.
    step_s_max
        What a step may take.
    """

    ready: bool = False
    stepped_s: float = 0.0
    step_s_max: float = STEP_S_MAX

    @classmethod
    def of(cls, section: LogSection, *, now_s: float) -> Self:
        """Return the health of a worker that begins.

        Examples
        --------
        >>> Health.of(LogSection(), now_s=0.0).step_s_max
        30.0
        >>> slow = LogSection(connector="kafka", poll_interval="5m")
        >>> Health.of(slow, now_s=0.0).step_s_max
        300.0
        """
        allowed_s = section.poll_interval / 1_000 if section.connector == "kafka" else 0.0
        return cls(stepped_s=now_s, step_s_max=max(STEP_S_MAX, allowed_s))

    def alive(self) -> bool:
        """Whether the loop made a step lately."""
        return time.monotonic() - self.stepped_s < self.step_s_max


class Server:
    """The worker's HTTP server; for a taken port the next free one serves, and the log says so.

    Raises
    ------
    ConfigurationError
        When the host is none of this machine, or the port is the system's own.
    """

    def __init__(
        self, section: HttpSection, collector: WorkerCollector, health: Health, *, slot: int = 0
    ) -> None:
        page = _Page(collector)
        handler = type("Handler", (_Handler,), {"page": page, "health": health})
        address = address_of(section, slot)
        self._server = _bound(address, handler)
        if address.port not in (0, self.port):
            log_line(
                "port_taken",
                wanted=address.port,
                using=self.port,
                why="another process listens there; name another http.port, or give each worker "
                "a --slot of its own",
            )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        log_line("http_listening", host=address.host, port=self.port, url=address.url(self.port))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _bound(address: Address, handler: type[BaseHTTPRequestHandler]) -> _Server:
    for port in (*address.ports, 0):
        try:
            return _Server(address._replace(port=port), handler)
        except PermissionError:
            raise ConfigurationError(
                f"http.port: port {port} is the system's own; take one above 1,023"
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not port:
                raise
    raise AssertionError("port 0 is free, or the system says why not")


class _Page:
    """The page of metrics, made by one thread at a time, and not for everyone anew."""

    def __init__(self, collector: WorkerCollector) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        self._guard = threading.Lock()
        self._made_s = float("-inf")
        self._body = b""

    def body(self) -> bytes:
        """Return the page."""
        with self._guard:
            now_s = time.monotonic()
            if now_s - self._made_s >= PAGE_AGE_S_MAX:
                self._body = generate_latest(self._registry)
                self._made_s = now_s
            return self._body


class _Server(ThreadingHTTPServer):
    """A thread a connection, of which there are few: the oldest makes room.

    Attributes
    ----------
    _open
        Connections under way, oldest first; at most `CONNECTIONS_MAX`.
    _room
        Counts those that may still come.
    _failed_s
        When a line last said that something of ours failed here.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: OrderedDict[Any, None] = OrderedDict()
        self._guard = threading.Lock()
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._failed_s = float("-inf")
        self.address_family = address.family
        super().__init__((address.host, address.port), handler)

    def server_bind(self) -> None:
        """Bind without asking for the host's full name, which can take a resolver's time-out."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; without a file for it, rest, for the connection goes on waiting."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(ACCEPT_AGAIN_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, and room by ending the oldest one."""
        if not self._room.acquire(blocking=False):
            with self._guard:
                oldest = next(iter(self._open), None)
            if oldest is not None:
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread closes it
            if not self._room.acquire(timeout=ROOM_S_MAX):
                self.shutdown_request(request)
                return
        with self._guard:
            self._open[request] = None
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Close, and make room if it took any."""
        super().close_request(request)
        with self._guard:
            had_room = request in self._open
            self._open.pop(request, None)
        if had_room:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its name
        """Say what failed here, once a minute; who hangs up is no news."""
        error = sys.exception()
        now_s = time.monotonic()
        if isinstance(error, OSError) or now_s - self._failed_s < FAILED_EVERY_S:
            return
        self._failed_s = now_s
        log_line("http_failed", why=f"{type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    page: ClassVar[_Page]
    health: ClassVar[Health]
    timeout = ANSWER_S_MAX

    def setup(self) -> None:
        """Read the request's head whole, within its bounds of time and size."""
        super().setup()
        self.rfile = io.BytesIO(_head(self.connection))
        self.connection.settimeout(ANSWER_S_MAX)

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            try:
                body = self.page.body()
            except Exception:
                self._send(500, b"the metrics can't be made; the log says why\n")
                raise
            self._send(200, body, "text/plain; version=0.0.4; charset=utf-8")
        elif path == "/healthz":
            alive = self.health.alive()
            self._send(200 if alive else 503, b"ok\n" if alive else b"the loop stands still\n")
        elif path == "/readyz":
            ready = self.health.ready and self.health.alive()
            self._send(200 if ready else 503, b"ready\n" if ready else b"folding the journal\n")
        else:
            self._send(404, b"try /metrics, /healthz or /readyz\n")

    def _send(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: scrapes are no news."""


def _head(connection: socket.socket) -> bytes:
    """Return what a client asks, to the empty line; nothing when it takes too long or too much."""
    until_s = time.monotonic() + REQUEST_S_MAX
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left_s = until_s - time.monotonic()
        if left_s <= 0 or len(head) >= REQUEST_BYTES_MAX:
            return b""
        connection.settimeout(left_s)
        try:
            more = connection.recv(REQUEST_BYTES_MAX - len(head))
        except OSError:
            return b""
        if not more:
            return b""
        head += more
    return head
