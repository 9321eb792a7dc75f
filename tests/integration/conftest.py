"""A deployment in a folder of its own: real processes, a real log, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_al.config import Config
from stream_al.messages import unpacked
from stream_al.port import Log, Record
from stream_al.service.settings import load_config
from stream_al.service.view import records
from stream_al_connectors import open_log

DEADLINE_MS = 600_000
"""Of what the tests read themselves: their own process must not end on a slow broker."""
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# A runner in the background ignores SIGINT, and every process of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("STREAM_AL_")
} | {
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "connectors", HERE))),
    "OPENBLAS_NUM_THREADS": "1",
    "COLUMNS": "200",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Forks:
    """The server of `fork_server.py`, from outside."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "fork_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()


class Process:
    """One process that runs a command."""

    def __init__(self, forks: Forks, order: dict[str, Any]) -> None:
        self._forks = forks
        self._out = Path(order["stdout"])
        self._err = Path(order["stderr"])
        self.started_s = time.monotonic()
        self.pid: int = forks.ask(order)
        self._code: int | None = None

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    @property
    def out(self) -> str:
        return self._out.read_text(errors="replace") if self._out.exists() else ""

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._forks.ask({"poll": self.pid})
        return self._code

    def wait(self, timeout_s: float = 60.0) -> Ended:
        deadline = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"still running; it said: {self.err[-2000:]}"
            time.sleep(0.005)
        return Ended(code, self.out if self._out.is_file() else "", self.err)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> Ended:
        self.send_signal(signal.SIGTERM)
        return self.wait(10.0)

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until the process says `text` on stderr."""
        until(lambda: text in self.err or self.poll() is not None, timeout_s)
        assert text in self.err, self.err


class Deployment:
    """A folder with a configuration, a log and the processes that work on it."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self.folder = folder
        self._forks = forks
        self._processes: list[Process] = []
        self._log: Log | None = None
        (folder / "process").mkdir()
        self.configure()

    def configure(self, name: str = "stream-al.yaml", **sections: Any) -> Path:
        """Write a configuration: quick commits and a free port unless told otherwise."""
        body = {
            "app": "t",
            "log": {"path": "t.db", "durability": "normal"},
            "http": {"port": 0},
        } | sections
        path = self.folder / name
        path.write_text(yaml.safe_dump(body))
        return path

    @property
    def config(self) -> Config:
        config = load_config(self.folder / "stream-al.yaml", {})
        section = config.log.model_copy(update={"path": str(self.folder / str(config.log.path))})
        return config.model_copy(update={"log": section})

    @property
    def log(self) -> Log:
        if self._log is None:
            config = self.config
            section = config.log.model_copy(update={"deadline": DEADLINE_MS})
            self._log = open_log(config.model_copy(update={"log": section}))
        return self._log

    def start(
        self,
        *arguments: object,
        stdin: Path | str = os.devnull,
        stdout: Path | None = None,
        environment: dict[str, str] | None = None,
        file_bytes_max: int | None = None,
        clock_shift_ms: int = 0,
        slow_s: float = 0.0,
        uid: int = 0,
    ) -> Process:
        """Start a command in a process of its own, on a full disk or a wrong clock if told so.

        With `slow_s` it can be made to stumble: see `stumbles`; with `uid` it is that user's.
        """
        name = self.folder / "process" / str(len(self._processes))
        process = Process(
            self._forks,
            {
                "arguments": [str(argument) for argument in arguments],
                "folder": str(self.folder),
                "environment": environment or {},
                "stdin": str(stdin),
                "stdout": str(stdout or f"{name}.out"),
                "stderr": f"{name}.err",
                "file_bytes_max": file_bytes_max,
                "uid": uid,
                "clock_shift_ms": clock_shift_ms,
                "slow_s": slow_s,
            },
        )
        self._processes.append(process)
        return process

    def cli(self, *arguments: object, **how: Any) -> Ended:
        """Run a command to its end; a traceback is never an answer."""
        ended = self.start(*arguments, **how).wait()
        assert "Traceback" not in ended.err, ended.err
        return ended

    def done(self, *arguments: object, **how: Any) -> Ended:
        """Run a command that must succeed."""
        ended = self.cli(*arguments, **how)
        assert ended.code == 0, ended
        return ended

    def worker(self, *arguments: object, **how: Any) -> Process:
        """Start a worker and wait until it has joined and folded the journal."""
        process = self.start("run", *arguments, **how)
        process.wait_for("http_listening")
        return process

    def send(self, *events: dict[str, Any] | bytes | str, topic: str = "events") -> None:
        """Append records through the real `send`."""
        lines = [_line(event) for event in events]
        path = self.folder / "sent.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        self.done("send", path, "--topic", topic)

    def records(self, topic: str) -> list[Record]:
        """Return every committed record of a topic, partition by partition."""
        full = self.config.topic(topic)
        return [
            record
            for partition in range(self.log.partition_count(full))
            for record in records(self.log, full, partition, 0)
        ]

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """Return every message of a topic."""
        return [
            json.loads(value) for record in self.records(topic) for value in unpacked(record.value)
        ]

    def ends(self, topic: str) -> list[int]:
        """Return the end of each partition of a topic."""
        full = self.config.topic(topic)
        return [self.log.end(full, each) for each in range(self.log.partition_count(full))]

    def close(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()
        if self._log is not None:
            self._log.close()


def _line(event: dict[str, Any] | bytes | str) -> bytes:
    if isinstance(event, bytes):
        return event
    return (event if isinstance(event, str) else json.dumps(event)).encode()


def until(true: Callable[[], object], timeout_s: float = 60.0, every_s: float = 0.01) -> float:
    """Wait until something is true; return how long it took, in seconds."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < timeout_s, "it did not come true in time"
        time.sleep(every_s)
    return time.monotonic() - started


def native(number: int, text: str = "free money", **more: Any) -> dict[str, Any]:
    """Return a native event."""
    return {"event_id": f"e-{number}", "features": {"text": f"{text} {number}"}} | more


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.close()


@pytest.fixture
def deployment(forks: Forks, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(forks, tmp_path)
    yield made
    made.close()
