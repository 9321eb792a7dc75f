"""What can go wrong with the processes of a deployment on Kafka, and the stage of all faults."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from stream_al_connectors.kafka.broker import Cluster
from tests.chaos.brokers import Leaders
from tests.chaos.proxy import Proxy
from tests.chaos.workers import SLOW_S, Workers
from tests.integration import stumbles
from tests.integration.conftest import Deployment, until

PAUSE_S = 8.0
"""Beyond the session: the group gives away what the stopped process owns."""
HOUR_MS = 3_600_000
FOREIGN_TIMEOUT_S = 4.0
ENDS_S = 60.0
PARTITIONS_MAX = 8
"""The stage adds one at a time, up to here."""


@dataclass
class Stage:
    """What faults happen to.

    Attributes
    ----------
    partitions
        Of events, as configured now.
    done
        How many faults of a kind that need a number of their own have happened.
    """

    workers: Workers
    rng: Random
    cluster: Cluster | None = None
    proxy: Proxy | None = None
    leaders: Leaders | None = None
    partitions: int = 4
    done: int = field(default=0)

    @property
    def deployment(self) -> Deployment:
        """Where the configuration is."""
        return self.workers.deployment

    def slot(self) -> int:
        """Draw whose turn it is."""
        return self.rng.choice(self.workers.slots)

    def scorer(self) -> int:
        """Draw one that scores."""
        return self.rng.choice(self.workers.scorers)

    def node(self) -> int:
        """Draw a broker."""
        assert self.cluster is not None
        return self.rng.choice(self.cluster.nodes)


Fault = Callable[[Stage], None]


def kill_worker(stage: Stage) -> None:
    """SIGKILL."""
    stage.workers[stage.slot()].kill()


def end_worker(stage: Stage) -> None:
    """SIGTERM: it leaves within five seconds."""
    worker = stage.workers[stage.slot()]
    ended = worker.terminate()
    # A broker that is away at that moment leaves it in doubt: exit 1, and nothing else.
    assert ended.code in (0, 1), ended


def pause_worker(stage: Stage) -> None:
    """SIGSTOP beyond the session, then SIGCONT."""
    worker = stage.workers[stage.slot()]
    worker.send_signal(signal.SIGSTOP)
    time.sleep(PAUSE_S)
    worker.send_signal(signal.SIGCONT)


def double_worker(stage: Stage) -> None:
    """Start a second process with the same slot: one of the two has to go."""
    slot = stage.slot()
    elder = stage.workers[slot]
    stage.workers.start(slot)
    younger = stage.workers[slot]
    until(lambda: elder.poll() is not None or younger.poll() is not None, ENDS_S)
    if elder.poll() is None:
        elder.kill()
    stage.workers.note(elder.wait())


def move_clock(stage: Stage) -> None:
    """Restart a worker with a clock that is half an hour ahead, or an hour behind."""
    slot = stage.slot()
    stage.workers[slot].kill()
    stage.workers.start(slot, clock_shift_ms=stage.rng.choice((HOUR_MS // 2, -HOUR_MS)))


def slow_step(stage: Stage) -> None:
    """Let one event take longer than `log.poll_interval`, while heartbeats go on."""
    stage.workers[stage.scorer()].send_signal(stumbles.SLOW)
    stage.workers.settle(SLOW_S)


def die_in_transaction(stage: Stage) -> None:
    """Let a scorer die with everything sent and nothing committed: its successor ends that."""
    worker = stage.workers[stage.scorer()]
    worker.send_signal(stumbles.DIE)
    until(lambda: worker.poll() is not None, ENDS_S)


def die_resolving(stage: Stage) -> None:
    """Let the resolver, whoever it is, die in the same way: the journal is held back for all."""
    workers = [stage.workers[slot] for slot in stage.workers.slots]
    for worker in workers:
        worker.send_signal(stumbles.DIE_AS_RESOLVER)
    until(lambda: any(worker.poll() is not None for worker in workers), ENDS_S)


def foreign_transaction(stage: Stage) -> None:
    """Let another program die with a transaction open on the journal: it holds back all readers."""
    stage.done += 1
    foreign = stage.deployment.start(
        "@leave_open", f"foreign-{stage.done}", "journal", FOREIGN_TIMEOUT_S
    )
    foreign.wait_for("left_open", ENDS_S)
    foreign.kill()


OF_PROCESSES: tuple[Fault, ...] = (
    kill_worker,
    end_worker,
    pause_worker,
    double_worker,
    move_clock,
    slow_step,
    die_in_transaction,
    die_resolving,
    foreign_transaction,
)
