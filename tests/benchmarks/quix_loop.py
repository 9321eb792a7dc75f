"""What Quix Streams takes for JSON → JSON, exactly once: a field is added, no model. Its defaults.

Runs in an environment of its own (`bench_kafka_fast.py`). Arguments: broker, topic to read, topic
to write, folder for its state, how many events.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application

IDLE_S = 1.0


def marked(value: dict[str, Any]) -> dict[str, Any]:
    value["seen"] = True
    return value


def main(address: str, source: str, target: str, folder: str, events: int) -> None:
    app = Application(
        broker_address=address,
        consumer_group=f"{target}.quix",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=folder,
    )
    frame = app.dataframe(app.topic(source))
    frame.apply(marked).to_topic(app.topic(target))
    if events:
        app.run(count=events, collect=False)
    else:
        app.run(timeout=IDLE_S, collect=False)


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
