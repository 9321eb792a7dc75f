"""A worker with both roles: how often a resolver looks beside a scorer that is busy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_al.config import Config
from stream_al.port import Outgoing
from stream_al.service.worker import REST_S, Worker
from stream_al_connectors import MemoryLog
from stream_al_connectors.opening import topics_of
from tests.simulation.clocks import VirtualClock, WorkerClock

CONFIG = Config.model_validate({"topics": {"partitions": 1}})
EVENT = b'{"event_id": "e", "features": {"text": "hello"}}'
LABEL = b'{"event_id": "e", "label": "ok", "annotator": "ann"}'


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(topics=topics_of(CONFIG))


@pytest.fixture
def time() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def worker(log: MemoryLog, time: VirtualClock) -> Iterator[Worker]:
    """Give a worker that has read all that there is, and whose time stands still."""
    clock = WorkerClock(time, 0.0)
    made = Worker(log, CONFIG, secret=b"a secret of tests", name="w", clock=clock)
    while made.step():
        pass
    yield made
    for loop in (made.scorer, made.resolver):
        assert loop is not None
        loop.leave()


def step_with_an_event(log: MemoryLog, worker: Worker) -> None:
    """Give the scorer something to do, and let it."""
    log.append(CONFIG.topic("events"), [Outgoing(EVENT, partition=0)])
    assert worker.step()


def outcomes(log: MemoryLog) -> int:
    """Count what became of labels."""
    return log.end(CONFIG.topic("outcomes"), 0)


def test_a_resolver_without_work_rests_while_events_come(
    log: MemoryLog, time: VirtualClock, worker: Worker
) -> None:
    """Each look at its topics would be in the latency of every event."""
    step_with_an_event(log, worker)
    log.append(CONFIG.topic("labels"), [Outgoing(LABEL, partition=0)])
    for _ in range(5):
        step_with_an_event(log, worker)
    assert outcomes(log) == 0

    time.advance(round(REST_S * 1_000))
    step_with_an_event(log, worker)
    assert outcomes(log) == 1


def test_a_worker_is_not_done_while_its_resolver_rests(log: MemoryLog, worker: Worker) -> None:
    """Whoever runs it until it has nothing to do gets every label decided."""
    step_with_an_event(log, worker)
    log.append(CONFIG.topic("labels"), [Outgoing(LABEL, partition=0)])
    while worker.step():
        pass
    assert outcomes(log) == 1
