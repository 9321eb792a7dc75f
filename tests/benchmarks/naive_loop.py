"""What people write first: kafka-python, json, River's own sampler, offsets committed now and then.

No transactions, no budget that is kept, no fencing, no model version; without `crc32c`.
Arguments: bootstrap, app, how many events. The first events teach, as their labels are known.
"""

from __future__ import annotations

import json
import sys

from tests.benchmarks.row import JOIN_MS

sys.modules["crc32c"] = None  # type: ignore[assignment] # not among what kafka-python brings along

from kafka import KafkaConsumer, KafkaProducer  # noqa: E402
from river import active, compose, linear_model, preprocessing  # noqa: E402

TAUGHT = 50


def main(bootstrap: str, app: str, events: int) -> None:
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    sampler = active.EntropySampler(classifier=model, discount_factor=3, seed=1)
    consumer = KafkaConsumer(
        f"{app}.events",
        bootstrap_servers=bootstrap,
        group_id=f"{app}.naive",
        auto_offset_reset="earliest",
        enable_auto_commit=True,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    seen = 0
    while seen < events:
        wait_ms = 100 if seen else JOIN_MS
        for records in consumer.poll(timeout_ms=wait_ms, max_records=500).values():
            for record in records:
                event = json.loads(record.value)
                if seen < TAUGHT:
                    model.learn_one(event["features"], bool(seen % 2))
                probabilities, asked = sampler.predict_proba_one(event["features"])
                said = {str(name): value for name, value in probabilities.items()}
                prediction = {"event_id": event["event_id"], "probabilities": said}
                producer.send(f"{app}.naive", json.dumps(prediction).encode())
                if asked:
                    producer.send(f"{app}.naive-queries", json.dumps(event).encode())
                seen += 1
    producer.flush()
    consumer.close()
    producer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
