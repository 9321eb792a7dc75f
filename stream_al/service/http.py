"""`/metrics`, `/healthz` and `/readyz` of a worker, on a thread of their own."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from stream_al.config import HttpSection, LogSection
from stream_al.service.logs import log as log_line
from stream_al.service.metrics import WorkerCollector

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
    """The worker's HTTP server; a taken port is replaced by a free one, and the log says so."""

    def __init__(self, section: HttpSection, collector: WorkerCollector, health: Health) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        handler = type("Handler", (_Handler,), {"registry": registry, "health": health})
        try:
            self._server = ThreadingHTTPServer((section.host, section.port), handler)
        except OSError as error:
            self._server = ThreadingHTTPServer((section.host, 0), handler)
            log_line("port_taken", wanted=section.port, using=self.port, why=error.strerror)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        log_line("http_listening", host=section.host, port=self.port)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    registry: ClassVar[CollectorRegistry]
    health: ClassVar[Health]

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body = generate_latest(self.registry)
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
