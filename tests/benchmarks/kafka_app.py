"""What the benchmarks on Kafka share: a broker, apps with events on it, CPU of processes.

CPU is that of whole processes with all their threads, as the operating system counts it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, Any

import yaml
from kafka import KafkaProducer

from stream_al.service.settings import load_config
from stream_al_connectors.kafka.broker import Cluster
from stream_al_connectors.kafka.checking import create_topics
from tests.benchmarks.row import NotMeasured, numbers

EVENTS = 160_000
"""Enough that a start and an end of some seconds, which vary, hardly count."""
SEEDS = 50
DIFFERENT_EVENTS = 2_000
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "connectors"))),
}
NO_SNAPSHOTS = {"STREAM_AL_SNAPSHOTS__EVERY_RECORDS": "0"}
LIMIT_S = 300.0
"""Each command takes some seconds; one that takes this long will not end."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Place:
    """One broker, and a folder for the apps on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(folder / "broker")
        self.cluster.start()

    @property
    def address(self) -> str:
        return self.cluster.bootstrap_servers[0]

    def broker_cpu_s(self) -> float:
        """Return the CPU seconds that the broker used since its start."""
        return sum(cpu_so_far_s(process.pid) for process in self.cluster._processes.values())


class App:
    """An app on a broker: its configuration, its topics, and a model that knows two classes.

    Parameters
    ----------
    log, more
        What the section `log` has beside the broker, and sections that are other than ours.
    """

    def __init__(
        self, place: Place, name: str, *, log: dict[str, Any] | None = None, **more: Any
    ) -> None:
        home = place.folder / name
        home.mkdir()
        secret = home / "gate.secret"
        secret.write_text("benchmark secret benchmark secret")
        own = {
            "app": name,
            "log": {"connector": "kafka", "bootstrap_servers": [place.address]} | (log or {}),
            "model": {"preset": "river"},
            "gate": {"secret_file": str(secret)},
            "http": {"port": 0},
            "snapshots": {"directory": str(home / "snapshots")},
        }
        self.place = place
        self._event_count = 0
        self.path = home / "stream-al.yaml"
        self.path.write_text(yaml.safe_dump(own | more))
        self.config = load_config(self.path, {})
        create_topics(self.config, change=False)

    def command(self, *words: str) -> list[str]:
        """Return a command line of `stream-al` for this app."""
        return [sys.executable, "-m", "stream_al", *words, "--config", str(self.path)]

    def taught(self) -> App:
        """Teach the model before any event is read, and return this app."""
        seeds = self.path.with_name("seeds.jsonl")
        seeds.write_text("".join(_seed(n, row) for n, row in enumerate(numbers(SEEDS))))
        cpu_s(self.command("seed", str(seeds)))
        cpu_s(self.command("run", "--role", "resolver", "--until-idle"))
        return self

    def fill(self) -> None:
        """Put `EVENTS` new events on the topic."""
        with self.filled():
            pass

    def run_cpu_s(self) -> float:
        """Return the CPU seconds of a worker that reads all there is, with its start and end.

        A run before the events came tells what start and end are: later ones begin with more
        queries. Without the process that writes snapshots: it comes once in a worker's life, and
        would be counted as the events' (`bench_snapshots` tells what it takes away from them).
        """
        return cpu_s(self.command("run", "--until-idle"), **NO_SNAPSHOTS)

    @contextmanager
    def filled(self) -> Iterator[dict[int, int]]:
        """Put them there, dealt out in turn; they are seen when the block ends, at once.

        Gives partition → the offset after its last event.
        """
        topic, partitions = self.config.topic("events"), self.config.topics.partitions
        producer = KafkaProducer(
            bootstrap_servers=self.place.address,
            transactional_id=f"{self.config.app}.sender",
            linger_ms=20,
            batch_size=256 << 10,
        )
        try:
            producer.init_transactions()
            producer.begin_transaction()
            sent = [
                producer.send(topic, value, partition=number % partitions)
                for number, value in enumerate(event_values(self._event_count))
            ]
            producer.flush()
            last = [future.get() for future in sent[-partitions:]]
            self._event_count += EVENTS
            yield {place.partition: place.offset + 1 for place in last}
            producer.commit_transaction()
        finally:
            producer.close()


@contextmanager
def running(*commands: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Give processes that run until the block ends; what they say is lost, unless one fails."""
    with ExitStack() as stack:
        processes = []
        for command in commands:
            said = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(command, env=ENVIRONMENT, stdout=said, stderr=said)
            stack.callback(_ended, process, said)
            processes.append(process)
        yield processes


def _ended(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    """End a process in peace; it must not have ended before."""
    early = process.poll()
    process.terminate()
    process.wait()
    said.seek(0)
    assert early is None, said.read().decode()[-2_000:]


@contextmanager
def broker() -> Iterator[Place]:
    """Give a broker in a folder of its own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        try:
            yield place
        finally:
            place.cluster.close()


def event_values(first: int) -> Iterator[bytes]:
    """Yield `EVENTS` events of 20 numbers, about 530 bytes each, numbered from `first` on."""
    rows = numbers(DIFFERENT_EVENTS)
    for number in range(first, first + EVENTS):
        features = rows[number % len(rows)]
        yield json.dumps({"event_id": f"e-{number}", "features": features}).encode()


def cpu_s(command: list[str], **environment: str) -> float:
    """Return the user and system seconds of a command and its threads; it must end well.

    Raises
    ------
    NotMeasured
        When it goes on and on; it is killed then.
    """
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    limit = Timer(LIMIT_S, process.kill)
    limit.daemon = True  # who interrupts the benchmark does not wait for it
    limit.start()
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    late = limit.finished.is_set()
    limit.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if late:
        raise NotMeasured(f"{' '.join(command[1:4])} did not end in {LIMIT_S:.0f} s; run it again")
    assert process.returncode == 0, said.decode()[-2_000:]
    return usage.ru_utime + usage.ru_stime


def cpu_so_far_s(pid: int) -> float:
    """Return the user and system seconds of a process that lives, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def spread(values: list[float]) -> str:
    """Return the smallest and the largest of some paired figures, in words."""
    return f"{min(values):.2f} to {max(values):.2f} in {len(values)} pairs"


def per_event(seconds: list[float]) -> str:
    """Return the median cost of one of `EVENTS` events, in words."""
    return f"{statistics.median(seconds) / EVENTS * 1e6:.0f} µs an event"


def _seed(number: int, features: dict[str, float]) -> str:
    label = ("ham", "spam")[number % 2]
    return json.dumps({"event_id": f"s-{number}", "features": features, "label": label}) + "\n"
