"""A TCP relay that makes a broker look old: it names fewer protocols than the broker behind it has.

A client asks each broker what it speaks before anything else (ApiVersions), and believes the
answer. The relay lets it ask in the oldest way, whose answer is a plain table, and cuts that table.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress

API_VERSIONS = 18
UNSUPPORTED_VERSION = 35

Spoken = Mapping[int, tuple[int, int]]
"""Number of a protocol → the lowest and the highest version of it."""


class OldBroker:
    """Listens on a port of its own, in front of `target_port` on this machine.

    Parameters
    ----------
    speaks
        What the broker is said to speak; a protocol that is not named is not there.
    """

    def __init__(self, target_port: int, speaks: Spoken | None = None) -> None:
        self.speaks: Spoken = dict(speaks or {})
        self._target_port = target_port
        self._sockets: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [self._start(self._accept)]

    def close(self) -> None:
        """End it with all its connections."""
        for one in (self._listening, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listening, *self._sockets):
            one.close()

    def _start(self, run: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=run, args=arguments, name="old-broker", daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                broker = socket.create_connection(("127.0.0.1", self._target_port))
                self._sockets |= {client, broker}
                asked: set[int] = set()  # the numbers of the requests for ApiVersions
                self._threads.append(self._start(self._requests, client, broker, asked))
                self._threads.append(self._start(self._answers, broker, client, asked))

    def _requests(self, client: socket.socket, broker: socket.socket, asked: set[int]) -> None:
        while (frame := _frame(client)) is not None:
            kind, version, number = struct.unpack(">hhi", frame[:8])
            if kind == API_VERSIONS and version > 0:
                table = struct.pack(">hi3h", UNSUPPORTED_VERSION, 1, API_VERSIONS, 0, 0)
                _send(client, struct.pack(">i", number) + table)
                continue
            if kind == API_VERSIONS:
                asked.add(number)
            _send(broker, frame)
        _hang_up(broker)

    def _answers(self, broker: socket.socket, client: socket.socket, asked: set[int]) -> None:
        while (frame := _frame(broker)) is not None:
            (number,) = struct.unpack(">i", frame[:4])
            if number in asked:
                asked.remove(number)
                frame = frame[:4] + self._cut(frame[4:])
            _send(client, frame)
        _hang_up(client)

    def _cut(self, table: bytes) -> bytes:
        error, count = struct.unpack(">hi", table[:6])
        rows = struct.iter_unpack(">3h", table[6 : 6 + 6 * count])
        left = [(kind, *self.speaks[kind]) for kind, *_ in rows if kind in self.speaks]
        return struct.pack(">hi", error, len(left)) + b"".join(
            struct.pack(">3h", *row) for row in left
        )


def _frame(source: socket.socket) -> bytes | None:
    """Return one whole message, None when the connection ended."""
    size = _exactly(source, 4)
    return None if size is None else _exactly(source, *struct.unpack(">i", size))


def _exactly(source: socket.socket, size: int) -> bytes | None:
    found = b""
    with suppress(OSError):
        while len(found) < size:
            more = source.recv(size - len(found))
            if not more:
                return None
            found += more
        return found
    return None


def _send(target: socket.socket, frame: bytes) -> None:
    with suppress(OSError):
        target.sendall(struct.pack(">i", len(frame)) + frame)


def _hang_up(target: socket.socket) -> None:
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
