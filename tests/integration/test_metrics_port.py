"""C4: nobody who connects to a worker's port can stop its work, whatever they send or leave out."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric

from stream_al.config import HttpSection
from stream_al.service import http
from stream_al.service.http import CONNECTIONS_MAX, Health, Server
from tests.integration.conftest import Deployment, Process, native, until
from tests.integration.test_http import _get, _port

FILES = 200
"""A worker needs some fifty."""
IDLE = 1_200


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def _files(worker: Process) -> int:
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


def _predicts(deployment: Deployment, worker: Process, number: int) -> None:
    """Hold that the worker lives, predicts what comes now, and answers a scrape."""
    deployment.send(native(number))
    until(lambda: sum(deployment.ends("predictions")) == number or worker.poll() is not None, 20)
    assert worker.poll() is None, worker.err
    assert _get(worker, "/metrics")[0] == 200


def test_1200_idle_connections_leave_the_work_alone(deployment: Deployment) -> None:
    """C4: with fewer files than connections the worker predicts on, and a scrape is answered."""
    worker = deployment.worker()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(_connect(_port(worker)))
        assert _files(worker) < FILES / 2
        _predicts(deployment, worker, 1)
    _predicts(deployment, worker, 2)
    ended = worker.terminate()
    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert "thread_died" not in ended.err


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _huge_header(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        for _ in range(200):
            connection.sendall(b"X-Long: " + b"x" * 65_000 + b"\r\n")


def _slow_reader(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
    connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")


BAD: dict[str, Callable[[socket.socket], None]] = {
    "garbage": lambda it: it.sendall(os.urandom(4_096)),
    "TLS": lambda it: it.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "half a request": lambda it: it.sendall(b"GET /metr"),
    "half open": lambda it: it.shutdown(socket.SHUT_WR),
    "hangs up": lambda it: (it.sendall(b"GET /metrics HTTP/1.1\r\n\r\n"), _reset(it))[1],
    "hangs up at once": _reset,
    "huge header": _huge_header,
    "slow reader": _slow_reader,
    "another method": lambda it: it.sendall(b"POST /metrics HTTP/1.1\r\n\r\n"),
    "no path": lambda it: it.sendall(b"GET\r\n\r\n"),
    "no HTTP": lambda it: it.sendall(b"GET / QUIC/\xff\r\n\r\n"),
    "a body that never comes": lambda it: it.sendall(
        b"GET /healthz HTTP/1.1\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n"
    ),
}


def test_whatever_is_sent_the_work_goes_on_and_the_log_is_quiet(deployment: Deployment) -> None:
    """C4: garbage, half requests, who hangs up: no traceback, no line, and no file is kept."""
    worker = deployment.worker()
    _predicts(deployment, worker, 1)
    before, said = _files(worker), worker.err
    with ExitStack() as stack:
        for _ in range(10):
            for bad in BAD.values():
                connection = stack.enter_context(_connect(_port(worker)))
                with suppress(OSError):
                    bad(connection)
        _predicts(deployment, worker, 2)
    until(lambda: _files(worker) <= before + 1, http.ANSWER_S_MAX + 5)
    assert worker.err == said
    assert worker.terminate().code == 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Server]]:
    """Give what starts a server in this process, with a collector, and short deadlines."""
    monkeypatch.setattr(http, "REQUEST_S_MAX", 0.3)
    started: list[Server] = []

    def start(collector: Any) -> Server:
        started.append(Server(HttpSection(port=0), collector, Health(stepped_s=time.monotonic())))
        return started[-1]

    yield start
    for one in started:
        one.close()


class Collector:
    """Gives a metric, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        if self.error is not None:
            raise self.error
        yield Metric("up", "It is", "gauge")


def _ask(port: int, path: str = "/metrics") -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_idle_connection_ends_by_itself(server: Callable[[Any], Server]) -> None:
    """C4: at its deadline, and one byte now and then does not move that."""
    port = server(Collector()).port
    with _connect(port) as idle, _connect(port) as dripping:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 5:
                dripping.sendall(b"x")
                time.sleep(0.05)
        dripped_s = time.monotonic() - began
        assert idle.recv(1) == b""
    assert dripped_s < 2.0


def test_more_than_the_bound_end_the_oldest(server: Callable[[Any], Server]) -> None:
    """C4: a newcomer is served at once, though as many as there may be are waiting."""
    port = server(Collector()).port
    threads = threading.active_count()
    with ExitStack() as stack:
        idle = [stack.enter_context(_connect(port)) for _ in range(CONNECTIONS_MAX)]
        until(lambda: threading.active_count() >= threads + CONNECTIONS_MAX, 5)
        assert _ask(port) == 200
        assert threading.active_count() <= threads + CONNECTIONS_MAX
        assert idle[0].recv(1) == b""


def test_a_collector_that_fails_is_a_500_and_one_line(
    server: Callable[[Any], Server], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """C4: each scrape is told so, the log once a minute, and the other pages go on."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(http, "log_line", lambda event, **more: lines.append({event: more}))
    collector = Collector(ZeroDivisionError("a count of nothing"))
    port = server(collector).port
    lines.clear()

    assert [_ask(port) for _ in range(3)] == [500, 500, 500]
    assert _ask(port, "/healthz") == 200
    until(lambda: lines, 5)
    assert lines == [{"http_failed": {"why": "ZeroDivisionError: a count of nothing"}}]
    collector.error = None
    assert _ask(port) == 200
    assert capfd.readouterr().err == ""


def test_many_scrapes_share_a_page(server: Callable[[Any], Server]) -> None:
    """C4: who asks a hundred times a second does not take the work's time."""
    collector = Collector()
    port = server(collector).port
    asked_before = collector.count
    began = time.monotonic()
    assert {_ask(port) for _ in range(100)} == {200}
    took_s = time.monotonic() - began

    assert collector.count - asked_before <= took_s / http.PAGE_AGE_S_MAX + 1


def test_no_file_for_a_connection_is_no_end(
    server: Callable[[Any], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: EMFILE when it accepts: it rests, neither spinning nor ending, and goes on."""
    made = server(Collector())
    refused: list[float] = []
    accept = socket.socket.accept

    def full(self: socket.socket) -> Any:
        if len(refused) < 3:
            refused.append(time.monotonic())
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", full)
    assert _ask(made.port) == 200
    assert refused[-1] - refused[0] >= http.ACCEPT_AGAIN_S
