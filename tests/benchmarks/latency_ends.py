"""Both ends of a latency: who sends events at a steady rate, and who sees their predictions.

Each is a process of its own; an event's id begins with when it was sent, by the clock that all
processes of a machine share. `send <broker> <topic> <how many> <a second>` or
`watch <broker> <topic> <how many>`, which says `ready` once it would miss nothing, and at the end a
JSON array: when each was sent, in seconds, and how many milliseconds later it was seen.
"""

from __future__ import annotations

import json
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from tests.benchmarks.row import numbers

LINGER_MS = 5
"""As Kafka's own producer does since 4.0; it is in the figures. Without it each event is a request
of its own, and the sender takes more of a small machine than the worker that is measured."""


def send(address: str, topic: str, count: int, rate: int) -> None:
    """Send events one by one, each at its time, to all partitions in turn."""
    features = [json.dumps(row) for row in numbers(2_000)]
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=LINGER_MS)
    partitions = len(producer.partitions_for(topic))
    began_s = time.monotonic()
    for number in range(count):
        left_s = began_s + number / rate - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
        head = f'{{"event_id": "{time.monotonic_ns()}-{number}", "features": '
        body = features[number % len(features)]
        producer.send(topic, f"{head}{body}}}".encode(), partition=number % partitions)
    producer.flush()
    producer.close()


def watch(address: str, topic: str, count: int) -> None:
    """See committed predictions until there were so many."""
    consumer = KafkaConsumer(bootstrap_servers=address, isolation_level="read_committed")
    places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    consumer.seek_to_end()
    for place in places:
        consumer.position(place)
    print("ready", flush=True)
    seen = []
    while len(seen) < count:
        fetched = consumer.poll(1_000)
        now_ns = time.monotonic_ns()
        for records in fetched.values():
            for record in records:
                sent_ns = int(record.key.partition(b"-")[0])
                seen.append((sent_ns / 1e9, (now_ns - sent_ns) / 1e6))
    consumer.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    role, where, name, *more = sys.argv[1:]
    {"send": send, "watch": watch}[role](where, name, *map(int, more))
