"""The resolver's loop on a log in memory: what one step of it decides, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from stream_al.config import Config
from stream_al.errors import Fenced
from stream_al.messages import Label, SeedEntry, chained, read_journal_record
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.counters import Counters
from stream_al.service.rebuild import rebuild
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


def test_a_stray_fences_nobody_who_is_at_work(
    log: MemoryLog, config: Config, loop: ResolverLoop
) -> None:
    """A10: the resolver's next record continues the chain from before the stray."""
    journal, queries = config.topic("journal"), config.topic("queries")
    foreign = chained(SeedEntry(at_ms=0, event_id="x", label="ok"), "ab" * 16).to_wire()
    for n, stray in enumerate((b"hello", b"", b'{"a":1}', b"[1]", foreign)):
        log.append(journal, [Outgoing(stray)])
        log.append(queries, [Outgoing(stray, partition=0)])
        asked = query(f"e-{n}", n)
        log.append(queries, [Outgoing(asked.to_wire(), partition=0)])
        log.append(config.topic("labels"), labels(f"e-{n}", 0))
        while loop.step(timeout_s=0.0):
            pass

    assert outcomes(log, config)[0] == 10
    active = loop.active
    assert active is not None
    assert loop._counters.strays == {"journal": 5, "queries": 5}
    again = rebuild(log, config, now_ms=SystemClock().now_ms())
    assert again.fingerprint() == active.fingerprint()
    assert (again.position, again.skipped_count) == (active.position, 0)


def test_another_resolvers_record_still_fences(
    log: MemoryLog, config: Config, loop: ResolverLoop
) -> None:
    """A10: what continues the chain and is not ours is another owner's."""
    journal = config.topic("journal")
    last = read_journal_record(log.read(journal, 0, log.end(journal, 0) - 1, limit=1)[0].value)
    other = chained(SeedEntry(at_ms=0, event_id="x", label="ok"), last.chain)
    log.append(journal, [Outgoing(b"hello"), Outgoing(other.to_wire())])

    with pytest.raises(Fenced, match="not ours"):
        loop.step(timeout_s=0.0)
