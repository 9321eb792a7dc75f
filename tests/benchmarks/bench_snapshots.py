"""What snapshots save at a start, and what writing them costs a worker."""

from __future__ import annotations

import json
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stream_al.config import Config
from stream_al.engine import Engine
from stream_al.labels import Resolver
from stream_al.messages import CHAIN_START, Event, SeedEntry, link_of
from stream_al.port import Log, Outgoing, Position
from stream_al.service.clock import SystemClock
from stream_al.service.follower import Follower
from stream_al.service.groups import resolver_group
from stream_al.service.rebuild import fold_journal
from stream_al.service.scorer import Scorer
from stream_al.service.snapshot_writer import SnapshotChild
from stream_al.service.snapshotting import load_newest, snapshot_store, take
from stream_al.service.strays import chain_before
from stream_al.service.worker import Worker
from stream_al_connectors.opening import open_log
from tests.benchmarks.row import SECRET, Row, numbers

RECORDS = 1_000_000
TAIL = 1_000
LABEL_EVERY = 10
CHUNK = 20_000
LESSONS = 1_300
"""So many make a forest of about 7 MB."""
LESSONS_A_SECOND = 15
WINDOW_S = 2.5
PAIRS = 11


def config_of(folder: str, preset: str, **snapshots: object) -> Config:
    return Config.model_validate(
        {
            "log": {"path": f"{folder}/log.db", "durability": "normal"},
            "topics": {"partitions": 1},
            "model": {"preset": preset},
            "snapshots": snapshots,
        }
    )


def first_records(config: Config) -> list[bytes]:
    resolver = Resolver(config, read_back=lambda _: None)
    return [record.to_wire() for record in resolver.start(now_ms=1)]


def journaled(count: int, start: int) -> Iterator[bytes]:
    """Yield journal records as a resolver writes them: one in ten is a label, the rest expired."""
    features = [json.dumps(row) for row in numbers(1_000)]
    for n in range(start, start + count):
        place = f'{{"partition":0,"offset":{n}}}'
        head = f'{{"schema_version":1,"at_ms":{n},"chain":"{n:032x}","event_id":"event-{n:09}"'
        if n % LABEL_EVERY:
            line = (
                f'{head},"kind":"closed","reason":"expired","query":{place},"closes":{place},'
                '"payload_hash":null}'
            )
        else:
            label = "spam" if n % (2 * LABEL_EVERY) else "ham"
            line = (
                f'{head},"kind":"label","revision":0,"label":"{label}","payload_hash":"{n:032x}",'
                f'"features":{features[n % 1_000]},"asked":{{"query":{place},"label":"ham",'
                '"probabilities":{"ham":0.61,"spam":0.39},"model_version":1,"propensity":0.1,'
                '"rate":0.1,"asked_at_ms":1,"segment":"en"},"votes":[{"annotator":"a7","label":'
                f'"{label}","revision":0}}],"weight":1.0,"latency_ms":60000,"closes":{place}}}'
            )
        yield line.encode()


def linked(log: Log, config: Config, values: Iterable[bytes]) -> Iterator[bytes]:
    """Yield journal records so that they continue the journal's chain."""
    chain = chain_before(log, config, log.end(config.topic("journal"), 0)) or CHAIN_START
    for value in values:
        start = value.index(b'"chain":"') + len(b'"chain":"')
        head, rest = value[:start], value[value.index(b'"', start) :]
        link = link_of(head + CHAIN_START.encode() + rest)
        assert link is not None
        chain = link.after(chain)
        yield head + chain.encode() + rest


def append(log: Log, config: Config, values: Iterator[bytes]) -> None:
    """Append in large transactions, and say that all these queries are closed."""
    topic = config.topic("journal")
    more = linked(log, config, values)
    while chunk := [Outgoing(value) for _, value in zip(range(CHUNK), more, strict=False)]:
        log.append(topic, chunk)
    member = log.join(resolver_group(config), topic, name="bench")
    member.poll(limit=1, timeout_s=0.0)
    with member.transaction() as transaction:
        transaction.commit_position(config.topic("queries"), 0, Position(log.end(topic, 0)))
    member.leave()


def start(log: Log, config: Config) -> tuple[float, Engine, Resolver]:
    """Fold what a worker folds before it takes partitions and the journal; return its seconds."""
    begun = time.process_time()
    engine = Engine(config, secret=SECRET)
    load_newest(log, config, engine)
    follower = Follower(log, config, engine, clock=SystemClock())
    while not follower.at_end:
        follower.follow()
    resolver = fold_journal(log, config)
    return time.process_time() - begun, engine, resolver


def start_row() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(folder, "river")
        log = open_log(config)
        log.append(config.topic("journal"), [Outgoing(one) for one in first_records(config)])
        append(log, config, journaled(RECORDS, 2))
        replay_s, engine, resolver = start(log, config)
        snapshot = take(config, engine, resolver, now_ms=1)
        store = snapshot_store(config)
        assert store is not None
        store.write(snapshot.header, snapshot.payload)
        append(log, config, journaled(TAIL, RECORDS + 2))
        times = []
        for _ in range(3):
            seconds, again, rest = start(log, config)
            assert again.version == rest.position == RECORDS + TAIL + 2
            times.append(seconds)
        log.close()
    mine = statistics.median(times)
    detail = (
        f"{mine:.2f} s ÷ {replay_s:.1f} s, snapshot of {len(snapshot.payload) / 1e6:.1f} MB, "
        f"{RECORDS // LABEL_EVERY:,} labels"
    )
    return Row("start, 10⁶ journal records: snapshot + 10³ ÷ full replay", mine / replay_s, 0.05,
               detail=detail)  # fmt: skip


class Bench:
    """A worker with a forest, events without end, and a trickle of lessons."""

    def __init__(self, folder: str) -> None:
        self.config = config_of(folder, "forest", every_records=0)
        self.log = open_log(self.config)
        self.rows = numbers(5_000)
        self._sent = 0
        self.lessons(LESSONS)
        self.worker = Worker(
            self.log, self.config, secret=SECRET, name="bench", clock=SystemClock()
        )
        while self.worker.step():
            pass

    def lessons(self, count: int) -> None:
        """Let the journal grow by some seeds."""
        lines = first_records(self.config) if not self._sent else []
        for n in range(self._sent, self._sent + count):
            row = self.rows[n % 5_000]
            label = "spam" if row["n0"] + row["n1"] * row["n2"] > 0 else "ham"
            lines.append(SeedEntry(at_ms=1, event_id=f"s{n}", label=label, features=row).to_wire())
        self._sent += count
        # Past the resolver: what it costs is the same with and without snapshots.
        more = linked(self.log, self.config, lines)
        self.log.append(self.config.topic("journal"), [Outgoing(line) for line in more])

    def throughput(self) -> float:
        """Return events a second of wall clock over a window, lessons coming in."""
        topic = self.config.topic("events")
        lines = [Event(event_id=f"e{i}", features=row).to_wire() for i, row in enumerate(self.rows)]
        counters = self.worker.counters
        first, begun = counters.events, time.monotonic()
        taught_s = begun
        while (now := time.monotonic()) < begun + WINDOW_S:
            if sum(self.scorer.lag().values()) < 2_000:
                self.log.append(topic, [Outgoing(line) for line in lines])
            if now - taught_s > 0.5:
                self.lessons(int(LESSONS_A_SECOND * (now - taught_s)))
                taught_s = now
            self.scorer.step(timeout_s=0.0)
        return (counters.events - first) / (time.monotonic() - begun)

    @property
    def scorer(self) -> Scorer:
        assert self.worker.scorer is not None
        return self.worker.scorer


def writing_row() -> Row:
    """Measure the scorer's loop beside a writer, which is stopped in every second window.

    More is written than as configured: a snapshot in nearly every window, not one after 1,000
    records.
    """
    ratios, written = [], 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        busy = config_of(folder, "forest", every_records=LESSONS_A_SECOND)
        child = SnapshotChild(bench.log, busy)
        try:
            child.poll(time.monotonic())
            assert child._process is not None
            wait_for_change(folder, set())
            for _ in range(PAIRS):
                child._process.send_signal(signal.SIGSTOP)
                without = bench.throughput()
                before = names(folder)
                child._process.send_signal(signal.SIGCONT)
                ratios.append(bench.throughput() / without)
                written += len(names(folder) - before)
        finally:
            child.close()
        size = max(path.stat().st_size for path in Path(folder).glob("*.snapshots/*"))
        bench.scorer.leave()
        bench.log.close()
    assert written, "no snapshot was written while the worker was measured"
    detail = f"{PAIRS} windows, {written} snapshots of up to {size / 1e6:.1f} MB in them"
    return Row("worker while snapshots are written ÷ without, `forest`", statistics.median(ratios),
               0.9, at_least=True, detail=detail)  # fmt: skip


def names(folder: str) -> set[str]:
    return {path.name for path in Path(folder, "log.db.snapshots").glob("*.snapshot")}


def wait_for_change(folder: str, before: set[str]) -> None:
    deadline = time.monotonic() + 60
    while names(folder) == before:
        assert time.monotonic() < deadline, "the writer wrote nothing"
        time.sleep(0.05)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "snapshot-start": lambda: iter([start_row()]),
    "snapshot-writing": lambda: iter([writing_row()]),
}
