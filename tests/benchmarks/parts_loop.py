"""What a worker can't do without, and nothing else: its transport, decode, bare predict, encode.

The same clients with the same settings, one poll a transaction with its offsets, the worker's own
reading of events, its learner, and its prediction messages. No gate, no journal, no checks.
Arguments: the configuration file, how many events.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata

from stream_al.engine import EventReader
from stream_al.messages import SCHEMA_VERSION, Event, Prediction, Source
from stream_al.model.build import Learner, build_learner
from stream_al.service.scorer import BATCH_RECORDS_MAX
from stream_al.service.settings import load_config
from stream_al_connectors.kafka.settings import Clients
from tests.benchmarks.kafka_app import SEEDS
from tests.benchmarks.row import JOIN_MS, numbers

POLL_MS = 50


class Parts:
    """The loop, and what it needs."""

    def __init__(self, path: Path) -> None:
        config = load_config(path, {})
        clients = Clients.of(config)
        self._topic = config.topic("predictions")
        self._reader = EventReader(config.events)
        self._learner = _taught(build_learner(config))
        name = f"{config.app}.parts-0"
        self._producer: KafkaProducer = clients.producer(transactional_id=name)
        self._producer.init_transactions()
        self._consumer: KafkaConsumer = clients.consumer(
            group_id=f"{config.app}.parts", group_instance_id=name, auto_offset_reset="earliest"
        )
        self._consumer.subscribe([config.topic("events")])

    def run(self, events: int) -> None:
        """Predict so many events."""
        seen = 0
        while seen < events:
            wait_ms = POLL_MS if seen else JOIN_MS
            fetched = self._consumer.poll(wait_ms, max_records=BATCH_RECORDS_MAX)
            membership = self._consumer.group_metadata()
            if not fetched:
                continue
            self._producer.begin_transaction()
            offsets = {}
            now_ms = time.time_ns() // 1_000_000
            for place, records in fetched.items():
                for record in records:
                    self._predict(record, now_ms)
                offsets[place] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
                seen += len(records)
            self._producer.send_offsets_to_transaction(offsets, membership)
            self._producer.commit_transaction()

    def close(self) -> None:
        self._consumer.close(autocommit=False)
        self._producer.close()

    def _predict(self, record: Any, now_ms: int) -> None:
        event = self._reader.read(record.value)
        said = self._learner.predict_proba_one(event.features)
        prediction = _prediction(event, record, said)
        self._producer.send(
            self._topic,
            prediction.to_wire(),
            key=event.event_id.encode(),
            partition=record.partition,
            timestamp_ms=now_ms,
        )


def _prediction(event: Event, record: Any, said: dict[str, float]) -> Prediction:
    """Return a message with the fields of a worker's, as long as it."""
    label = max(said, key=said.__getitem__)
    fields = {
        "schema_version": SCHEMA_VERSION,
        "event_id": event.event_id,
        "source": Source.of_valid({"partition": record.partition, "offset": record.offset}),
        "label": label,
        "probabilities": said,
        "uncertainty": 1.0 - said[label],
        "queried": False,
        "reason": None,
        "propensity": 0.012345678901234567,
        "rate": 0.05,
        "mode": "normal",
        "model_version": 1,
        "segment": None,
        "at_ms": record.timestamp,
    }
    return Prediction.of_valid(fields)


def _taught(learner: Learner) -> Learner:
    for number, features in enumerate(numbers(SEEDS)):
        learner.learn_one(features, ("ham", "spam")[number % 2])
    return learner


if __name__ == "__main__":
    parts = Parts(Path(sys.argv[1]))
    parts.run(int(sys.argv[2]))
    parts.close()
