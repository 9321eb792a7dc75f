"""Bugs put into the product on purpose, while a simulation runs: each has to be found.

Every bug is a context manager over a world that patches the loops or the log. The flag is the name;
only the tests and `--bug NAME` of the runner switch one on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from stream_al.errors import Ambiguous
from stream_al.gate import Gate
from stream_al.labels import Resolver
from stream_al.model import Model
from stream_al.port import Batch, Headers, Position
from stream_al.service.follower import Follower
from stream_al.service.resolver import ResolverLoop
from stream_al.service.scorer import Scorer
from stream_al_connectors.faults import FaultyLog, FaultyMember
from stream_al_connectors.memory_state import MemoryState
from tests.simulation.world import Bug, World


class Gathered:
    """A transaction that remembers what it was told."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.positions: list[tuple[Any, ...]] = []

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        self.records.append((topic, partition, value, key, headers))

    def commit_position(self, topic: str, partition: int, position: Position) -> None:
        self.positions.append((topic, partition, position))


def _write(member: Any, records: list[tuple[Any, ...]], positions: list[tuple[Any, ...]]) -> None:
    """Commit as one side effect."""
    with member._injector.effect(member._name, "commit", member._topic):
        _write_inner(member, records, positions)


def _write_inner(
    member: Any, records: list[tuple[Any, ...]], positions: list[tuple[Any, ...]]
) -> None:
    with member._inner.transaction() as transaction:
        for record in records:
            transaction.append(*record)
        for position in positions:
            transaction.commit_position(*position)


def _transactions(write: Callable[[Any, Gathered], None]) -> Any:
    """Patch what members do at the end of a transaction."""

    @contextmanager
    def transaction(self: Any) -> Iterator[Gathered]:
        gathered = Gathered()
        yield gathered
        write(self, gathered)

    return patch.object(FaultyMember, "transaction", transaction)


@contextmanager
def commit_before_produce(_: World) -> Iterator[None]:
    """Commit positions first, then the records: a crash in between loses answers."""

    def write(member: Any, gathered: Gathered) -> None:
        if gathered.positions:
            _write(member, [], gathered.positions)
        _write(member, gathered.records, [])

    with _transactions(write):
        yield


@contextmanager
def produce_before_commit(_: World) -> Iterator[None]:
    """Let records be visible without their positions: a crash in between doubles them (I6)."""

    def write(member: Any, gathered: Gathered) -> None:
        if gathered.records:
            _write(member, gathered.records, [])
        _write(member, [], gathered.positions)

    with _transactions(write):
        yield


@contextmanager
def unknown_commit_retried(_: World) -> Iterator[None]:
    """Repeat a commit that got no answer."""

    def write(member: Any, gathered: Gathered) -> None:
        try:
            _write(member, gathered.records, gathered.positions)
        except Ambiguous:
            _write_inner(member, gathered.records, gathered.positions)

    with _transactions(write):
        yield


@contextmanager
def gate_state_of_another_offset(_: World) -> Iterator[None]:
    """Give a new owner the gate state that was committed one batch before."""
    states: dict[tuple[str, int], list[str]] = {}
    original = FaultyLog.committed

    def write(member: Any, gathered: Gathered) -> None:
        _write(member, gathered.records, gathered.positions)
        for topic, partition, position in gathered.positions:
            if position.metadata:
                states.setdefault((topic, partition), []).append(position.metadata)

    def committed(self: FaultyLog, group: str, topic: str, partition: int) -> Position | None:
        found = original(self, group, topic, partition)
        before = states.get((topic, partition), [])[-2:-1]
        return Position(found.offset, before[0]) if found and before else found

    with _transactions(write), patch.object(FaultyLog, "committed", committed):
        yield


@contextmanager
def learnt_twice_on_redelivery(_: World) -> Iterator[None]:
    """Learn the journal's last label once more on taking a partition over."""
    last: dict[str, Any] = {}
    learn, take_over = Model.learn, Scorer._take_over

    def learning(self: Model, features: dict[str, Any], label: str) -> bool:
        last["lesson"] = (features, label)
        return learn(self, features, label)

    def taking(self: Scorer, partition: int) -> None:
        take_over(self, partition)
        if "lesson" in last:
            learn(self.engine.model, *last["lesson"])

    with patch.object(Model, "learn", learning), patch.object(Scorer, "_take_over", taking):
        yield


@contextmanager
def budget_by_wall_clock(world: World) -> Iterator[None]:
    """Fill the hour's credit by the scorer's clock instead of record time."""
    decide = Gate.decide

    def by_clock(self: Gate, uncertainty: float, _: int, *args: Any, **more: Any) -> Any:
        return decide(self, uncertainty, world.clock.wall_ms, *args, **more)

    with patch.object(Gate, "decide", by_clock):
        yield


@contextmanager
def no_fencing(_: World) -> Iterator[None]:
    """Take a commit from whoever once owned the partition."""
    commit = MemoryState.commit

    def unchecked(self: Any, group: Any, number: int, buffered: Any, _: Any, now_ms: int) -> None:
        commit(self, group, number, buffered, {}, now_ms)

    with patch.object(MemoryState, "commit", unchecked):
        yield


@contextmanager
def query_position_past_the_oldest_pending(_: World) -> Iterator[None]:
    """Commit the position of queries as any consumer would: up to what was read."""

    def ends(self: Any, resolver: Resolver) -> dict[tuple[str, int], int]:
        return {(self._queries, partition): end for partition, end in resolver.queries_end.items()}

    with patch.object(ResolverLoop, "_oldest_pending", ends):
        yield


@contextmanager
def version_back_on_takeover(_: World) -> Iterator[None]:
    """Let a new owner score before it folded what its gate has seen."""
    with patch.object(Follower, "follow_to", lambda *_: True):
        yield


@contextmanager
def expiry_without_a_record(_: World) -> Iterator[None]:
    """Forget expired queries without a closing record."""

    def tick(self: Any, now_ms: int) -> list[Any]:
        pending = self._state.pending
        for partition in pending.partitions():
            oldest = pending.oldest(partition)
            while oldest is not None:
                if now_ms - oldest.base_ms < self._config.labels.expire_after:
                    break
                pending.close(oldest.event_id, oldest.place)
                oldest = pending.oldest(partition)
        return []

    with patch.object(Resolver, "tick", tick):
        yield


@contextmanager
def rewound_and_gone_on(_: World) -> Iterator[None]:
    """After a transaction that did not count, go on from where the batch ended."""
    poll = FaultyMember.poll

    def forgetting(self: Any, **how: Any) -> Batch:
        self._rewound = False
        return poll(self, **how)

    with patch.object(FaultyMember, "poll", forgetting):
        yield


BUGS: dict[str, Bug] = {
    bug.__name__: bug
    for bug in (
        commit_before_produce,
        produce_before_commit,
        unknown_commit_retried,
        gate_state_of_another_offset,
        learnt_twice_on_redelivery,
        budget_by_wall_clock,
        no_fencing,
        query_position_past_the_oldest_pending,
        version_back_on_takeover,
        expiry_without_a_record,
        rewound_and_gone_on,
    )
}
