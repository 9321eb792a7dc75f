"""The resolver's loop on a log in memory: what one step of it decides, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from stream_al.config import Config
from stream_al.messages import Label
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.counters import Counters
from stream_al.service.resolver import ResolverLoop
from stream_al_connectors import MemoryLog
from stream_al_connectors.opening import topics_of
from tests.unit.labels_desk import query

PARTITIONS = 4


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def log(config: Config) -> MemoryLog:
    return MemoryLog(topics=topics_of(config))


@pytest.fixture
def loop(log: MemoryLog, config: Config) -> Iterator[ResolverLoop]:
    made = ResolverLoop(
        log, config, name="0", counters=Counters(), clean=lambda x: x, clock=SystemClock()
    )
    while made.step(timeout_s=0.0):
        pass
    yield made
    made.leave()


def outcomes(log: MemoryLog, config: Config) -> Counter[int]:
    """Count the outcomes of each partition."""
    topic = config.topic("outcomes")
    return Counter({n: len(log.read(topic, n, 0, limit=99)) for n in range(PARTITIONS)})


def labels(event_id: str, partition: int) -> list[Outgoing]:
    """Return a label and its correction, which can't be decided before the label is journaled."""
    first = Label(event_id=event_id, label="spam", annotator="ann")
    second = first.model_copy(update={"label": "ok", "revision": 1})
    return [Outgoing(label.to_wire(), partition=partition) for label in (first, second)]


def test_a_label_that_must_wait_holds_back_its_own_partition_only(
    log: MemoryLog, config: Config, loop: ResolverLoop
) -> None:
    """Else a tenth of odd labels would make each commit one of a few labels."""
    for n in range(PARTITIONS):
        asked = query(f"e-{n}", n, partition=n)
        log.append(config.topic("queries"), [Outgoing(asked.to_wire(), partition=n)])
        log.append(config.topic("labels"), labels(f"e-{n}", n))

    loop.step(timeout_s=0.0)
    assert outcomes(log, config) == dict.fromkeys(range(PARTITIONS), 1)

    loop.step(timeout_s=0.0)
    assert outcomes(log, config) == dict.fromkeys(range(PARTITIONS), 2)
