"""What the journal's proofs cost: chain hashes and digests, against the events that they come from.

At a budget of 5 % one event in twenty becomes a label record; each has a chain hash, and each
200th journal position a digest of the model, which is a record of its own.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

from pydantic_core import from_json

from stream_al.config import Config
from stream_al.messages import (
    CHAIN_START,
    Asked,
    ControlProposal,
    DigestEntry,
    Event,
    LabelEntry,
    Source,
    Vote,
    chained,
)
from stream_al.port import Outgoing
from stream_al.service.clock import SystemClock
from stream_al.service.environment import environment
from stream_al.service.follower import DIGEST_EVERY
from stream_al.service.worker import Worker
from stream_al_connectors.opening import open_log
from tests.benchmarks.row import SECRET, Row, paired, taught, texts

EVENTS = 4_000
LABELS = EVENTS // 20


def proofs_row() -> Row:
    messages = [{"text": text} for text in texts(EVENTS)]
    engine = taught(Config(), messages)
    lines = [Event(event_id=f"e{i}", features=row).to_wire() for i, row in enumerate(messages)]
    place = Source(partition=0, offset=0)
    entries = [
        LabelEntry(
            at_ms=1,
            event_id=f"e{i}",
            revision=0,
            label="spam",
            features=messages[i],
            asked=Asked(query=place, label="ham", probabilities={"ham": 0.6, "spam": 0.4},
                        model_version=i, propensity=0.1, rate=0.05, asked_at_ms=1),
            votes=(Vote(annotator="a", label="spam"),),
            latency_ms=1,
            closes=place,
        )
        for i in range(LABELS)
    ]  # fmt: skip

    def proofs() -> None:
        chain = CHAIN_START
        for entry in entries:
            chain = chained(entry, chain).chain
        for _ in range(LABELS // DIGEST_EVERY):
            said = DigestEntry(at_ms=1, position=1, model_id="m", digest=engine.model.digest(),
                               learnt_count=1, environment=environment())  # fmt: skip
            chained(said, chain).to_wire()

    mine, _ = paired(proofs, lambda: None)
    theirs = statistics.median(_worker_seconds(lines) for _ in range(3))
    detail = f"{mine / EVENTS * 1e6:.2f} µs ÷ {theirs / EVENTS * 1e6:.1f} µs an event"
    return Row(
        "chain hash, digest ÷ worker per event, `linear`, 5 %", mine / theirs, 0.02, detail=detail
    )


def _worker_seconds(lines: list[bytes]) -> float:
    """Return the CPU seconds of a worker that scores `lines` and commits what came of them."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate({"log": {"path": f"{folder}/b.db", "durability": "normal"}})
        log = open_log(config, create=True)
        worker = Worker(log, config, secret=SECRET, name="bench", clock=SystemClock())
        seeds = [
            ControlProposal(kind="seed", proposal_id=str(n), actor="bench", event_id=str(n),
                            label=("ham", "spam")[n % 2], features=from_json(line)["features"])
            for n, line in enumerate(lines[::10])
        ]  # fmt: skip
        log.append(config.topic("controls"), [Outgoing(seed.to_wire()) for seed in seeds])
        while worker.step():
            pass
        log.append(config.topic("events"), [Outgoing(line) for line in lines])
        started = time.process_time()
        while worker.step():
            pass
        spent = time.process_time() - started
        worker.stop()
        worker.run()
        log.close()
    return spent


ROWS: dict[str, Callable[[], Iterator[Row]]] = {"proofs": lambda: iter([proofs_row()])}
