"""What exactly once costs on a real broker: against the loop people write first, and its parts.

All read the same events, one after the other, with a group each. What a process costs with nothing
to read is taken off. The broker's own CPU is not in it.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable

from tests.benchmarks.kafka_app import EVENTS, App, broker, cpu_s, per_event, spread
from tests.benchmarks.row import Row

PAIRS = 5


def cpu_rows() -> Iterable[Row]:
    """Events per CPU second ÷ the naive loop, plain and packed; CPU ÷ that of the parts alone."""
    plain, packed, parts, ours = [], [], [], []
    with broker() as place:
        topics = {"predictions": "naive.naive", "queries": "naive.naive-queries"}
        source = App(place, "naive", topics=topics)
        events = {"events": source.config.topic("events")}
        one = App(place, "plain", topics=events).taught()
        other = App(place, "packed", topics=events, predictions={"pack": "poll"}).taught()
        for _ in range(PAIRS):
            one_start_s, other_start_s = one.run_cpu_s(), other.run_cpu_s()
            source.fill()
            naive_s = _loop("naive_loop", place.address, "naive")
            plain_s = one.run_cpu_s() - one_start_s
            parts_s = _loop("parts_loop", str(one.path))
            packed_s = other.run_cpu_s() - other_start_s
            plain.append(naive_s / plain_s)
            packed.append(naive_s / packed_s)
            parts.append(plain_s / parts_s)
            ours.append(plain_s)
    cost = f"{per_event(ours)}; {spread(plain)}"
    yield Row("kafka: events per CPU second ÷ naive loop", statistics.median(plain), 3, True, cost)
    yield Row("kafka: the same, packed", statistics.median(packed), 5, True, spread(packed))
    name = "kafka: worker ÷ its transport, decode, predict, encode"
    yield Row(name, statistics.median(parts), 1.3, detail=spread(parts))


def _loop(script: str, *words: str) -> float:
    """Return the CPU seconds of a script over all events, without its start and end."""
    command = [sys.executable, "-m", f"tests.benchmarks.{script}", *words]
    return cpu_s([*command, str(EVENTS)]) - cpu_s([*command, "0"])


ROWS = {"kafka-cpu": cpu_rows}
