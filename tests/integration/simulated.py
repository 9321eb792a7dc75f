"""What runs in processes of its own beside the workers: people, and folds for comparison."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import defaultdict, deque
from pathlib import Path
from random import Random
from typing import Any

from kafka import KafkaProducer

from stream_al.config import Config
from stream_al.engine import Engine, EventReader
from stream_al.messages import Prediction, Query, read_journal_record, unpacked
from stream_al.port import Outgoing
from stream_al.service.settings import gate_secret, load_config
from stream_al.service.view import records
from stream_al_connectors import open_log
from stream_al_connectors.kafka.settings import Clients
from stream_al_connectors.opening import log_path

LOOK_S = 0.02
DELAY_LOOKS_MAX = 12
ODD_SHARE = 0.2


def people(seed: str, truth_file: str) -> int:
    """Answer queries until SIGTERM: late, at times twice, wrongly, skipped or not asked for."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    config = load_config(None)
    truth = json.loads(Path(truth_file).read_text())
    rng = Random(int(seed))
    log = open_log(config)
    topic = config.topic("queries")
    positions: defaultdict[int, int] = defaultdict(int)
    waiting: deque[tuple[int, Outgoing]] = deque()
    look = 0
    while going:
        look += 1
        for partition in range(log.partition_count(topic)):
            for record in log.read(topic, partition, positions[partition], limit=500):
                positions[partition] = record.offset + 1
                for body in _answers(Query.model_validate_json(record.value), truth, rng):
                    waiting.append((look + rng.randint(0, DELAY_LOOKS_MAX), _label(body)))
        due = [outgoing for at, outgoing in waiting if at <= look]
        waiting = deque((at, outgoing) for at, outgoing in waiting if at > look)
        if due:
            log.append(config.topic("labels"), due)
        time.sleep(LOOK_S)
    log.append(config.topic("labels"), [outgoing for _, outgoing in waiting])
    log.close()
    return 0


def leave_open(transactional_id: str, topic: str, timeout_s: str) -> int:
    """Begin a transaction on a topic of another's, say so, and never end it."""
    config = load_config(None)
    producer = KafkaProducer(
        bootstrap_servers=list(config.log.bootstrap_servers),
        transactional_id=transactional_id,
        transaction_timeout_ms=round(float(timeout_s) * 1_000),
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(config.topic(topic), b"never committed", partition=0).get(30)
    print("left_open", file=sys.stderr, flush=True)
    signal.pause()
    return 0


def commit_when_told(transactional_id: str, topic: str) -> int:
    """Send a record in a transaction by a worker's own producer, and commit at SIGUSR1."""
    config = load_config(None)
    told = [signal.SIGUSR1]
    signal.pthread_sigmask(signal.SIG_BLOCK, told)
    producer = Clients.of(config).producer(transactional_id=transactional_id)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(config.topic(topic), b"whole", partition=0).get(30)
    print("sent", file=sys.stderr, flush=True)
    signal.sigwait(told)
    producer.commit_transaction()
    return 0


def _label(body: dict[str, Any]) -> Outgoing:
    return Outgoing(value=json.dumps(body).encode(), key=body["event_id"].encode())


def _answers(query: Query, truth: dict[str, str], rng: Random) -> list[dict[str, Any]]:
    event_id = query.event_id
    body = {"event_id": event_id, "label": truth[event_id], "annotator": "ann"}
    oddities: list[list[dict[str, Any]]] = [
        [{"event_id": event_id, "kind": "skip", "annotator": "ann"}, body],
        [body, body],
        [body, body | {"revision": 1, "label": "spam"}],
        [body, body | {"kind": "retract", "label": None, "revision": 2}],
        [body, {"event_id": f"never-{event_id}", "label": "ham", "annotator": "bob"}],
        [body, body | {"annotator": None}, {"event_id": event_id, "kind": "shout"}],
    ]
    return rng.choice(oddities) if rng.random() < ODD_SHARE else [body]


def fold(*how: str) -> int:
    """Print the digest of the folded journal; with `replay` score every event again as well."""
    config = load_config(None)
    log = open_log(config, create=False)
    secret = gate_secret(config, beside=Path(log_path(config)), create=False)
    engine = Engine(config, secret=secret)
    found: dict[str, Any] = {}
    journal = records(log, config.topic("journal"), 0, 0)
    if "replay" in how:
        found = replay(log, config, engine, journal)
    for record in journal:
        engine.apply(read_journal_record(record.value), record.offset)
    found |= {
        "digest": engine.model.digest(),
        "position": engine.version,
        "learnt": engine.model.learnt_count,
    }
    print(json.dumps(found))
    log.close()
    return 0


def replay(log: Any, config: Config, engine: Engine, journal: Any) -> dict[str, Any]:
    """Score every event again with the model and the gate that it met; count what differs.

    Along a partition the model's version never goes back, so sorting by it keeps each partition's
    order, and with it the gate's.
    """
    stored: list[tuple[int, int, int, bytes]] = []
    queries: dict[int, list[bytes]] = {}
    for partition in range(config.topics.partitions):
        engine.open_partition(partition)
        queries[partition] = [r.value for r in records(log, config.topic("queries"), partition, 0)]
        for record in records(log, config.topic("predictions"), partition, 0):
            for value in unpacked(record.value):
                said = Prediction.model_validate_json(value)
                assert said.source.partition == partition
                stored.append((said.model_version, partition, said.source.offset, value))
    stored.sort()
    reader = EventReader(config.events)
    events = {
        (record.partition, record.offset): record
        for partition in range(config.topics.partitions)
        for record in records(log, config.topic("events"), partition, 0)
    }
    different: list[str] = []
    asked = 0
    for version, partition, offset, value in stored:
        while engine.version < version:
            record = next(journal)
            engine.apply(read_journal_record(record.value), record.offset)
        event = events[partition, offset]
        decision = engine.score(
            reader.read(event.value),
            partition=partition,
            offset=offset,
            at_ms=event.timestamp_ms,
        )
        if decision.prediction.to_wire() != value:
            different.append(f"{partition}/{offset}")
        if decision.query is not None:
            sent = queries[partition][engine.gates[partition].sent - 1]
            asked += 1
            if decision.query.to_wire() != sent:
                different.append(f"query {partition}/{offset}")
    return {"predictions": len(stored), "queries": asked, "different": different[:20]}
