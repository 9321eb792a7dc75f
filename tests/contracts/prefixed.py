"""A log whose topics have a prefix that no test sees: many tests share one broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from stream_al.config import Config
from stream_al.port import Batch, Headers, Outgoing, Position
from stream_al_connectors.kafka import KafkaLog
from tests.kafka_fixture import Broker


def kafka_log(
    broker: Broker, topics: Mapping[str, int], *, transport: str = "kafka-python"
) -> Prefixed:
    """Return a log with topics of its own on a broker, at record time 1 s."""
    app = broker.new_app()
    broker.create({f"{app}.{name}": count for name, count in topics.items()})
    config = Config.model_validate(
        {"app": app, "log": broker.log_section(transport), "events": {"bytes_max": 2 << 20}}
    )
    return Prefixed(config, prefix=f"{app}.", clock=lambda: 1_000)


class Prefixed:
    """See `stream_al.port.Log`. Each member has a log of its own, as in a process of its own.

    A broker writes the markers of a transaction a moment after it said that it is committed, and
    tests do not wait for that: a member's transactions end here with their markers.
    """

    def __init__(self, config: Config, *, prefix: str, clock: Callable[[], int]) -> None:
        self.inner = KafkaLog(config, clock=clock)
        self.prefix = prefix
        self._clock = clock
        self.claim = self.inner.claim
        self._config = config
        self._logs = [self.inner]
        self._all = KafkaConsumer(bootstrap_servers=list(config.log.bootstrap_servers))

    def close(self) -> None:
        self._all.close(autocommit=False)
        for log in self._logs:
            log.close()

    def partition_count(self, topic: str) -> int:
        return self.inner.partition_count(self.prefix + topic)

    def begin(self, topic: str, partition: int) -> int:
        return self.inner.begin(self.prefix + topic, partition)

    def end(self, topic: str, partition: int) -> int:
        return self.inner.end(self.prefix + topic, partition)

    def ends(self, topic: str) -> list[int]:
        return self.inner.ends(self.prefix + topic)

    def read(self, topic: str, partition: int, offset: int, **how: Any) -> Any:
        return self.inner.read(self.prefix + topic, partition, offset, **how)

    def position_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        return self.inner.position_at(self.prefix + topic, partition, timestamp_ms)

    def settled_ends(self, topic: str) -> list[int]:
        return self.inner.settled_ends(self.prefix + topic)

    def held_back(self, topic: str) -> dict[int, int]:
        return self.inner.held_back(self.prefix + topic)

    def enforce_retention(
        self, keep_ms: dict[str, int], groups: dict[str, str], *, now_ms: int
    ) -> int:
        return self.inner.enforce_retention(keep_ms, groups, now_ms=now_ms)

    def committed(self, group: str, topic: str, partition: int) -> Position | None:
        return self.inner.committed(self.prefix + group, self.prefix + topic, partition)

    def append(self, topic: str, records: Sequence[Outgoing]) -> list[tuple[int, int]]:
        return self.inner.append(self.prefix + topic, records)

    def join(self, group: str, topic: str, *, name: str) -> PrefixedMember:
        self._logs.append(KafkaLog(self._config, clock=self._clock))
        member = self._logs[-1].join(self.prefix + group, self.prefix + topic, name=name)
        return PrefixedMember(member, self)

    def wait_for_markers(self, places: Collection[tuple[str, int]]) -> None:
        """Return when nothing in `places` is held back any more."""
        until_s = time.monotonic() + 30.0
        for place in places:
            one = TopicPartition(*place)
            end = self._all.end_offsets([one])[one]
            while self.inner.end(*place) < end:
                assert time.monotonic() < until_s, f"a transaction holds {place} back"

    def owners(self, group: str, topic: str) -> Any:
        return self.inner.owners(self.prefix + group, self.prefix + topic)

    def slots(self, group: str) -> set[str]:
        return self.inner.slots(self.prefix + group)


class PrefixedMember:
    """See `stream_al.port.Member`."""

    def __init__(self, inner: Any, log: Prefixed) -> None:
        self.inner = inner
        self._log = log
        self.seek, self.leave, self.lag = inner.seek, inner.leave, inner.lag
        self.held_back, self.batch_max = inner.held_back, inner.batch_max

    @property
    def owned(self) -> Sequence[int]:
        return self.inner.owned

    def poll(self, *, limit: int, timeout_s: float) -> Batch:
        return self.inner.poll(limit=limit, timeout_s=timeout_s)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        with self.inner.transaction() as inner:
            prefixed = _Transaction(inner, self._log.prefix)
            yield prefixed
        self._log.wait_for_markers(prefixed.places)


class _Transaction:
    def __init__(self, inner: Any, prefix: str) -> None:
        self._inner, self._prefix = inner, prefix
        self.places: set[tuple[str, int]] = set()

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        self.places.add((self._prefix + topic, partition))
        self._inner.append(self._prefix + topic, partition, value, key, headers)

    def commit_position(self, topic: str, partition: int, position: Position) -> None:
        self._inner.commit_position(self._prefix + topic, partition, position)
