"""`make recovery`: how long a partition is without a new prediction after each kind of fault.

Two real workers under a supervisor that starts again whoever ended after 0.2 s; four partitions, an
event in each every 40 ms, sent beside each other so that one partition's leader holds up no other.
A read-committed consumer notes when predictions become visible. A figure is the longest time that
the worst partition had none; what it is without any fault is the first row.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from stream_al.errors import StreamAlError
from stream_al_connectors.kafka.broker import Cluster
from tests.chaos.brokers import Leaders, Ownership
from tests.chaos.deploying import deploy
from tests.integration.conftest import ENVIRONMENT, Deployment, Forks

PARTITIONS = 4
SLOTS = 2
EVENT_EVERY_S = 0.04
RESTART_S = 0.2
PAUSE_S = 10.0
DOWN_S = 10.0
LOOK_S = 0.02
QUIET_S = 5.0
"""After a fault, beyond the first prediction in every partition: later gaps are its too."""
RECOVERED_S = 90.0
QUICK = {"reconnect_backoff_max_ms": 200, "metadata_max_age_ms": 1_000, "metrics_enabled": False}
"""Of the bench's own clients: their recovery is in the figures, so it is short."""

BOUND_S = {"worker: kill -9, restarted": 5.0, "broker of three: kill -9": 8.0}


class Supervised:
    """The workers, each in a process of its own, as a supervisor keeps them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._resting: set[int] = set()
        self._ended = threading.Event()
        self.ends: list[str] = []
        for slot in range(SLOTS):
            self._start(slot)
        self._thread = threading.Thread(target=self._supervise, name="supervisor")
        self._thread.start()

    def signal(self, slot: int, number: int) -> None:
        """Send a signal."""
        self._running[slot].send_signal(number)

    def rest(self, slot: int, *, resting: bool) -> None:
        """Whether the worker is left alone when it ends."""
        (self._resting.add if resting else self._resting.discard)(slot)

    def close(self) -> None:
        """End all."""
        self._ended.set()
        self._thread.join()
        for process in self._running.values():
            process.kill()
            process.wait()

    def _start(self, slot: int) -> None:
        with (self._folder / f"worker-{slot}.err").open("ab") as err:
            self._running[slot] = subprocess.Popen(
                [sys.executable, "-m", "stream_al", "run", "--slot", str(slot)],
                cwd=self._folder,
                env=ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )

    def _supervise(self) -> None:
        while not self._ended.wait(LOOK_S):
            for slot, process in self._running.items():
                if process.poll() is None or slot in self._resting:
                    continue
                self.ends.append(self._why(slot, process.returncode))
                time.sleep(RESTART_S)
                self._start(slot)

    def _why(self, slot: int, code: int) -> str:
        lines = (self._folder / f"worker-{slot}.err").read_text().splitlines()
        return f"slot {slot}: {lines[-1] if code == 1 and lines else code}"


class Events:
    """Sends an event to every partition again and again, and waits for none."""

    def __init__(self, servers: list[str], topic: str) -> None:
        self._producer = KafkaProducer(bootstrap_servers=servers, linger_ms=0, **QUICK)
        self._topic = topic
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, name="events")
        self._thread.start()

    def close(self) -> None:
        """Send no more."""
        self._ended.set()
        self._thread.join()
        self._producer.close(timeout=5)

    def _send(self) -> None:
        number = 0
        while not self._ended.wait(EVENT_EVERY_S):
            for partition in range(PARTITIONS):
                event = {"event_id": f"e-{number}", "features": {"text": f"free money {number}"}}
                value = json.dumps(event).encode()
                self._producer.send(self._topic, value, partition=partition)
                number += 1


class Predictions:
    """Notes when predictions of each partition become visible."""

    def __init__(self, servers: list[str], topic: str) -> None:
        self.seen_s: dict[int, list[float]] = {number: [] for number in range(PARTITIONS)}
        self._consumer = KafkaConsumer(
            bootstrap_servers=servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            request_timeout_ms=5_000,
            **QUICK,
        )
        self._consumer.assign([TopicPartition(topic, number) for number in self.seen_s])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="predictions")
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()
        self._consumer.close(autocommit=False)

    def moved_since(self, since_s: float) -> bool:
        """Whether every partition has one that became visible after `since_s`."""
        return all(seen and seen[-1] > since_s for seen in self.seen_s.values())

    def longest_gap_s(self, since_s: float) -> float:
        """Return the longest time without one that ended after `since_s`, of any partition."""
        return max(
            (
                after - before
                for seen in self.seen_s.values()
                for before, after in pairwise(list(seen))
                if after > since_s
            ),
            default=0.0,
        )

    def _read(self) -> None:
        while not self._ended.is_set():
            fetched = self._consumer.poll(50)
            now_s = time.monotonic()
            for place in fetched:
                self.seen_s[place.partition].append(now_s)


@dataclass
class Scene:
    """What a fault happens to, and how often it happened."""

    cluster: Cluster
    workers: Supervised
    leaders: Leaders
    ownership: Ownership
    predictions: Predictions
    predictions_topic: str
    turn: int = 0

    @property
    def slot(self) -> int:
        """Whose turn it is."""
        return self.turn % SLOTS

    def settle(self) -> None:
        """Wait until every partition moves again, and for the gaps that come after."""
        self._until_all_move()
        time.sleep(QUIET_S)
        # What a worker committed right before its death may have been all that moved.
        self._until_all_move()

    def _until_all_move(self) -> None:
        since_s = time.monotonic()
        _until(lambda: self.predictions.moved_since(since_s))

    def share(self) -> None:
        """Wait until every worker owns its part of all partitions."""
        fair = PARTITIONS // SLOTS
        _until(lambda: [len(owned) for owned in self.by_slot().values()] == [fair] * SLOTS)
        self.settle()

    def by_slot(self) -> dict[int, list[int]]:
        """Return slot → its partitions; empty while nobody can tell."""
        try:
            return self.ownership.by_slot()
        except StreamAlError:
            return {}


@dataclass(frozen=True)
class Case:
    """A fault, what it is called, and what ends it when it has been measured."""

    name: str
    fault: Callable[[Scene], None]
    after: Callable[[Scene], None] = lambda scene: None


def _signal(number: int) -> Callable[[Scene], None]:
    return lambda scene: scene.workers.signal(scene.slot, number)


def _pause(scene: Scene) -> None:
    scene.workers.signal(scene.slot, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    scene.workers.signal(scene.slot, signal.SIGCONT)


def _kill_for_good(scene: Scene) -> None:
    scene.workers.rest(scene.slot, resting=True)
    scene.workers.signal(scene.slot, signal.SIGKILL)


def _let_come_back(scene: Scene) -> None:
    scene.workers.rest(scene.slot, resting=False)


def _bounce_broker(scene: Scene) -> None:
    scene.cluster.kill_node(1)
    scene.cluster.start_node(1)


def _kill_leader(scene: Scene) -> None:
    node = scene.leaders.of(scene.predictions_topic, scene.turn % PARTITIONS)
    scene.cluster.kill_node(node)
    time.sleep(DOWN_S)
    scene.cluster.start_node(node)


def _roll(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        scene.cluster.stop_node(node)
        scene.cluster.start_node(node)
        time.sleep(2.0)


OF_ONE = (
    Case("no fault", lambda scene: time.sleep(QUIET_S)),
    Case("worker: kill -9, restarted", _signal(signal.SIGKILL)),
    Case("worker: SIGTERM, restarted", _signal(signal.SIGTERM)),
    Case("worker: SIGSTOP 10 s, SIGCONT", _pause),
    Case("worker: kill -9, never restarted", _kill_for_good, _let_come_back),
    Case("the only broker: kill -9, back at once", _bounce_broker),
)
OF_THREE = (
    Case("broker of three: kill -9", _kill_leader),
    Case("three brokers: rolling restart", _roll),
)


def measure(
    cases: tuple[Case, ...], *, nodes: int, repeats: int, only: str = ""
) -> Iterator[tuple[str, list[float]]]:
    """Yield the name of each case and its figures in seconds, one a repeat."""
    with _scene(nodes) as scene:
        for case in cases:
            if only not in case.name:
                continue
            found = []
            for turn in range(repeats):
                scene.share()
                scene.workers.ends.clear()
                scene.turn = turn
                began_s = time.monotonic()
                case.fault(scene)
                scene.settle()
                found.append(scene.predictions.longest_gap_s(began_s))
                print(f"  {case.name}: {found[-1]:.1f} s", *scene.workers.ends, file=sys.stderr)
                case.after(scene)
            yield case.name, found


@contextmanager
def _scene(nodes: int) -> Iterator[Scene]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stream-al-")))
        cluster = Cluster(folder / "brokers", nodes=nodes)
        stack.callback(cluster.close)
        cluster.start()
        servers = cluster.bootstrap_servers
        forks = Forks()
        stack.callback(forks.close)
        home = folder / "deployment"
        home.mkdir()
        deployment = Deployment(forks, home)
        stack.callback(deployment.close)
        deploy(
            deployment,
            app="recovery",
            bootstrap_servers=servers,
            topics={"partitions": PARTITIONS},
        )
        topic = deployment.config.topic("predictions")
        leaders = Leaders(servers)
        stack.callback(leaders.close)
        ownership = Ownership(deployment.config)
        stack.callback(ownership.close)
        workers = Supervised(home)
        stack.callback(workers.close)
        stack.callback(Events(servers, deployment.config.topic("events")).close)
        predictions = Predictions(servers, topic)
        stack.callback(predictions.close)
        yield Scene(cluster, workers, leaders, ownership, predictions, topic)


def _until(true: Callable[[], bool]) -> None:
    since_s = time.monotonic()
    while not true():
        time.sleep(LOOK_S)
        waited_s = time.monotonic() - since_s
        assert waited_s < RECOVERED_S, f"nothing moves for {waited_s:.0f} s"


def main() -> int:
    """Measure and print; 3 when a median is over its bound."""
    parser = argparse.ArgumentParser(prog="make recovery", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the names of some")
    chosen = parser.parse_args()
    how = partial(measure, repeats=chosen.repeats, only=chosen.only)
    print(f"{'seconds without a prediction after':40} {'median':>7} {'longest':>8} {'times':>6}")
    broken = 0
    for cases, nodes in ((OF_ONE, 1), (OF_THREE, 3)):
        if not any(chosen.only in case.name for case in cases):
            continue
        for name, found in how(cases, nodes=nodes):
            bound = BOUND_S.get(name)
            kept = bound is None or median(found) <= bound
            broken += not kept
            told = "" if bound is None else f"  ≤ {bound:g} {'ok' if kept else 'BROKEN'}"
            print(
                f"{name:40} {median(found):7.1f} {max(found):8.1f} {len(found):6}{told}",
                flush=True,
            )
    return 3 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
