"""Workers that go on on a real broker: how soon a prediction is seen, and what a second one brings.

Latencies are in milliseconds of this machine, with broker, sender and reader beside the worker. The
scale-out is in CPU, so that it holds for few cores too; what the wall clock says is in the row.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from stream_al.service.groups import scorer_group
from stream_al_connectors.kafka.log import KafkaLog
from tests.benchmarks.kafka_app import (
    ENVIRONMENT,
    App,
    broker,
    cpu_so_far_s,
    per_event,
    running,
    spread,
)
from tests.benchmarks.row import Row

RATE = 1_000
WARM_UP_S = 5
MEASURED_S = 10
RUNS = 5
PAIRS = 5
WAIT_S_MAX = 120.0
LOOK_EVERY_S = 0.1


def latency_rows() -> Iterable[Row]:
    """Event sent → prediction seen by a reader of committed records, at 1,000 events a second."""
    with broker() as place:
        app = App(place, "latency").taught()
        log = KafkaLog(app.config)
        with running(app.command("run")):
            _until(lambda: _holders(log, app) == 1)
            runs = [_warm(_latencies(app)) for _ in range(RUNS)]
        log.close()
    for percent, bound_ms in ((50, 50), (99, 250)):
        found = [_percentile(run, percent) for run in runs]
        detail = f"{min(found):.0f} to {max(found):.0f} in {RUNS} runs of {MEASURED_S} s"
        name = f"kafka: event → prediction seen, p{percent}, ms"
        yield Row(name, statistics.median(found), bound_ms, detail=detail)


def _warm(found: list[tuple[float, float]]) -> list[float]:
    """Return the latencies of a run behind its first seconds."""
    return [ms for sent_s, ms in found if sent_s >= found[0][0] + WARM_UP_S]


def _latencies(app: App) -> list[tuple[float, float]]:
    """Return (when it was sent, in s; ms until it was seen) of events at the rate."""
    count = str(RATE * (WARM_UP_S + MEASURED_S))
    ends = [sys.executable, "-m", "tests.benchmarks.latency_ends"]
    address, config = app.place.address, app.config
    watching = subprocess.Popen(
        [*ends, "watch", address, config.topic("predictions"), count],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == b"ready\n"
        sending = [*ends, "send", address, config.topic("events"), count, str(RATE)]
        subprocess.run(sending, env=ENVIRONMENT, check=True)
        said, _ = watching.communicate(timeout=WAIT_S_MAX)
    finally:
        watching.kill()
        watching.wait()
    return sorted((sent_s, ms) for sent_s, ms in json.loads(said))


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def scale_rows() -> Iterable[Row]:
    """Events per CPU second of two workers ÷ those of one; the wall clock and the broker beside."""
    with broker() as place:
        alone, both = App(place, "alone").taught(), App(place, "both").taught()
        slots = [both.command("run", "--slot", slot) for slot in "01"]
        with running(alone.command("run")) as one, running(*slots) as two:
            rounds = [(_Round(alone, one), _Round(both, two)) for _ in range(PAIRS)]
    ratios = [first.worker_s / second.worker_s for first, second in rounds]
    walls = [first.wall_s / second.wall_s for first, second in rounds]
    costs = [per_event([pair[n].worker_s for pair in rounds]) for n in (0, 1)]
    brokers = [per_event([pair[n].broker_s for pair in rounds]) for n in (0, 1)]
    detail = (
        f"{costs[1]} to {costs[0]}; {spread(ratios)}; the broker {brokers[1]} to {brokers[0]}; "
        f"by the wall clock {statistics.median(walls):.2f} times on {os.cpu_count()} cores"
    )
    name = "kafka: events per CPU second, two workers ÷ one"
    yield Row(name, statistics.median(ratios), 0.9, True, detail)


class _Round:
    """What one backlog cost workers that wait for it, and the broker."""

    def __init__(self, app: App, workers: list[subprocess.Popen[bytes]]) -> None:
        log = KafkaLog(app.config)
        group, topic = scorer_group(app.config), app.config.topic("events")

        def done(partition: int) -> int:
            found = log.committed(group, topic, partition)
            return found.offset if found else 0

        def cpu_s() -> float:
            return sum(cpu_so_far_s(worker.pid) for worker in workers)

        _until(lambda: _holders(log, app) == len(workers))
        with app.filled() as ends:
            worker_s, broker_s = cpu_s(), app.place.broker_cpu_s()
            wall_s = time.monotonic()
        _until(lambda: all(done(partition) >= end for partition, end in ends.items()))
        self.wall_s = time.monotonic() - wall_s
        self.worker_s = cpu_s() - worker_s
        self.broker_s = app.place.broker_cpu_s() - broker_s
        log.close()


def _holders(log: KafkaLog, app: App) -> int:
    """Return how many workers own the partitions; 0 while one has no owner."""
    owners = log.owners(scorer_group(app.config), app.config.topic("events"))
    names = {owner.member for owner in owners}
    return 0 if None in names else len(names)


def _until(true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not true():
        assert time.monotonic() < deadline_s, f"not so after {WAIT_S_MAX:.0f} s"
        time.sleep(LOOK_EVERY_S)


ROWS = {"kafka-latency": latency_rows, "kafka-scale": scale_rows}
