"""A TCP proxy that holds, delays, cuts one way, swallows and resets what goes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Literal

Mode = Literal["pass", "delay", "hold", "one_way"]
DELAY_S = 0.15
LOOK_S = 0.02
CHUNK = 1 << 16


class Proxy:
    """Listens on a port of its own, and passes on to `target_port`, both on this machine."""

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.port = 0
        self._target_port = target_port
        self._age = 0  # connections that began before this age are forgotten
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        self._started.wait()

    def reset(self) -> None:
        """Break every connection at once, as a firewall that forgot them does."""
        done = threading.Event()

        def now() -> None:
            for writer in self._writers:
                found: socket.socket = writer.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(now)
        done.wait()

    def swallow(self) -> None:
        """Forget every connection and tell nobody: what comes over them is lost, new ones work."""
        self._age += 1

    def close(self) -> None:
        """End it with all its connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        await asyncio.gather(
            self._pass(reader, back, answers=False), self._pass(there, writer, answers=True)
        )
        self._writers -= {writer, back}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        began = self._age
        try:
            while data := await reader.read(CHUNK):
                if began < self._age:
                    continue
                # The mode is set from another thread, which can't set an event here
                while self.mode == "hold" or (self.mode == "one_way" and answers):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
                if self.mode == "delay":
                    await asyncio.sleep(DELAY_S)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
