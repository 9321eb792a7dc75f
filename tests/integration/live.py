"""A live reader: while workers die, what belongs together becomes visible together (I6, I7)."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict, deque

from stream_al.config import Config
from stream_al.errors import StreamAlError
from stream_al.messages import unpacked
from stream_al.port import Log
from stream_al.service.answered import LOADED_S
from stream_al.service.groups import next_offset, scorer_group
from stream_al_connectors import open_log
from tests.integration.conftest import DEADLINE_MS

LOOK_S = 0.2
BLIND_S = 60.0
TOGETHER_S = 3.0
"""A transaction's markers reach its partitions one after the other: within this long."""

Seen = tuple[float, dict[int, int], dict[int, int], set[tuple[int, int]], set[tuple[int, int]]]


class LiveReader(threading.Thread):
    """Reads what is committed, again and again; `breach` is the first thing that must not be."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="live-reader")
        self.breach: str | None = None
        self.looks = 0
        self.told_early = 0
        section = config.log.model_copy(update={"deadline": DEADLINE_MS})
        self._config = config.model_copy(update={"log": section})
        self._looked_s = 0.0
        self._moved_s: dict[int, float] = {}
        self._gaps: list[tuple[float, float]] = []  # when it ended, how long it was
        self._ended = threading.Event()
        self._done: dict[int, int] = defaultdict(int)
        self._positions: dict[tuple[str, int], int] = defaultdict(int)
        self._answered: dict[int, int] = defaultdict(int)
        self._versions: dict[int, int] = defaultdict(int)
        self._wanted: set[tuple[int, int]] = set()
        self._asked: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Look until ended, or until something is wrong."""
        before: deque[Seen] = deque()
        blind_since_s = time.monotonic()
        while not self._ended.is_set():
            try:
                self._watch(before)
            except AssertionError as error:
                self.breach = str(error)
                return
            except StreamAlError as error:  # brokers come and go; it begins again
                if time.monotonic() - max(self._looked_s, blind_since_s) > BLIND_S:
                    self.breach = f"the live reader can't read: {error}"
                    return

    def _watch(self, before: deque[Seen]) -> None:
        log = open_log(self._config)
        try:
            while not self._ended.wait(LOOK_S):
                before.append(self._look(log))
                self._looked_s = time.monotonic()
                self._compare(before)
                self.looks += 1
        finally:
            log.close()

    def longest_gap_s(self, since_s: float) -> float:
        """Return the longest time after `since_s` without a new prediction in some partition."""
        return max((gap for at_s, gap in self._gaps if at_s >= since_s), default=0.0)

    def end(self) -> None:
        """Look no more, and complain of what was seen."""
        self._ended.set()
        self.join()
        assert self.breach is None, self.breach
        assert self.looks > 0

    def moved_since(self, since_s: float, *, partitions: int) -> bool:
        """Whether so many partitions, which are all, got a prediction after `since_s`."""
        moved = list(self._moved_s.values())
        return len(moved) == partitions and all(moved_s > since_s for moved_s in moved)

    def _look(self, log: Log) -> Seen:
        count = log.partition_count(self._config.topic("events"))
        committed = {partition: self._done_to(log, partition) for partition in range(count)}
        for topic in ("predictions", "queries", "dead_letters"):
            self._read(log, topic)
        return (
            time.monotonic(),
            committed,
            dict(self._answered),
            set(self._wanted),
            set(self._asked),
        )

    def _done_to(self, log: Log, partition: int) -> int:
        """Return what is committed; what brokers tell too early does not stay."""
        before, until_s = self._done[partition], time.monotonic() + LOADED_S
        while True:
            offset = next_offset(
                log, scorer_group(self._config), self._config.topic("events"), partition
            )
            if offset >= before:
                self._done[partition] = offset
                return offset
            self.told_early += 1
            assert time.monotonic() < until_s, f"I7: {partition} went from {before} to {offset}"
            time.sleep(LOOK_S)

    def _read(self, log: Log, name: str) -> None:
        topic = self._config.topic(name)
        for partition in range(log.partition_count(topic)):
            while found := log.read(topic, partition, self._positions[topic, partition], limit=500):
                for record in found:
                    for value in unpacked(record.value):
                        self._take(name, json.loads(value))
                self._positions[topic, partition] = found[-1].offset + 1

    def _take(self, name: str, body: dict[str, object]) -> None:
        if name == "dead_letters":
            if body["topic"] == self._config.topic("events"):
                partition, offset = int(str(body["partition"])), int(str(body["offset"]))
                self._answered[partition] = max(self._answered[partition], offset + 1)
            return
        source = body["source"]
        assert isinstance(source, dict)
        partition, offset = source["partition"], source["offset"]
        self._note_progress(partition)
        if name == "queries":
            assert (partition, offset) not in self._asked, f"I3: asked twice: {source}"
            self._asked.add((partition, offset))
            return
        version = int(str(body["model_version"]))
        assert version >= self._versions[partition], f"I7: the model went back at {source}"
        self._versions[partition] = version
        self._answered[partition] = max(self._answered[partition], offset + 1)
        if body["queried"]:
            self._wanted.add((partition, offset))

    def _note_progress(self, partition: int) -> None:
        now_s = time.monotonic()
        before_s = self._moved_s.get(partition)
        if before_s is not None and now_s - before_s > LOOK_S:
            self._gaps.append((now_s, now_s - before_s))
        self._moved_s[partition] = now_s

    def _compare(self, looks: deque[Seen]) -> None:
        """Hold that what was there some time ago has all that belongs to it now, both ways."""
        now_s, committed, answered, wanted, asked = looks[-1]
        while looks and now_s - looks[0][0] > TOGETHER_S:
            _, was_committed, was_answered, was_wanted, was_asked = looks.popleft()
            for partition, offset in was_committed.items():
                there = answered.get(partition, 0)
                assert there >= offset, f"I6: {partition} is done to {offset}, answered to {there}"
            for partition, offset in was_answered.items():
                done = committed[partition]
                assert done >= offset, f"I6: {partition} is answered to {offset}, done to {done}"
            assert was_wanted <= asked, f"I6: never asked: {sorted(was_wanted - asked)[:3]}"
            assert was_asked <= wanted, f"I6: not predicted: {sorted(was_asked - wanted)[:3]}"
