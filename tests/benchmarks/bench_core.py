"""Speed and memory of gate, model, engine, worker and pending queries."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from random import Random

from pydantic_core import from_json, to_json
from river import feature_extraction, linear_model

from stream_al.config import Config
from stream_al.gate import Allowance, Gate
from stream_al.labels import Resolver
from stream_al.learner import ActiveLearner
from stream_al.messages import ControlProposal, Event, Label, Query, Source, query_id_of
from stream_al.model import Model
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.worker import Worker
from stream_al_connectors.opening import open_log
from tests.benchmarks.row import REPEATS, SECRET, Row, numbers, paired, resident, texts


def gate_row() -> Row:
    rows = numbers(20_000)
    model = linear_model.LogisticRegression()
    for index, row in enumerate(rows[:500]):
        model.learn_one(row, index % 2 == 0)
    rng = Random(2)
    doubts = [rng.random() for _ in rows]
    config = Config()
    allowance = Allowance.of(config.settings())
    gate = Gate(SECRET, 0)

    def ours() -> None:
        decide = gate.decide
        for index, doubt in enumerate(doubts):
            decide(doubt, index, allowance)
        gate.pack()

    def base() -> None:
        predict = model.predict_proba_one
        for row in rows:
            predict(row)

    mine, theirs = paired(ours, base)
    detail = f"{mine / len(rows) * 1e6:.2f} µs ÷ {theirs / len(rows) * 1e6:.2f} µs"
    return Row("gate ÷ LogisticRegression.predict_proba_one, 20 numbers", mine / theirs, 2.0,
               detail=detail)  # fmt: skip


def score_row() -> Row:
    messages = [{"text": text} for text in texts(4_000)]
    learner = ActiveLearner(Config())
    learner.seed(
        (Event(event_id=f"s{i}", features=example), "spam" if i % 2 else "ham")
        for i, example in enumerate(messages[:400])
    )
    model = learner.engine.model
    # A repeated id would be a repeated query: every run has events of its own.
    turns = iter(
        [
            [Event(event_id=f"{turn}-{i}", features=row) for i, row in enumerate(messages)]
            for turn in range(REPEATS)
        ]
    )

    def ours() -> None:
        for index, event in enumerate(next(turns)):
            learner.score(event, now_ms=index)

    def base() -> None:
        for example in messages:
            model.predict(example)

    mine, theirs = paired(ours, base)
    detail = f"{mine / len(messages) * 1e6:.1f} µs ÷ {theirs / len(messages) * 1e6:.1f} µs"
    return Row("ActiveLearner.score ÷ bare predict, `linear`, 25 words", mine / theirs, 1.3,
               detail=detail)  # fmt: skip


def linear_row() -> Row:
    messages = texts(4_000)
    config = Config()
    model = Model(config)
    theirs_model = feature_extraction.TFIDF() | linear_model.LogisticRegression()
    for index, text in enumerate(messages[:1_000]):
        model.learn({"text": text}, "spam" if index % 2 else "ham")
        theirs_model.learn_one(text, index % 2 == 0)

    def ours() -> None:
        for text in messages:
            model.predict({"text": text})

    def base() -> None:
        for text in messages:
            theirs_model.predict_proba_one(text)

    mine, theirs = paired(ours, base)
    detail = f"{mine / len(messages) * 1e6:.1f} µs ÷ {theirs / len(messages) * 1e6:.1f} µs"
    return Row("`linear` encode + predict ÷ River TF-IDF + LR, 25 words", mine / theirs, 2.2,
               detail=detail)  # fmt: skip


def worker_row(name: str, preset: str, features: list[dict], bound: float) -> Row:
    """Events a second of the embedded worker ÷ a loop that decodes, predicts and encodes only."""
    ratios = []
    lines = [Event(event_id=f"e{i}", features=row).to_wire() for i, row in enumerate(features)]
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            config = Config.model_validate(
                {
                    "log": {"path": f"{folder}/log.db", "durability": "normal"},
                    "model": {"preset": preset},
                    "topics": {"partitions": 1},
                }
            )
            log = open_log(config, create=True)
            worker = Worker(log, config, secret=SECRET, name="bench", clock=SystemClock())
            _teach_worker(worker, log, config, features)
            assert worker.scorer is not None
            # Both meet every text for the first time.
            model = Model.load(config, worker.scorer.engine.model.dump())
            for start in range(0, len(lines), 1_000):
                log.append(
                    config.topic("events"), [Outgoing(v) for v in lines[start : start + 1_000]]
                )
            gc.collect()
            started = time.process_time()
            while worker.counters.events < len(lines):
                worker.step()
            mine = time.process_time() - started
            log.close()
        started = time.process_time()
        for line in lines:
            event = from_json(line)
            to_json({"event_id": event["event_id"], "p": model.predict(event["features"])})
        ratios.append((time.process_time() - started) / mine)
    detail = f"worker {mine / len(lines) * 1e6:.1f} µs an event"
    return Row(name, statistics.median(ratios), bound, at_least=True, detail=detail)


def _teach_worker(worker: Worker, log: object, config: Config, features: list[dict]) -> None:
    proposals = [
        ControlProposal(kind="seed", proposal_id=f"seed-{i}", actor="bench", event_id=f"s{i}",
                        label="spam" if i % 2 else "ham", features=row)
        for i, row in enumerate(features[:400])
    ]  # fmt: skip
    log.append(config.topic("controls"), [Outgoing(p.to_wire()) for p in proposals])  # type: ignore[attr-defined]
    while worker.step():
        pass


def query(index: int, features: dict[str, float] | None = None) -> Query:
    return Query(
        query_id=query_id_of(f"event-{index:09}"),
        event_id=f"event-{index:09}",
        source=Source(partition=0, offset=index),
        features=features or {},
        label="ham",
        probabilities={"ham": 0.61 + index % 7 / 100, "spam": 0.39 - index % 7 / 100},
        uncertainty=0.78,
        propensity=0.05,
        rate=0.05,
        model_version=index,
        reason="uncertain",
        priority=0.78,
        votes_wanted=1,
        asked_at_ms=index,
        expires_at_ms=index + 10**9,
    )


def with_pending(count: int) -> ActiveLearner:
    """Return a learner of the `river` preset with `count` pending queries."""
    learner = ActiveLearner(Config.model_validate({"model": {"preset": "river"}}))
    learner.score(Event(event_id="first", features={"n0": 0.0}), now_ms=0)
    for index in range(count):
        learner._ask(query(index), 1)
    return learner


def pending_rows() -> Iterator[Row]:
    rows = [Event(event_id=f"x{i}", features=row) for i, row in enumerate(numbers(4_000))]
    few, many = with_pending(100), with_pending(100_000)

    def score(learner: ActiveLearner) -> Callable[[], None]:
        def run() -> None:
            for event in rows:
                decision = learner.score(event, now_ms=1)
                if decision.query is not None:
                    learner.label(
                        Label(event_id=event.event_id, label="ham", annotator="a"), now_ms=1
                    )

        return run

    mine, theirs = paired(score(many), score(few))
    yield Row("cost per event, 10⁵ pending ÷ 10²", mine / theirs, 1.1)
    config = Config()
    resolver = Resolver(config, read_back=lambda _: None)
    records = resolver.start(now_ms=0)
    for position, record in enumerate(records):
        resolver.confirm(record, position)
    made = (query(index) for index in range(20_000))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for index, one in enumerate(made):
        place = Source(partition=0, offset=index)
        resolver.add_query(one, place=place, timestamp_ms=1, now_ms=1)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    yield Row("bytes per pending query beyond its features", (after - before) / 20_000, 400)


def memory_row() -> Row:
    """Resident memory after 10⁶ events and 10⁵ closed queries ÷ after 10⁵ events."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_core"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    detail = f"{found['late'] / 2**20:.0f} MiB ÷ {found['early'] / 2**20:.0f} MiB"
    return Row("memory after 10⁶ events ÷ after 10⁵, `river`", found["late"] / found["early"],
               1.25, detail=detail)  # fmt: skip


def memory_child() -> None:
    config = Config.model_validate(
        {"model": {"preset": "river"}, "gate": {"budget": {"share": 0.1}}}
    )
    learner = ActiveLearner(config)
    rows = numbers(1_000)
    early = 0
    for index in range(1_000_000):
        event = Event(event_id=f"event-{index:09}", features=rows[index % 1_000])
        decision = learner.score(event, now_ms=index)
        if decision.query is not None:
            said = "spam" if event.features["n0"] > 0 else "ham"
            learner.label(Label(event_id=event.event_id, label=said, annotator="a"), now_ms=index)
        if index + 1 == 100_000:
            early = resident()
    print(json.dumps({"early": early, "late": resident()}))


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "gate": lambda: iter([gate_row()]),
    "score": lambda: iter([score_row()]),
    "linear": lambda: iter([linear_row()]),
    "worker-linear": lambda: iter(
        [
            worker_row(
                "worker ÷ decode, predict, encode: `linear`, 25 words",
                "linear",
                [{"text": text} for text in texts(10_000)],
                0.6,
            )
        ]
    ),
    "worker-river": lambda: iter(
        [
            worker_row(
                "worker ÷ decode, predict, encode: `river`, 20 numbers",
                "river",
                numbers(20_000),
                0.35,
            )
        ]
    ),
    "pending": pending_rows,
    "memory": lambda: iter([memory_row()]),
}


if __name__ == "__main__":
    memory_child()
